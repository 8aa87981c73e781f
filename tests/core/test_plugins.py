"""Every way to ask a trainer for a plugin, and what is said when it cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torchbus
from torchbus import Callback, MisconfigurationException, hookimpl
from torchbus._errors import PluginConflictError, PluginLoadError, PluginNotFoundError, PluginValidationError
from torchbus._plugins import instance_name
from torchbus_hookspecs.events import TrainStart

pytestmark = pytest.mark.usefixtures("no_environment", "folder")

CALLBACK = """
from torchbus_hookspecs import Callback

class Mine(Callback):
    def __init__(self, count: int = 1):
        self.count = count
"""
HOOKS = """
from torchbus_hookspecs import hookimpl

calls = []

@hookimpl
def on_train_start(trainer):
    calls.append(trainer)
"""
RAISES = "raise RuntimeError('imported')"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that no configuration file is read."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def trainer(plugins: Any, **more: Any) -> torchbus.Trainer:
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return torchbus.Trainer(plugins=plugins, **{"logger": False, "default_root_dir": Path.cwd(), **quiet, **more})


def enabled(plugins: Any, **more: Any) -> dict[str, Any]:
    """The registered objects by instance name, in calling order, but for torchbus's own defaults and observers."""
    registered = trainer(plugins, **more).bus.plugins
    return {name: one.object for name, one in registered.items() if name not in ("torchbus", "slow_plugins")}


def refused(plugins: Any, **more: Any) -> MisconfigurationException:
    with pytest.raises(MisconfigurationException) as caught:
        trainer(plugins, **more)
    return caught.value


@pytest.fixture
def mine(install) -> Path:
    """A distribution with the callback ``mine`` and the hooks ``my_hooks``."""
    points = {"torchbus.callbacks": {"mine": "mine_dist:Mine"}, "torchbus.plugins": {"my_hooks": "mine_hooks"}}
    return install("mine-dist", "1.2", entry_points=points, modules={"mine_dist.py": CALLBACK, "mine_hooks.py": HOOKS})


# ---- forms ------------------------------------------------------------------------------------------------------------


def test_nothing_is_enabled_when_nothing_is_asked_for(mine) -> None:
    assert enabled(None) == {}
    assert enabled([]) == {}
    assert "mine_dist" not in sys.modules


def test_a_name_enables_an_installed_plugin(mine) -> None:
    found = enabled("mine")
    assert list(found) == ["mine"]
    assert type(found["mine"]).__module__ == "mine_dist"
    assert found["mine"].count == 1


def test_names_and_settings_may_be_mixed_in_a_list(mine) -> None:
    found = enabled([{"mine": {"count": 3}}, "my_hooks"])
    assert list(found) == ["mine", "my_hooks"]
    assert found["mine"].count == 3
    assert isinstance(found["my_hooks"], ModuleType)


@pytest.mark.parametrize("settings", [{}, None, True])
def test_a_name_with_empty_settings_enables_it_with_defaults(mine, settings: Any) -> None:
    assert enabled({"mine": settings})["mine"].count == 1


def test_instance_names_give_one_plugin_twice(mine) -> None:
    found = enabled({"best": {"plugin": "mine", "count": 2}, "hourly": {"plugin": "mine-dist:mine", "count": 3}})
    assert {name: one.count for name, one in found.items()} == {"best": 2, "hourly": 3}


def test_a_chosen_instance_name_is_marked_as_chosen(mine) -> None:
    plugins = trainer([{"best": {"plugin": "mine"}}, "mine"]).bus.plugins
    assert plugins["best"].is_named
    assert not plugins["mine"].is_named
    assert plugins["best"].origin == plugins["mine"].origin == "mine-dist 1.2"


def test_the_file_may_say_what_an_instance_name_means(mine, folder: Path) -> None:
    (folder / "torchbus.toml").write_text('enable = ["best"]\n[plugins.best]\nplugin = "mine"\ncount = 5\n')
    assert enabled(None)["best"].count == 5


def test_instances_are_taken_as_they_are() -> None:
    class EarlyBird(Callback):
        pass

    one, other, named = EarlyBird(), EarlyBird(), EarlyBird()
    found = enabled([one, other, {"chosen": named}])
    assert found == {"early_bird": one, "early_bird_2": other, "chosen": named}


def test_objects_with_hookimpls_are_plugins() -> None:
    calls: list[Any] = []
    plugin = SimpleNamespace(on_train_start=hookimpl(lambda trainer: calls.append(trainer)))
    made = trainer(plugin)
    made.bus.emitter(TrainStart)(made, None)
    assert calls == [made]


def test_modules_are_plugins(mine) -> None:
    import mine_hooks

    made = trainer(mine_hooks)
    made.bus.emitter(TrainStart)(made, None)
    assert mine_hooks.calls == [made]
    assert list(enabled([mine_hooks])) == ["mine_hooks"]


def test_a_module_can_be_named_without_being_imported(install) -> None:
    install("x", modules={"my_package/__init__.py": "", "my_package/hooks.py": HOOKS})
    found = enabled("my_package.hooks")
    assert list(found) == ["hooks"]
    assert found["hooks"] is sys.modules["my_package.hooks"]


def test_module_and_attribute_name_a_class_an_instance_or_a_factory(install) -> None:
    source = CALLBACK + "made = Mine(7)\ndef make(count: int = 8) -> Mine:\n    return Mine(count)\n"
    install("x", modules={"my_package/__init__.py": "", "my_package/mod.py": source})
    assert enabled("my_package.mod:Mine")["mine"].count == 1
    assert enabled({"my_package.mod:Mine": {"count": "2"}})["mine"].count == 2
    assert enabled("my_package.mod:made")["mine"].count == 7
    assert enabled({"a": {"plugin": "my_package.mod:make", "count": 9}})["a"].count == 9


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_a_plugin(folder: Path, kind: Any) -> None:
    (folder / "my_hooks.py").write_text(HOOKS)
    made = trainer(kind("my_hooks.py"))
    made.bus.emitter(TrainStart)(made, None)
    assert made.bus.plugins["my_hooks"].object.calls == [made]
    assert "my_hooks" not in sys.modules, "it hides no module of that name"


def test_a_file_may_hold_dataclasses_as_any_module(folder: Path) -> None:
    lines = ["from __future__ import annotations", "import dataclasses", HOOKS, "@dataclasses.dataclass", "class Seen:"]
    (folder / "my_hooks.py").write_text("\n".join([*lines, "    count: int = 0", ""]))
    assert enabled("my_hooks.py")["my_hooks"].Seen(3).count == 3


def test_two_files_of_one_name_can_be_told_apart(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "hooks.py").write_text(HOOKS + f"here = {name!r}\n")
    found = enabled({"first": {"plugin": "a/hooks.py"}, "second": {"plugin": "b/hooks.py"}})
    assert {name: one.here for name, one in found.items()} == {"first": "a", "second": "b"}
    assert len({one.__name__ for one in found.values()}) == 2


def test_callbacks_and_logger_take_the_same_forms(mine, folder: Path) -> None:
    made = trainer(None, callbacks=["mine", Callback()], logger={"csv": {"name": "chosen"}})
    assert [type(one).__name__ for one in made.callbacks] == ["Mine", "Callback"]
    assert made.logger.name == "chosen"


def test_a_logger_gets_the_trainers_folder_where_nobody_names_one(folder: Path) -> None:
    assert trainer(None, logger="csv", default_root_dir=folder / "deep").logger.save_dir == str(folder / "deep")


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (ModuleType("a.b.my_hooks"), "my_hooks"),
        (type("EarlyStopping", (), {})(), "early_stopping"),
        (type("CSVLogger", (), {})(), "csv_logger"),
        (type("Top5Accuracy", (), {}), "top5_accuracy"),
    ],
)
def test_default_instance_names_are_those_of_entry_points(plugin: Any, name: str) -> None:
    assert instance_name(plugin) == name


# ---- switching off ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", ["no:mine", {"mine": False}])
def test_what_is_switched_off_is_not_imported(install, off: Any) -> None:
    points = {"torchbus.callbacks": {"mine": "it_raises:Mine"}}
    install("mine-dist", entry_points=points, modules={"it_raises.py": RAISES})
    assert enabled(["mine", off]) == {}
    assert enabled([off, {"mine": {"count": 3}}]) == {}
    assert enabled([off, "mine-dist:mine"]) == {}
    assert enabled([off], callbacks="mine") == {}
    assert "it_raises" not in sys.modules


def test_what_the_file_enables_can_be_switched_off(install, folder: Path) -> None:
    install(
        "mine-dist", entry_points={"torchbus.callbacks": {"mine": "it_raises:Mine"}}, modules={"it_raises.py": RAISES}
    )
    (folder / "torchbus.toml").write_text('enable = ["mine"]\n')
    assert enabled("no:mine") == {}
    (folder / "torchbus.toml").write_text('enable = ["mine", "no:mine"]\n')
    assert enabled(None) == {}


def test_defaults_can_be_switched_off() -> None:
    on = trainer(None, enable_checkpointing=None)
    assert on.checkpoint_callback is not None
    assert trainer("no:model_checkpoint", enable_checkpointing=None).checkpoint_callback is None


def test_switching_off_a_misspelt_name_is_refused() -> None:
    assert isinstance(error := refused("no:early_stoping"), PluginNotFoundError)
    assert "`no:early_stoping` switches nothing off. Did you mean `early_stopping`?" in str(error)


def test_switching_off_what_is_not_installed_does_no_harm() -> None:
    assert enabled(["no:somebody_elses_plugin"]) == {}


def test_an_instance_name_may_be_switched_off_though_it_resembles_another(mine) -> None:
    assert enabled([{"mine2": {"plugin": "mine"}}, "no:mine2"]) == {}


# ---- what merely is installed -----------------------------------------------------------------------------------------


def test_a_plugin_that_is_installed_and_not_asked_for_touches_nothing(install) -> None:
    groups = ("callbacks", "loggers", "profilers", "plugins")
    points = {f"torchbus.{group}": {f"mine_{group}": "it_raises:Mine"} for group in groups}
    install("mine-dist", entry_points=points, modules={"it_raises.py": RAISES})
    trainer(None, logger=None, enable_checkpointing=None, enable_model_summary=None)
    assert "it_raises" not in sys.modules


def test_a_strangers_plugin_with_the_name_of_a_default_does_not_stop_anybody(install) -> None:
    points = {"torchbus.callbacks": {"model_checkpoint": "it_raises:Mine"}}
    install("mine-dist", entry_points=points, modules={"it_raises.py": RAISES})
    assert type(trainer(None, enable_checkpointing=None).checkpoint_callback).__name__ == "ModelCheckpoint"
    assert isinstance(refused("model_checkpoint"), PluginConflictError)


def test_a_default_that_is_not_allowed_is_left_out_and_told_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "torchbus-cpu")
    assert trainer(None, enable_checkpointing=None, accelerator="cpu").checkpoint_callback is None
    error = refused(None, enable_checkpointing=True, accelerator="cpu")
    assert "torchbus-checkpointing is not among the distributions that TORCHBUS_PLUGIN_ALLOW allows" in str(error)


def test_a_broken_plugin_does_not_stop_the_others(mine, install) -> None:
    install("bad-dist", entry_points={"torchbus.callbacks": {"bad": "it_raises:Bad"}}, modules={"it_raises.py": RAISES})
    assert list(enabled("mine")) == ["mine"]


# ---- what is refused --------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_told_with_the_nearest_names() -> None:
    error = refused("early_stoping")
    assert isinstance(error, PluginNotFoundError)
    assert "`early_stoping`. Did you mean `early_stopping`?" in str(error)
    assert "`torchbus plugins list` shows what is installed" in str(error)


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("csv", "torchbus-csv"), ("tensorboard", "torchbus-tensorboard"), ("cpu", "torchbus-cpu")],
)
def test_a_standard_plugin_that_is_missing_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, distribution: str
) -> None:
    """Also where Python has a module of that name, such as ``csv``."""
    from torchbus import _plugins

    installed = [offer for offer in _plugins.discover() if offer.distribution != distribution]
    enabler = _plugins.Enabler(str(Path.cwd()))
    monkeypatch.setattr(enabler, "_offers", installed)
    with pytest.raises(PluginNotFoundError, match=f"It comes with {distribution}: pip install {distribution}"):
        enabler.enable(name)


@pytest.mark.parametrize("request_", ["mine", {"x": {"plugin": "it_raises:Mine"}}, "it_raises"])
def test_a_plugin_that_cannot_be_imported_is_an_error_with_its_cause(install, request_: Any) -> None:
    points = {"torchbus.callbacks": {"mine": "it_raises:Mine"}}
    install("mine-dist", "1.2", entry_points=points, modules={"it_raises.py": RAISES})
    error = refused(request_)
    assert isinstance(error, PluginLoadError)
    assert "RuntimeError: imported" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    if request_ == "mine":
        assert "`mine` (mine-dist 1.2) cannot be imported from it_raises:Mine" in str(error)


def test_a_module_whose_own_import_is_missing_is_an_import_failure_and_not_unknown(install) -> None:
    install("x", modules={"needy.py": "import need"})
    error = refused("needy")
    assert isinstance(error, PluginLoadError)
    assert "`needy` cannot be imported: ModuleNotFoundError: No module named 'need'" in str(error)


@pytest.mark.parametrize("name", ["no_such_package.mod:attribute", "no_such_package", "json.no_such_module:x"])
def test_a_module_that_is_not_there_is_an_unknown_name(name: str) -> None:
    assert isinstance(refused(name), PluginNotFoundError)


def test_an_attribute_that_is_not_there_is_an_import_failure(mine) -> None:
    error = refused("mine_hooks:absent")
    assert isinstance(error, PluginLoadError)
    assert "has no attribute 'absent'" in str(error)


def test_a_file_that_is_not_there_is_told_with_the_folder(folder: Path) -> None:
    error = refused("absent.py")
    assert isinstance(error, PluginNotFoundError)
    assert str(error) == f"There is no plugin file absent.py (looked in {folder})."


def test_a_file_that_fails_is_told_and_leaves_no_module_behind(folder: Path) -> None:
    (folder / "bad.py").write_text(RAISES)
    error = refused("bad.py")
    assert isinstance(error, PluginLoadError)
    assert "`bad.py` cannot be imported: RuntimeError: imported" in str(error)
    assert not [name for name in sys.modules if name.endswith(".bad")]


@pytest.mark.parametrize("wrong", [42, object(), SimpleNamespace(on_train_start=print), {"x": 42}, "json"])
def test_what_implements_no_hook_is_refused(wrong: Any) -> None:
    error = refused(wrong)
    assert isinstance(error, PluginValidationError)
    assert "nothing in it implements a hook. To fix: mark its hook functions with `@hookimpl`" in str(error)


def test_a_function_of_a_module_that_lacks_its_mark_is_refused(folder: Path) -> None:
    (folder / "half.py").write_text(
        "from torchbus_hookspecs import hookimpl\n\n@hookimpl\ndef on_fit_start(): ...\n\ndef on_fit_end(): ...\n"
    )
    error = refused("half.py")
    assert isinstance(error, PluginValidationError)
    assert "`on_fit_end` would never be called, since it is not marked. To fix: write `@hookimpl` above it" in str(
        error
    )


def test_a_name_that_is_no_string_is_refused() -> None:
    assert "plugins={42: ...}: plugin names are strings." in str(refused({42: {}}))


def test_a_class_in_place_of_an_instance_is_refused() -> None:
    assert str(refused(Callback)).startswith("Callback is a class. To fix: pass an instance, Callback(...)")


def test_an_entry_point_to_something_of_another_kind_is_refused_with_its_authors(install) -> None:
    points = {"torchbus.callbacks": {"number": "wrong_kind:NUMBER", "cls": "wrong_kind:Class"}}
    install("mine-dist", "1.2", entry_points=points, modules={"wrong_kind.py": "NUMBER = 42\nclass Class: ...\n"})
    for name in ("number", "cls"):
        error = refused(name)
        assert isinstance(error, PluginLoadError)
        assert f"Plugin `{name}` (mine-dist 1.2) points to " in str(error)
        assert (
            "its kind `callbacks` needs a class derived from Callback. To fix: tell the authors of mine-dist."
            in str(error)
        )


def test_something_that_is_no_logger_is_refused_as_logger(mine) -> None:
    assert "Trainer(logger=" in str(refused(None, logger=Callback()))
    assert "no logger" in str(refused(None, logger=Callback()))
    assert isinstance(refused(None, logger="mine"), PluginNotFoundError)


def test_two_distributions_with_one_name_are_a_conflict_until_one_is_picked(mine, install) -> None:
    other = {"torchbus.callbacks": {"mine": "other_dist:Mine"}}
    install("other-dist", "3.0", entry_points=other, modules={"other_dist.py": CALLBACK})
    error = refused("mine")
    assert isinstance(error, PluginConflictError)
    assert "`mine`: mine-dist 1.2, other-dist 3.0. To fix: write `mine-dist:mine` to pick one" in str(error)
    assert type(enabled("other-dist:mine")["mine"]).__module__ == "other_dist"
    found = enabled({"mine-dist:mine": {"count": 2}, "second": {"plugin": "other-dist:mine"}})
    assert {name: type(one).__module__ for name, one in found.items()} == {"mine": "mine_dist", "second": "other_dist"}
    assert found["mine"].count == 2


@pytest.mark.parametrize("more", [{"plugins": ["mine", "mine"]}, {"plugins": "mine", "callbacks": "mine"}])
def test_one_plugin_twice_under_one_name_is_refused(mine, more: dict[str, Any]) -> None:
    error = refused(more.pop("plugins"), **more)
    assert isinstance(error, PluginConflictError)
    assert "The plugin `mine` is enabled twice. To fix: remove one, or name the second, as in" in str(error)


def test_one_instance_twice_is_refused() -> None:
    one = Callback()
    assert isinstance(refused([one, one]), PluginConflictError)


def test_unknown_and_wrong_settings_are_refused_with_plugin_and_distribution(mine) -> None:
    error = refused({"mine": {"cuont": 3, "count": "many"}})
    assert str(error).splitlines() == [
        "`mine` (mine-dist 1.2): 2 settings are wrong.",
        "  - `count` is 'many'; it should be a valid integer. Read from: the script.",
        "  - `cuont` is not a setting of Mine. Did you mean `count`? Read from: the script.",
    ]


def test_settings_for_a_plugin_that_takes_none_are_refused(mine) -> None:
    error = refused({"my_hooks": {"count": 3}})
    assert "`count` is not a setting: this plugin takes none. Read from: the script." in str(error)


def test_a_constructor_that_raises_is_told_with_the_plugin(install) -> None:
    source = CALLBACK.replace("self.count = count", "raise OSError('disk full')")
    install(
        "mine-dist",
        "1.2",
        entry_points={"torchbus.callbacks": {"mine": "mine_dist:Mine"}},
        modules={"mine_dist.py": source},
    )
    error = refused("mine")
    assert isinstance(error, PluginLoadError)
    assert str(error) == "Plugin `mine` (mine-dist 1.2) cannot be built: OSError: disk full."
    assert isinstance(error.__cause__, OSError)


def test_a_plugin_for_another_contract_is_refused_before_it_is_imported(install) -> None:
    points = {"torchbus.callbacks": {"mine": "it_raises:Mine"}}
    install(
        "future-dist", "7.0", entry_points=points, modules={"it_raises.py": RAISES}, requires=["torchbus-hookspecs>=2"]
    )
    assert "future-dist 7.0 is made for torchbus-hookspecs >=2" in str(refused("mine"))
    assert "it_raises" not in sys.modules


def test_a_checkpoint_plugin_enabled_by_name_goes_together_with_a_fast_dev_run(tmp_path: Path) -> None:
    trainer = torchbus.Trainer(fast_dev_run=True, plugins=["model_checkpoint"], default_root_dir=tmp_path)
    assert trainer.checkpoint_callback is not None
    assert torchbus.Trainer(fast_dev_run=True, default_root_dir=tmp_path).checkpoint_callback is None
