"""Checkpoint files: written so that nothing can leave half of one, read so that nothing damaged gets in."""

from __future__ import annotations

import io
import os
import pickle
import re
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from ._errors import CheckpointError, MisconfigurationException

__all__ = ["check_loadable", "load_checkpoint", "loadable_items", "save_checkpoint", "sweep_leftovers"]

TEMPORARY = ".torchbus-"


def save_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint so that ``path`` is the old file or the new one, whole, whatever happens meanwhile.

    It is written beside its target, flushed to the disk, renamed, and the folder is flushed too.

    Raises:
        CheckpointError: it cannot be written; the old file is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(path.parent)
        descriptor, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{os.getpid()}-", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its own writer
        raise CheckpointError(
            f"The checkpoint {path} could not be written: {error}. What was there before is untouched."
            " To fix: check free space and permissions of that folder."
        ) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and renames are durable
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_leftovers(folder: Path) -> list[Path]:
    """Remove temporary files of processes that no longer live; return what was removed."""
    removed = []
    for path in folder.glob(f"{TEMPORARY}*.tmp"):
        writer = path.name.removeprefix(TEMPORARY).partition("-")[0]
        if writer.isdigit() and not _is_alive(int(writer)):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def load_checkpoint(
    path: str | Path | IO[bytes], map_location: Any = "cpu", weights_only: bool | None = None
) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: the file: its path, its address (``https://...``, whatever fsspec reads), or itself, open for reading bytes.
        map_location: where tensors go, as for ``torch.load``.
        weights_only: whether only plain values may be unpickled; default: yes. With ``False`` a file can run any code.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, holds more than plain values, or is no checkpoint.
    """
    source = _located(path)
    is_archive = _check_archive(source, path)
    if not isinstance(source, Path):
        source.seek(0)
    try:
        loaded = torch.load(source, map_location=map_location, weights_only=weights_only is not False)
    except pickle.UnpicklingError as error:
        if weights_only is not False and is_archive:
            raise CheckpointError(
                f"The checkpoint {path} holds more than plain values: {_first_line(error)} If you trust where it comes from,"
                " pass weights_only=False."
            ) from error
        raise CheckpointError(f"{path} is damaged, or no checkpoint: torch.save did not write it so.") from error
    except Exception as error:  # so may a damaged pickle
        if weights_only is False and isinstance(error, ImportError | AttributeError):
            raise  # it is whole, and holds something whose class is not there
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {_first_line(error)}") from error
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise CheckpointError(f"{path} is no checkpoint: it holds no `state_dict`.")
    return loaded


def _located(path: str | Path | IO[bytes]) -> Path | IO[bytes]:
    """Where to read a checkpoint from: a file that is there, or one that is open."""
    if not isinstance(path, str | os.PathLike):
        return path
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", str(path)):
        import fsspec  # type: ignore[import-untyped,unused-ignore]  # torch brings it; only addresses need it

        with fsspec.open(str(path), "rb") as file:
            return io.BytesIO(file.read())
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Checkpoint file not found: {path}.{_neighbours(path)}")
    return path


def _check_archive(source: Path | IO[bytes], path: Any) -> bool:
    """Whether a file is a zip archive, as torch writes them since version 1.6. One that is damaged raises."""
    try:
        if not zipfile.is_zipfile(source):
            return False
        with zipfile.ZipFile(source) as archive:
            broken = archive.testzip()
    except Exception as error:  # a damaged archive may name methods, sizes and texts that are none
        raise CheckpointError(f"The checkpoint {path} is damaged: {error}. Use another one.") from error
    if broken:
        raise CheckpointError(f"The checkpoint {path} is damaged: {broken} in it fails its checksum. Use another one.")
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder {folder} either."
    names = sorted(one.name for one in folder.glob(f"*{path.suffix}"))
    return f" The folder has: {', '.join(names[:5])}." if names else ""


# ---- what may be saved --------------------------------------------------------------------------------------------------

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.Size, torch.dtype, torch.device)


def check_loadable(value: Any, where: str) -> Any:
    """A value that ``torch.load(weights_only=True)`` will read: the same one, with paths as text and mappings as ``dict``.

    Classes registered with ``torch.serialization.add_safe_globals`` are let through.

    Raises:
        MisconfigurationException: something in it cannot be read back so; the message names it.
    """
    kind = type(value)
    if isinstance(value, _PLAIN) and (kind in _PLAIN or isinstance(value, torch.Tensor)):
        return value
    if isinstance(value, OrderedDict):
        # a module's state keeps its metadata as an attribute
        return value
    if isinstance(value, Mapping):
        return {check_loadable(key, where): check_loadable(item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind in (list, tuple, set):
        return kind(check_loadable(item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind in torch.serialization.get_safe_globals():
        return value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy scalar
        return value.item()
    for plain in (bool, int, float, str):
        if isinstance(value, plain):  # a subclass, such as an enum's member
            return plain(value.value) if hasattr(value, "value") else plain(value)
    raise MisconfigurationException(
        f"{where} is a {kind.__module__}.{kind.__qualname__}, which no checkpoint may hold: loading it could run any code."
        " To fix: leave it out (save_hyperparameters(ignore=[...]), or the plugin's state_dict), turn it into plain values,"
        f" or allow it with torch.serialization.add_safe_globals([{kind.__qualname__}])."
    )


def loadable_items(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Those values of a mapping that a checkpoint may hold, and the names of the others."""
    kept, left_out = {}, []
    for name, value in values.items():
        try:
            kept[name] = check_loadable(value, name)
        except MisconfigurationException:
            left_out.append(name)
    return kept, left_out
