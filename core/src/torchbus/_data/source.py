"""Get the loaders of a stage: those given to the entry point, or those of the datamodule, the module or a plugin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torchbus_hookspecs.events import PredictDataloader, TestDataloader, TrainDataloader, ValDataloader

from .._errors import MisconfigurationException
from .combined import CombinedLoader
from .transfer import map_tensors

if TYPE_CHECKING:
    from .._trainer import Trainer

__all__ = ["Stage", "combine", "request_loader", "without_shuffling"]

_EVENTS = {"train": TrainDataloader, "val": ValDataloader, "test": TestDataloader, "predict": PredictDataloader}
Stage = str


def request_loader(trainer: Trainer, stage: Stage, given: Any) -> Any:
    """The loaders of ``"train"``, ``"val"``, ``"test"`` or ``"predict"``: ``given``, or what the hook provides.

    Raises:
        MisconfigurationException: there are none.
        TypeError: what there is cannot be iterated over.
    """
    loader = given
    if loader is None:
        loader = trainer.bus.emitter(_EVENTS[stage])(trainer, trainer.lightning_module)
    if loader is None:
        method = {"train": "fit", "val": "validate"}.get(stage, stage)
        argument = {"train": "train_dataloaders"}.get(stage, "dataloaders")
        raise MisconfigurationException(
            f"There is no loader for {method}(). To fix: pass one, as in trainer.{method}(model, {argument}=...), or define"
            f" `{stage}_dataloader` in the module or in a datamodule."
        )
    for one in CombinedLoader(loader).flattened if not isinstance(loader, CombinedLoader) else loader.flattened:
        if not isinstance(one, Iterable) and not hasattr(one, "__getitem__"):
            raise TypeError(
                f"The {stage} loader is {one!r}, which cannot be iterated over. To fix: give a DataLoader, or any iterable"
                " of batches."
            )
    return trainer.strategy.process_dataloader(loader)


def combine(loader: Any, mode: str) -> CombinedLoader:
    """One loader over all, in ``mode`` unless they are combined already."""
    return loader if isinstance(loader, CombinedLoader) else CombinedLoader(loader, mode)  # type: ignore[arg-type]


def without_shuffling(loader: Any) -> Any:
    """The same loaders, each reading in order: for ``overfit_batches``, which trains on the same few batches."""

    def replace(one: DataLoader[Any]) -> DataLoader[Any]:
        if not isinstance(one.sampler, RandomSampler):
            return one
        options = {
            "batch_size": one.batch_size, "num_workers": one.num_workers, "collate_fn": one.collate_fn,
            "pin_memory": one.pin_memory, "drop_last": one.drop_last, "timeout": one.timeout,
            "worker_init_fn": one.worker_init_fn, "persistent_workers": one.persistent_workers,
        }  # fmt: skip
        return DataLoader(one.dataset, sampler=SequentialSampler(one.dataset), **options)  # type: ignore[arg-type]

    if isinstance(loader, CombinedLoader):
        loader.flattened = [replace(one) if isinstance(one, DataLoader) else one for one in loader.flattened]
        return loader
    return map_tensors(loader, replace, leaf=lambda one: isinstance(one, DataLoader))
