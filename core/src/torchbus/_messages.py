"""What the package says of a run through ``logging`` is seen, also in a script that sets no logging up."""

from __future__ import annotations

import logging
import sys

__all__ = ["show_messages"]


class _UnlessConfigured(logging.Handler):
    """Writes plain lines to stderr while the root logger has no handler, so that nothing is written twice."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            # sys.stderr of this moment: a live bar puts itself there, and shows lines above it
            print(self.format(record), file=sys.stderr)  # noqa: T201  # it is what this handler is for


def show_messages() -> None:
    """Show what loggers below ``torchbus`` say, from ``INFO`` on, unless the script has chosen a level."""
    logger = logging.getLogger("torchbus")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _UnlessConfigured) for handler in logger.handlers):
        logger.addHandler(_UnlessConfigured())
