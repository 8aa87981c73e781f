"""What happens when a plugin raises: it is named; the run ends, or goes on, in the end without the plugin."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ._errors import ENDINGS
from ._record import Plugin

__all__ = ["STRIKES", "Faults"]

STRIKES = 3
"""Failures after which a plugin of policy ``quarantine`` is unregistered."""


class Faults:
    """The failures of one bus's plugins.

    Args:
        switch_off: unregister a plugin; tell whether it was still there.
        tell: let the others know; called with the fields of ``PluginFailed``.

    Attributes:
        quarantined: plugins that were switched off for failing too often, in that order.
    """

    def __init__(self, switch_off: Callable[[Plugin], bool], tell: Callable[[str, str, Exception, bool], None]) -> None:
        self.quarantined: list[Plugin] = []
        self._switch_off = switch_off
        self._tell = tell
        self._is_telling = False

    def blamer(self, plugin: Plugin, hook: str) -> Callable[[BaseException], bool]:
        """What is called with an exception out of that plugin's implementation of the hook: whether the run goes on."""

        def blame(error: BaseException) -> bool:
            if plugin.is_user_code or isinstance(error, ENDINGS) or hasattr(error, "torchbus_plugin"):
                return False
            error.torchbus_plugin = plugin.name  # type: ignore[attr-defined]  # the innermost plugin is to blame, once
            note = f"Raised by plugin {plugin}, in its `{hook}`."
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            if not isinstance(
                error, Exception
            ):  # no failure: some use one to leave a hook's caller, and catch it further out
                return False
            plugin.last_failure = hook, error
            if plugin.policy == "raise":
                self._tell_of(plugin, hook, error, quarantined=False)
                return False
            self._tell_of(plugin, hook, error, quarantined=self._strike(plugin, hook, error))
            del error.torchbus_plugin  # type: ignore[attr-defined]  # it ends here, and may be raised again
            return True

        return blame

    def _strike(self, plugin: Plugin, hook: str, error: Exception) -> bool:
        plugin.strikes += 1
        message = f"Plugin {plugin} failed in `{hook}`: {type(error).__name__}: {str(error).rstrip('.')}."
        if plugin.strikes < STRIKES:
            warnings.warn(
                f"{message} The run goes on (failure {plugin.strikes} of {STRIKES}).", RuntimeWarning, stacklevel=4
            )
            return False
        if self._switch_off(plugin):
            self.quarantined.append(plugin)
            warnings.warn(
                f"{message} It is switched off now; the run goes on without it.", RuntimeWarning, stacklevel=4
            )
        return True

    def _tell_of(self, plugin: Plugin, hook: str, error: Exception, quarantined: bool) -> None:
        if self._is_telling:  # a plugin that fails while it is told of a failure
            return
        self._is_telling = True
        try:
            self._tell(plugin.name, hook, error, quarantined)
        finally:
            self._is_telling = False
