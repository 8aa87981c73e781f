"""The order of a run as an outline: nesting, repeats, and what differs between them."""

from __future__ import annotations

from typing import Any

import pytest
from torchbus import Bus, hookimpl
from torchbus._cli.outline import Repeat, Step, lines_of, outline_of
from torchbus._cli.recording import Call, recorded
from torchbus_hookspecs.events import OptimizerStep, TrainEnd, TrainingStep, TrainStart


def calls(text: str) -> list[Call]:
    """Hooks by name, indented where they came inside of the one above."""
    found = Call("")
    levels = [found]
    for line in text.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        call = Call(line.strip())
        levels[depth:] = [levels[depth], call]
        levels[depth].inside.append(call)
    return found.inside


def told(text: str) -> str:
    return "".join(
        f"{'    ' * depth}{line}{f'  # {remark}' if remark else ''}\n"
        for depth, line, remark in lines_of(outline_of(calls(text)))
    )


def test_what_lies_between_a_start_and_its_end_is_inside() -> None:
    assert told("setup\non_fit_start\nlog_graph\non_train_start\non_train_end\non_fit_end\nteardown\n") == (
        "setup\non_fit_start\n    log_graph\n    on_train_start\n    on_train_end\non_fit_end\nteardown\n"
    )


def test_what_came_while_a_hook_ran_is_inside_of_it() -> None:
    assert told("optimizer_step\n    training_step\n    backward\nsave\n") == (
        "optimizer_step\n    training_step\n    backward\nsave\n"
    )


def test_batches_are_told_once_with_what_comes_before_each() -> None:
    batch = "transfer_batch_to_device\non_train_batch_start\ntraining_step\non_train_batch_end\n"
    assert told(3 * batch) == (
        "for each batch, 3 times:\n    transfer_batch_to_device\n    on_train_batch_start\n        training_step\n"
        "    on_train_batch_end\n"
    )


def test_a_hook_in_a_row_is_told_with_its_count() -> None:
    assert told("save\nsave\nfinalize\n") == "save  # 2 times\nfinalize\n"
    assert told("log_metrics\nsave\nlog_metrics\nsave\n") == "2 times:\n    log_metrics\n    save\n"


@pytest.mark.parametrize(
    ("with_more", "when"),
    [((0,), "the first time"), ((3,), "the last time"), ((1, 3), "times 2, 4")],
)
def test_what_only_some_of_the_batches_have_says_when(with_more: tuple[int, ...], when: str) -> None:
    sequence = "".join(
        "on_train_batch_start\ntraining_step\n"
        + ("lr_scheduler_step\n" if time in with_more else "")
        + "on_train_batch_end\n"
        for time in range(4)
    )
    if with_more == (1, 3):  # an odd number of batches, which cannot be told in pairs
        sequence += "on_train_batch_start\ntraining_step\non_train_batch_end\n"
    assert f"lr_scheduler_step  # {when}\n" in told(sequence)
    assert told(sequence).count("training_step\n") == 1


def test_batches_that_differ_in_more_are_told_apart() -> None:
    accumulating = "on_train_batch_start\ntraining_step\nbackward\non_train_batch_end\n"
    stepping = "on_train_batch_start\noptimizer_step\n    training_step\non_train_batch_end\n"
    text = told(2 * (accumulating + stepping))
    assert text.startswith("for every 2 batches, 2 times:\n    on_train_batch_start\n        training_step\n")
    assert text.count("on_train_batch_start") == 2


def test_an_exception_leaves_every_start_without_its_end() -> None:
    text = told("on_fit_start\non_train_start\non_train_batch_start\ntraining_step\non_exception\nfinalize\n")
    assert text.splitlines() == [
        "on_fit_start  # on_fit_end does not follow",
        "    on_train_start  # on_train_end does not follow",
        "        on_train_batch_start  # on_train_batch_end does not follow",
        "            training_step",
        "on_exception",
        "finalize",
    ]


def test_an_end_closes_what_was_left_open_inside() -> None:
    text = told("on_train_epoch_start\non_train_batch_start\non_train_epoch_end\n")
    assert text.splitlines() == [
        "on_train_epoch_start",
        "    on_train_batch_start  # on_train_batch_end does not follow",
        "on_train_epoch_end",
    ]


def test_folding_loses_nothing() -> None:
    names = ["setup", *["on_train_batch_start", "save", "save", "on_train_batch_end"] * 3, "teardown"]

    def unfolded(nodes: Any) -> list[str]:
        found = []
        for node in nodes:
            if isinstance(node, Repeat):
                found += node.times * unfolded(node.steps)
            else:
                assert isinstance(node, Step)
                found += [node.hook, *unfolded(node.inside), *(unfolded([node.end]) if node.end else [])]
        return found

    assert unfolded(outline_of([Call(name) for name in names])) == names


# ---- recording --------------------------------------------------------------------------------------------------------


class Steps:
    """Makes the step, as the loop's own closure does."""

    def __init__(self, bus: Bus, fails: bool = False) -> None:
        self.bus, self.fails = bus, fails

    @hookimpl
    def optimizer_step(self) -> bool:
        self.bus.emitter(TrainingStep)(None, None, None, 0)  # type: ignore[arg-type]
        if self.fails:
            raise ValueError("out of steps")
        return True


def test_a_recording_knows_what_came_while_a_hook_ran() -> None:
    bus = Bus()
    bus.register(Steps(bus), "steps")
    with recorded(bus) as heard:
        assert bus.emitter(OptimizerStep)(None, None, 0, 0, None, None) is True, "the answer goes through"
        bus.emitter(TrainEnd)(None, None)
    assert heard == [Call("optimizer_step", [Call("training_step")]), Call("on_train_end")]


def test_a_recording_survives_an_exception_and_leaves_nothing_on_the_bus() -> None:
    bus = Bus()
    bus.register(Steps(bus, fails=True), "steps")
    with recorded(bus) as heard:
        with pytest.raises(ValueError, match="out of steps"):
            bus.emitter(OptimizerStep)(None, None, 0, 0, None, None)
        bus.emitter(TrainStart)(None, None)
    step = Call("optimizer_step", [Call("training_step"), Call("on_plugin_failed")])
    assert heard == [step, Call("on_train_start")]
    bus.emitter(TrainStart)(None, None)
    assert len(heard) == 2 and list(bus.plugins) == ["steps"]
