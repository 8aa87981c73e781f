"""The promises of a callback, and of an object of hookimpls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchbus_hookspecs import Callback

from ..._bus import CALLBACK_SHAPE, Bus
from .._toys import TinyDataModule
from ._runs import RunContract

__all__ = ["CallbackContract", "HooksContract"]


class HooksContract(RunContract):
    """What torchbus relies on in an object of hookimpls. Set ``plugin``, and ``settings`` where it needs some."""

    def test_its_hooks_fit_the_contract(self) -> None:
        """Registering it finds no hook and no argument that does not exist, and something that is called."""
        bus = Bus()
        assert bus.hooks_of(bus.register(self.make(), "under_test"))


class CallbackContract(RunContract):
    """What torchbus relies on in a callback. Set ``plugin``, and ``settings`` where it needs some."""

    def test_is_a_callback(self) -> None:
        """Enabled by name as a callback, it must be one."""
        assert isinstance(self.make(), Callback)

    def test_its_hooks_fit_the_contract(self) -> None:
        """Registering it finds no misspelt hook and no argument that does not fit."""
        bus = Bus()
        name = bus.register(self.make(), "under_test", shape=CALLBACK_SHAPE)
        assert bus.hooks_of(name) or "state_dict" in dir(type(self.make())), "it implements no hook"

    def test_state_is_plain(self, tmp_path: Path) -> None:
        """Its state can be read back with ``weights_only=True``: a checkpoint with it is safe to load."""
        one, file = self.make(), tmp_path / "state.pt"
        self.trainer(tmp_path, one).fit(self.module(), datamodule=TinyDataModule())
        torch.save(one.state_dict(), file)
        torch.load(file, weights_only=True)

    def test_state_comes_back(self, tmp_path: Path) -> None:
        """A new instance that loads the state has the same state."""
        one, other, file, module = self.make(), self.make(), tmp_path / "state.pt", self.module()
        trainer = self.trainer(tmp_path, one)
        trainer.fit(module, datamodule=TinyDataModule())
        torch.save(one.state_dict(), file)
        other.setup(trainer, module, stage="fit")  # a checkpoint is read after it
        other.load_state_dict(torch.load(file, weights_only=True))
        assert_equal_state(other.state_dict(), one.state_dict())


def assert_equal_state(found: Any, expected: Any, path: str = "state") -> None:
    """Compare nested plain values and tensors."""
    if isinstance(expected, dict):
        assert isinstance(found, dict) and found.keys() == expected.keys(), f"{path}: {found!r} is not {expected!r}"
        for key in expected:
            assert_equal_state(found[key], expected[key], f"{path}[{key!r}]")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(torch.as_tensor(found), expected), f"{path}: {found!r} is not {expected!r}"
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), f"{path}: {found!r} is not {expected!r}"
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_equal_state(one, other, f"{path}[{index}]")
    else:
        assert found == expected or found != found, f"{path}: {found!r} is not {expected!r}"  # NaN is no failure
