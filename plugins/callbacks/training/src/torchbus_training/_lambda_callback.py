"""The callback ``lambda_callback``: functions as hooks, without a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field
from torchbus_hookspecs import Callback
from torchbus_hookspecs.settings import validated

__all__ = ["LambdaCallback"]

Hook = Annotated[Callable[..., Any] | None, Field(description="Called in place of the method of that name.")]


@validated
class LambdaCallback(Callback):
    """A callback made of functions: each keyword is a hook of ``Callback``, its function takes that method's arguments.

    Only the hooks that are given are heard, so the others cost nothing.

    Raises:
        TypeError: there is no such hook; the message gives the nearest name.
        MisconfigurationException: what is given for a hook cannot be called.

    Source: Lightning ``LambdaCallback``. For functions that take only the arguments they need, see ``hookimpl``.
    """

    def __init__(
        self,
        setup: Hook = None,
        teardown: Hook = None,
        on_fit_start: Hook = None,
        on_fit_end: Hook = None,
        on_sanity_check_start: Hook = None,
        on_sanity_check_end: Hook = None,
        on_train_batch_start: Hook = None,
        on_train_batch_end: Hook = None,
        on_train_epoch_start: Hook = None,
        on_train_epoch_end: Hook = None,
        on_validation_epoch_start: Hook = None,
        on_validation_epoch_end: Hook = None,
        on_test_epoch_start: Hook = None,
        on_test_epoch_end: Hook = None,
        on_validation_batch_start: Hook = None,
        on_validation_batch_end: Hook = None,
        on_test_batch_start: Hook = None,
        on_test_batch_end: Hook = None,
        on_train_start: Hook = None,
        on_train_end: Hook = None,
        on_validation_start: Hook = None,
        on_validation_end: Hook = None,
        on_test_start: Hook = None,
        on_test_end: Hook = None,
        on_exception: Hook = None,
        on_save_checkpoint: Hook = None,
        on_load_checkpoint: Hook = None,
        on_before_backward: Hook = None,
        on_after_backward: Hook = None,
        on_before_optimizer_step: Hook = None,
        on_before_zero_grad: Hook = None,
        on_predict_start: Hook = None,
        on_predict_end: Hook = None,
        on_predict_batch_start: Hook = None,
        on_predict_batch_end: Hook = None,
        on_predict_epoch_start: Hook = None,
        on_predict_epoch_end: Hook = None,
    ) -> None:
        # all parameters are hooks, so they need not be written down a third time
        given = {name: value for name, value in locals().items() if callable(value) and name in _HOOKS}
        super().__init__()
        for name, function in given.items():
            setattr(self, name, function)


_HOOKS = frozenset(name for name in vars(Callback) if name.startswith("on_")) | {"setup", "teardown"}
