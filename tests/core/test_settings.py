"""Where settings come from: the script, then the environment, then the file, then the declaration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import torchbus
from pydantic import Field
from torchbus import MisconfigurationException
from torchbus._errors import PluginNotFoundError
from torchbus._settings import ConfigFile, environment_settings, gather, read_config_file
from torchbus_hookspecs import Callback

pytestmark = pytest.mark.usefixtures("no_environment")


class Theme:
    pass


class Patient(Callback):
    def __init__(
        self,
        monitor: str = "loss",
        patience: Annotated[int, Field(ge=0)] = 3,
        names: tuple[str, ...] = (),
        T_max: int = 1,  # in capitals, as schedulers have it
    ) -> None:
        self.given = (monitor, patience)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopping(folder: Path, plugins: Any = "early_stopping") -> Any:
    """The early stopping callback of a trainer."""
    trainer = torchbus.Trainer(
        plugins=plugins, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder,
    )  # fmt: skip
    return trainer.early_stopping_callback


# ---- the file ---------------------------------------------------------------------------------------------------------


def test_without_a_file_nothing_is_set(folder: Path) -> None:
    assert read_config_file() == ConfigFile(None, {}, ())


def test_torchbus_toml_holds_settings_by_plugin_name_and_what_to_enable(folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["early_stopping"]\n[plugins.early_stopping]\npatience = 7\n')
    expected = ConfigFile(folder / "torchbus.toml", {"early_stopping": {"patience": 7}}, ("early_stopping",))
    assert read_config_file() == expected


def test_the_nearest_file_upwards_is_read(folder: Path) -> None:
    (folder / "torchbus.toml").write_text("[plugins.a]\nx = 1\n")
    below = folder / "deep" / "below"
    below.mkdir(parents=True)
    assert read_config_file(below).plugins == {"a": {"x": 1}}
    (folder / "deep" / "torchbus.toml").write_text("[plugins.a]\nx = 2\n")
    assert read_config_file(below).plugins == {"a": {"x": 2}}


def test_pyproject_is_read_where_it_has_a_table_for_torchbus(folder: Path) -> None:
    (folder / "torchbus.toml").write_text("[plugins.a]\nx = 1\n")
    below = folder / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert read_config_file(below).plugins == {"a": {"x": 1}}, "a pyproject.toml of other tools is passed over"
    (below / "pyproject.toml").write_text("[tool.torchbus.plugins.a]\nx = 2\n")
    assert read_config_file(below).plugins == {"a": {"x": 2}}
    (below / "torchbus.toml").write_text("[plugins.a]\nx = 3\n")
    assert read_config_file(below).plugins == {"a": {"x": 3}}


@pytest.mark.parametrize("name", ["torchbus.toml", "pyproject.toml"])
def test_a_file_that_is_no_toml_is_refused_with_line_and_column(folder: Path, name: str) -> None:
    (folder / name).write_text("[tool.torchbus]\nenable = [\n  oops\n]\n")
    with pytest.raises(MisconfigurationException, match=rf"{name} is not valid TOML: .*\(at line 3, column 3\)"):
        read_config_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plugin.a]\nx = 1\n", r"unknown table or key `plugin`; known are `plugins` .* and `enable`"),
        ("plugins = 3\n", r"`plugins` must hold one table of settings for each plugin name"),
        ("[plugins]\na = 1\n", r"`plugins\.a` is 1; it should be a table of settings, \[plugins\.a\]\."),
        ('enable = "early_stopping"\n', r"`enable` must be a list of plugin names; it is 'early_stopping'\."),
        ("enable = [1]\n", r"`enable` must be a list of plugin names"),
    ],
)
def test_a_file_with_other_tables_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "torchbus.toml").write_text(text)
    with pytest.raises(MisconfigurationException, match=rf"torchbus\.toml: {message}"):
        read_config_file()


@pytest.mark.parametrize("text", ["tool = 3\n", "[tool]\ntorchbus = 3\n"])
def test_a_pyproject_with_a_value_in_place_of_a_table_is_refused_or_passed_over(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    if text.startswith("tool"):
        assert read_config_file().path is None
    else:
        with pytest.raises(MisconfigurationException, match=r"pyproject\.toml: .*must be a table"):
            read_config_file()


# ---- the environment --------------------------------------------------------------------------------------------------


def test_environment_variables_are_read_by_plugin_and_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_PATIENT__PATIENCE", "5")
    monkeypatch.setenv("torchbus_patient__T_MAX", "6")
    monkeypatch.setenv("TORCHBUS_PATIENT__NAMES", '["a", "b"]')
    monkeypatch.setenv("TORCHBUS_OTHER__PATIENCE", "7")
    values, no_json = environment_settings("patient", Patient)
    assert values == {"patience": "5", "T_max": "6", "names": ["a", "b"]} and not no_json


def test_names_with_other_characters_have_underscores_in_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_MY_BEST_1__PATIENCE", "5")
    assert environment_settings("my-best.1", Patient) == ({"patience": "5"}, set())


def test_a_value_that_is_no_json_is_refused_with_its_variable(
    virtual_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual_plugin("patient", Patient)
    monkeypatch.setenv("TORCHBUS_PATIENT__NAMES", "a, b")
    with pytest.raises(MisconfigurationException) as caught:
        torchbus.Trainer(plugins="patient", logger=False)
    (fault,) = caught.value.faults
    assert str(fault) == (
        "`names` is 'a, b'; it should be a valid tuple. Read from: environment variable TORCHBUS_PATIENT__NAMES (lists"
        " and tables are JSON there)."
    )


def test_an_unknown_field_in_the_environment_is_refused_with_variable_and_nearest_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__PATIENSE", "5")
    with pytest.raises(MisconfigurationException) as caught:
        stopping(folder, {"early_stopping": {"monitor": "val_loss"}})
    (fault,) = caught.value.faults
    assert fault.problem == "is not a setting of EarlyStopping. Did you mean `patience`?"
    assert fault.source == "environment variable TORCHBUS_EARLY_STOPPING__PATIENSE"


def test_variables_for_plugins_that_are_not_used_do_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_NOBODY__HOME", "5")
    assert stopping(folder, {"early_stopping": {"monitor": "val_loss"}}) is not None


def test_a_misspelt_plugin_in_the_file_is_refused(folder: Path) -> None:
    (folder / "torchbus.toml").write_text("[plugins.early_stoping]\npatience = 5\n[plugins.of_another_script]\nx = 1\n")
    with pytest.raises(PluginNotFoundError, match=r"`early_stoping`.* Did you mean `early_stopping`\?"):
        stopping(folder, None)


# ---- which source wins ------------------------------------------------------------------------------------------------


def test_the_script_beats_the_environment_and_that_the_file_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ConfigFile(Path("some.toml"), {"patient": {"monitor": "file", "patience": 1, "T_max": 2}})
    monkeypatch.setenv("TORCHBUS_PATIENT__PATIENCE", "3")
    monkeypatch.setenv("TORCHBUS_PATIENT__MONITOR", "environment")
    values, sources = gather("patient", Patient, {"monitor": "script"}, config)
    assert values == {"monitor": "script", "patience": "3", "T_max": 2}
    assert sources == {
        "monitor": "the script",
        "patience": "environment variable TORCHBUS_PATIENT__PATIENCE",
        "T_max": "some.toml, [plugins.patient]",
    }


def test_each_source_reaches_the_plugin_in_a_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request: dict[str, Any] = {"early_stopping": {"monitor": "val_loss"}}
    assert stopping(folder, request).patience == 3, "the default"
    (folder / "torchbus.toml").write_text("[plugins.early_stopping]\npatience = 4\n")
    assert stopping(folder, request).patience == 4
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__PATIENCE", "5")
    assert stopping(folder, request).patience == 5
    request["early_stopping"]["patience"] = 6
    assert stopping(folder, request).patience == 6


def test_the_file_enables_plugins_and_the_script_switches_them_off(folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["early_stopping"]\n[plugins.early_stopping]\nmonitor = "x"\n')
    assert stopping(folder, None).monitor == "x"
    assert stopping(folder, "no:early_stopping") is None


def test_what_file_and_script_both_enable_is_there_once(folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["early_stopping"]\n[plugins.early_stopping]\nmonitor = "x"\n')
    assert stopping(folder, {"early_stopping": {"monitor": "y"}}).monitor == "y"


@pytest.mark.parametrize("where", ["script", "environment", "file"])
def test_a_wrong_value_is_told_with_plugin_value_source_and_what_is_expected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    settings: dict[str, Any] = {"monitor": "val_loss"}
    if where == "script":
        settings["patience"] = "often"
        source = "the script"
    elif where == "environment":
        monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__PATIENCE", "often")
        source = "environment variable TORCHBUS_EARLY_STOPPING__PATIENCE"
    else:
        (folder / "torchbus.toml").write_text('[plugins.early_stopping]\npatience = "often"\n')
        source = f"{folder / 'torchbus.toml'}, [plugins.early_stopping]"
    with pytest.raises(MisconfigurationException) as caught:
        stopping(folder, {"early_stopping": settings})
    assert "`early_stopping` (torchbus-stopping 0.1.0): a setting is wrong." in str(caught.value)
    assert "`patience` is 'often'; it should be a valid integer" in str(caught.value)
    assert f"Read from: {source}." in str(caught.value)


def test_faults_of_all_plugins_and_sources_are_told_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_CSV__FLUSH_LOGS_EVERY_N_STEPS", "often")
    with pytest.raises(MisconfigurationException) as caught:
        torchbus.Trainer(
            plugins=[{"early_stopping": {"patience": "often", "mode": "mni"}}, "csv"], enable_progress_bar=False,
            default_root_dir=folder,
        )  # fmt: skip
    assert {fault.field for fault in caught.value.faults} == {
        "monitor", "patience", "mode", "flush_logs_every_n_steps",
    }  # fmt: skip


def test_the_policy_of_failures_is_a_setting_of_every_plugin_in_every_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def policy(settings: dict[str, Any]) -> str:
        trainer = torchbus.Trainer(
            plugins={"early_stopping": {"monitor": "x", **settings}}, logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
        )  # fmt: skip
        return trainer.bus.plugins["early_stopping"].policy

    assert policy({}) == "raise"
    assert policy({"on_failure": "quarantine"}) == "quarantine"
    (folder / "torchbus.toml").write_text('[plugins.early_stopping]\non_failure = "quarantine"\n')
    assert policy({}) == "quarantine"
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__ON_FAILURE", "raise")
    assert policy({}) == "raise"
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__ON_FAILURE", "ignore")
    with pytest.raises(
        MisconfigurationException, match=r"`on_failure` is 'ignore'; it should be 'raise' or 'quarantine'"
    ):
        policy({})


def test_settings_for_nearly_a_plugin_are_refused_with_the_nearest_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHBUS_EARLY_STOPING__PATIENCE", "5")
    with pytest.raises(
        PluginNotFoundError, match=r"`early_stoping`.*`early_stopping`.*TORCHBUS_EARLY_STOPING__PATIENCE"
    ):
        stopping(folder, {"early_stopping": {"monitor": "val_loss"}})


def test_a_variable_with_one_underscore_is_told_what_to_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING_PATIENCE", "5")
    with pytest.raises(MisconfigurationException, match=r"sets nothing.*write TORCHBUS_EARLY_STOPPING__PATIENCE\."):
        stopping(folder, {"early_stopping": {"monitor": "x"}})


def test_a_wrong_name_in_the_file_is_told_with_the_file(folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["early_stoping"]\n')
    with pytest.raises(PluginNotFoundError, match="Did you mean `early_stopping`") as caught:
        stopping(folder, None)
    assert any("torchbus.toml, `enable`" in note for note in caught.value.__notes__)
