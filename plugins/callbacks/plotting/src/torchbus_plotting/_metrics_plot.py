"""The callback ``metrics_plot``: which records become points, and when the picture is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import Callback, FailurePolicy, MisconfigurationException, hookimpl
from torchbus_hookspecs.files import replacing, writing_to
from torchbus_hookspecs.settings import validated

from ._curves import Curve

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["MetricsPlot"]

FILE_NAME = "metrics.png"
FORMATS = ("png", "svg", "pdf")


@validated
class MetricsPlot(Callback):
    """Draw all curves that a run logs into one picture: after each epoch, at the end, and when the run fails.

    Stages of one metric (``train_loss``, ``val_loss``) share a panel, and so do learning rates, and many metrics that begin
    alike (``grad_norm/...``). Drawn is what loggers are told, at the steps at which they are told; no logger is needed. The
    picture is replaced as a whole. The curves are part of a checkpoint, so that a resumed run draws them from the beginning.

    Attributes:
        curves: the points so far, by metric.
        path: the picture; empty until the first one is drawn.

    Raises:
        MisconfigurationException: a setting is wrong, or the file cannot be written. The run goes on in the second case,
            unless ``on_failure`` says otherwise.

    Source: torchbus's own.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    def __init__(
        self,
        path: Annotated[
            str | Path | None,
            Field(
                description=f"The picture, by its ending a png, svg or pdf. Default: `{FILE_NAME}` in the trainer's `log_dir`."
            ),
        ] = None,
        x_axis: Annotated[Literal["step", "epoch"], Field(description="What the points lie above.")] = "step",
        log_scale: Annotated[bool, Field(description="Logarithmic values, where all of a panel are positive.")] = False,
        every_n_epochs: Annotated[
            int, Field(ge=0, description="Epochs between two drawings; 0 to draw at the end only.")
        ] = 1,
    ) -> None:
        super().__init__()
        if path is not None and _format_of(path) not in FORMATS:
            raise MisconfigurationException(
                f"MetricsPlot(path={str(path)!r}): the ending must be one of .{', .'.join(FORMATS)}.",
                plugin="metrics_plot",
            )
        self.x_axis: Literal["step", "epoch"] = x_axis
        self.log_scale = log_scale
        self.every_n_epochs = every_n_epochs
        self.curves: dict[str, Curve] = {}
        self.path = ""
        self._given = path
        self._has_news = False

    # ---- hooks -------------------------------------------------------------------------------------------------------

    @hookimpl
    def on_log_record(self, trainer: Trainer, metrics: dict[str, float], step: int | None) -> None:
        """Keep a record's values; those per batch of a validation are left out, as they lie above no training step."""
        if trainer.evaluating and "epoch" not in metrics:
            return
        epoch = _epochs_passed(trainer)
        at = trainer.global_step if step is None else step
        for name, value in metrics.items():
            if name != "epoch":
                self.curves.setdefault(name, Curve()).add(at, epoch, value)
                self._has_news = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch before is told in full now: its last values come after all hooks of its end."""
        if self.every_n_epochs and trainer.current_epoch and trainer.current_epoch % self.every_n_epochs == 0:
            self._draw(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run has ended."""
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run has failed: what led to it may be seen in the curves."""
        self._draw(trainer)

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _draw(self, trainer: Trainer) -> None:
        if not self._has_news:
            return
        folder = trainer.log_dir or trainer.default_root_dir  # asked for on every rank
        if not trainer.is_global_zero:
            return
        from ._drawing import draw  # not before there is something to draw: matplotlib takes a moment to import

        path = Path(folder) / FILE_NAME if self._given is None else Path(self._given)
        module = type(trainer.lightning_module).__name__
        title = f"{module}  ·  epoch {_epochs_passed(trainer):g}  ·  step {trainer.global_step:,}"
        curves = {name: curve.shown() for name, curve in self.curves.items()}
        with writing_to(path, type(self).__name__, "path"), replacing(path) as beside:
            draw(curves, beside, _format_of(path), self.x_axis, self.log_scale, title)
        self.path = str(path)
        self._has_news = False

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The curves."""
        return {"curves": {name: curve.state() for name, curve in self.curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with them."""
        self.curves = {
            name: Curve((tuple(point) for point in one["points"]), one["stride"])
            for name, one in state_dict["curves"].items()
        }
        self._has_news = bool(self.curves)


def _format_of(path: str | Path) -> str:
    return Path(path).suffix.lower().removeprefix(".")


def _epochs_passed(trainer: Trainer) -> float:
    """Epochs completed, with the part of the one under way that is done."""
    progress, length = trainer.fit_loop.progress, trainer.fit_loop.max_batches
    if progress.phase == "idle" or not 0 < length < float("inf"):
        return float(progress.epoch)
    return round(progress.epoch + progress.batches_ready / length, 3)
