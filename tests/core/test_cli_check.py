"""``torchbus plugins check``, with plugins that are wrong in every way there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

WRONG = """
    from typing import Annotated
    from pydantic import Field
    from torchbus_hookspecs import Callback, Logger, hookimpl

    class Wrong(Callback):
        on_failure = "ignore"
        before = "timer"

        def __init__(self, patience: Annotated[int, Field(ge=1, description="How long.")] = 0, name: str = None): ...
        def on_train_batch_ends(self, trainer, pl_module, outputs, batch, batch_idx): ...
        def on_fit_start(self): ...
        def on_fit_end(self, trainer, pl_module, more): ...
        @hookimpl
        def optimizer_stop(self): ...
        @hookimpl
        def optimizer_step(self, optimiser, clousre): ...

    class Unfinished(Logger):
        "It lacks what a logger must have."

    class NoLogger:
        "Of another kind."

    @hookimpl
    def on_nothing(): ...

    class Right(Callback):
        "Fits."
        def on_fit_start(self, trainer, pl_module): ...
"""
POINTS = """
    [torchbus.callbacks]
    wrong = torchbus_wrong:Wrong
    right = torchbus_wrong:Right
    absent = torchbus_wrong:Absent
    [torchbus.loggers]
    no_logger = torchbus_wrong:NoLogger
    unfinished = torchbus_wrong:Unfinished
    [torchbus.plugins]
    functions = torchbus_wrong
"""


def checked(torchbus: Callable[..., Any], *arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    done = torchbus("plugins", "check", *arguments, "--json", **variables)
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}


def test_every_fault_of_every_plugin_is_told(offer: Any, torchbus: Any) -> None:
    offer("torchbus-wrong", POINTS, code=WRONG)
    code, found = checked(torchbus, "torchbus-wrong")
    assert code == 1
    told = "\n".join(found["wrong"]["faults"])
    for part in (
        "The default of `patience` is 0; it should be greater than or equal to 1",
        "The default of `name` is None",
        "on_train_batch_ends would never be called",
        "`on_fit_start` takes 0 arguments",
        "`on_fit_end` needs `more`",
        "there is no hook `optimizer_stop`. Did you mean `optimizer_step`",
        "no argument `optimiser`. Did you mean `optimizer`",
        "no argument `clousre`",
        "`on_failure` is 'ignore'",
        "`before` is 'timer'",
    ):
        assert part in told
    assert found["wrong"]["remarks"] == ["It has no docstring.", "`name` has no description."]
    assert (found["right"]["faults"], found["right"]["remarks"]) == ([], [])
    assert "AttributeError" in found["absent"]["faults"][0]
    assert "needs a class derived from Logger" in found["no_logger"]["faults"][0]
    assert "abstract" in found["unfinished"]["faults"][0]
    assert "there is no hook `on_nothing`" in found["functions"]["faults"][0]


def test_standard_plugins_have_no_faults(torchbus: Any) -> None:
    done = torchbus("plugins", "check", "torchbus_stopping")
    assert done.returncode == 0
    assert done.stdout == (
        "early_stopping  callbacks  torchbus-stopping 0.1.0  ok\n"
        "timer  callbacks  torchbus-stopping 0.1.0  ok\n2 plugins, 0 faults\n"
    )


def test_plugins_that_hang_or_end_the_process_are_told_and_the_others_are_checked(offer: Any, torchbus: Any) -> None:
    points = "[torchbus.callbacks]\na = dies:A\nb = dies:B\nc = torchbus_bad:C\nd = hangs:D\ne = leaves:E\n"
    offer("torchbus-bad", points, code="from torchbus_hookspecs import Callback\nclass C(Callback):\n  'Fine.'")
    from_here = {"dies": "print('talks'); import os; os._exit(7)", "hangs": "import time; time.sleep(600)"}
    for name, code in {**from_here, "leaves": "raise SystemExit('enough')"}.items():
        offer(name, "", code=code)
    code, found = checked(torchbus, "torchbus-bad", "--timeout", "10")
    assert code == 1
    assert found["a"]["faults"] == found["b"]["faults"] == ["Importing dies ended the process with exit code 7: talks"]
    assert found["c"]["faults"] == []
    assert found["d"]["faults"] == ["Importing hangs did not end within 10 s."]
    assert "SystemExit: enough" in found["e"]["faults"][0]


def test_distributions_that_are_not_allowed_are_passed_over_unless_named(offer: Any, torchbus: Any) -> None:
    offer("torchbus-wrong", POINTS, code=WRONG)
    code, found = checked(torchbus, TORCHBUS_PLUGIN_ALLOW="torchbus-csv")
    assert (code, sorted(found)) == (0, ["csv", "single_device"])
    code, found = checked(torchbus, "torchbus-wrong", TORCHBUS_PLUGIN_ALLOW="torchbus-csv")
    assert code == 1 and "TORCHBUS_PLUGIN_ALLOW" in found["right"]["faults"][0]


def test_a_distribution_that_is_not_there_is_told_with_the_nearest(torchbus: Any) -> None:
    done = torchbus("plugins", "check", "torchbus-stoping")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean `torchbus-stopping`" in done.stderr
