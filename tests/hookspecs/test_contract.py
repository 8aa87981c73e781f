"""The contract: specifications, events and base classes agree with each other and with Lightning."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pluggy
import pytest
import torchbus_hookspecs
from torchbus_hookspecs import Callback, HookKind, Logger, events, kind_of, specs
from torchbus_hookspecs.events import EVENTS, Event, RunEvent
from torchbus_hookspecs.specs import HOOKS

LIGHTNING = json.loads((Path(__file__).parents[1] / "parity" / "hooks.json").read_text())
"""What was read from Lightning 2.6.6 itself."""

GROUPS: dict[str, dict[str, Any]] = {
    "callback": LIGHTNING["callback"]["hooks"],
    "datamodule": LIGHTNING["datamodule"]["hooks"],
    "strategy": LIGHTNING["strategy"]["hooks"],
    "logger": LIGHTNING["logger"]["methods"],
    **LIGHTNING["module_hooks"],
}
OCCURRENCES = [(group, hook) for group, hooks in GROUPS.items() for hook in hooks]
RUN = ("trainer", "pl_module")
SPELLED_OUT = {
    "training_step": ["batch", "batch_idx"],
    "validation_step": ["batch", "batch_idx", "dataloader_idx"],
    "test_step": ["batch", "batch_idx", "dataloader_idx"],
    "predict_step": ["batch", "batch_idx", "dataloader_idx"],
}
"""What the loops pass to the steps, which Lightning declares with ``*args, **kwargs``."""


def arguments(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def lightning_arguments(group: str, hook: str) -> list[str]:
    names = [one["name"] for one in GROUPS[group][hook]["parameters"]]
    if names == ["args", "kwargs"] and hook in SPELLED_OUT:
        return SPELLED_OUT[hook]
    return [name for name in names if name not in RUN]


def public_methods(cls: type) -> set[str]:
    return {name for name, one in vars(cls).items() if inspect.isfunction(one) and not name.startswith("_")}


def public_properties(cls: type) -> set[str]:
    return {name for name, one in vars(cls).items() if isinstance(one, property)}


# ---- specifications and Lightning -------------------------------------------------------------------------------------


def test_the_reference_names_every_hook_we_compare_with() -> None:
    assert {group: len(hooks) for group, hooks in GROUPS.items()} == {
        "callback": 39,
        "datamodule": 13,
        "strategy": 10,
        "logger": 6,
        "CheckpointHooks": 2,
        "DataHooks": 10,
        "LightningModule": 17,
        "ModelHooks": 38,
    }


@pytest.mark.parametrize(("group", "hook"), OCCURRENCES)
def test_every_hook_of_lightning_has_a_specification_and_an_event(group: str, hook: str) -> None:
    assert hook in HOOKS, f"{group}.{hook} has no specification"
    assert hook in EVENTS, f"{group}.{hook} has no event"


@pytest.mark.parametrize(("group", "hook"), OCCURRENCES)
def test_arguments_of_a_specification_are_those_of_lightning(group: str, hook: str) -> None:
    names = arguments(HOOKS[hook])
    assert [name for name in names if name not in RUN] == lightning_arguments(group, hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_trainer_and_module_lead_together_or_are_both_absent(hook: str) -> None:
    names = arguments(HOOKS[hook])
    leads = tuple(names[:2]) == RUN
    assert leads or not set(names) & set(RUN)


def test_what_lightning_passes_to_callbacks_with_a_trainer_we_pass_with_a_trainer() -> None:
    for hook, described in GROUPS["callback"].items():
        if described["parameters"] and described["parameters"][0]["name"] == "trainer":
            assert arguments(HOOKS[hook])[:2] == list(RUN), hook


@pytest.mark.parametrize("hook", HOOKS)
def test_specification_says_kind_and_source(hook: str) -> None:
    text = inspect.getdoc(HOOKS[hook]) or ""
    kinds = [line for line in text.splitlines() if line.startswith("Kind: ")]
    assert len(kinds) == 1, f"{hook}: {text!r}"
    assert kinds[0].startswith(f"Kind: {kind_of(HOOKS[hook])}"), "the text and the decorator name different kinds"
    assert any(line.startswith("Source: ") for line in text.splitlines())
    assert text.splitlines()[0].endswith("."), "the first line is a sentence"


@pytest.mark.parametrize("hook", HOOKS)
def test_documented_arguments_exist(hook: str) -> None:
    text = inspect.getdoc(HOOKS[hook]) or ""
    if "Args:\n" not in text:
        return
    block = text.partition("Args:\n")[2].partition("\n\n")[0]
    described = [line.strip().partition(":")[0] for line in block.splitlines() if line[4:5].strip()]
    assert set(described) <= set(arguments(HOOKS[hook])), described


def test_kinds_are_the_three_kinds() -> None:
    assert {kind_of(one) for one in HOOKS.values()} == set(get_args(HookKind)) == {"broadcast", "provider", "transform"}


@pytest.mark.parametrize("hook", HOOKS)
def test_only_providers_stop_at_the_first_result(hook: str) -> None:
    manager = pluggy.PluginManager("torchbus")
    manager.add_hookspecs(specs)
    spec = getattr(manager.hook, hook).spec
    assert bool(spec.opts["firstresult"]) is (kind_of(HOOKS[hook]) == "provider")


def test_transforms_have_a_value_after_trainer_and_module_to_pass_on() -> None:
    transforms = {hook for hook, spec in HOOKS.items() if kind_of(spec) == "transform"}
    assert transforms == {"on_before_batch_transfer", "on_after_batch_transfer"}
    for hook in transforms:
        assert arguments(HOOKS[hook])[:3] == [*RUN, "batch"]


def test_specification_modules_list_what_they_define() -> None:
    assert set(specs.__all__) == {"HOOKS", *HOOKS}
    for name in HOOKS:
        assert getattr(specs, name) is HOOKS[name]


# ---- events -----------------------------------------------------------------------------------------------------------


def test_hooks_are_listed_in_the_order_of_a_run() -> None:
    story = [
        "setup", "configure_optimizers", "on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start",
        "on_train_batch_end", "on_train_epoch_end", "on_train_end", "on_fit_end", "teardown",
    ]  # fmt: skip
    places = {hook: place for place, hook in enumerate(HOOKS)}
    by_file = [specs.run, specs.training]
    for room in by_file:
        told = [places[hook] for hook in story if hook in room.__all__]
        assert told == sorted(told), room.__name__
    optimization = ["optimizer_step", "on_before_zero_grad", "on_before_backward", "backward", "on_after_backward"]
    assert [hook for hook in HOOKS if hook in optimization] == optimization


def test_every_specification_has_an_event_and_every_event_a_specification() -> None:
    assert list(EVENTS) == list(HOOKS), "in the same order"
    assert len({event.__name__ for event in EVENTS.values()}) == len(EVENTS)
    assert {event.__name__ for event in EVENTS.values()} | {"EVENTS", "Event", "RunEvent"} == set(events.__all__)


@pytest.mark.parametrize("hook", HOOKS)
def test_fields_of_an_event_are_the_arguments_of_its_specification_in_order(hook: str) -> None:
    event = EVENTS[hook]
    assert event.hook_name == hook
    assert [field.name for field in dataclasses.fields(event)] == arguments(HOOKS[hook])
    assert arguments(event) == arguments(HOOKS[hook]), "an emitter takes exactly these"
    assert issubclass(event, RunEvent) is (arguments(HOOKS[hook])[:2] == list(RUN))


@pytest.mark.parametrize("hook", HOOKS)
def test_types_of_fields_are_those_of_the_arguments(hook: str) -> None:
    declared = {name: one.annotation for name, one in inspect.signature(HOOKS[hook]).parameters.items()}
    fields = {field.name: field.type for field in dataclasses.fields(EVENTS[hook])}
    assert fields == declared


@pytest.mark.parametrize("hook", HOOKS)
def test_event_is_immutable_and_slotted(hook: str) -> None:
    event = EVENTS[hook]
    values = [object() for _ in dataclasses.fields(event)]
    happened = event(*values)
    assert [getattr(happened, field.name) for field in dataclasses.fields(event)] == values
    assert not hasattr(happened, "__dict__")
    for field in dataclasses.fields(event):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(happened, field.name, None)
    # a slotted class without fields of its own refuses with another error
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        happened.of_my_own = 1


@pytest.mark.parametrize("hook", HOOKS)
def test_event_has_a_docstring_naming_its_hook(hook: str) -> None:
    assert f"``{hook}``" in (inspect.getdoc(EVENTS[hook]) or "")


def test_hook_name_is_no_field() -> None:
    assert typing.get_origin(typing.get_type_hints(Event)["hook_name"]) is typing.ClassVar
    assert not dataclasses.fields(Event)


# ---- base classes -----------------------------------------------------------------------------------------------------


def test_callback_has_exactly_the_methods_of_lightning() -> None:
    assert public_methods(Callback) - {"log", "log_dict"} == set(LIGHTNING["callback"]["hooks"])
    assert public_properties(Callback) - {"idle_hooks"} == set(LIGHTNING["callback"]["properties"])


def test_logger_has_exactly_the_methods_of_lightning() -> None:
    assert public_methods(Logger) == set(LIGHTNING["logger"]["methods"])
    assert public_properties(Logger) == set(LIGHTNING["logger"]["properties"])


@pytest.mark.parametrize(
    ("base", "described"),
    [(Callback, LIGHTNING["callback"]["hooks"]), (Logger, LIGHTNING["logger"]["methods"])],
    ids=["callback", "logger"],
)
def test_methods_take_the_parameters_of_lightning_in_its_order(base: type, described: dict[str, Any]) -> None:
    for name, method in described.items():
        parameters = list(inspect.signature(getattr(base, name)).parameters.values())[1:]
        assert [(one.name, one.kind.name.lower()) for one in parameters] == [
            (one["name"], one["kind"]) for one in method["parameters"]
        ], name
        has_default = [one.default is not one.empty for one in parameters]
        assert has_default == ["default" in one for one in method["parameters"]], name


def test_logger_asks_subclasses_for_the_same_as_lightning() -> None:
    described = {**LIGHTNING["logger"]["methods"], **LIGHTNING["logger"]["properties"]}
    assert Logger.__abstractmethods__ == {name for name, one in described.items() if one["abstract"]}


def test_a_callback_without_methods_can_be_made() -> None:
    class Nothing(Callback):
        pass

    one = Nothing()
    assert one.state_key.endswith("Nothing")
    assert one.state_dict() == {}
    for name in set(LIGHTNING["callback"]["hooks"]) & set(HOOKS):
        if name not in ("state_dict", "load_state_dict"):
            values = arguments(getattr(one, name))
            assert getattr(one, name)(*values) is None, name


# ---- the markers ------------------------------------------------------------------------------------------------------


def test_hookimpl_refuses_a_name_where_a_tuple_of_names_is_meant() -> None:
    def on_train_start() -> None: ...

    with pytest.raises(
        TypeError, match=r"hookimpl\(before='early'\) on .*: expected a tuple of plugin names.*\('early',\)"
    ):
        torchbus_hookspecs.hookimpl(before="early")(on_train_start)
    with pytest.raises(TypeError, match=r"hookimpl\(after=\(1,\)\) on .*on_train_start`: expected names of plugins"):
        torchbus_hookspecs.hookimpl(after=(1,))(on_train_start)


def test_hookimpl_refuses_unknown_ranks() -> None:
    def on_train_start() -> None: ...

    with pytest.raises(ValueError, match=r"hookimpl\(ranks='one'\) on .*on_train_start`: expected 'all' or 'zero'"):
        torchbus_hookspecs.hookimpl(ranks="one")(on_train_start)


@pytest.mark.parametrize("member", [staticmethod, classmethod])
def test_hookimpl_goes_on_either_side_of_other_markers_of_methods(member: Any) -> None:
    def on_train_start() -> None: ...

    for marked in (
        torchbus_hookspecs.hookimpl(member(on_train_start)),
        member(torchbus_hookspecs.hookimpl(on_train_start)),
    ):
        assert marked.__func__.torchbus_impl["ranks"] == "all"


@pytest.mark.parametrize("wrong", [3, property(lambda self: 1), Callback])
def test_hookimpl_refuses_what_is_no_function(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"hookimpl\(.*\): it marks functions and methods\."):
        torchbus_hookspecs.hookimpl(wrong)


def test_public_names_of_the_contract_exist() -> None:
    for name in torchbus_hookspecs.__all__:
        assert getattr(torchbus_hookspecs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing_such'"):
        _ = torchbus_hookspecs.nothing_such


# ---- what importing costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    ["torchbus_hookspecs", "torchbus_hookspecs.specs", "torchbus_hookspecs.events", "torchbus_hookspecs.monitor"],
)
def test_importing_the_contract_imports_neither_torch_nor_pydantic(module: str) -> None:
    script = (
        f"import sys, {module}\n"
        "heavy = ('torch', 'pydantic', 'pydantic_settings', 'torchbus', 'numpy')\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in heavy))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
