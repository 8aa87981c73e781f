"""The callback ``on_exception_checkpoint``: a checkpoint when a fit fails, from which the next fit goes on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from torchbus_hookspecs import Checkpoint
from torchbus_hookspecs.settings import validated

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["OnExceptionCheckpoint"]


@validated
class OnExceptionCheckpoint(Checkpoint):
    """Save a checkpoint when a fit ends with an exception, Ctrl-C included; go on from it; remove it after a good end.

    Running the failed script again is enough: a ``fit`` without ``ckpt_path`` resumes from the file if it is there. Only
    a fit that has begun to train saves, so an error in the set-up does not replace a good file. The exception itself
    goes on as ever; if the file cannot be written, it gets a note that says so.

    Raises:
        MisconfigurationException: a setting is wrong.

    Source: Lightning ``OnExceptionCheckpoint``. In contrast to it, validate, test and predict neither save nor remove
    the file.
    """

    FILE_EXTENSION: ClassVar[str] = ".ckpt"

    def __init__(
        self,
        dirpath: Annotated[str | Path, Field(description="Folder of the checkpoint.")],
        filename: Annotated[str, Field(min_length=1, description="Its name, without extension.")] = "on_exception",
    ) -> None:
        super().__init__()
        self.dirpath = str(dirpath)
        self.filename = filename
        self._has_trained = False

    @property
    def ckpt_path(self) -> str:
        """The file."""
        return str(Path(self.dirpath) / f"{self.filename}{self.FILE_EXTENSION}")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a fit that names no checkpoint go on from the file, if there is one."""
        self._has_trained = False
        if stage != "fit" or trainer.ckpt_path is not None:
            return
        # rank zero decides: on a shared disk the others may not see the file yet
        if trainer.strategy.broadcast(Path(self.ckpt_path).is_file()):
            trainer.ckpt_path = self.ckpt_path
            trainer.print(f"{type(self).__name__}: the last fit failed; this one goes on from {self.ckpt_path}.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on there is something to lose."""
        self._has_trained = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what there is."""
        if trainer.state.fn != "fit" or not self._has_trained:
            return
        self._has_trained = False
        try:
            trainer.save_checkpoint(self.ckpt_path)
        except Exception as failure:  # whatever it is, the exception that brought us here matters more
            note = f"{type(self).__name__} could not write {self.ckpt_path}: {type(failure).__name__}: {failure}"
            exception.add_note(note)
            warnings.warn(note, stacklevel=2)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The fit has ended well: the file is of no more use."""
        self._has_trained = False
        if stage == "fit" and trainer.is_global_zero:
            Path(self.ckpt_path).unlink(missing_ok=True)
