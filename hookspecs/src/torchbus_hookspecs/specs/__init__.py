"""The contract: every hook of a torchbus run, as a documented function, in the order in which a run meets them.

Read the modules of this package in this order and you have read the story of a run: ``run``, ``data``, ``training``,
``optimization``, ``evaluation``, ``prediction``, ``checkpointing``, ``logging``, ``faults``.

Names and parameters are Lightning's. Three kinds of hook exist, and each specification is decorated with its own:

- **broadcast**: everyone hears it; results are ignored but where the text says otherwise.
- **provider**: the first result that is not ``None`` is used. The user's module wins over plugins, plugins over the
  built-in default. A provider whose work has no natural result returns ``True`` to say "done".
- **transform**: the value goes from one implementation to the next.

A hookimpl takes any subset of the arguments, by name. Methods of a ``Callback`` are called with all of them, in order;
methods of a module or datamodule with all but ``trainer`` and ``pl_module``.
"""

from collections.abc import Callable
from typing import Any

from . import checkpointing, data, evaluation, faults, logging, optimization, prediction, run, training
from .run import (
    configure_callbacks,
    prepare_data,
    setup,
    configure_sharded_model,
    configure_model,
    configure_optimizers,
    on_fit_start,
    on_fit_end,
    teardown,
    on_exception,
)
from .data import (
    train_dataloader,
    val_dataloader,
    test_dataloader,
    predict_dataloader,
    on_before_batch_transfer,
    transfer_batch_to_device,
    on_after_batch_transfer,
)
from .training import (
    on_train_start,
    on_train_epoch_start,
    on_train_batch_start,
    training_step,
    forward,
    on_train_batch_end,
    on_train_epoch_end,
    on_train_end,
)
from .optimization import (
    optimizer_step,
    on_before_zero_grad,
    optimizer_zero_grad,
    on_before_backward,
    backward,
    manual_backward,
    on_after_backward,
    on_before_optimizer_step,
    configure_gradient_clipping,
    clip_gradients,
    lr_scheduler_step,
    toggle_optimizer,
    untoggle_optimizer,
    toggled_optimizer,
)
from .evaluation import (
    on_sanity_check_start,
    on_sanity_check_end,
    on_validation_model_zero_grad,
    on_validation_model_eval,
    on_validation_start,
    on_validation_epoch_start,
    on_validation_batch_start,
    validation_step,
    on_validation_batch_end,
    on_validation_epoch_end,
    on_validation_end,
    on_validation_model_train,
    on_test_model_eval,
    on_test_start,
    on_test_epoch_start,
    on_test_batch_start,
    test_step,
    on_test_batch_end,
    on_test_epoch_end,
    on_test_end,
    on_test_model_train,
)
from .prediction import (
    on_predict_model_eval,
    on_predict_start,
    on_predict_epoch_start,
    on_predict_batch_start,
    predict_step,
    on_predict_batch_end,
    on_predict_epoch_end,
    on_predict_end,
)
from .checkpointing import state_dict, on_save_checkpoint, on_checkpoint_committed, on_load_checkpoint, load_state_dict
from .logging import on_log_record, log_metrics, log_hyperparams, log_graph, after_save_checkpoint, save, finalize
from .faults import on_plugin_failed, on_preempted

__all__ = [
    "HOOKS",
    "configure_callbacks",
    "prepare_data",
    "setup",
    "configure_sharded_model",
    "configure_model",
    "configure_optimizers",
    "on_fit_start",
    "on_fit_end",
    "teardown",
    "on_exception",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "training_step",
    "forward",
    "on_train_batch_end",
    "on_train_epoch_end",
    "on_train_end",
    "optimizer_step",
    "on_before_zero_grad",
    "optimizer_zero_grad",
    "on_before_backward",
    "backward",
    "manual_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "clip_gradients",
    "lr_scheduler_step",
    "toggle_optimizer",
    "untoggle_optimizer",
    "toggled_optimizer",
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_validation_model_zero_grad",
    "on_validation_model_eval",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "validation_step",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_validation_model_train",
    "on_test_model_eval",
    "on_test_start",
    "on_test_epoch_start",
    "on_test_batch_start",
    "test_step",
    "on_test_batch_end",
    "on_test_epoch_end",
    "on_test_end",
    "on_test_model_train",
    "on_predict_model_eval",
    "on_predict_start",
    "on_predict_epoch_start",
    "on_predict_batch_start",
    "predict_step",
    "on_predict_batch_end",
    "on_predict_epoch_end",
    "on_predict_end",
    "state_dict",
    "on_save_checkpoint",
    "on_checkpoint_committed",
    "on_load_checkpoint",
    "load_state_dict",
    "on_log_record",
    "log_metrics",
    "log_hyperparams",
    "log_graph",
    "after_save_checkpoint",
    "save",
    "finalize",
    "on_plugin_failed",
    "on_preempted",
]

_ROOMS = (run, data, training, optimization, evaluation, prediction, checkpointing, logging, faults)

HOOKS: dict[str, Callable[..., Any]] = {name: getattr(room, name) for room in _ROOMS for name in room.__all__}
"""Every hook specification by name, in the order of a run."""
