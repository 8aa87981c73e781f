"""The commands of `docs/cli.md` print what it says, and it has all of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```console\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ torchbus (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    return [
        (one["command"], one["output"]) for block in BLOCK.finditer(PAGE) for one in COMMAND.finditer(block["code"])
    ]


@pytest.mark.parametrize(("command", "output"), commands(), ids=[command for command, _ in commands()])
def test_examples_print_what_the_page_says(command: str, output: str, tmp_path: Path) -> None:
    for name, code in re.findall(r"^```\w+\n# ([\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "torchbus._cli", *shlex.split(command)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    printed = _narrow(done.stdout.replace(str(tmp_path.resolve()), "/home/you/project"))
    # a line of dots in the page stands for any lines
    pattern = re.escape(_narrow(output)).replace(re.escape("...\n"), "(?:.*\n)*")
    assert re.fullmatch(pattern, printed), printed + done.stderr


def _narrow(text: str) -> str:
    """The width of a column is that of its widest cell, which here may be a path."""
    return re.sub("  +", "  ", re.sub(" +$", "", text, flags=re.MULTILINE))


def test_every_command_is_on_the_page() -> None:
    script = """
import json, typer
from torchbus._cli.app import app

def walk(command, path):
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, [*path, name])
    if not hasattr(command, "commands"):
        yield " ".join(path)

print(json.dumps(list(walk(typer.main.get_command(app), ["torchbus"]))))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [name for name in json.loads(done.stdout) if f"| `{name}" not in PAGE] == []
