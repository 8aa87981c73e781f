"""Events of evaluation: one for each hook of ``specs/evaluation.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from .._types import StepOutput

__all__ = [
    "SanityCheckStart",
    "SanityCheckEnd",
    "ValidationModelZeroGrad",
    "ValidationModelEval",
    "ValidationStart",
    "ValidationEpochStart",
    "ValidationBatchStart",
    "ValidationStep",
    "ValidationBatchEnd",
    "ValidationEpochEnd",
    "ValidationEnd",
    "ValidationModelTrain",
    "TestModelEval",
    "TestStart",
    "TestEpochStart",
    "TestBatchStart",
    "TestStep",
    "TestBatchEnd",
    "TestEpochEnd",
    "TestEnd",
    "TestModelTrain",
]


@event("on_sanity_check_start")
class SanityCheckStart(RunEvent):
    """``on_sanity_check_start`` fires."""


@event("on_sanity_check_end")
class SanityCheckEnd(RunEvent):
    """``on_sanity_check_end`` fires."""


@event("on_validation_model_zero_grad")
class ValidationModelZeroGrad(RunEvent):
    """``on_validation_model_zero_grad`` fires."""


@event("on_validation_model_eval")
class ValidationModelEval(RunEvent):
    """``on_validation_model_eval`` fires."""


@event("on_validation_start")
class ValidationStart(RunEvent):
    """``on_validation_start`` fires."""


@event("on_validation_epoch_start")
class ValidationEpochStart(RunEvent):
    """``on_validation_epoch_start`` fires."""


@event("on_validation_batch_start")
class ValidationBatchStart(RunEvent):
    """``on_validation_batch_start`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("validation_step")
class ValidationStep(RunEvent):
    """``validation_step`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_validation_batch_end")
class ValidationBatchEnd(RunEvent):
    """``on_validation_batch_end`` fires."""

    outputs: StepOutput
    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_validation_epoch_end")
class ValidationEpochEnd(RunEvent):
    """``on_validation_epoch_end`` fires."""


@event("on_validation_end")
class ValidationEnd(RunEvent):
    """``on_validation_end`` fires."""


@event("on_validation_model_train")
class ValidationModelTrain(RunEvent):
    """``on_validation_model_train`` fires."""


@event("on_test_model_eval")
class TestModelEval(RunEvent):
    """``on_test_model_eval`` fires."""


@event("on_test_start")
class TestStart(RunEvent):
    """``on_test_start`` fires."""


@event("on_test_epoch_start")
class TestEpochStart(RunEvent):
    """``on_test_epoch_start`` fires."""


@event("on_test_batch_start")
class TestBatchStart(RunEvent):
    """``on_test_batch_start`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("test_step")
class TestStep(RunEvent):
    """``test_step`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_test_batch_end")
class TestBatchEnd(RunEvent):
    """``on_test_batch_end`` fires."""

    outputs: StepOutput
    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_test_epoch_end")
class TestEpochEnd(RunEvent):
    """``on_test_epoch_end`` fires."""


@event("on_test_end")
class TestEnd(RunEvent):
    """``on_test_end`` fires."""


@event("on_test_model_train")
class TestModelTrain(RunEvent):
    """``on_test_model_train`` fires."""
