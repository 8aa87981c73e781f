"""The promises of every plugin: it is constructed from settings, and its settings are plain values."""

from __future__ import annotations

import gc
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from pydantic import TypeAdapter
from torchbus_hookspecs.settings import check_settings, settings_model

__all__ = ["PluginContract"]


class PluginContract:
    """Inherit one of the contracts of a kind, not this.

    Attributes:
        plugin: the plugin's class, or a function that makes one.
        settings: the settings to construct it with; default: none.
    """

    plugin: ClassVar[Callable[..., Any]]
    settings: ClassVar[dict[str, Any]] = {}

    def given(self) -> dict[str, Any]:
        """The settings that ``make`` uses."""
        return dict(self.settings)

    def make(self) -> Any:
        """A new plugin; override it where settings are not all that it needs."""
        return type(self).plugin(**self.given())

    def test_is_constructed_from_its_settings(self) -> None:
        """The class can be called with ``settings``, and they pass the check that enabling by name makes."""
        _, faults = check_settings(type(self).plugin, self.given())
        assert not faults, [str(fault) for fault in faults]
        assert self.make() is not None

    def test_an_unknown_setting_is_refused(self) -> None:
        """A misspelt setting is an error, not silence. Classes that take ``**kwargs`` cannot promise that."""
        if settings_model(type(self).plugin).model_config.get("extra") == "allow":
            return
        _, faults = check_settings(type(self).plugin, {**self.given(), "no_such_setting_": 1})
        assert faults, "a setting that does not exist was accepted"

    def test_its_defaults_are_settings(self) -> None:
        """Its own declaration takes each default: what is written out in a file means what leaving it out means."""
        parameters = inspect.signature(type(self).plugin).parameters.values()
        defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
        _, faults = check_settings(type(self).plugin, {**self.given(), **defaults})
        wrong = [str(fault) for fault in faults if fault.field.split(".")[0] in defaults]
        assert not wrong, wrong

    def test_settings_round_trip_through_json(self) -> None:
        """What can be written to a file of settings comes back the same. Functions and objects are left out."""
        model = settings_model(type(self).plugin)
        plain = {name: value for name, value in self.given().items() if is_plain(value)}
        rest = {name: value for name, value in self.given().items() if not is_plain(value)}
        written = TypeAdapter(dict[str, Any]).dump_json(plain)
        read = TypeAdapter(dict[str, Any]).validate_json(written)
        before, after = model.model_validate({**plain, **rest}), model.model_validate({**read, **rest})
        assert before == after, f"written as {written!r}, the settings are read back as {after!r}"

    def test_has_a_docstring(self) -> None:
        """`torchbus plugins show` prints its first line."""
        assert (type(self).plugin.__doc__ or "").strip(), "the class has no docstring"


def is_plain(value: Any) -> bool:
    """Whether a setting can stand in a file."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | os.PathLike)


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Fail if files or threads that are opened inside are still open afterwards."""
    gc.collect()
    files, threads = _open_files(), set(threading.enumerate())
    yield
    gc.collect()
    left = sorted(_open_files() - files)
    assert not left, f"left open: {left}"
    running = [one.name for one in threading.enumerate() if one not in threads and not one.daemon]
    assert not running, f"left running: {running}"


def _open_files() -> set[str]:
    """Regular files that this process has open, where the system tells (Linux)."""
    found = set()
    folder = "/proc/self/fd"
    for number in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            target = os.readlink(os.path.join(folder, number))
        except OSError:  # the listing's own
            continue
        if os.path.isfile(target):
            found.add(target)
    return found
