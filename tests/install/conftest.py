"""What the tests of installing share: wheels that are built once, and environments to put them in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from .environments import BY_NAME, TEMPLATE, build_wheel, distribution, link_third_party, make_environment


@pytest.fixture(scope="session")
def wheel_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build the wheel of a distribution of the workspace, once."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = {**BY_NAME, distribution(TEMPLATE)["name"]: TEMPLATE}
    return functools.cache(lambda name: build_wheel(sources[name], folder / name))


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("third_party")
    link_third_party(folder)
    return folder


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, wheel_of: Callable[[str], Path], third_party: Path
) -> Callable[..., Path]:
    """Make an environment with these distributions, and wheels of others, and return its Python."""

    def make(names: Iterable[str], *others: Path) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        return make_environment(folder, [*(wheel_of(name) for name in names), *others], third_party)

    return make
