"""`docs/hooks.md` has every hook, and every hook has what its page needs: all parts of a specification, a use, a test."""

from __future__ import annotations

import dataclasses
import inspect
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from torchbus import _defaults
from torchbus_hookspecs.events import EVENTS
from torchbus_hookspecs.markers import kind_of
from torchbus_hookspecs.specs import HOOKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z|^<!-- end)", PAGE, re.MULTILINE | re.DOTALL))

FOR_SCRIPTS = {"on_plugin_failed": "tells scripts what failed; the trainer's own report is made without it"}
"""Hooks that no plugin of this repository needs, each with a reason."""


def parts(hook: str) -> dict[str, str]:
    from generating.specs import parts_of

    return parts_of(HOOKS[hook])[1]


def section(hook: str) -> str:
    return SECTIONS[hook]


# ---- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_every_hook_once_in_the_order_of_a_run() -> None:
    assert re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE) == list(HOOKS)
    assert re.findall(r"^\| \[(\w+)\]\(#\1\) \|", PAGE, re.MULTILINE) == list(HOOKS), "in the index"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_section_has_the_exact_signature(hook: str) -> None:
    signature = inspect.signature(HOOKS[hook])
    arguments = ", ".join(f"{one.name}: {one.annotation}" for one in signature.parameters.values())
    code = re.search(r"```py\n(.*?)\n```", section(hook), re.DOTALL)
    assert code is not None
    written = re.sub(r",? *\n\)", ")", re.sub(r"\(\n +", "(", code[1]))
    assert re.sub(r"\s+", " ", written) == f"def {hook}({arguments}) -> {signature.return_annotation}: ..."


@pytest.mark.parametrize("hook", HOOKS)
def test_a_section_has_kind_event_and_every_described_argument(hook: str) -> None:
    fields = ", ".join(one.name for one in dataclasses.fields(EVENTS[hook]))
    assert f"- **Kind:** {kind_of(HOOKS[hook])}\n" in section(hook)
    assert f"- **Event:** `{EVENTS[hook].__name__}({fields})`\n" in section(hook)
    for name in set(inspect.signature(HOOKS[hook]).parameters) - {"trainer", "pl_module"}:
        assert re.search(rf"^    - `{name}` \(`.+`\): \S", section(hook), re.MULTILINE), name


def test_links_to_hooks_lead_to_their_sections() -> None:
    rooms = {spec.__module__.rpartition(".")[2] for spec in HOOKS.values()}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= {*HOOKS, *rooms}
    assert {one.lower() for one in re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)} >= rooms


def test_no_section_has_markup_of_docstrings_or_an_empty_part() -> None:
    assert "``" not in PAGE.replace("```", "")
    assert not re.findall(r"^- \*\*\w+:\*\* *$(?!\n    - )", PAGE, re.MULTILINE)


def test_items_of_lists_follow_items_or_an_empty_line() -> None:
    lines = PAGE.splitlines()
    assert not [b for a, b in pairwise(lines) if b.startswith("- **") and a.startswith("    ") and a[4] != "-"]


def test_implementers_and_methods_are_those_of_the_code(generate: Any) -> None:
    from generating.hooks import classes_with, implementers

    assert "early_stopping" in implementers("on_validation_end")
    assert "confusion" not in implementers("on_test_batch_end"), "it is no standard plugin"
    assert classes_with("setup") == ["Callback", "LightningModule", "LightningDataModule"]
    assert classes_with("log_metrics") == ["Logger"]
    assert classes_with("state_dict") == ["Callback", "LightningDataModule"], "the module's is PyTorch's own"
    assert classes_with("on_plugin_failed") == []


# ---- the specifications -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_a_specification_has_its_parts_in_order(hook: str, generate: Any) -> None:
    from generating.specs import PARTS

    found = list(parts(hook))
    assert found == [part for part in PARTS if part in found], "in another order, or twice"
    required = {"Called", "Kind", "Source"} | ({"Result"} if kind_of(HOOKS[hook]) != "broadcast" else set())
    required |= {"Default"} if kind_of(HOOKS[hook]) == "provider" else set()
    assert required <= set(found)
    assert all(parts(hook).values()), "an empty part"
    assert parts(hook)["Kind"] == f"{kind_of(HOOKS[hook])}."


@pytest.mark.parametrize("hook", HOOKS)
def test_a_specification_describes_every_argument(hook: str, generate: Any) -> None:
    from generating.specs import items_of

    described = items_of(parts(hook).get("Args", ""))
    named = [name for name in inspect.signature(HOOKS[hook]).parameters if name not in ("trainer", "pl_module")]
    assert list(described) == named, "each one, in order"
    assert all(text.endswith(".") for text in described.values())


@pytest.mark.parametrize("hook", HOOKS)
def test_a_default_is_described_where_there_is_one(hook: str, generate: Any) -> None:
    if kind_of(HOOKS[hook]) == "provider":
        refuses = {"train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader", "training_step"}
        refuses |= {"validation_step", "test_step", "configure_optimizers"}
        by_method = {"manual_backward", "toggle_optimizer", "untoggle_optimizer", "toggled_optimizer"}
        has_default = (hasattr(_defaults, hook) and hook not in refuses) or hook in by_method
        assert has_default is not parts(hook)["Default"].startswith("none"), hook


def test_hooks_whose_events_nobody_emits_say_so() -> None:
    core = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.glob("core/src/**/*.py"))
    plugins = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.glob("plugins/*/*/src/**/*.py"))
    # what a module's method asks plugins and the default for is an answer without an event
    emitted = set(re.findall(r"\w+", re.sub(r"_provided\(\s*events\.\w+", "", core)))
    emitted |= set(re.findall(r"emit(?:ter)?\(\s*(?:events\.)?(\w+)", plugins))
    silent = {hook for hook, event in EVENTS.items() if event.__name__ not in emitted}
    assert silent == {hook for hook in HOOKS if "Subscribers to its event hear nothing" in section(hook)}
    assert silent == {"state_dict", "load_state_dict"}


# ---- uses and tests ---------------------------------------------------------------------------------------------------


@cache
def words_of(*patterns: str) -> frozenset[str]:
    """All words of the files that match."""
    files = {file for pattern in patterns for file in ROOT.glob(pattern)}
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text(encoding="utf-8")))


def test_every_hook_is_used_by_a_plugin_a_class_or_a_default(generate: Any) -> None:
    from generating.hooks import classes_with, implementers

    sources = words_of("plugins/*/*/src/**/*.py", "contrib/plugins/*/src/**/*.py", "contrib/examples/*.py")
    unused = [
        hook
        for hook in HOOKS
        if not (implementers(hook) or classes_with(hook) or hasattr(_defaults, hook))
        and not {hook, EVENTS[hook].__name__} & sources
    ]
    assert set(unused) == set(FOR_SCRIPTS)


def test_every_hook_is_named_by_a_test() -> None:
    # what goes through all hooks, or writes them down, tests none of them
    tests = words_of("tests/[!dhpg]*/**/test_*.py", "tests/plugins/**/test_*.py", "tests/parity/scenario_groups/*.py")
    assert [hook for hook in HOOKS if not {hook, EVENTS[hook].__name__} & tests] == []
