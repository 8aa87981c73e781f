"""Examine plugins in child processes: one that hangs, or ends its process, must not take the command with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from .._discovery import Offer

__all__ = ["TIMEOUT_S", "Found", "examine_all"]

TIMEOUT_S = 30.0
"""Seconds that the plugins of one distribution may take to be imported and looked at."""

Found = dict[str, Any]
"""An ``Examination`` as a dictionary: it comes from another process."""


def examine_all(offers: Sequence[Offer], timeout_s: float = TIMEOUT_S) -> list[tuple[Offer, Found]]:
    """Examine plugins, those of each distribution in a process of their own, a few processes at a time."""
    ordered = sorted(offers, key=lambda offer: offer.distribution)
    groups = [list(group) for _, group in groupby(ordered, lambda offer: offer.distribution)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = {
            offer: one
            for pairs in pool.map(lambda group: _examine_group(group, timeout_s), groups)
            for offer, one in pairs
        }
    return [(offer, found[offer]) for offer in offers]


def _examine_group(offers: list[Offer], timeout_s: float) -> list[tuple[Offer, Found]]:
    """Where the process ends half-way, go on behind the plugin that ended it."""
    found = [(offer, _fault(offer.fault)) for offer in offers if offer.fault]
    left = [offer for offer in offers if not offer.fault]
    while left:
        done, ending = _run_child(left, timeout_s)
        found += zip(left, done, strict=False)
        left = left[len(done) :]
        if left:
            module = _module(left[0])
            guilty = [offer for offer in left if _module(offer) == module]  # the same module would end it again
            found += [(offer, _fault(f"Importing {module} {ending}")) for offer in guilty]
            left = [offer for offer in left if offer not in guilty]
    return found


def _run_child(offers: list[Offer], timeout_s: float) -> tuple[list[Found], str]:
    """What was found about the first plugins, in order, and how the process ended where that is not all of them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        path = [os.path.abspath(one) for one in sys.path]
        given = [json.dumps([asdict(offer) for offer in offers]), str(report), json.dumps(path)]
        with open(Path(folder) / "stderr", "w+", encoding="utf-8", errors="replace") as stderr:
            child = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "torchbus._cli.examination", *given],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
            try:
                code: int | None = child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
            _end(child)
            stderr.seek(0)
            last = (stderr.read().strip().splitlines() or [""])[-1]
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    done = [one["found"] for one in _whole(lines) if "found" in one]
    if code is None:
        return done, f"did not end within {timeout_s:g} s."
    return done, f"ended the process with exit code {code}" + (f": {last}" if last else ".")


def _whole(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # the process ended while it wrote
            return


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what its plugins have started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    else:
        child.kill()
    child.wait()


def _module(offer: Offer) -> str:
    return offer.target.partition(":")[0]


def _fault(text: str) -> Found:
    return {"faults": [text], "remarks": [], "facts": None, "values": []}
