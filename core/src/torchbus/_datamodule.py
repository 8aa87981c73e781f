"""Data in one object: how to get it, and the loaders over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, ClassVar

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchbus_hookspecs.specs import HOOKS

from ._adapters import Shape
from ._data.combined import CombinedLoader
from ._data.source import combine
from ._hooks import DataHooks
from ._hparams import HyperparametersMixin
from ._loading import class_only, load_datamodule

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from ._trainer import Trainer

__all__ = ["DATAMODULE_SHAPE", "LightningDataModule"]


class LightningDataModule(HyperparametersMixin, DataHooks):
    """Loaders and how to prepare them, apart from the model.

    Attributes:
        name: the experiment's name, if the data gives one.
        trainer: the trainer that uses this data, or ``None``.
    """

    name: str | None = None
    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = "datamodule_hparams_type"
    _bus_name = "datamodule"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # arguments end here, so that subclasses without a constructor may be given some
        super().__init__()

    def __str__(self) -> str:
        """How many samples each loader has, as far as there are loaders by now."""
        hooks = {
            "Train": self.train_dataloader,
            "Validation": self.val_dataloader,
            "Test": self.test_dataloader,
            "Predict": self.predict_dataloader,
        }
        return "\n".join(f"{{{title} dataloader: {_sizes(hook)}}}" for title, hook in hooks.items())

    @property
    def trainer(self) -> Trainer | None:
        """The trainer that uses this data."""
        return self.__dict__.get("_trainer")

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        self.__dict__["_trainer"] = trainer

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Dataset[Any] | Sequence[Dataset[Any]] | Mapping[str, Dataset[Any]] | None = None,
        val_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        test_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        predict_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> LightningDataModule:
        """A datamodule over datasets; training data is shuffled.

        Args:
            train_dataset, val_dataset, test_dataset, predict_dataset: one dataset or several, or ``None``.
            batch_size: samples in a batch.
            num_workers: processes that load data, for each loader.
            **datamodule_kwargs: arguments for the class's own constructor.
        """
        special = inspect.signature(cls.__init__).parameters
        accepted = {"batch_size": batch_size, "num_workers": num_workers}
        takes_any = any(one.kind is one.VAR_KEYWORD for one in special.values())
        named = {key: value for key, value in accepted.items() if takes_any or key in special}
        datamodule = cls(**named, **datamodule_kwargs)

        def loader(dataset: Dataset[Any], shuffle: bool) -> DataLoader[Any]:
            shuffle = shuffle and not isinstance(dataset, IterableDataset)
            pinned = torch.cuda.is_available()  # of use, and free of warnings, only there
            return DataLoader(
                dataset, batch_size=batch_size, shuffle=shuffle, num_workers=num_workers, pin_memory=pinned
            )

        def over(datasets: Any, shuffle: bool = False) -> Any:
            if isinstance(datasets, Mapping):
                return {key: loader(dataset, shuffle) for key, dataset in datasets.items()}
            if isinstance(datasets, Iterable) and not isinstance(datasets, Dataset):
                return [loader(dataset, shuffle) for dataset in datasets]
            return loader(datasets, shuffle)

        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset}
        for stage, datasets in given.items():
            if datasets is not None:
                # an attribute of the instance overrides the hook, as a subclass's method would
                setattr(datamodule, f"{stage}_dataloader", lambda d=datasets, s=stage: over(d, s == "train"))
        return datamodule

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should hold of this data: plain values and tensors."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""

    def on_exception(self, exception: BaseException) -> None:
        """The run is ending with an exception."""

    @class_only
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """A datamodule of this class with the hyperparameters and state of a checkpoint.

        Args:
            checkpoint_path: the file: its path, its address (what fsspec reads), or itself, open for reading bytes.
            map_location: where tensors go, as for ``torch.load``.
            hparams_file: a YAML or CSV file of hyperparameters, to use in place of those in the checkpoint.
            weights_only: whether only plain values may be unpickled; default: yes.
            **kwargs: arguments for the constructor, in place of the saved ones.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: the file is damaged, or no checkpoint.
        """
        return load_datamodule(cls, checkpoint_path, map_location, hparams_file, weights_only, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # a pickled or copied datamodule belongs to no run
        return {**self.__dict__, "_trainer": None}


def _sizes(hook: Callable[[], Any]) -> str:
    try:
        loaders = hook()
    except Exception:  # anything: it may need what `setup` prepares
        loaders = None
    if loaders is None:
        return "None"
    if not isinstance(loaders, Mapping | list | tuple | CombinedLoader):
        return _size(loaders)
    return " ; ".join(
        f"{number}. {_size(one)}" for number, one in enumerate(combine(loaders, "sequential").flattened, 1)
    )


def _size(loader: Any) -> str:
    try:
        return f"size={len(getattr(loader, 'dataset', loader))}"
    except (TypeError, NotImplementedError):  # a stream
        return "size=NA"


DATAMODULE_SHAPE = Shape(
    LightningDataModule,
    tuple(
        name for name in HOOKS if hasattr(LightningDataModule, name) and name not in ("state_dict", "load_state_dict")
    ),
    leading=False,
    final=True,
    last=frozenset({"on_exception"}),
)
