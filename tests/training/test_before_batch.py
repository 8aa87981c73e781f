"""``Trainer.before_batch``: a call at a later batch, for plugins that look on only now and then."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torchbus as L

from .toys import Bare, loader

Quiet = Callable[..., L.Trainer]


class Asking(L.Callback):
    """Asks at the start of training, and notes what comes."""

    def __init__(self, *skips: int) -> None:
        self.skips = skips
        self.heard: list[tuple[str, int]] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for skip in self.skips:
            trainer.before_batch(functools.partial(self.note, trainer), skip)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.heard.append(("start", batch_idx))

    def note(self, trainer: Any) -> None:
        self.heard.append(("called", trainer.fit_loop.progress.total_batches))


def test_the_call_comes_once_right_before_the_batch(quiet: Quiet) -> None:
    asking = Asking(0, 2)
    quiet(callbacks=[asking]).fit(Bare(), loader(8))
    assert asking.heard == [
        ("called", 0), ("start", 0), ("start", 1), ("called", 2), ("start", 2), ("start", 3),
    ]  # fmt: skip


def test_batches_of_the_next_epoch_count_and_none_comes_after_the_last(quiet: Quiet) -> None:
    asking = Asking(4, 7, 8)
    quiet(callbacks=[asking], max_epochs=2).fit(Bare(), loader(8))
    assert [one for one in asking.heard if one[0] == "called"] == [("called", 4), ("called", 7)]
    assert asking.heard[4:6] == [("called", 4), ("start", 0)]


def test_who_is_called_may_ask_again_but_not_for_the_same_batch(quiet: Quiet) -> None:
    class Again(Asking):
        def note(self, trainer: Any) -> None:
            super().note(trainer)
            trainer.before_batch(functools.partial(self.note, trainer))

    asking = Again(1)
    quiet(callbacks=[asking]).fit(Bare(), loader(8))
    assert [one for one in asking.heard if one[0] == "called"] == [("called", 1), ("called", 2), ("called", 3)]


def test_no_hook_of_the_batch_is_called_for_it(quiet: Quiet) -> None:
    class Silent(L.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.before_batch(lambda: None, skip=2)

    trainer = quiet(callbacks=[Silent()], plugins=["no:slow_plugins"])
    trainer.fit(Bare(), loader(8))
    assert {"silent"}.isdisjoint(name for name, _ in trainer.bus.implementations("on_train_batch_start"))


def test_what_was_asked_for_before_a_run_is_forgotten(quiet: Quiet) -> None:
    trainer = quiet()
    trainer.before_batch(lambda: pytest.fail("this was asked for before the run"), skip=2)
    trainer.fit(Bare(), loader(8))


def test_a_call_that_stops_the_run_is_followed_by_no_batch(quiet: Quiet) -> None:
    class Stopping(Asking):
        def note(self, trainer: Any) -> None:
            super().note(trainer)
            trainer.should_stop = True

    asking = Stopping(2)
    quiet(callbacks=[asking], max_epochs=5).fit(Bare(), loader(8))
    assert asking.heard == [("start", 0), ("start", 1), ("called", 2)]


class Failing(Asking):
    def note(self, trainer: Any) -> None:
        super().note(trainer)
        trainer.before_batch(functools.partial(self.note, trainer))
        raise OSError("disk full")


def test_a_failure_is_that_of_the_plugin(quiet: Quiet) -> None:
    with pytest.raises(OSError, match="disk full") as raised:
        quiet(callbacks=[Failing(1)]).fit(Bare(), loader(8))
    assert "Raised by plugin `failing`, in its `note`." in "".join(raised.value.__notes__)


def test_a_plugin_that_failed_too_often_is_not_called_again(quiet: Quiet) -> None:
    class Quarantined(Failing):
        on_failure = "quarantine"

    failing = Quarantined(1)
    with pytest.warns(RuntimeWarning, match="failed in `note`"):
        quiet(callbacks=[failing], max_epochs=2).fit(Bare(), loader(8))
    assert [one for one in failing.heard if one[0] == "called"] == [("called", 1), ("called", 2), ("called", 3)]


# ---- hooks that are not needed -----------------------------------------------------------------------------------------


class Every(L.Callback):
    """Has no need of batches unless it counts them."""

    def __init__(self, counts: bool) -> None:
        self.counts = counts
        self.ended = 0

    @property
    def idle_hooks(self) -> tuple[str, ...]:
        return () if self.counts else ("on_train_batch_end",)

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.ended += 1


class Further(Every):
    def on_train_batch_end(self, *arguments: Any) -> None:
        super().on_train_batch_end(*arguments)


@pytest.mark.parametrize(
    ("callback", "ended"), [(Every(counts=True), 4), (Every(counts=False), 0), (Further(counts=False), 4)]
)
def test_an_idle_hook_is_not_called_unless_a_subclass_overrides_it(quiet: Quiet, callback: Every, ended: int) -> None:
    quiet(callbacks=[callback]).fit(Bare(), loader(8))
    assert callback.ended == ended


def test_a_method_of_the_instance_itself_is_called(quiet: Quiet) -> None:
    callback, heard = Every(counts=False), []
    vars(callback)["on_train_batch_end"] = lambda *arguments: heard.append(1)
    quiet(callbacks=[callback]).fit(Bare(), loader(8))
    assert len(heard) == 4


def test_an_idle_hook_that_does_not_exist_is_refused(quiet: Quiet) -> None:
    class Wrong(L.Callback):
        idle_hooks = ("on_train_batch_ends",)

    with pytest.raises(L.MisconfigurationException, match="no such hook.*Did you mean `on_train_batch_end`"):
        quiet(callbacks=[Wrong()])
