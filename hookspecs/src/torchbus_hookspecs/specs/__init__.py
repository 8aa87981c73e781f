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
from .checkpointing import load_state_dict, on_checkpoint_committed, on_load_checkpoint, on_save_checkpoint, state_dict
from .data import (
    on_after_batch_transfer,
    on_before_batch_transfer,
    predict_dataloader,
    test_dataloader,
    train_dataloader,
    transfer_batch_to_device,
    val_dataloader,
)
from .evaluation import (
    on_sanity_check_end,
    on_sanity_check_start,
    on_test_batch_end,
    on_test_batch_start,
    on_test_end,
    on_test_epoch_end,
    on_test_epoch_start,
    on_test_model_eval,
    on_test_model_train,
    on_test_start,
    on_validation_batch_end,
    on_validation_batch_start,
    on_validation_end,
    on_validation_epoch_end,
    on_validation_epoch_start,
    on_validation_model_eval,
    on_validation_model_train,
    on_validation_model_zero_grad,
    on_validation_start,
    test_step,
    validation_step,
)
from .faults import on_plugin_failed, on_preempted
from .logging import after_save_checkpoint, finalize, log_graph, log_hyperparams, log_metrics, on_log_record, save
from .optimization import (
    backward,
    clip_gradients,
    configure_gradient_clipping,
    lr_scheduler_step,
    manual_backward,
    on_after_backward,
    on_before_backward,
    on_before_optimizer_step,
    on_before_zero_grad,
    optimizer_step,
    optimizer_zero_grad,
    toggle_optimizer,
    toggled_optimizer,
    untoggle_optimizer,
)
from .prediction import (
    on_predict_batch_end,
    on_predict_batch_start,
    on_predict_end,
    on_predict_epoch_end,
    on_predict_epoch_start,
    on_predict_model_eval,
    on_predict_start,
    predict_step,
)
from .run import (
    configure_callbacks,
    configure_model,
    configure_optimizers,
    configure_sharded_model,
    on_exception,
    on_fit_end,
    on_fit_start,
    prepare_data,
    setup,
    teardown,
)
from .training import (
    forward,
    on_train_batch_end,
    on_train_batch_start,
    on_train_end,
    on_train_epoch_end,
    on_train_epoch_start,
    on_train_start,
    training_step,
)

__all__ = [
    "HOOKS",
    "after_save_checkpoint",
    "backward",
    "clip_gradients",
    "configure_callbacks",
    "configure_gradient_clipping",
    "configure_model",
    "configure_optimizers",
    "configure_sharded_model",
    "finalize",
    "forward",
    "load_state_dict",
    "log_graph",
    "log_hyperparams",
    "log_metrics",
    "lr_scheduler_step",
    "manual_backward",
    "on_after_backward",
    "on_after_batch_transfer",
    "on_before_backward",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_checkpoint_committed",
    "on_exception",
    "on_fit_end",
    "on_fit_start",
    "on_load_checkpoint",
    "on_log_record",
    "on_plugin_failed",
    "on_predict_batch_end",
    "on_predict_batch_start",
    "on_predict_end",
    "on_predict_epoch_end",
    "on_predict_epoch_start",
    "on_predict_model_eval",
    "on_predict_start",
    "on_preempted",
    "on_sanity_check_end",
    "on_sanity_check_start",
    "on_save_checkpoint",
    "on_test_batch_end",
    "on_test_batch_start",
    "on_test_end",
    "on_test_epoch_end",
    "on_test_epoch_start",
    "on_test_model_eval",
    "on_test_model_train",
    "on_test_start",
    "on_train_batch_end",
    "on_train_batch_start",
    "on_train_end",
    "on_train_epoch_end",
    "on_train_epoch_start",
    "on_train_start",
    "on_validation_batch_end",
    "on_validation_batch_start",
    "on_validation_end",
    "on_validation_epoch_end",
    "on_validation_epoch_start",
    "on_validation_model_eval",
    "on_validation_model_train",
    "on_validation_model_zero_grad",
    "on_validation_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "predict_dataloader",
    "predict_step",
    "prepare_data",
    "save",
    "setup",
    "state_dict",
    "teardown",
    "test_dataloader",
    "test_step",
    "toggle_optimizer",
    "toggled_optimizer",
    "train_dataloader",
    "training_step",
    "transfer_batch_to_device",
    "untoggle_optimizer",
    "val_dataloader",
    "validation_step",
]

_ROOMS = (run, data, training, optimization, evaluation, prediction, checkpointing, logging, faults)

HOOKS: dict[str, Callable[..., Any]] = {
    name: one for room in _ROOMS for name, one in vars(room).items() if name in room.__all__
}
"""Every hook specification by name, in the order of a run."""
