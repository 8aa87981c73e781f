"""What the tests of failing plugins share: a plugin that does one thing in chosen hooks, and a run that meets most hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torchbus import Trainer
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer
from torchbus_hookspecs import hookimpl

__all__ = ["Grave", "Wrong", "live", "note_of", "plugin"]


class Wrong(Exception):
    """An exception of the plugin's own."""


class Grave(BaseException):
    """One that ``except Exception`` does not catch."""


def plugin(hooks: list[str], function: Callable[[], Any], **attributes: Any) -> SimpleNamespace:
    """An object with that function as its implementation of these hooks."""

    def implementation() -> Any:
        return function()

    return SimpleNamespace(**dict.fromkeys(hooks, hookimpl(implementation)), **attributes)


def note_of(hook: str) -> str:
    """What is noted on an exception of the plugin ``failing``."""
    return f"Raised by plugin `failing`, in its `{hook}`."


def live(folder: Path, *plugins: Any) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """All entry points once, with validation, checkpoints and a logger; the trainer, and the weights in the end."""
    torch.manual_seed(1)
    module, data = TinyModule(), TinyDataModule()
    trainer = quiet_trainer(
        folder, plugins=list(plugins), max_epochs=3, logger="csv", enable_checkpointing=True, num_sanity_val_steps=1,
        gradient_clip_val=1.0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    trainer.validate(module, datamodule=data, verbose=False)
    trainer.test(module, datamodule=data, ckpt_path="best", verbose=False)
    trainer.predict(module, datamodule=data)
    return trainer, {name: one.detach().clone() for name, one in module.state_dict().items()}
