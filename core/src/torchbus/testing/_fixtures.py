"""The fixtures that pytest offers wherever torchbus-core is installed. torch is imported when one is used, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .. import Trainer
    from ._recorder import EventRecorder

__all__ = ["event_recorder", "run_fit", "virtual_plugin"]


@pytest.fixture
def run_fit(tmp_path: Path) -> Callable[..., Trainer]:
    """``run_fit(*plugins, module=None, datamodule=None, ckpt_path=None, **options)``: fit a tiny module with these plugins.

    Plugins are what ``Trainer(plugins=...)`` takes; options go to the trainer, which is returned. Nothing else is on.
    """

    def run(
        *plugins: Any, module: Any = None, datamodule: Any = None, ckpt_path: Any = None, **options: Any
    ) -> Trainer:
        from . import _toys

        trainer = _toys.quiet_trainer(tmp_path, **{"plugins": list(plugins), **options})
        data = datamodule if datamodule is not None else _toys.TinyDataModule()
        trainer.fit(module if module is not None else _toys.TinyModule(), datamodule=data, ckpt_path=ckpt_path)
        return trainer

    return run


@pytest.fixture
def event_recorder() -> Iterator[Callable[..., EventRecorder]]:
    """``event_recorder(trainer)``: an ``EventRecorder`` that stops with the test."""
    recorders: list[EventRecorder] = []

    def record(*arguments: Any, **options: Any) -> EventRecorder:
        from ._recorder import EventRecorder

        recorders.append(EventRecorder(*arguments, **options))
        return recorders[-1]

    yield record
    for one in recorders:
        one.stop()


@pytest.fixture
def virtual_plugin() -> Iterator[Callable[..., str]]:
    """``virtual_plugin(name, plugin, kind="callbacks", ...)``: installed for the rest of the test."""
    from ._virtual import virtual_plugin

    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(virtual_plugin(*arguments, **options))
