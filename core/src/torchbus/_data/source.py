"""Get the loaders of a stage: those given to the entry point, or those of the datamodule, the module or a plugin."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler
from torchbus_hookspecs.events import PredictDataloader, TestDataloader, TrainDataloader, ValDataloader

from .._errors import MisconfigurationException
from .combined import CombinedLoader
from .transfer import map_tensors

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Stage", "combine", "request_loader", "set_epoch", "warn_of_shuffling", "without_shuffling"]

_EVENTS = {"train": TrainDataloader, "val": ValDataloader, "test": TestDataloader, "predict": PredictDataloader}
Stage = str


def request_loader(trainer: Trainer, stage: Stage, given: Any) -> Any:
    """The loaders of ``"train"``, ``"val"``, ``"test"`` or ``"predict"``: ``given``, or what the hook provides.

    Raises:
        MisconfigurationException: there are none.
        TypeError: what there is cannot be iterated over.
    """
    hook, loader = f"{stage}_dataloader", given
    providers = [trainer.bus.plugins[name] for name, _ in trainer.bus.implementations(hook)]
    fn = str(trainer.state.fn)
    argument = f"{'train_' if stage == 'train' else 'val_' if fn == 'fit' else ''}dataloaders"
    if loader is None:
        loader = trainer.bus.emitter(_EVENTS[stage])(trainer, trainer.lightning_module)
    if loader is None and not providers:
        owner = "the datamodule" if trainer.datamodule is not None else "the module or in a datamodule"
        raise MisconfigurationException(
            f"There is no loader for {fn}(). To fix: pass one, as in trainer.{fn}(model, {argument}=...), or define"
            f" `{hook}` in {owner}."
        )
    for one in combine(loader, "sequential").flattened:
        if not isinstance(one, Iterable) and not hasattr(one, "__getitem__"):
            source = (
                f"passed to `Trainer.{fn}({argument}=...)`"
                if given is not None
                else f"returned from `{type(providers[0].object).__name__}.{hook}()`"
            )
            raise TypeError(
                f"An invalid dataloader was {source}. The {stage} loader is {one!r}, which cannot be iterated over. To fix:"
                " give a DataLoader, or any iterable of batches."
            )
    return trainer.strategy.process_dataloader(loader)


def combine(loader: Any, mode: str) -> CombinedLoader:
    """One loader over all, in ``mode`` unless they are combined already."""
    return loader if isinstance(loader, CombinedLoader) else CombinedLoader(loader, mode)  # type: ignore[arg-type]


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell samplers which epoch it is: those that shuffle differently in each want to know."""
    for one in combine(loader, "sequential").flattened:
        found = (getattr(one, "sampler", None), getattr(getattr(one, "batch_sampler", None), "sampler", None))
        for sampler in {id(sampler): sampler for sampler in found}.values():  # torch's loaders have it in both places
            if callable(getattr(sampler, "set_epoch", None)):
                sampler.set_epoch(epoch)  # type: ignore[union-attr]  # just looked


def without_shuffling(loader: Any, stage: Stage) -> Any:
    """The same loaders, each reading in order: for ``overfit_batches``, which trains on the same few batches."""

    def replace(one: DataLoader[Any]) -> DataLoader[Any]:
        if isinstance(one.dataset, IterableDataset) or isinstance(_innermost_sampler(one), SequentialSampler):
            return one
        warnings.warn(
            f"Trainer(overfit_batches=...) needs the same batches in each epoch: the {stage} loader's sampler, a"
            f" {type(_innermost_sampler(one)).__name__}, is replaced, which turns shuffling off.",
            UserWarning,
            stacklevel=2,
        )
        return _read_in_order(one)

    if isinstance(loader, CombinedLoader):
        loader.flattened = [replace(one) if isinstance(one, DataLoader) else one for one in loader.flattened]
        return loader
    return map_tensors(loader, replace, leaf=lambda one: isinstance(one, DataLoader))


def warn_of_shuffling(loader: Any, stage: Stage) -> None:
    """Tell that a loader to evaluate on shuffles: order-dependent results would differ from run to run."""
    for one in combine(loader, "sequential").flattened:
        if isinstance(one, DataLoader) and isinstance(_innermost_sampler(one), RandomSampler):
            warnings.warn(
                f"The {stage} loader's sampler has shuffling enabled. It is strongly recommended to turn shuffling off where"
                " nothing is trained.",
                UserWarning,
                stacklevel=2,
            )
            return


def _innermost_sampler(loader: DataLoader[Any]) -> Any:
    """The sampler that decides about the order: torch's batch sampler holds it; one's own is left as it is."""
    batches = loader.batch_sampler
    return batches.sampler if type(batches) is BatchSampler else loader.sampler


def _read_in_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A loader of the same class with the same attributes, which reads its whole dataset in order."""
    copied = copy.copy(loader)
    sampler = SequentialSampler(loader.dataset)  # type: ignore[arg-type]  # a dataset with a length, as samplers need it
    changed: dict[str, Any] = {"sampler": sampler, "_iterator": None}
    batches = loader.batch_sampler
    if isinstance(batches, BatchSampler):
        changed["batch_sampler"] = BatchSampler(sampler, batches.batch_size, batches.drop_last)
    copied.__dict__.update(changed)  # past the loader's own refusal of changes, which is for loaders in use
    return copied
