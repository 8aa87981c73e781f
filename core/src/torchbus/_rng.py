"""Random generators: seed them, take their state, put it back."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from ._errors import MisconfigurationException

__all__ = ["capture_rng", "isolate_rng", "restore_rng", "seed_everything", "set_determinism"]

SEED_VARIABLE = "PL_GLOBAL_SEED"
WORKERS_VARIABLE = "PL_SEED_WORKERS"
MAX_SEED = 2**32 - 1


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python's, NumPy's and torch's generators, on every device.

    Args:
        seed: from 0 to 2**32 - 1; default: the environment variable ``PL_GLOBAL_SEED``, else 0.
        workers: also give each worker of a ``DataLoader`` its own seed, derived from this one and the rank.
        verbose: print the seed, on rank zero.

    Returns:
        The seed.

    Raises:
        MisconfigurationException: the seed is no whole number in that range.
    """
    given: Any = os.environ.get(SEED_VARIABLE, 0) if seed is None else seed
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise MisconfigurationException(f"seed_everything: the seed {given!r} is not a whole number.") from None
    if not 0 <= number <= MAX_SEED:
        raise MisconfigurationException(f"seed_everything: the seed is {number}; it must be from 0 to {MAX_SEED}.")
    if verbose and os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"Seed set to {number}", file=sys.stderr)  # noqa: T201  # what the user asked for
    os.environ[SEED_VARIABLE] = str(number)
    os.environ[WORKERS_VARIABLE] = str(int(workers))
    random.seed(number)
    if "numpy" in sys.modules:  # not ours to import, but to seed where it is in use
        sys.modules["numpy"].random.seed(number)
    torch.manual_seed(number)
    return number


def capture_rng() -> dict[str, Any]:
    """The state of all generators, as values that ``torch.load(weights_only=True)`` reads."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if "numpy" in sys.modules:
        kind, keys, position, has_gauss, gauss = sys.modules["numpy"].random.get_state()
        state["numpy"] = (kind, keys.tolist(), int(position), int(has_gauss), float(gauss))
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_rng(state: dict[str, Any]) -> None:
    """Put back what ``capture_rng`` took."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "numpy" in state and "numpy" in sys.modules:
        numpy = sys.modules["numpy"]
        kind, keys, *rest = state["numpy"]
        numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def isolate_rng() -> Iterator[None]:
    """Whatever is drawn inside leaves no trace outside."""
    state = capture_rng()
    try:
        yield
    finally:
        restore_rng(state)


def set_determinism(deterministic: bool | Literal["warn"] | None, benchmark: bool | None) -> None:
    """Choose torch's algorithms: only deterministic ones, and whether cuDNN times them first; ``None`` changes nothing."""
    if deterministic is not None:
        torch.use_deterministic_algorithms(bool(deterministic), warn_only=deterministic == "warn")
        if deterministic:
            # without it cuBLAS refuses; see docs.nvidia.com/cuda/cublas, "Results reproducibility"
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if benchmark is not None:
        torch.backends.cudnn.benchmark = benchmark
