"""Hundreds of malformed configuration files: each is refused before the first step, in words that name what is wrong."""

from __future__ import annotations

import functools
import traceback
from pathlib import Path
from typing import Any

import pytest
import torchbus as L
from torchbus import TorchbusError, _plugins
from torchbus._discovery import discover
from torchbus._run_options import RUN_SOURCE, RUN_VARIABLE, RunOptions
from torchbus._settings import setting_variable

from .malformed import Malformed, malformed_files, wrong_settings

pytestmark = pytest.mark.usefixtures("no_environment", "folder")

installed = functools.cache(discover)
"""What is installed, read once: nothing changes between hundreds of trainers."""

FILES = {one.name: one for one in malformed_files()}
AS_TEXT = {
    one.name: one
    for one in wrong_settings()
    if one.field and "." not in one.field and (one.value == "often" or one.name.endswith((": unknown", ": policy")))
}
"""Settings that are as wrong when they come from the environment or a command, where everything is text."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_plugins, "discover", installed)
    return tmp_path


def refusal(plugins: Any = None) -> TorchbusError:
    """What a trainer says before anything of a run exists."""
    with pytest.raises(TorchbusError) as caught:
        L.Trainer(
            plugins=plugins, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
    told = "".join(traceback.format_exception(caught.value))
    assert "pydantic" not in told and "ValidationError" not in told, told
    return caught.value


def assert_names(error: TorchbusError, wrong: Malformed, source: str) -> None:
    """The message and the fault name the plugin, the field, the value and where it was read."""
    message = "\n".join([str(error), *getattr(error, "__notes__", ())])
    for part in wrong.says:
        assert part in message
    if wrong.field:
        assert f"`{wrong.plugin}` (torchbus-" in message and f"`{wrong.field}` " in message
        (fault,) = [one for one in error.faults if one.field == wrong.field]  # type: ignore[attr-defined]  # of settings
        assert source in fault.source and source in message


def test_there_are_more_than_two_hundred_of_them() -> None:
    assert len(FILES) == len(malformed_files()) > 200
    assert [one.text for one in malformed_files()] == [one.text for one in FILES.values()], "the same each time"


@pytest.mark.parametrize("name", FILES)
def test_a_malformed_file_is_refused_before_the_run(name: str, folder: Path) -> None:
    wrong, file = FILES[name], folder / "torchbus.toml"
    file.write_text(wrong.text)
    error = refusal()
    assert_names(error, wrong, f"{file}, [plugins.{wrong.plugin}]")
    if "is required" not in str(error):
        assert str(file) in "\n".join([str(error), *getattr(error, "__notes__", ())])


@pytest.mark.parametrize("name", AS_TEXT)
def test_so_is_a_wrong_variable_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = AS_TEXT[name]
    variable = setting_variable(wrong.plugin, wrong.field)
    monkeypatch.setenv(variable, str(wrong.value))
    assert_names(refusal(wrong.plugin), wrong, f"environment variable {variable}")


@pytest.mark.parametrize("name", AS_TEXT)
def test_so_is_what_torchbus_run_was_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = AS_TEXT[name]
    monkeypatch.setenv(RUN_VARIABLE, RunOptions({wrong.plugin: {wrong.field: str(wrong.value)}}).as_variable())
    assert_names(refusal(), wrong, RUN_SOURCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("timer.verbose=often", "`verbose` is 'often'; it should be a valid boolean. Read from: torchbus run."),
        ("timer.verbos=1", "`verbos` is not a setting of Timer. Did you mean `verbose`? Read from: torchbus run."),
        ("timr", "offers a plugin `timr`. Did you mean `timer`?"),
    ],
)
def test_the_command_ends_with_the_message_and_without_pydantics(
    torchbus: Any, folder: Path, option: str, message: str
) -> None:
    (folder / "train.py").write_text("import torchbus\ntorchbus.Trainer(logger=False)\nprint('a run')\n")
    done = torchbus("run", "--plugin", option, "train.py")
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr and "pydantic" not in done.stderr
