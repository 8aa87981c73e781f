"""The module a user writes: a model that knows its steps, its optimizers and how to log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torchbus_hookspecs import Logger, events
from torchbus_hookspecs.specs import HOOKS

from ._adapters import Shape
from ._arguments import check_clipping
from ._data.transfer import map_tensors
from ._errors import MisconfigurationException
from ._export import to_onnx, to_tensorrt, to_torchscript
from ._hooks import DataHooks, ModuleHooks
from ._hparams import HyperparametersMixin
from ._loading import class_only, load_module
from ._loggable import metric_items
from ._metrics import warn_unattached

if TYPE_CHECKING:
    import io
    from pathlib import Path
    from typing import Self

    from ._trainer import Trainer

__all__ = ["MODULE_SHAPE", "LightningModule", "as_written"]


class LightningModule(HyperparametersMixin, ModuleHooks, DataHooks, nn.Module):
    """A ``torch.nn.Module`` with steps, optimizers and hooks; ``Trainer.fit`` trains it.

    Override ``training_step`` and ``configure_optimizers``, and what else is needed of the hooks above.

    Attributes:
        automatic_optimization: whether the trainer calls ``backward`` and ``step`` (default) or ``training_step`` does.
        strict_loading: whether checkpoints must have exactly this module's parameters.
        example_input_array: an input for ``forward``, for summaries and graphs.
    """

    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = "hparams_type"
    # of the class, so that a subclass may set them there too, or make properties of them
    automatic_optimization: bool = True
    strict_loading: bool = True
    example_input_array: Any = None
    _bus_name = "lightning_module"
    __jit_unused_properties__: ClassVar[list[str]] = []
    _is_being_scripted: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None
        self._toggled: dict[nn.Parameter, bool] = {}
        self._compiler_ctx: dict[str, Any] | None = None

    # ---- where the module is -------------------------------------------------------------------------------------------

    @property
    def trainer(self) -> Trainer:
        """The trainer that runs this module.

        Raises:
            RuntimeError: none does.
        """
        trainer = self._trainer
        if trainer is None and not LightningModule._is_being_scripted:
            raise RuntimeError(f"{type(self).__qualname__} is not attached to a Trainer: pass it to Trainer.fit first.")
        return trainer  # type: ignore[return-value]  # None only while torch.jit reads every attribute

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        self.__dict__["_trainer"] = trainer
        for child in self.children():
            if isinstance(child, LightningModule):
                child.trainer = trainer

    def __dir__(self) -> list[str]:
        # those who read whatever is listed, as torch.jit.trace does, must not meet the error of an absent trainer
        listed: list[str] = super().__dir__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return [name for name in listed if name != "trainer" or self._trainer is not None]

    @property
    def device(self) -> torch.device:
        """The device of the module's parameters (CPU if it has none)."""
        return next((one.device for one in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating point type of the module's parameters."""
        found = (one.dtype for one in (*self.parameters(), *self.buffers()) if one.is_floating_point())
        return next(found, torch.get_default_dtype())

    @dtype.setter
    def dtype(self, dtype: torch.dtype) -> None:
        raise RuntimeError(
            f"{type(self).__name__}.dtype cannot be set: it is that of the parameters. To fix: module.to(dtype), or"
            " Trainer(precision=...)."
        )

    @property
    def on_gpu(self) -> bool:
        """Whether the module is on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def current_epoch(self) -> int:
        """Epochs completed, from 0."""
        return self._trainer.current_epoch if self._trainer is not None else 0

    @property
    def global_step(self) -> int:
        """Optimizer steps taken over all epochs."""
        return self._trainer.global_step if self._trainer is not None else 0

    @property
    def global_rank(self) -> int:
        """The number of this process among all."""
        return self._trainer.global_rank if self._trainer is not None else 0

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine."""
        return self._trainer.local_rank if self._trainer is not None else 0

    @property
    def device_mesh(self) -> Any:
        """The mesh of devices, of strategies that split the model over several; ``None`` with others."""
        return getattr(self._trainer.strategy, "device_mesh", None) if self._trainer is not None else None

    @property
    def logger(self) -> Logger | None:
        """The trainer's first logger."""
        return self._trainer.logger if self._trainer is not None else None

    @property
    def loggers(self) -> list[Logger]:
        """The trainer's loggers."""
        return self._trainer.loggers if self._trainer is not None else []

    # ---- logging -------------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log one number under a name.

        Args:
            name: the metric's name; with both levels, ``_step`` and ``_epoch`` are added.
            value: a number, a tensor of one element, or a metric. It is detached, and not waited for.
            prog_bar: show it in the progress bar.
            logger: hand it to loggers; default: yes.
            on_step: log each step's value; default: yes in training steps, no elsewhere.
            on_epoch: log the epoch's reduced value; default: the opposite of ``on_step``.
            reduce_fx: ``"mean"`` (weighted by batch size), ``"sum"``, ``"min"`` or ``"max"``.
            enable_graph: keep the autograd graph.
            sync_dist: reduce over ranks.
            sync_dist_group: the process group to reduce over.
            add_dataloader_idx: with several loaders, add ``/dataloader_idx_N`` to the name.
            batch_size: the batch's size, where it cannot be found in the batch.
            metric_attribute: the attribute of this module that holds the metric.
            rank_zero_only: log on rank zero only.

        Raises:
            MisconfigurationException: logging is not possible here, or not in this way.
            ValueError: the value is not one number.
        """
        trainer = self._trainer
        if trainer is None:
            warn_unattached(name)
            return
        options = (
            prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group, add_dataloader_idx,
            metric_attribute, rank_zero_only,
        )  # fmt: skip
        trainer.metrics.log(name, value, options, batch_size)

    def log_dict(
        self,
        dictionary: Mapping[str, Any],
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log several numbers at once; see ``log``."""
        for name, value in metric_items(dictionary):
            self.log(
                name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
                add_dataloader_idx, batch_size, None, rank_zero_only,
            )  # fmt: skip

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on rank zero, without breaking the progress bar.

        Raises:
            RuntimeError: no trainer runs this module.
        """
        self.trainer.print(*args, **kwargs)

    # ---- the model -------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's output; override it.

        Raises:
            NotImplementedError: neither the module nor a plugin says how.
        """
        provided = self._asked(events.Forward, args, kwargs)
        if provided is None:
            raise NotImplementedError(f"{type(self).__name__} has no `forward`. To fix: define it in the module.")
        return provided

    def freeze(self) -> None:
        """No parameter needs gradients, and every submodule is in evaluation mode."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        self.eval()

    def unfreeze(self) -> None:
        """Every parameter needs gradients, and every submodule is in training mode."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        self.train()

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors of all ranks, each stacked in a new first dimension where there are several ranks."""
        strategy = self.trainer.strategy
        return map_tensors(data, lambda tensor: strategy.all_gather(tensor, group, sync_grads))

    def to_onnx(self, file_path: str | Path | io.BytesIO | None = None, input_sample: Any = None, **kwargs: Any) -> Any:
        """Export the module as ONNX, in evaluation mode.

        Args:
            file_path: where to write it; default: nowhere, use what is returned.
            input_sample: an example of the input: a tensor, a tuple of arguments, or a mapping of named ones; default:
                ``example_input_array``.
            **kwargs: further arguments of ``torch.onnx.export``.

        Raises:
            ModuleNotFoundError: a package that is needed is not installed.
            ValueError: there is no example of the input.
        """
        return to_onnx(self, file_path, input_sample, kwargs)

    def to_torchscript(
        self,
        file_path: str | Path | None = None,
        method: str | None = "script",
        example_inputs: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The module as TorchScript, in evaluation mode; torch itself recommends ``torch.export`` instead.

        Args:
            file_path: where to write it, if anywhere.
            method: ``"script"``: compile the source; ``"trace"``: record one pass.
            example_inputs: the input of that pass: a tensor, or a tuple of arguments; default: ``example_input_array``.
            **kwargs: further arguments of ``torch.jit.script`` or ``torch.jit.trace``.

        Raises:
            ValueError: the method is unknown, or there is no example of the input to trace with.
        """
        return to_torchscript(self, file_path, method, example_inputs, kwargs)

    def to_tensorrt(self, *args: Any, **kwargs: Any) -> Any:
        """Not supported: the error says what to do instead.

        Raises:
            ModuleNotFoundError: ``torch_tensorrt`` is not installed.
            NotImplementedError: it is.
        """
        return to_tensorrt(self)

    # ---- manual optimization ---------------------------------------------------------------------------------------------

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer, or the list of them, that ``configure_optimizers`` gave.

        Args:
            use_pl_optimizer: whether steps go through the trainer (hooks, precision, counting) or are the optimizers' own.
        """
        found = self.trainer.lightning_optimizers if use_pl_optimizer else self.trainer.optimizers
        return found[0] if len(found) == 1 else list(found)

    def lr_schedulers(self) -> Any:
        """The scheduler, or the list of them, or ``None`` when there is none."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return None if not found else found[0] if len(found) == 1 else found

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients in manual optimization, under the trainer's precision and with the hooks around it.

        Raises:
            MisconfigurationException: optimization is automatic.
        """
        if self.automatic_optimization:
            raise MisconfigurationException(
                "manual_backward is for manual optimization, and this module's is automatic."
                " To fix: set self.automatic_optimization = False in __init__, or return the loss from training_step."
            )
        if not self._asked(events.ManualBackward, loss, args, kwargs):
            self.trainer.fit_loop.optimization.run_backward(loss, args, kwargs)

    def clip_gradients(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of an optimizer's parameters.

        Args:
            optimizer: whose parameters.
            gradient_clip_val: the largest norm, or the largest absolute value; default: the trainer's setting.
            gradient_clip_algorithm: ``"norm"`` (default) or ``"value"``.

        Raises:
            MisconfigurationException: the trainer has another setting, or the algorithm is unknown.
            TypeError: the limit is no number.
        """
        trainer = self.trainer
        check_clipping("clip_gradients", gradient_clip_val, gradient_clip_algorithm)
        algorithm = gradient_clip_algorithm.lower() if gradient_clip_algorithm else None
        for name, given, own in (
            ("gradient_clip_val", gradient_clip_val, trainer.gradient_clip_val),
            ("gradient_clip_algorithm", algorithm, trainer.gradient_clip_algorithm),
        ):
            if given is not None and own is not None and given != own:
                raise MisconfigurationException(
                    f"clip_gradients({name}={given!r}) contradicts Trainer({name}={own!r}). To fix: set only one of them."
                )
        value = trainer.gradient_clip_val if gradient_clip_val is None else gradient_clip_val
        algorithm = algorithm or trainer.gradient_clip_algorithm or "norm"
        self._asked(events.ClipGradients, optimizer, value, algorithm)

    def toggle_optimizer(self, optimizer: Any) -> None:
        """Until ``untoggle_optimizer``, only this optimizer's parameters need gradients."""
        if self._asked(events.ToggleOptimizer, optimizer):
            return
        own = {one for group in optimizer.param_groups for one in group["params"]}
        self._toggled = {
            one: one.requires_grad
            for each in self.trainer.optimizers
            for group in each.param_groups
            for one in group["params"]
        }
        for parameter, needed in self._toggled.items():
            parameter.requires_grad = needed and parameter in own

    def untoggle_optimizer(self, optimizer: Any) -> None:
        """Give the other optimizers' parameters back what ``toggle_optimizer`` changed."""
        if self._asked(events.UntoggleOptimizer, optimizer):
            return
        own = {one for group in optimizer.param_groups for one in group["params"]}
        for parameter, needed in self._toggled.items():
            if parameter not in own:  # what was frozen meanwhile stays frozen
                parameter.requires_grad = needed
        self._toggled = {}

    @contextmanager
    def toggled_optimizer(self, optimizer: Any) -> Iterator[None]:
        """Inside, only this optimizer's parameters need gradients."""
        provided = self._asked(events.ToggledOptimizer, optimizer)
        if provided is not None:
            with provided:
                yield
            return
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    # ---- loading -----------------------------------------------------------------------------------------------------------

    @class_only
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """A module of this class with the weights and hyperparameters of a checkpoint.

        Args:
            checkpoint_path: the file: its path, its address (what fsspec reads), or itself, open for reading bytes.
            map_location: where tensors go, as for ``torch.load``; default: where the module's constructor puts them.
            hparams_file: a YAML file of hyperparameters, or a CSV file with the columns ``key`` and ``value``, to use in
                place of those in the checkpoint.
            strict: whether parameters must match exactly; default: the module's ``strict_loading``.
            weights_only: whether only plain values may be unpickled; default: yes.
            **kwargs: arguments for the constructor, in place of the saved ones.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is damaged, or no checkpoint.
            RuntimeError: parameters do not match.
            TypeError: it was called on an instance, or the constructor lacks an argument.
            ValueError: ``strict`` contradicts the module's ``strict_loading``, or the kind of ``hparams_file`` is unknown.
        """
        return load_module(cls, checkpoint_path, map_location, hparams_file, strict, weights_only, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # a pickled or copied module belongs to no run, and methods compiled for this one are not its own
        return {**as_written(self.__dict__), "_trainer": None, "_toggled": {}}


def as_written(attributes: dict[str, Any]) -> dict[str, Any]:
    """A module's attributes, its methods as its class has them and not as ``torch.compile`` made them."""
    context = attributes["_compiler_ctx"]
    if context is None:
        return attributes
    kept = {name: value for name, value in attributes.items() if name not in context["names"]}
    return {**kept, **context["own"], "_compiler_ctx": None}


# torch.jit would compile them: they are about a run, not about the model
LightningModule.__jit_unused_properties__ = [
    name for name in dir(LightningModule) if isinstance(getattr(LightningModule, name), property)
]

_NOT_BY_THE_BUS = {
    "forward", "manual_backward", "clip_gradients", "toggle_optimizer", "untoggle_optimizer", "toggled_optimizer",
    "state_dict", "load_state_dict",
}  # fmt: skip

MODULE_SHAPE = Shape(
    LightningModule,
    tuple(name for name in HOOKS if hasattr(LightningModule, name) and name not in _NOT_BY_THE_BUS),
    leading=False,
    final=True,
)
