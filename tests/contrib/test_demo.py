"""The demo as a newcomer runs it, but with its output in a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "contrib" / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    pytest.importorskip("torchbus_confusion", reason="pip install ./contrib/plugins/confusion")
    # what would make rich take a pipe for a terminal of some kind
    env = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS")}
    command = [sys.executable, str(EXAMPLES / "digits.py")]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


@pytest.mark.slow
def test_demo_gets_97_percent_of_the_test_images_right(output: str) -> None:
    found = re.search(r"^test accuracy +([\d.]+)$", output, re.MULTILINE)
    assert found
    assert float(found[1]) >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "distribution"),
    [
        ("early_stopping", "torchbus-stopping"),
        ("model_checkpoint", "torchbus-checkpointing"),
        ("rich_progress_bar", "torchbus-progress"),
        ("tensorboard", "torchbus-tensorboard"),
        ("confusion", "torchbus-confusion"),
    ],
)
def test_demo_lists_its_plugins_with_distribution_and_version(output: str, plugin: str, distribution: str) -> None:
    assert re.search(rf"^ *{plugin} +{distribution} \d+\.\d+\.\d+ *$", output, re.MULTILINE)


@pytest.mark.slow
def test_demo_shows_progress_and_the_confusion_matrix_as_plain_lines(output: str) -> None:
    assert re.search(r"^epoch \d+/20 .*val_acc 0\.\d+$", output, re.MULTILINE)
    assert "rows: true class, columns: predicted" in output
    assert not [letter for letter in output if ord(letter) < 32 and letter != "\n"]


@pytest.mark.slow
def test_demo_names_the_best_checkpoint_and_the_folder_of_the_curves(output: str, folder: Path) -> None:
    checkpoint = re.search(r"^best checkpoint +(.+)$", output, re.MULTILINE)
    assert checkpoint
    assert (folder / checkpoint[1]).is_file()
    curves = re.search(r"^curves +(\S+) --logdir (\S+)$", output, re.MULTILINE)
    assert curves
    assert list((folder / curves[2]).rglob("events.out.tfevents.*"))
