"""``torchbus config``: settings with their sources, and the schema of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = """
enable = ["early_stopping"]
[plugins.early_stopping]
monitor = "val_loss"
patience = 7
[plugins.best]
plugin = "timer"
duration = "1h"
"""
ONLY = {"TORCHBUS_PLUGIN_ALLOW": "torchbus-stopping"}


def test_each_setting_is_shown_with_the_source_that_wins(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text(FILE)
    done = torchbus(
        "config", "show", "--json", **ONLY, TORCHBUS_EARLY_STOPPING__PATIENCE="5", TORCHBUS_TIMER__VERBOSE="no"
    )
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["configuration"] == str(tmp_path / "torchbus.toml")
    found = {(one["instance"], one["setting"]): (one["value"], one["source"]) for one in told["settings"]}
    file = tmp_path / "torchbus.toml"
    assert found["early_stopping", "monitor"] == ("'val_loss'", f"{file}, [plugins.early_stopping]")
    assert found["early_stopping", "patience"] == ("'5'", "environment variable TORCHBUS_EARLY_STOPPING__PATIENCE")
    assert found["early_stopping", "mode"] == ("'min'", "default")
    assert found["best", "duration"] == ("'1h'", f"{file}, [plugins.best]")
    assert found["timer", "duration"][1] == "default"


def test_settings_can_be_limited_and_faults_exit_with_1(torchbus: Any, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text(FILE.replace("7", "-7"))
    done = torchbus("config", "show", "--enabled", "--changed", **ONLY)
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["early_stopping", "monitor"],
        ["early_stopping", "patience"],
    ]
    assert "`patience` is -7; it should be" in done.stdout
    assert torchbus("config", "show", "best", "--changed", **ONLY).stdout.splitlines()[1].split()[:3] == [
        "best",
        "duration",
        "'1h'",
    ]
    assert "Did you mean `timer`" in torchbus("config", "show", "timers", **ONLY).stderr


def test_the_schema_knows_names_settings_types_and_descriptions(offer: Any, torchbus: Any) -> None:
    code = """
        from dataclasses import dataclass
        from typing import Literal
        from torchbus_hookspecs import Callback
        from torchbus_hookspecs.settings import Duration

        @dataclass
        class Place:
            shelf: int = 1

        class Pause(Callback):
            "Wait."
            def __init__(self, length: Duration, stage: Literal["train", "test"] = "train", where: Place = Place()): ...
    """
    offer("torchbus-pause", "[torchbus.callbacks]\npause = torchbus_pause:Pause\n", code=code)
    done = torchbus("config", "schema", TORCHBUS_PLUGIN_ALLOW="torchbus-stopping,torchbus-pause")
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    assert schema["properties"]["enable"]["items"]["anyOf"][0]["enum"][:3] == ["early_stopping", "pause", "timer"]
    tables = schema["properties"]["plugins"]["properties"]
    assert "required" not in tables["pause"] and tables["pause"]["additionalProperties"] is False
    assert tables["pause"]["properties"]["stage"]["enum"] == ["train", "test"]
    assert {"type": "string"} in tables["pause"]["properties"]["length"]["anyOf"]
    assert "#/definitions/torchbus-pause.pause.Place" in json.dumps(tables["pause"]["properties"]["where"])
    assert "torchbus-pause.pause.Place" in schema["definitions"]
    assert tables["early_stopping"]["properties"]["patience"]["type"] == "integer"
    assert tables["early_stopping"]["properties"]["patience"]["description"]
