"""Small modules, data and callbacks that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchbus as L
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torchbus_hookspecs.events import Event

Optimize = Callable[[Any], Any]


def samples(count: int = 12, seed: int = 1) -> TensorDataset:
    """Pairs of 4 inputs and 1 target that a linear model nearly explains."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 4, generator=generator)
    noise = torch.randn(count, 1, generator=generator)
    return TensorDataset(inputs, inputs.sum(1, keepdim=True) + 0.1 * noise)


def loader(count: int = 12, batch_size: int = 2, shuffle: bool = False, seed: int = 1) -> DataLoader[Any]:
    return DataLoader(samples(count, seed), batch_size=batch_size, shuffle=shuffle)


class Stream(IterableDataset[Any]):
    """The same samples without a length."""

    def __init__(self, count: int = 12, seed: int = 1) -> None:
        self.samples = samples(count, seed)

    def __iter__(self) -> Any:
        return (self.samples[index] for index in range(len(self.samples)))


def network(dropout: float = 0.0, seed: int = 0) -> nn.Sequential:
    """Two layers whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def sgd(module: nn.Module) -> Any:
    return torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)


def adam(module: nn.Module) -> Any:
    return torch.optim.Adam(module.parameters(), lr=0.01)


class Bare(L.LightningModule):
    """Fits ``samples`` without logging or validating; ``optimize`` is its ``configure_optimizers``."""

    def __init__(self, optimize: Optimize = sgd, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.network = network(dropout, seed)
        self.optimize = optimize

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def loss(self, batch: Any) -> Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(self(inputs), targets)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return self.optimize(self)


class Logging(Bare):
    """The same, and logs its loss."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss


class Regression(Logging):
    """The same, and validates and tests."""

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("test_loss", self.loss(batch))


class Recorder(L.Callback):
    """Remembers the names of the hooks it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []


def _remember(hook: str) -> Callable[..., None]:
    def remember(self: Recorder, *values: Any) -> None:
        self.heard.append(hook)

    return remember


for _hook in (name for name in dir(L.Callback) if name.startswith("on_") or name in ("setup", "teardown")):
    if callable(getattr(L.Callback, _hook)):
        setattr(Recorder, _hook, _remember(_hook))


def listen_to_everything(trainer: L.Trainer) -> list[str]:
    """Subscribe to all events; their names appear in the list that is returned."""
    heard: list[str] = []
    trainer.bus.subscribe(Event, lambda event: heard.append(type(event).__name__))
    return heard


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, f"these differ: {differing}"
