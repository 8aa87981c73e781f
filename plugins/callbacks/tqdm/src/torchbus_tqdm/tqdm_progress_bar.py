"""The progress bar."""

from __future__ import annotations

import math
import os
import sys
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torchbus_hookspecs import ProgressBar, hookimpl, validated

from .tqdm import Tqdm

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["TQDMProgressBar"]

Row = Literal["train", "val", "test", "predict"]

SHORTEST_PAUSE_S = 0.1
COLAB_REFRESH_RATE = 20  # its browser tab cannot keep up with more


@validated
class TQDMProgressBar(ProgressBar):
    """Shows how far a run is with bars of tqdm's: text in a terminal, widgets in a notebook that has ipywidgets.

    The first and the last batch of a row are always drawn, those in between ten times a second at most. A batch that is
    not drawn costs a counter; metrics are not read for it.

    For other bars override ``init_train_tqdm`` and its like, for other metrics ``get_metrics``.
    """

    BAR_FORMAT: ClassVar[str] = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

    def __init__(
        self,
        refresh_rate: Annotated[
            int,
            Field(ge=0, description="Batches between two refreshes, ten of them a second at most; 0 shows nothing."),
        ] = 1,
        process_position: Annotated[
            int, Field(ge=0, description="Two lines lower for each: room for the bars of other processes.")
        ] = 0,
        leave: Annotated[bool, Field(description="Leave the bar of each complete epoch on the screen.")] = False,
    ) -> None:
        self._refresh_rate = _adapted(refresh_rate)
        self._process_position = process_position
        self._leave = leave
        self._enabled = True
        self._bars: dict[Row, Tqdm] = {}
        self._done: dict[Row, int] = {}
        self._due = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # bars hold the terminal and a lock, which cannot travel
        return {**super().__getstate__(), "_bars": {}, "_done": {}}

    # ---- what others may ask and tell it -----------------------------------------------------------------------------

    @property
    def refresh_rate(self) -> int:
        """Batches between two refreshes."""
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        """How many other processes have their bars above these."""
        return self._process_position

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
        self._enabled = False

    def enable(self) -> None:
        """Show progress again, at the latest from the next start of an epoch or evaluation on."""
        self._enabled = True

    def print(self, *args: Any, sep: str | None = " ", flush: bool = False, **kwargs: Any) -> None:
        """Print above the bars. Arguments as those of Python's ``print``."""
        if self.is_disabled:
            super().print(*args, sep=sep, flush=flush, **kwargs)
            return
        Tqdm.write((" " if sep is None else sep).join(map(str, args)), **kwargs)
        if flush:
            (kwargs.get("file") or sys.stdout).flush()

    # ---- the bars ----------------------------------------------------------------------------------------------------

    @property
    def train_progress_bar(self) -> Tqdm:
        """The bar of the epoch. This and the others raise ``TypeError`` as long as there was none."""
        return self._bar("train")

    @train_progress_bar.setter
    def train_progress_bar(self, bar: Tqdm) -> None:
        self._set("train", bar)

    @property
    def val_progress_bar(self) -> Tqdm:
        """The bar of validation and of the sanity check."""
        return self._bar("val")

    @val_progress_bar.setter
    def val_progress_bar(self, bar: Tqdm) -> None:
        self._set("val", bar)

    @property
    def test_progress_bar(self) -> Tqdm:
        """The bar of testing."""
        return self._bar("test")

    @test_progress_bar.setter
    def test_progress_bar(self, bar: Tqdm) -> None:
        self._set("test", bar)

    @property
    def predict_progress_bar(self) -> Tqdm:
        """The bar of prediction."""
        return self._bar("predict")

    @predict_progress_bar.setter
    def predict_progress_bar(self, bar: Tqdm) -> None:
        self._set("predict", bar)

    def init_sanity_tqdm(self) -> Tqdm:
        """Make the bar of the sanity check."""
        return self._make(self.sanity_check_description, leave=False)

    def init_train_tqdm(self) -> Tqdm:
        """Make the bar of training: one for all epochs, or with ``leave`` one for each."""
        return self._make(self.train_description, smoothing=0)

    def init_validation_tqdm(self) -> Tqdm:
        """Make the bar of validation. Within a fit it has the line below the epoch's, and leaves no trace."""
        is_within = self.trainer.state.fn != "validate"
        return self._make(self.validation_description, lines_below=int(is_within), leave=not is_within)

    def init_test_tqdm(self) -> Tqdm:
        """Make the bar of testing."""
        return self._make(self.test_description)

    def init_predict_tqdm(self) -> Tqdm:
        """Make the bar of prediction."""
        return self._make(self.predict_description, smoothing=0)

    # ---- training ----------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's row here: a run that is resumed within an epoch has no start of that epoch."""
        self.train_progress_bar = self.init_train_tqdm()
        self._begin_epoch(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's row."""
        if self._leave or (self.train_progress_bar.disable and self.is_enabled):
            self.train_progress_bar.leave = False  # the one made when training began has nothing to show yet
            self.train_progress_bar.close()
            self.train_progress_bar = self.init_train_tqdm()
        self._begin_epoch(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count."""
        if self._advance("train", batch_idx + 1):
            self._show_metrics(trainer, pl_module)

    @hookimpl(trylast=True)  # what others log when an epoch ends belongs to its row
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show what the epoch, its validation included, came to."""
        if self.is_enabled:
            self.train_progress_bar.n = self._done["train"]
            self._show_metrics(trainer, pl_module)
        if self._leave:
            self.train_progress_bar.close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar; it stays to be seen."""
        self.train_progress_bar.close()

    # ---- evaluation and prediction -----------------------------------------------------------------------------------

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make its bar."""
        self.val_progress_bar = self.init_sanity_tqdm()

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove its bar."""
        self.val_progress_bar.close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make its bar; the sanity check has one already."""
        if not trainer.sanity_checking:
            self.val_progress_bar = self.init_validation_tqdm()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a row for each loader."""
        if self.has_dataloader_changed(dataloader_idx):
            what = self.sanity_check_description if trainer.sanity_checking else self.validation_description
            self._begin("val", f"{what} DataLoader {dataloader_idx}", self.total_val_batches_current_dataloader)

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
        self._advance_and_draw("val", batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, and show with the epoch's row what validation came to."""
        self._end("val")
        if trainer.state.fn == "fit" and self.is_enabled:
            self._show_metrics(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make its bar."""
        self.test_progress_bar = self.init_test_tqdm()

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a row for each loader."""
        if self.has_dataloader_changed(dataloader_idx):
            title = f"{self.test_description} DataLoader {dataloader_idx}"
            self._begin("test", title, self.total_test_batches_current_dataloader)

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
        self._advance_and_draw("test", batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar; it stays to be seen."""
        self._end("test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make its bar."""
        self.predict_progress_bar = self.init_predict_tqdm()

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin a row for each loader."""
        if self.has_dataloader_changed(dataloader_idx):
            title = f"{self.predict_description} DataLoader {dataloader_idx}"
            self._begin("predict", title, self.total_predict_batches_current_dataloader)

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
        self._advance_and_draw("predict", batch_idx + 1)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar; it stays to be seen."""
        self._end("predict")

    # ---- endings -----------------------------------------------------------------------------------------------------

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show how far the run came, and leave the line for the traceback."""
        for row, bar in self._bars.items():
            bar.n = self._done[row] if self.is_enabled else bar.n
        self._close_all()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close all bars, whatever happened."""
        self._close_all()

    # ---- rows --------------------------------------------------------------------------------------------------------

    def _make(self, title: str, *, lines_below: int = 0, leave: bool = True, smoothing: float = 0.3) -> Tqdm:
        return Tqdm(
            desc=title,
            position=2 * self._process_position + lines_below,
            disable=self.is_disabled,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=smoothing,
            bar_format=self.BAR_FORMAT,
        )

    def _set(self, row: Row, bar: Tqdm) -> None:
        self._bars[row] = bar
        self._done[row] = 0

    def _bar(self, row: Row) -> Tqdm:
        if row not in self._bars:
            raise TypeError(
                f"{type(self).__name__}.{row}_progress_bar has not been set yet: there is one from the first start of its"
                " stage on."
            )
        return self._bars[row]

    def _begin(self, row: Row, title: str, total: float) -> None:
        bar = self._bar(row)
        bar.reset()
        bar.initial = 0
        bar.total = total if math.isfinite(total) else None
        bar.set_description(title)
        self._done[row] = 0
        self._due = 0.0  # the first batch is drawn at once

    def _begin_epoch(self, trainer: Trainer) -> None:
        self._begin("train", f"Epoch {trainer.current_epoch}", self.total_train_batches)

    def _advance(self, row: Row, done: int) -> bool:
        """Count; whether it is time to draw."""
        if self.is_disabled:
            return False
        self._done[row] = done
        bar = self._bar(row)
        is_last = done == bar.total
        if done % self._refresh_rate and not is_last:
            return False
        bar.n = done
        now = monotonic()
        if now < self._due and not is_last:
            return False
        self._due = now + SHORTEST_PAUSE_S
        return True

    def _advance_and_draw(self, row: Row, done: int) -> None:
        if self._advance(row, done):
            self._bar(row).refresh()

    def _show_metrics(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = self.get_metrics(trainer, pl_module)
        if "train" in self._bars:  # not yet during the sanity check
            self._bars["train"].set_postfix(metrics)

    def _end(self, row: Row) -> None:
        bar = self._bar(row)
        if self.is_enabled:
            bar.n = self._done[row]
        bar.close()
        self.reset_dataloader_idx_tracker()

    def _close_all(self) -> None:
        for bar in reversed(self._bars.values()):  # the lowest first, as they stand on the screen
            bar.close()


def _adapted(refresh_rate: int) -> int:
    """The refresh rate for where the script runs: tqdm's own variable may raise it, and so does Google Colab."""
    if "TQDM_MINITERS" in os.environ:
        return max(refresh_rate, int(os.environ["TQDM_MINITERS"]))
    if "COLAB_GPU" in os.environ and refresh_rate == 1:
        return COLAB_REFRESH_RATE
    return refresh_rate
