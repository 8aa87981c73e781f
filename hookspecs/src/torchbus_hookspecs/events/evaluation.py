"""Events of validation, test and the sanity check: one for each hook of ``specs/evaluation.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RunEvent, event

if TYPE_CHECKING:
    from .._types import StepOutput

__all__ = [
    "SanityCheckEnd",
    "SanityCheckStart",
    "TestBatchEnd",
    "TestBatchStart",
    "TestEnd",
    "TestEpochEnd",
    "TestEpochStart",
    "TestModelEval",
    "TestModelTrain",
    "TestStart",
    "TestStep",
    "ValidationBatchEnd",
    "ValidationBatchStart",
    "ValidationEnd",
    "ValidationEpochEnd",
    "ValidationEpochStart",
    "ValidationModelEval",
    "ValidationModelTrain",
    "ValidationModelZeroGrad",
    "ValidationStart",
    "ValidationStep",
]


@event("on_sanity_check_start")
class SanityCheckStart(RunEvent):
    """The sanity check begins: ``on_sanity_check_start`` fires."""


@event("on_sanity_check_end")
class SanityCheckEnd(RunEvent):
    """The sanity check is done: ``on_sanity_check_end`` fires."""


@event("on_validation_model_zero_grad")
class ValidationModelZeroGrad(RunEvent):
    """Gradients are to be freed before a validation inside fit: ``on_validation_model_zero_grad`` fires."""


@event("on_validation_model_eval")
class ValidationModelEval(RunEvent):
    """The module is to go to evaluation mode for validation: ``on_validation_model_eval`` fires."""


@event("on_validation_start")
class ValidationStart(RunEvent):
    """A validation run begins: ``on_validation_start`` fires."""


@event("on_validation_epoch_start")
class ValidationEpochStart(RunEvent):
    """The pass over the validation data begins: ``on_validation_epoch_start`` fires."""


@event("on_validation_batch_start")
class ValidationBatchStart(RunEvent):
    """A batch is about to be validated: ``on_validation_batch_start`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("validation_step")
class ValidationStep(RunEvent):
    """A batch is to be validated: ``validation_step`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_validation_batch_end")
class ValidationBatchEnd(RunEvent):
    """A validation batch is done: ``on_validation_batch_end`` fires."""

    outputs: StepOutput
    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_validation_epoch_end")
class ValidationEpochEnd(RunEvent):
    """The pass over the validation data is done: ``on_validation_epoch_end`` fires."""


@event("on_validation_end")
class ValidationEnd(RunEvent):
    """A validation run ends: ``on_validation_end`` fires."""


@event("on_validation_model_train")
class ValidationModelTrain(RunEvent):
    """The module is to go back to its former mode after validation: ``on_validation_model_train`` fires."""


@event("on_test_model_eval")
class TestModelEval(RunEvent):
    """The module is to go to evaluation mode for a test: ``on_test_model_eval`` fires."""


@event("on_test_start")
class TestStart(RunEvent):
    """A test run begins: ``on_test_start`` fires."""


@event("on_test_epoch_start")
class TestEpochStart(RunEvent):
    """The pass over the test data begins: ``on_test_epoch_start`` fires."""


@event("on_test_batch_start")
class TestBatchStart(RunEvent):
    """A batch is about to be tested: ``on_test_batch_start`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("test_step")
class TestStep(RunEvent):
    """A batch is to be tested: ``test_step`` fires."""

    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_test_batch_end")
class TestBatchEnd(RunEvent):
    """A test batch is done: ``on_test_batch_end`` fires."""

    outputs: StepOutput
    batch: Any
    batch_idx: int
    dataloader_idx: int


@event("on_test_epoch_end")
class TestEpochEnd(RunEvent):
    """The pass over the test data is done: ``on_test_epoch_end`` fires."""


@event("on_test_end")
class TestEnd(RunEvent):
    """A test run ends: ``on_test_end`` fires."""


@event("on_test_model_train")
class TestModelTrain(RunEvent):
    """The module is to go back to its former mode after a test: ``on_test_model_train`` fires."""
