"""Who runs before whom: any constraints give an order that keeps all of them, or an error that names a circle."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchbus._errors import PluginOrderError
from torchbus._ordering import order_names

NAMES = "abcdefg"
NAME_LISTS = st.lists(st.sampled_from(NAMES), unique=True)
CONSTRAINTS = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=2), max_size=5)
FORWARD = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] < pair[1]))
"""Constraints that go from an earlier letter to a later one, so that there is no circle."""


def grouped(pairs: set[tuple[str, str]]) -> dict[str, set[str]]:
    return {name: {after for before, after in pairs if before == name} for name in NAMES}


def has_circle(names: list[str], later: dict[str, set[str]]) -> bool:
    """By another way than that of the code under test: everything that can be reached from a name, step by step."""
    reached = {name: {one for one in later.get(name, ()) if one in names} for name in names}
    for _ in names:
        reached = {name: ones.union(*(reached[one] for one in ones)) for name, ones in reached.items()}
    return any(name in ones for name, ones in reached.items())


@given(NAME_LISTS, CONSTRAINTS)
def test_the_result_keeps_every_constraint_or_a_circle_is_named(names: list[str], later: dict[str, set[str]]) -> None:
    try:
        ordered = order_names(names, later)
    except PluginOrderError as error:
        assert has_circle(names, later)
        path = re.findall(r"`(\w)`", str(error))
        assert len(path) >= 2
        assert path[0] == path[-1]
        assert all(after in later[before] for before, after in pairwise(path)), f"{path} is no circle"
        assert len(set(path)) == len(path) - 1, "no name is told twice on the way"
        assert "To fix: remove one of these before/after options" in str(error)
    else:
        assert not has_circle(names, later)
        assert sorted(ordered) == sorted(names)
        for before, afters in later.items():
            for after in afters & set(names):
                if before in names:
                    assert ordered.index(before) < ordered.index(after)


@given(NAME_LISTS)
def test_without_constraints_the_order_stays(names: list[str]) -> None:
    assert order_names(names, {}) == names
    assert order_names(names, dict.fromkeys(names, ())) == names


@given(NAME_LISTS, FORWARD)
def test_an_order_that_keeps_all_constraints_stays(names: list[str], pairs: set[tuple[str, str]]) -> None:
    assert order_names(sorted(names), grouped(pairs)) == sorted(names)


@given(NAME_LISTS, FORWARD)
def test_ordering_twice_changes_nothing_more(names: list[str], pairs: set[tuple[str, str]]) -> None:
    once = order_names(names, grouped(pairs))
    assert order_names(once, grouped(pairs)) == once


@given(NAME_LISTS, FORWARD)
def test_of_several_orders_the_one_with_the_earliest_names_first_is_taken(
    names: list[str], pairs: set[tuple[str, str]]
) -> None:
    ordered = order_names(names, grouped(pairs))
    for place, name in enumerate(ordered):
        # whoever stood before it in the list and comes after it now had to wait for somebody not yet called
        for overtaken in (one for one in ordered[place + 1 :] if names.index(one) < names.index(name)):
            waiting_for = {before for before, after in pairs if after == overtaken and before in names}
            assert waiting_for & set(ordered[place:])


def test_names_that_are_not_there_are_ignored() -> None:
    assert order_names(["a", "b"], {"a": {"x"}, "x": {"a"}, "y": {"x"}}) == ["a", "b"]


def test_one_that_wants_to_run_before_itself_is_a_circle() -> None:
    with pytest.raises(PluginOrderError, match="circle: `a` before `a`"):
        order_names(["a", "b"], {"a": {"a"}})
