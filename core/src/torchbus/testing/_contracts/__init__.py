"""What torchbus relies on in a plugin, as tests that a plugin's own test class inherits.

    class TestPatience(CallbackContract):
        plugin = Patience                       # the class
        settings = {"monitor": "val_loss"}      # what it cannot be constructed without

A promise that a plugin cannot keep is overridden in its test class, with ``@pytest.mark.xfail(reason=...)``.
"""

from __future__ import annotations

from ._callback import CallbackContract, HooksContract
from ._device import AcceleratorContract, StrategyContract
from ._logger import LoggerContract

__all__ = ["AcceleratorContract", "CallbackContract", "HooksContract", "LoggerContract", "StrategyContract"]
