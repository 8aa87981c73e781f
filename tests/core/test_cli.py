"""The command line, as real processes. Plugins of the tests' own are distributions in a folder on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def install(
    folder: Path, name: str, points: str, version: str = "1.2", requires: str = "torchbus-hookspecs>=1,<2"
) -> None:
    """Make a folder hold what pip leaves of a distribution."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    fields = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires}\n"
    (information / "METADATA").write_text(fields)
    (information / "entry_points.txt").write_text(textwrap.dedent(points))


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``torchbus`` with the test's folder on the path."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torchbus._cli", *arguments]
        return subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)

    return run


def line_of(name: str, listing: str) -> str:
    return next(line for line in listing.splitlines() if line.split()[:1] == [name])


# ---- torchbus ---------------------------------------------------------------------------------------------------------


def test_version_is_printed(run: Run) -> None:
    import torchbus

    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"torchbus {torchbus.__version__}\n")


def test_help_says_what_the_exit_codes_mean(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "1 the asked-for thing is not there or broken; 2 wrong usage" in " ".join(done.stdout.split())


@pytest.mark.parametrize("arguments", [("plugins", "list", "--kimd", "loggers"), ("plugin",), ("plugins", "show")])
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_missing_typer_is_one_line_that_says_what_to_install(tmp_path: Path, run: Run) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')")
    done = run("plugins", "list")
    assert done.returncode == 2
    assert done.stderr == "The command line needs typer: pip install 'torchbus-core[cli]'\n"


# ---- plugins list -----------------------------------------------------------------------------------------------------


def test_list_says_of_each_plugin_whose_it_is_and_what_enables_it(run: Run) -> None:
    done = run("plugins", "list")
    assert done.returncode == 0
    assert line_of("early_stopping", done.stdout).split()[1::3] == ["callbacks", 'plugins=["early_stopping"]']
    assert line_of("early_stopping", done.stdout).split()[2] == "torchbus-stopping"
    assert 'logger="csv"' in line_of("csv", done.stdout)
    assert 'accelerator="cpu"' in line_of("cpu", done.stdout)
    assert 'strategy="single_device"' in line_of("single_device", done.stdout)


def test_list_marks_what_a_trainer_uses_unasked(run: Run) -> None:
    listed = {one["name"]: one["default"] for one in json.loads(run("plugins", "list", "--json").stdout)}
    assert listed["model_checkpoint"] and listed["tensorboard"]
    assert not listed["early_stopping"]
    assert not listed["csv"]  # only where tensorboard is not installed


def test_list_of_one_kind_and_as_json(tmp_path: Path, run: Run) -> None:
    install(tmp_path, "torchbus-probe", "[torchbus.profilers]\nprobe = probe:Probe\n")
    listed = json.loads(run("plugins", "list", "--kind", "profilers", "--json").stdout)
    (found,) = (one for one in listed if one["name"] == "probe")
    assert found == {
        "name": "probe",
        "kind": "profilers",
        "distribution": "torchbus-probe",
        "version": "1.2",
        "target": "probe:Probe",
        "fault": "",
        "enable": 'profiler="probe"',
        "default": False,
        "also_offered_by": [],
    }


def test_list_of_an_unknown_kind_names_the_nearest(run: Run) -> None:
    done = run("plugins", "list", "--kind", "logger")
    assert done.returncode == 2
    assert "Did you mean `loggers`?" in " ".join(done.stderr.replace("│", " ").split())


def test_list_imports_neither_torch_nor_any_plugin(tmp_path: Path) -> None:
    install(tmp_path, "torchbus-broken", "[torchbus.callbacks]\nbroken = broken_plugin:Broken\n")
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('nobody asked for me')")
    script = """
        import sys
        from torchbus._cli import main
        sys.argv = ["torchbus", "plugins", "list"]
        try:
            code = main()
        except SystemExit as left:
            code = left.code
        named = [name for name in sys.modules if name == "torch" or name == "broken_plugin" or name.startswith("torchbus_")]
        print(code, *(name for name in named if not name.startswith("torchbus_hookspecs")))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    assert line_of("broken", done.stdout)


def test_list_without_a_terminal_is_plain_and_whole(tmp_path: Path, run: Run) -> None:
    long = "a_name_so_long_that_no_terminal_has_room_for_a_line_of_it_and_for_all_else_there_is_to_say"
    install(tmp_path, "torchbus-long", f"[torchbus.plugins]\n{long} = long\n")
    done = run("plugins", "list")
    assert "\x1b" not in done.stdout
    assert f'plugins=["{long}"]' in line_of(long, done.stdout)


def test_list_tells_the_fault_of_a_plugin_for_another_contract(tmp_path: Path, run: Run) -> None:
    install(tmp_path, "torchbus-old", "[torchbus.callbacks]\nold = old:Old\n", requires="torchbus-hookspecs<1")
    done = run("plugins", "list")
    assert done.returncode == 0
    assert "Cannot be used: torchbus-old 1.2 is made for torchbus-hookspecs <1" in line_of("old", done.stdout)


def test_list_survives_a_distribution_whose_metadata_is_lost(tmp_path: Path, run: Run) -> None:
    install(tmp_path, "torchbus-lost", "[torchbus.callbacks]\nlost = lost:Lost\n")
    (tmp_path / "torchbus_lost-1.2.dist-info" / "METADATA").unlink()
    line = line_of("lost", run("plugins", "list").stdout)
    assert "Cannot be used: torchbus_lost-1.2.dist-info is damaged" in line


def test_list_marks_two_distributions_with_the_same_name(tmp_path: Path, run: Run) -> None:
    install(tmp_path, "torchbus-csv-too", "[torchbus.loggers]\ncsv = csv_too:Logger\n")
    done = run("plugins", "list", "--kind", "loggers")
    standard, other = (line for line in done.stdout.splitlines() if line.startswith("csv "))
    assert 'logger="torchbus-csv:csv"' in standard
    assert "Also offered by torchbus-csv-too 1.2" in standard
    assert 'logger="torchbus-csv-too:csv"' in other


def read_terminal(terminal: int) -> str:
    """All that is written to it, until the writer has gone."""
    text = b""
    try:
        while chunk := os.read(terminal, 4096):
            text += chunk
    except OSError:  # so Linux says that the other end is closed
        pass
    return text.decode()


@pytest.mark.parametrize("arguments", [("list",), ("show", "fake")])
def test_on_a_terminal_no_line_is_wider_than_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    pty = pytest.importorskip("pty")
    install_fake(tmp_path)
    install(tmp_path, "torchbus-old", "[torchbus.callbacks]\nold = old:Old\n", requires="torchbus-hookspecs<1")
    ours, theirs = pty.openpty()
    settings = {"COLUMNS": "80", "TERM": "dumb"}
    command = [sys.executable, "-m", "torchbus._cli", "plugins", *arguments]
    with subprocess.Popen(command, env={**environment(tmp_path), **settings}, cwd=tmp_path, stdout=theirs) as process:
        os.close(theirs)
        lines = read_terminal(ours).splitlines()
    os.close(ours)
    assert process.returncode == 0
    assert len(lines) > 10
    assert max(map(len, lines)) <= 80


# ---- plugins show -----------------------------------------------------------------------------------------------------

FAKE = '''
    print("a plugin that talks while it is imported")

    from typing import Annotated
    from collections.abc import Callable
    from pydantic import Field
    from torchbus_hookspecs import Callback, hookimpl
    from torchbus_hookspecs.settings import Duration

    class Own:
        """A class that JSON schema knows nothing of."""

    class Fake(Callback):
        """Does nothing, at great length.

        The rest of the story.
        """

        def __init__(
            self,
            monitor: Annotated[str, Field(description="The metric that it ignores.")],
            save_dir: str,
            own: Own | None = None,
            choose: Callable[[int], int] = abs,
            patience: Annotated[int, Field(ge=0)] = 3,
            pause: Duration | None = None,
        ): ...

        def on_train_end(self, trainer, pl_module): ...
        def on_fit_start(self, trainer, pl_module): ...
        @hookimpl
        def optimizer_step(self, optimizer): ...

    class Bare(Callback):
        pass

    class NoCallback:
        pass
'''
HOOKS = '''
    """Functions that hear."""
    from torchbus_hookspecs import hookimpl

    @hookimpl(specname="on_train_start")
    def begin(trainer): ...

    @hookimpl
    def on_train_batch_end(batch_idx): ...
'''


def install_fake(folder: Path) -> None:
    points = """
        [torchbus.callbacks]
        fake = fake_plugin:Fake
        bare = fake_plugin:Bare
        absent = fake_plugin:Absent
        no_callback = fake_plugin:NoCallback
        [torchbus.plugins]
        hooks = fake_hooks
    """
    install(folder, "torchbus-fake", points)
    (folder / "fake_plugin.py").write_text(textwrap.dedent(FAKE))
    (folder / "fake_hooks.py").write_text(textwrap.dedent(HOOKS))


def test_show_tells_all_about_a_plugin(tmp_path: Path, run: Run) -> None:
    install_fake(tmp_path)
    done = run("plugins", "show", "fake")
    assert done.returncode == 0
    assert done.stdout == textwrap.dedent("""\
        fake  callbacks  torchbus-fake 1.2  fake_plugin:Fake
        Does nothing, at great length.

        Enable it with
          Trainer(plugins={"fake": {"monitor": ...}})

        It implements
          on_fit_start, on_train_end, optimizer_step

        Its settings
        NAME      TYPE                  DEFAULT               DESCRIPTION
        monitor   str                   required              The metric that it ignores.
        save_dir  str                   given by the trainer
        own       Own | None            None
        choose    Callable[[int], int]  abs
        patience  int                   3
        pause     timedelta | None      None
        """)


def test_show_as_json_has_the_schema_even_of_types_without_one(tmp_path: Path, run: Run) -> None:
    install_fake(tmp_path)
    facts = json.loads(run("plugins", "show", "fake", "--json").stdout)
    assert facts["example"] == 'plugins={"fake": {"monitor": ...}}'
    assert facts["hooks"] == ["on_fit_start", "on_train_end", "optimizer_step"]
    assert facts["settings"][0]["required"] is True
    assert facts["schema"]["required"] == ["monitor", "save_dir"]
    properties = facts["schema"]["properties"]
    assert properties["patience"] == {"default": 3, "minimum": 0, "title": "Patience", "type": "integer"}
    assert properties["own"]["anyOf"] == [{}, {"type": "null"}]
    assert "type" not in properties["choose"]


def test_show_of_a_module_of_hookimpls_lists_its_functions(tmp_path: Path, run: Run) -> None:
    install_fake(tmp_path)
    facts = json.loads(run("plugins", "show", "torchbus-fake:hooks", "--json").stdout)
    assert facts["hooks"] == ["on_train_start", "on_train_batch_end"]
    assert (facts["summary"], facts["settings"], facts["enable"]) == ("Functions that hear.", [], 'plugins=["hooks"]')


def test_a_class_without_a_constructor_has_no_settings(tmp_path: Path, run: Run) -> None:
    install_fake(tmp_path)
    facts = json.loads(run("plugins", "show", "bare", "--json").stdout)
    assert facts["settings"] == []
    assert facts["schema"]["additionalProperties"] is False


def test_show_of_a_standard_plugin(run: Run) -> None:
    done = run("plugins", "show", "csv")
    assert done.returncode == 0
    assert 'Trainer(logger="csv")' in done.stdout  # its required save_dir comes from the trainer
    assert "log_metrics" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("early_stoping", "offers a plugin `early_stoping`. Did you mean `early_stopping`?"),
        ("absent", "cannot be imported from fake_plugin:Absent: AttributeError"),
        ("no_callback", "needs a class derived from Callback"),
        ("old", "is made for torchbus-hookspecs <1"),
    ],
)
def test_what_cannot_be_shown_is_one_message_and_exit_code_1(tmp_path: Path, run: Run, name: str, message: str) -> None:
    install_fake(tmp_path)
    install(tmp_path, "torchbus-old", "[torchbus.callbacks]\nold = old:Old\n", requires="torchbus-hookspecs<1")
    done = run("plugins", "show", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# ---- hooks ------------------------------------------------------------------------------------------------------------


def test_all_hooks_are_listed_with_their_arguments(run: Run) -> None:
    from torchbus_hookspecs.specs import HOOKS

    listed = json.loads(run("hooks", "list", "--json").stdout)
    assert [one["name"] for one in listed] == list(HOOKS)
    line = line_of("on_train_batch_end", run("hooks", "list").stdout)
    assert "broadcast" in line and "trainer, pl_module, outputs, batch, batch_idx" in line and "done" in line


def test_one_hook_is_shown_with_those_who_implement_it(run: Run) -> None:
    shown = run("hooks", "show", "on_validation_end").stdout
    assert "event ValidationEnd" in shown and "early_stopping (torchbus-stopping 0.1.0)" in shown
    told = json.loads(run("hooks", "show", "on_train_batch_start", "--json").stdout)
    assert told["event"] == "TrainBatchStart" and "Args:" in told["text"]


def test_a_broken_plugin_is_named_where_implementers_are_shown(run: Run, tmp_path: Path) -> None:
    install(tmp_path, "torchbus-broken", "[torchbus.callbacks]\nbroken = nowhere_to_be_found:Broken\n")
    told = json.loads(run("hooks", "show", "on_train_end", "--json").stdout)
    assert any("nowhere_to_be_found" in line for line in told["cannot_be_imported"])


def test_a_misspelt_hook_is_refused_with_the_nearest(run: Run) -> None:
    done = run("hooks", "show", "on_train_batch_ends")
    assert done.returncode == 1 and "`on_train_batch_end`" in done.stderr


def test_the_order_of_a_run_is_shown_nested_and_with_repeats_folded(run: Run) -> None:
    nodes = json.loads(run("hooks", "order", "fit", "--json").stdout)
    fit = next(one for one in nodes if one["hook"] == "on_fit_start")
    assert fit["end"]["hook"] == "on_fit_end"
    check, _, training = fit["inside"]
    assert (check["hook"], training["hook"]) == ("on_sanity_check_start", "on_train_start")
    batches = next(one for one in training["inside"][0]["inside"] if "times" in one)
    assert batches["times"] == 4 and "optimizer_step" in [one["hook"] for one in batches["steps"][3]["inside"]]
    text = run("hooks", "order", "predict").stdout
    assert "    for each batch, 2 times:\n" in text and "        predict_step\n      on_predict_batch_end\n" in text


def test_the_order_of_implementations_in_a_run_is_shown(run: Run) -> None:
    options = ["--plugin", "model_checkpoint", "--plugin", "timer", "--plugin", "early_stopping"]
    done = run("hooks", "order", "fit", "--hook", "on_validation_end", "--plugin", "timer", "--json")
    assert json.loads(done.stdout) == ["timer"]
    assert run("hooks", "order", "fit", *options).returncode == 1, "early_stopping needs its monitor"


def test_a_plugin_that_does_not_go_with_the_tiny_model_is_told_in_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text('enable = ["early_stopping"]\n[plugins.early_stopping]\nmonitor = "loss"\n')
    done = run("hooks", "order")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "ended with RuntimeError" in done.stderr and "`early_stopping`" in done.stderr and "To fix" in done.stderr
