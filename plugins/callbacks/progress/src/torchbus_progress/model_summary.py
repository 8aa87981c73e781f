"""The model summary as plain text."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from torchbus_hookspecs import Callback, FailurePolicy, validated

from ._summary import Summary, summarize_module, text_lines, totals_lines

if TYPE_CHECKING:
    from torchbus import LightningModule, Trainer

__all__ = ["ModelSummary"]


@validated
class ModelSummary(Callback):
    """Prints the layers of the model when fit begins: names, types, parameters, modes.

    If the module has ``example_input_array``, it goes through the model once and sizes and FLOPs are shown as well.
    Override ``summarize`` to show the figures elsewhere; settings that are not ``max_depth`` are passed on to it.
    """

    on_failure: ClassVar[FailurePolicy] = "quarantine"

    def __init__(
        self,
        max_depth: Annotated[
            int, Field(ge=-1, description="Levels of submodules to list; -1 for all, 0 for no summary.")
        ] = 1,
        **summarize_kwargs: Any,
    ) -> None:
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute the summary, on every rank since a forward pass may need all of them; show it on rank zero."""
        if self._max_depth == 0:
            return
        summary = self._summary(pl_module)
        if trainer.is_global_zero:
            self.summarize(
                summary.columns(),
                summary.total_parameters,
                summary.trainable_parameters,
                summary.model_size,
                summary.total_training_modes,
                total_flops=summary.total_flops,
                **self._summarize_kwargs,
            )

    def _summary(self, pl_module: LightningModule) -> Summary:
        try:
            return summarize_module(pl_module, self._max_depth, pl_module.example_input_array)
        except Exception as error:  # the user's forward may raise anything; training need not, with real batches
            warnings.warn(
                f"{type(self).__name__}: no sizes and FLOPs, since `example_input_array` does not go through the model "
                f"({type(error).__name__}: {error}). To fix: give it the shape of one batch, or set it to None.",
                stacklevel=2,
            )
            return summarize_module(pl_module, self._max_depth)

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Print the summary. Override it to show it in another way.

        Args:
            summary_data: title and cells of each column.
            total_parameters: numbers in all parameters.
            trainable_parameters: of these, the numbers that require gradients.
            model_size: megabytes that the parameters take.
            total_training_modes: submodules in ``"train"`` and in ``"eval"`` mode.
            total_flops: operations of one forward pass; 0 if not measured.
            summarize_kwargs: further settings.
        """
        totals = totals_lines(total_parameters, trainable_parameters, model_size, total_training_modes, total_flops)
        print("\n".join(text_lines(summary_data, totals)))  # noqa: T201  # what it is for
