"""``torchbus plugins why``: each level, and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCRIPT = """
import sys
import torchbus as L
from torchbus.callbacks import Timer
trainer = L.Trainer(callbacks=[Timer()], plugins=["no:early_stopping"], enable_checkpointing=False, logger=False)
open("went_on", "w").close()
"""


def told(torchbus: Any, *arguments: str, **variables: str) -> tuple[bool, dict[str, str]]:
    done = torchbus("plugins", "why", *arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["enabled"], {one["level"]: one["says"] for one in found["levels"] if one["says"]}


def test_each_level_is_told_and_the_verdict_is_that_of_a_run(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text('enable = ["early_stopping", "no:slow_plugins"]')
    assert told(torchbus, "early_stopping") == (True, {"file": "on"})
    assert told(torchbus, "slow_plugins") == (False, {"file": "off", "default": "on"})
    assert told(torchbus, "model_checkpoint") == (True, {"default": "on"})
    assert told(torchbus, "timer") == (False, {})
    found = told(torchbus, "early_stopping", TORCHBUS_PLUGIN_ALLOW="torchbus-csv")
    assert found == (False, {"environment": "off", "file": "on"})


def test_a_script_is_asked_and_ends_at_its_first_trainer(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text('enable = ["early_stopping"]')
    (tmp_path / "train.py").write_text(SCRIPT)
    assert told(torchbus, "timer", "train.py") == (True, {"script": "on"})
    assert told(torchbus, "early_stopping", "train.py") == (False, {"script": "off", "file": "on"})
    assert told(torchbus, "model_checkpoint", "train.py") == (False, {"script": "off", "default": "on"})
    assert not (tmp_path / "went_on").exists()


def test_what_cannot_be_told_is_one_message(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("raise SystemExit('nothing here')")
    for arguments, message in (("timer", "empty.py"), "nothing here"), (("timr",), "Did you mean `timer`"):
        done = torchbus("plugins", "why", *arguments)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_the_shell_can_complete(torchbus: Any) -> None:
    assert "--install-completion" in torchbus("--help").stdout
