"""What ``torchbus run`` asks of every trainer of a script, over the script's head.

It travels in an environment variable, so that it reaches the processes which the script starts as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ._errors import MisconfigurationException

__all__ = ["RUN_SOURCE", "RUN_VARIABLE", "RunOptions", "read_run_options"]

RUN_VARIABLE = "TORCHBUS_RUN_OPTIONS"
RUN_SOURCE = "torchbus run"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Plugins to add and to leave out.

    Attributes:
        plugins: settings by instance name; each is enabled, whatever the script says.
        off: instance names that are switched off, whatever the script says.
    """

    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    off: tuple[str, ...] = ()

    def as_variable(self) -> str:
        """The value of ``TORCHBUS_RUN_OPTIONS`` that means this."""
        return json.dumps(asdict(self))


def read_run_options() -> RunOptions:
    """What ``torchbus run`` has handed over, if it runs this script.

    Raises:
        MisconfigurationException: the variable holds something else.
    """
    text = os.environ.get(RUN_VARIABLE)
    if not text:
        return RunOptions()
    try:
        given = json.loads(text)
        plugins = {str(name): dict(settings) for name, settings in given["plugins"].items()}
        return RunOptions(plugins, tuple(map(str, given["off"])))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise MisconfigurationException(
            f"The environment variable {RUN_VARIABLE} cannot be read: {text!r}. To fix: unset it; `torchbus run` sets it."
        ) from None
