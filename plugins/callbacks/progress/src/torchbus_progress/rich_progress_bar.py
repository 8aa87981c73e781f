"""The progress bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from torchbus_hookspecs import ProgressBar, hookimpl, validated

from ._display import Display, Row
from ._figures import written
from ._live import LiveDisplay, standard_columns
from ._pace import Pace
from ._plain import PlainDisplay
from .theme import DEFAULT_THEME, RichProgressBarTheme

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["RichProgressBar"]


@validated
class RichProgressBar(ProgressBar):
    """Shows how far a run is: live rows in a terminal, a line of plain text for each epoch elsewhere.

    The display is drawn by the clock: ten times a second at most, and for 2 % of the time at most. Between two drawings
    metrics are not read, and the clock is looked at some forty times a second: training batches that are shorter than that cost
    nothing, other batches a counter and a look at the clock.
    """

    def __init__(
        self,
        refresh_rate: Annotated[
            int,
            Field(
                ge=0, description="Batches between two refreshes, within ten and about five a second; 0 shows nothing."
            ),
        ] = 100,
        leave: Annotated[bool, Field(description="Leave the bar of each complete epoch on the screen.")] = False,
        theme: Annotated[
            RichProgressBarTheme, Field(description="Styles and formats of the parts of the bar.")
        ] = DEFAULT_THEME,
        console_kwargs: Annotated[
            dict[str, Any] | None, Field(description="Arguments for `rich.console.Console`.")
        ] = None,
    ) -> None:
        self._refresh_rate = refresh_rate
        self._leave = leave
        self._theme = theme
        self._console_kwargs = dict(console_kwargs or {})
        Console(**self._console_kwargs)  # a wrong argument is found here; the console itself could not be pickled
        self._enabled = True
        self._display: Display | None = None
        self._done: dict[Row, int] = {}

    # ---- what others may ask and tell it -----------------------------------------------------------------------------

    @property
    def refresh_rate(self) -> float:
        """Batches between two refreshes."""
        return self._refresh_rate

    @property
    def theme(self) -> RichProgressBarTheme:
        """The styles and formats of its parts."""
        return self._theme

    @property
    def progress(self) -> Progress | None:
        """Rich's own object with the rows, while they are shown live: for tasks and text beside them."""
        return self._display.rows if isinstance(self._display, LiveDisplay) else None

    @property
    def is_enabled(self) -> bool:
        """Whether it shows anything."""
        return self._enabled and self._refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        """Whether it shows nothing."""
        return not self.is_enabled

    def disable(self) -> None:
        """Show nothing from now on."""
        self._close()
        self._enabled = False

    def enable(self) -> None:
        """Show progress again, from the next start of an epoch or evaluation on."""
        self._enabled = True

    def refresh(self, hard: bool = False) -> None:
        """Draw if it is time, with ``hard`` in any case."""
        display = self._display
        if display is not None and self._done and (hard or display.is_due(next(reversed(self._done.values())))):
            self._draw(self.trainer, self.trainer.lightning_module)

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """The columns of the live display. Override it for others."""
        return standard_columns(self._theme)

    @property
    def train_progress_bar(self) -> Task | None:
        """The rich task for the epoch, while there is one in a live display."""
        return self._task("train")

    @property
    def val_sanity_check_bar(self) -> Task | None:
        """The rich task for the sanity check, while there is one in a live display."""
        return self._task("sanity")

    @property
    def val_progress_bar(self) -> Task | None:
        """The rich task for validation, while there is one in a live display."""
        return self._task("validate")

    @property
    def test_progress_bar(self) -> Task | None:
        """The rich task for testing, while there is one in a live display."""
        return self._task("test")

    # ---- training ----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a row: a run that is resumed within an epoch has no start of that epoch."""
        self._begin_epoch(trainer)
        self._pace = Pace()
        self._wait(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's row."""
        self._begin_epoch(trainer)

    @hookimpl(trylast=True)  # what others log when an epoch ends belongs to its line
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what the epoch, its validation included, came to."""
        self._count_training(trainer)
        self._end(trainer, pl_module, "train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the display."""
        self._close()

    # ---- evaluation and prediction -----------------------------------------------------------------------------------

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the display: its validation is not a run of its own."""
        self._open(trainer)
        self._begin("sanity", self.sanity_check_description, trainer.num_sanity_val_batches)

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove its row."""
        self._drop("sanity")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a row, below that of the epoch if there is one."""
        if not trainer.sanity_checking:
            self._open(trainer)
            self._begin("validate", self.validation_description, trainer.num_val_batches)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count."""
        self._count_one(trainer, pl_module, "sanity" if trainer.sanity_checking else "validate")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Within an epoch the row goes, since its metrics are shown with the epoch's; else it stays."""
        if "train" in self._done:
            self._drop("validate")
        elif not trainer.sanity_checking:
            self._end_run(trainer, pl_module, "validate")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the display and begin its row."""
        self._open(trainer)
        self._begin("test", self.test_description, trainer.num_test_batches)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count."""
        self._count_one(trainer, pl_module, "test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the display."""
        self._end_run(trainer, pl_module, "test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the display and begin its row."""
        self._open(trainer)
        self._begin("predict", self.predict_description, trainer.num_predict_batches)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count."""
        self._count_one(trainer, pl_module, "predict")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the display."""
        self._end_run(trainer, pl_module, "predict")

    # ---- endings -----------------------------------------------------------------------------------------------------

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show how far the run came, and give the terminal back for the traceback."""
        # after some faults, such as a device's, even reading a metric raises: the first exception is the one to tell
        try:
            with suppress(Exception):
                if self._done:
                    self._draw(trainer, pl_module)
        finally:
            self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the display, whatever happened."""
        self._close()

    # ---- the display -------------------------------------------------------------------------------------------------

    def _open(self, trainer: Trainer) -> None:
        if self._display is None and self.is_enabled:
            console = Console(**self._console_kwargs)
            if _is_live(console, self._console_kwargs):
                columns = self.configure_columns(trainer)
                self._display = LiveDisplay(console, columns, self._theme, self._refresh_rate, self._leave)
            else:
                self._display = PlainDisplay(console)

    def _begin(self, row: Row, title: str, totals: Sequence[int | float]) -> None:
        """One row for all loaders: what a user waits for is the end of all of them."""
        if self._display is not None:
            total = sum(totals)
            self._display.begin(row, title, total if math.isfinite(total) else None)
            self._done[row] = 0

    def _begin_epoch(self, trainer: Trainer) -> None:
        self._open(trainer)
        if self._display is not None:
            num_epochs = trainer.max_epochs
            limited = num_epochs is not None and num_epochs >= 0
            title = self._display.epoch_title(trainer.current_epoch, num_epochs if limited else None)
            self._begin("train", title, [self.total_train_batches])

    def _count(self, trainer: Trainer, pl_module: LightningModule, row: Row, done: int) -> None:
        display = self._display
        if display is not None:
            self._done[row] = done
            if display.is_due(done):
                self._draw(trainer, pl_module)

    def _wait(self, trainer: Trainer) -> None:
        trainer.before_batch(partial(self._look, trainer), skip=self._pace.batches)

    def _look(self, trainer: Trainer) -> None:
        """Draw training if it is time, and look again when it may be."""
        self._count_training(trainer)
        self.refresh()
        self._pace.keep(trainer.fit_loop.progress.total_batches)
        self._wait(trainer)

    def _count_training(self, trainer: Trainer) -> None:
        if "train" in self._done:
            self._done["train"] = trainer.fit_loop.progress.batches_done

    def _count_one(self, trainer: Trainer, pl_module: LightningModule, row: Row) -> None:
        self._count(trainer, pl_module, row, self._done.get(row, 0) + 1)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._display is not None:
            self._count_training(trainer)
            self._display.draw(self._done, self._figures(trainer, pl_module))

    def _end(self, trainer: Trainer, pl_module: LightningModule, row: Row) -> None:
        if self._display is not None and row in self._done:
            self._display.end(row, self._done.pop(row), self._figures(trainer, pl_module))

    def _end_run(self, trainer: Trainer, pl_module: LightningModule, row: Row) -> None:
        self._end(trainer, pl_module, row)
        self._close()

    def _drop(self, row: Row) -> None:
        if self._display is not None and row in self._done:
            self._display.drop(row)
            del self._done[row]

    def _figures(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
        try:
            return written(self.get_metrics(trainer, pl_module), self._theme.metrics_format)
        except BaseException:
            self._close()  # nobody may hear of the end of the run once this bar is quarantined
            raise

    def _close(self) -> None:
        display, self._display = self._display, None
        self._done.clear()
        if display is not None:
            display.close()

    def _task(self, row: Row) -> Task | None:
        return self._display.task(row) if isinstance(self._display, LiveDisplay) else None


def _is_live(console: Console, console_kwargs: dict[str, Any]) -> bool:
    # FORCE_COLOR makes rich take a pipe for a terminal: colours may be wanted there, a live display is not
    return console.is_interactive and (bool(console_kwargs.get("force_terminal")) or console.file.isatty())
