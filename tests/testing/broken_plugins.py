"""Ten broken plugins. ``test_broken_plugins.py`` runs the contracts on them, and looks where each fails."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torchbus.testing import AcceleratorContract, CallbackContract, LoggerContract
from torchbus_hookspecs import Accelerator, Callback, Logger


class NotACallback:
    """Only looks like one."""

    def on_train_start(self, trainer, pl_module): ...

    def state_dict(self):
        return {}


class Misspelt(Callback):
    """A hook that nobody would ever call."""

    def on_train_batch_ends(self, trainer, pl_module, outputs, batch, batch_idx): ...


class TupleSetting(Callback):
    """Takes only what no file can hold."""

    def __init__(self, stages: Any = ()) -> None:
        if not isinstance(stages, tuple):
            raise TypeError("stages must be a tuple")

    def on_train_start(self, trainer, pl_module): ...


class Unpicklable(Callback):
    """Holds a function of its own."""

    def __init__(self) -> None:
        self.key = lambda value: value

    def on_train_start(self, trainer, pl_module): ...


class NoTest(Callback):
    """Expects to be trained."""

    def on_test_start(self, trainer, pl_module):
        raise RuntimeError("not made for testing")


class Forgetful(Callback):
    """Keeps a count that it does not take back."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}


class UnsafeState(Callback):
    """Puts an object into checkpoints that must not be unpickled."""

    def on_train_start(self, trainer, pl_module): ...

    def state_dict(self):
        return {"lock": complex, "callback": Forgetful()}

    def load_state_dict(self, state_dict): ...


class LeavesThread(Callback):
    """Starts a thread that it does not end."""

    def on_fit_start(self, trainer, pl_module):
        end = threading.Event()
        thread = threading.Thread(target=end.wait, args=(20,), name="left-over")
        thread.start()


class ChangingVersion(Logger):
    """Another version each time one asks."""

    asked = 0

    @property
    def name(self):
        return "changing"

    @property
    def version(self):
        self.asked += 1
        return self.asked

    def log_metrics(self, metrics, step=None): ...

    def log_hyperparams(self, params, *args, **kwargs): ...


class Boundless(Accelerator):
    """Says yes to every request."""

    @staticmethod
    def parse_devices(devices):
        return 1

    @staticmethod
    def get_parallel_devices(devices):
        return [torch.device("cpu")]

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def name():
        return "boundless"


class TestNotACallback(CallbackContract):
    plugin = NotACallback


class TestMisspelt(CallbackContract):
    plugin = Misspelt


class TestUnpicklable(CallbackContract):
    plugin = Unpicklable


class TestNoTest(CallbackContract):
    plugin = NoTest


class TestForgetful(CallbackContract):
    plugin = Forgetful


class TestUnsafeState(CallbackContract):
    plugin = UnsafeState


class TestLeavesThread(CallbackContract):
    plugin = LeavesThread


class TestNeedsASetting(CallbackContract):
    plugin = TupleSetting
    settings = {"stages": (1, 2)}


class TestChangingVersion(LoggerContract):
    plugin = ChangingVersion


class TestBoundless(AcceleratorContract):
    plugin = Boundless
