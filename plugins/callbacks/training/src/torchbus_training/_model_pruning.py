"""The callback ``model_pruning``: its settings, when it prunes, and what a checkpoint holds of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle
from torchbus_hookspecs import Callback, MisconfigurationException
from torchbus_hookspecs.settings import validated

from . import _masks
from ._lottery import Lottery
from ._masks import METHODS, STRUCTURED, Place
from ._places import collect_places

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ModelPruning"]

_log = logging.getLogger("torchbus.model_pruning")

Amount = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)]


@validated
class ModelPruning(Callback):
    """Prune weights after each epoch, with ``torch.nn.utils.prune``.

    An amount below 1 is the share of what is still there, a whole number a count. After the last epoch the masks are
    multiplied into the weights, and the module has its own parameters again.

    Attributes:
        pruning_fn: the class that prunes all parameters at once, or the function that prunes one.
        amount: how much to prune at each time.

    Raises:
        MisconfigurationException: settings are wrong or contradict each other, or there is nothing to prune.

    Source: Lightning ``ModelPruning``. In contrast to it, masks and the values under them survive a resume. As there,
    the lottery puts values back at its first pruning only, unless ``rewind_each_time`` is set.
    """

    PARAMETER_NAMES: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(
        self,
        pruning_fn: Annotated[
            str | Callable[..., Any],
            Field(description=f"{', '.join(f'`{name}`' for name in METHODS)}, or a class of `BasePruningMethod`."),
        ],
        parameters_to_prune: Annotated[
            Sequence[tuple[nn.Module, str]],
            Field(description="Pairs of a module and the name of its parameter. Default: all parameters."),
        ] = (),
        parameter_names: Annotated[
            list[str] | None, Field(description="Names of parameters to prune by default: `weight` and `bias`.")
        ] = None,
        use_global_unstructured: Annotated[
            bool, Field(description="Choose among the values of all parameters at once, not in each by itself.")
        ] = True,
        amount: Annotated[
            Amount | Callable[[int], int | float],
            Field(description="How much to prune at each time: a share, a count, or a function of the epoch."),
        ] = 0.5,
        apply_pruning: Annotated[
            bool | Callable[[int], bool], Field(description="Whether to prune, or a function of the epoch.")
        ] = True,
        make_pruning_permanent: Annotated[
            bool, Field(description="Leave plain weights at the end and in checkpoints, not masks.")
        ] = True,
        use_lottery_ticket_hypothesis: Annotated[
            bool | Callable[[int], bool],
            Field(description="Put what is not pruned back to its first values, or a function of the epoch."),
        ] = True,
        resample_parameters: Annotated[
            bool, Field(description="Put it to fresh random values instead; needs `use_lottery_ticket_hypothesis`.")
        ] = False,
        pruning_dim: Annotated[
            int | None, Field(description="Dimension along which structured methods remove channels.")
        ] = None,
        pruning_norm: Annotated[int | None, Field(description="The n of `ln_structured`.")] = None,
        verbose: Annotated[
            Literal[0, 1, 2], Field(description="Log the sparsity: not, of the whole, or of each parameter.")
        ] = 0,
        prune_on_train_epoch_end: Annotated[
            bool, Field(description="Prune at the end of training epochs, not of validations.")
        ] = True,
        *,
        rewind_each_time: Annotated[
            bool, Field(description="Go back to the first values at each pruning, not only at the first one.")
        ] = False,
    ) -> None:
        super().__init__()
        self._use_global_unstructured = use_global_unstructured
        self._method, self._prune_one = self._read_method(pruning_fn, pruning_dim, pruning_norm)
        self.pruning_fn: Callable[..., Any] = self._method if use_global_unstructured else self._prune_one
        self._parameters_to_prune: Sequence[Place] = parameters_to_prune
        self._parameter_names = parameter_names or list(self.PARAMETER_NAMES)
        self.amount = amount
        self._apply_pruning = apply_pruning
        self._make_pruning_permanent = make_pruning_permanent
        self._use_lottery_ticket_hypothesis = use_lottery_ticket_hypothesis
        self._resample_parameters = resample_parameters
        self._verbose = verbose
        self._prune_on_train_epoch_end = prune_on_train_epoch_end
        self._rewind_each_time = rewind_each_time
        self._places: Sequence[Place] = ()
        self._names: list[str] = []
        self._lottery: Lottery | None = None
        self._handles: list[RemovableHandle] = []
        self._resumed: dict[str, Any] = {}

    def _read_method(
        self, pruning_fn: str | Callable[..., Any], dim: int | None, norm: int | None
    ) -> tuple[Any, Callable[..., Any]]:
        """The class that prunes all parameters at once, and a function that prunes one."""
        if isinstance(pruning_fn, str):
            name = pruning_fn.lower()
            if name not in METHODS:
                raise _refusal(f"`pruning_fn` is {pruning_fn!r}; it must be one of {', '.join(METHODS)}, or a class.")
            if self._use_global_unstructured and name in STRUCTURED:
                raise _refusal(f"`{name}` prunes each parameter by itself: set `use_global_unstructured=False`.")
            if name in STRUCTURED and dim is None:
                raise _refusal(f"`{name}` needs `pruning_dim`, the dimension of the channels.")
            if name == "ln_structured" and norm is None:
                raise _refusal("`ln_structured` needs `pruning_norm`, such as 1 or 2.")
            method, one = METHODS[name]
            options = {} if name not in STRUCTURED else {"dim": dim, "n": norm} if norm is not None else {"dim": dim}
            return method, partial(one, **options)
        if not (isinstance(pruning_fn, type) and issubclass(pruning_fn, prune.BasePruningMethod)):
            raise _refusal(f"`pruning_fn` is {pruning_fn!r}; it must be a name or a subclass of BasePruningMethod.")
        if self._use_global_unstructured and getattr(pruning_fn, "PRUNING_TYPE", None) != "unstructured":
            raise _refusal(
                f"{pruning_fn.__name__} is not of the type `unstructured`: set `use_global_unstructured=False`."
            )
        return pruning_fn, pruning_fn.apply

    # ---- for subclasses ----------------------------------------------------------------------------------------------

    def filter_parameters_to_prune(self, parameters_to_prune: Sequence[Place] = ()) -> Sequence[Place]:
        """Choose among the parameters that were found; override it. Default: all."""
        return parameters_to_prune

    @staticmethod
    def sanitize_parameters_to_prune(
        pl_module: LightningModule, parameters_to_prune: Sequence[Place] = (), parameter_names: Sequence[str] = ()
    ) -> Sequence[Place]:
        """Check the parameters to prune, or find them all.

        Raises:
            MisconfigurationException: a pair names no parameter, or there is none.
        """
        return collect_places(pl_module, parameters_to_prune, parameter_names or ModelPruning.PARAMETER_NAMES)

    def apply_pruning(self, amount: int | float) -> None:
        """Prune once by this amount."""
        if self._use_global_unstructured:
            prune.global_unstructured(list(self._places), pruning_method=self._method, amount=amount)
        else:
            for module, name in self._places:
                self._prune_one(module, name, amount=amount)
        if self._verbose:
            self._tell(amount)

    def apply_lottery_ticket_hypothesis(self) -> None:
        """Put the values that are not pruned back to what they were before the fit, or to fresh ones."""
        if self._lottery is not None:
            self._lottery.rewind()

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Multiply the masks of a module and all below it into the weights, and remove them."""
        for one in module.modules():
            for name in [key.removesuffix("_orig") for key in dict(one.named_parameters(recurse=False))]:
                if _masks.is_pruned((one, name)):
                    _masks.remove_mask((one, name))

    # ---- hooks -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the parameters, and keep their values for the lottery."""
        if stage != "fit":
            return
        found = self.sanitize_parameters_to_prune(pl_module, self._parameters_to_prune, self._parameter_names)
        self._places = self.filter_parameters_to_prune(found)
        self._names = _masks.full_names(pl_module, self._places)
        self._handles = [_masks.accept_masked_state(place) for place in self._places]
        if self._use_lottery_ticket_hypothesis:
            self._lottery = Lottery(self._places, self._resample_parameters, self._rewind_each_time)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the masks of a checkpoint: only now, as optimizers count parameters in the order before pruning."""
        masks, under = self._resumed.get("masks", {}), self._resumed.get("under", {})
        for name, place in zip(self._names, self._places, strict=True):
            if name in masks and not _masks.is_pruned(place):
                _masks.apply_mask(place, masks[name], under[name])
        self._resumed = {}
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, if that is to be after training."""
        if self._prune_on_train_epoch_end:
            self._run(trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, if that is to be after validation."""
        if not trainer.sanity_checking and not self._prune_on_train_epoch_end:
            self._run(trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave plain weights."""
        if self._make_pruning_permanent:
            self.make_pruning_permanent(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Plain weights in the checkpoint: it loads into a module that was never pruned."""
        if self._make_pruning_permanent:
            checkpoint["state_dict"] = _masks.plain_state(checkpoint["state_dict"])

    def state_dict(self) -> dict[str, Any]:
        """The masks and the values under them, and those that the lottery goes back to."""
        named = zip(self._names, self._places, strict=True)
        pruned = {name: place for name, place in named if _masks.is_pruned(place)}
        state: dict[str, Any] = {
            "masks": {name: getattr(module, f"{one}_mask").bool() for name, (module, one) in pruned.items()},
            "under": {name: getattr(module, f"{one}_orig").detach() for name, (module, one) in pruned.items()},
        }
        if self._lottery is not None:
            state["first"] = dict(zip(self._names, self._lottery.first, strict=True))
            state["has_rewound"] = self._lottery.has_rewound
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the first values; the masks wait until the optimizers exist."""
        self._resumed = state_dict
        if self._lottery is not None and "first" in state_dict:
            self._lottery.restore(self._names, state_dict["first"], state_dict["has_rewound"])

    # ---- the work ----------------------------------------------------------------------------------------------------

    def _run(self, epoch: int) -> None:
        amount = self.amount(epoch) if callable(self.amount) else self.amount
        if not _asked(self._apply_pruning, epoch) or not amount:
            return
        self.apply_pruning(amount)
        if _asked(self._use_lottery_ticket_hypothesis, epoch):
            self.apply_lottery_ticket_hypothesis()

    def _tell(self, amount: int | float) -> None:
        counts = [_masks.sparsity(place) for place in self._places]
        zeros, total = (sum(column) for column in zip(*counts, strict=True))
        _log.info("%s: pruned by %s; %d of %d values are masked.", type(self).__name__, amount, zeros, total)
        if self._verbose > 1:
            for name, (masked, size) in zip(self._names, counts, strict=True):
                _log.info("%s: `%s`: %d of %d.", type(self).__name__, name, masked, size)


def _asked(choice: bool | Callable[[int], bool], epoch: int) -> bool:
    return choice(epoch) if callable(choice) else choice


def _refusal(problem: str) -> MisconfigurationException:
    return MisconfigurationException(f"ModelPruning: {problem}", plugin="ModelPruning")
