"""The callback ``batch_size_finder``: before a run, find the largest batch that fits into memory."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from torch.utils._pytree import tree_leaves
from torchbus_hookspecs import Callback, EndRun, MisconfigurationException, hookimpl
from torchbus_hookspecs.settings import validated

from ._attributes import find_name, get_value, set_value
from ._memory import free_memory, is_out_of_memory
from ._sizes import Mode, SizeSearch

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer
    from torchbus._trial import Trial

__all__ = ["BatchSizeFinder"]

_log = logging.getLogger("torchbus.batch_size_finder")
_LOOPS = {"fit": "fit_loop", "validate": "validate_loop", "test": "test_loop", "predict": "predict_loop"}


@validated
class BatchSizeFinder(Callback):
    """Before a run, try growing batch sizes for a few steps each, and keep the largest that fits into memory.

    The module (or its datamodule, or the hyperparameters of either) keeps the size as ``batch_size`` and builds its loader
    with it. Trials are heard by the module alone, no callback or logger, and leave weights, optimizer and random generators
    as they were. A run that resumes from a checkpoint keeps the size that was found.

    Attributes:
        optimal_batch_size: what was found; before, the first size to try.

    Raises:
        MisconfigurationException: a setting is wrong, there is no such attribute, or the loader does not follow it.

    Source: Lightning ``BatchSizeFinder``. In contrast to it, a loader that ignores the attribute is an error, and nothing
    is written to disk.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = ("power", "binsearch")

    def __init__(
        self,
        mode: Annotated[
            Mode, Field(description="Double until it does not fit; `binsearch`: then look between, too.")
        ] = "power",
        steps_per_trial: Annotated[int, Field(ge=1, description="Steps to run with each size.")] = 3,
        init_val: Annotated[int, Field(ge=1, description="First size to try.")] = 2,
        max_trials: Annotated[int, Field(ge=1, description="How many sizes that fit are tried at most.")] = 25,
        batch_arg_name: Annotated[
            str, Field(min_length=1, description="Name of the attribute that holds the batch size.")
        ] = "batch_size",
        margin: Annotated[
            float,
            Field(
                ge=0,
                lt=1,
                description="Share by which a size found with `binsearch` is reduced, to be on the safe side.",
            ),
        ] = 0.05,
        max_val: Annotated[int, Field(ge=1, description="Largest size to try.")] = 8192,
    ) -> None:
        super().__init__()
        self.mode: Mode = mode
        self.steps_per_trial = steps_per_trial
        self.init_val = init_val
        self.max_trials = max_trials
        self.batch_arg_name = batch_arg_name
        self.margin = margin
        self.max_val = max_val
        self.optimal_batch_size = init_val
        self._is_found = False
        self._ends_run = False
        self._is_resumed = False
        self._watch: _LoaderWatch | None = None

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look for the attribute; before an evaluation, wait for its loader to be asked for.

        Raises:
            MisconfigurationException: there is no such attribute, or loaders of a fixed size were given.
        """
        name = type(self).__name__
        self._is_resumed = False
        if getattr(trainer, _LOOPS[stage]).given is not None:
            raise MisconfigurationException(
                f"{name}: loaders were passed to the trainer, with batches of a size that nobody can change. To fix: define"
                f" `train_dataloader` and its like in the module or a datamodule, with batch_size=self.{self.batch_arg_name}."
            )
        if trainer.world_size > 1:
            raise MisconfigurationException(
                f"{name} works in one process: with {trainer.world_size}, one that runs out of memory would leave the"
                " others waiting. To fix: find the size with devices=1 first."
            )
        find_name(trainer, (self.batch_arg_name,), name)
        if stage != "fit" and not trainer.fast_dev_run:
            # no hook lies between the module's move to its device and the loader; the loader's own does
            self._watch = _LoaderWatch(self, stage)
            trainer.bus.register(self._watch, f"batch_size_finder_{id(self)}")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search, unless the run resumes one that has."""
        if self._is_resumed and self._is_found:
            set_value(trainer, self.batch_arg_name, self.optimal_batch_size)
        else:
            self.scale_batch_size(trainer, pl_module)
        if self._ends_run:
            raise EndRun

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run is over."""
        self._unwatch(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same when it fails."""
        self._unwatch(trainer)

    def _unwatch(self, trainer: Trainer) -> None:
        if self._watch is not None:
            trainer.bus.unregister(self._watch)
            self._watch = None

    # ---- the search --------------------------------------------------------------------------------------------------

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now, and set the size that was found.

        Raises:
            MisconfigurationException: the loader does not follow the attribute.
        """
        if trainer.fast_dev_run:
            _log.info("fast_dev_run: no batch size is searched")
            return
        before = get_value(trainer, self.batch_arg_name)
        search = SizeSearch(self.mode, self.init_val, self.max_trials, self.max_val)
        try:
            with trainer.trial(self.steps_per_trial) as trial:
                while search.size is not None:
                    search.tell(self._fits(trainer, trial, search))
        except BaseException:
            set_value(trainer, self.batch_arg_name, before)
            raise
        assert search.best is not None  # a size of 1 that does not fit is raised
        found = max(1, int(search.best * (1 - self.margin))) if self.mode == "binsearch" else search.best
        set_value(trainer, self.batch_arg_name, found)
        self.optimal_batch_size, self._is_found = found, True
        if trainer.state.fn == "fit" and trainer.train_dataloader is not None:
            # the loader was asked for before, such as by estimated_stepping_batches, and must be again
            loop = trainer.fit_loop
            loop.begin_entry(loop.given, loop.validation.given)
        _log.info("`%s` is %d, the largest that was found to fit", self.batch_arg_name, found)

    def _fits(self, trainer: Trainer, trial: Trial, search: SizeSearch) -> bool:
        try:
            self._try(trainer, trial, search)
        except Exception as error:
            if not is_out_of_memory(error) or search.size == 1:
                raise
            _log.info("a batch size of %d does not fit", search.size)
        else:
            return True
        # only here, where the error and what its frames hold are gone
        for optimizer in trainer.optimizers:
            optimizer.zero_grad()
        free_memory()
        return False

    def _try(self, trainer: Trainer, trial: Trial, search: SizeSearch) -> None:
        assert search.size is not None  # the caller looked
        set_value(trainer, self.batch_arg_name, search.size)
        loader = trial.load()
        samples = _dataset_size(loader)
        if samples is not None:
            search.limit(samples)
        self._check_loader(loader, search.size)
        trial.run()

    def _check_loader(self, loader: Any, size: int) -> None:
        found = getattr(loader, "batch_size", None)
        if isinstance(found, int) and found != size:
            raise MisconfigurationException(
                f"{type(self).__name__}: `{self.batch_arg_name}` was set to {size}, and the loader has batches of {found}."
                f" To fix: build it with batch_size=self.{self.batch_arg_name}."
            )

    # ---- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The size that was found: a loader's position counts batches of it."""
        return {"optimal_batch_size": self.optimal_batch_size} if self._is_found else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the size that was found."""
        self.optimal_batch_size = state_dict["optimal_batch_size"]
        self._is_found = self._is_resumed = True


class _LoaderWatch:
    """A plugin of one evaluation: lets the finder search when the loader is first asked for."""

    def __init__(self, finder: BatchSizeFinder, stage: str) -> None:
        self.finder = finder
        self.stage = stage
        self.is_done = False

    def _search(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.stage == stage and not self.is_done:
            self.is_done = True  # before the search, which asks for loaders itself
            self.finder.scale_batch_size(trainer, pl_module)
            if self.finder._ends_run:
                raise EndRun

    @hookimpl(wrapper=True)
    def val_dataloader(self, trainer: Trainer, pl_module: LightningModule) -> Generator[None, Any, Any]:
        """Search before validation's loader is built."""
        self._search(trainer, pl_module, "validate")
        return (yield)

    @hookimpl(wrapper=True)
    def test_dataloader(self, trainer: Trainer, pl_module: LightningModule) -> Generator[None, Any, Any]:
        """Search before test's loader is built."""
        self._search(trainer, pl_module, "test")
        return (yield)

    @hookimpl(wrapper=True)
    def predict_dataloader(self, trainer: Trainer, pl_module: LightningModule) -> Generator[None, Any, Any]:
        """Search before prediction's loader is built."""
        self._search(trainer, pl_module, "predict")
        return (yield)


def _dataset_size(loader: Any) -> int | None:
    """How many samples there are, in the largest of several loaders; ``None`` if that is not known."""
    try:
        return max(
            (len(one.dataset) for one in getattr(loader, "flattened", None) or tree_leaves(loader)), default=None
        )
    except (AttributeError, TypeError):  # a stream
        return None
