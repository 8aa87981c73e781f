"""What the tests of the ground floor share."""

from __future__ import annotations

import pytest
from torchbus import Bus


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def calls() -> list[str]:
    """Where plugins write down that they were called."""
    return []
