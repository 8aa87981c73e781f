"""The events of a run as files: what is written, that it is whole however the run ends, and that the run is the same."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import torchbus as L
import torchbus_tracing._recording as recording
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchbus.accelerators import CPUAccelerator
from torchbus.callbacks import OnExceptionCheckpoint, Trace
from torchbus.strategies import SingleDeviceStrategy
from torchbus.testing import CallbackContract, EventRecorder
from torchbus_hookspecs import EndRun, MisconfigurationException
from torchbus_hookspecs.events import EVENTS, BeforeZeroGrad
from torchbus_hookspecs.settings import describe_settings
from torchbus_tracing._formats import Beginning, Moment, PerfettoTrace
from torchbus_tracing._growing_file import GrowingFile
from torchbus_tracing._summary import MAX_ITEMS, MAX_PARTS, MAX_TEXT, summary

from .small_fits import Failing, Judged, Line, loader, trainer, weights

NAN, INF = float("nan"), float("inf")


class TestContract(CallbackContract):
    plugin = Trace
    settings = {"every_n_batches": 2, "events": ("TrainBatchEnd", "Setup")}


# ---- reading ------------------------------------------------------------------------------------------------------------


def refused(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def read_lines(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header, and a line for each event."""
    text = path.read_text(encoding="ascii")
    assert text.endswith("\n"), "the last line is whole"
    head, *lines = [json.loads(line, parse_constant=refused) for line in text.splitlines()]
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    return head, lines


def names(path: Path) -> list[str]:
    return [line["event"] for line in read_lines(path)[1]]


@dataclass
class Drawn:
    """A slice with the names of those around it, or an instant."""

    path: tuple[str, ...]
    start: float
    end: float
    args: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path[-1]


def read_trace(path: Path) -> list[Drawn]:
    """Slices by their starts; fails unless each has one end, inside of the slice around it, and times never go back."""
    trace = json.loads(path.read_text(encoding="ascii"), parse_constant=refused)
    records = [one for one in trace["traceEvents"] if one["ph"] != "M"]
    times = [one["ts"] for one in records]
    assert times == sorted(times)
    found: list[Drawn] = []
    under_way: list[Drawn] = []
    for one in records:
        assert (one["pid"], one["tid"]) == (0, 0)
        if one["ph"] == "E":
            last = under_way.pop()
            assert last.name == one["name"]
            last.end = one["ts"]
            last.args |= one.get("args", {})
            continue
        around = under_way[-1].path if under_way else ()
        found.append(Drawn((*around, one["name"]), one["ts"], one["ts"], one.get("args", {})))
        assert one["ph"] in ("B", "i")
        if one["ph"] == "B":
            under_way.append(found[-1])
    assert not under_way
    return found


def drawn(path: Path, name: str) -> list[Drawn]:
    return [one for one in read_trace(path) if one.name == name]


def fit(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    given = {"max_epochs": 2, **options}
    ckpt_path = given.pop("ckpt_path", None)
    run = trainer(tmp_path, *callbacks, **given)
    run.fit(Judged(), loader(), loader(4), ckpt_path=ckpt_path)
    return run


LINES, TRACE = "fit-events.jsonl", "fit-events.trace.json"


# ---- lines --------------------------------------------------------------------------------------------------------------


def test_each_event_is_a_line_in_the_order_in_which_it_happened(tmp_path: Path) -> None:
    run = trainer(tmp_path, plugins=["trace"], max_epochs=2, logger="csv")
    recorder = EventRecorder(run)
    run.fit(Judged(), loader(), loader(4))
    heard = recorder.names[recorder.names.index("PrepareData") :]
    assert names(Path(run.log_dir) / LINES) == heard
    assert {"Setup", "TrainBatchEnd", "Save", "Finalize"} <= set(heard)


def test_a_line_tells_the_hook_and_where_the_run_was(tmp_path: Path) -> None:
    fit(tmp_path, Trace())
    head, lines = read_lines(tmp_path / LINES)
    assert (head["torchbus_trace"], head["entry"], head["module"], head["rank"]) == (1, "fit", "Judged", 0)
    assert head["started"][4] == "-" and head["started"][-6] in "+-"
    ends = [line for line in lines if line["event"] == "TrainBatchEnd"]
    assert [(one["stage"], one["epoch"], one["step"]) for one in ends] == [
        ("train", step > 4, step) for step in range(1, 9)
    ]
    assert ends[0]["hook"] == "on_train_batch_end"
    assert {line["stage"] for line in lines} == {"train", "sanity_check", "validate"}
    assert [line["event"] for line in lines][-2:] == ["Teardown", "Finalize"]


def test_tensors_are_told_by_dtype_shape_and_device(tmp_path: Path) -> None:
    fit(tmp_path, Trace())
    _, lines = read_lines(tmp_path / LINES)
    end = next(line for line in lines if line["event"] == "TrainBatchEnd")
    assert end["fields"] == {
        "outputs": {"loss": {"dtype": "float32", "shape": [], "device": "cpu"}},
        "batch": [{"dtype": "float32", "shape": [2, width], "device": "cpu"} for width in (4, 1)],
        "batch_idx": 0,
    }
    step = next(line for line in lines if line["event"] == "BeforeOptimizerStep")
    assert step["fields"] == {"optimizer": "<SGD>"}


def test_metrics_that_are_not_finite_are_still_json(tmp_path: Path) -> None:
    class Odd(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log_dict({"a": NAN, "b": INF, "c": 0.5})
            return super().training_step(batch, batch_idx)

    run = trainer(tmp_path, Trace(tmp_path), logger="csv")
    run.fit(Odd(), loader())
    _, lines = read_lines(tmp_path / LINES)
    told = next(line["fields"]["metrics"] for line in lines if line["event"] == "LogRecord")
    assert (told["a"], told["b"], told["c"]) == ("nan", "inf", 0.5)


# ---- summaries ----------------------------------------------------------------------------------------------------------


class Odd:
    """Refuses to be looked at."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(name)

    def __repr__(self) -> NoReturn:
        raise RuntimeError("repr")


class Silent(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("str")


class Lazy(dict[str, Any]):
    """Loads its items when they are asked for."""

    def __getitem__(self, key: str) -> NoReturn:
        raise AssertionError("loaded")

    items = values = __iter__ = __getitem__  # type: ignore[assignment]


@dataclass
class Batch:
    inputs: torch.Tensor
    length: int


META = torch.empty(2, 3, device="meta")  # has no values: reading one raises
TOLD = {"dtype": "float32", "shape": [2, 3], "device": "meta"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (META, TOLD),
        (nn.Parameter(META), TOLD),
        ({"a": [META, (1, None)], 2: True}, {"a": [TOLD, [1, None]], "2": True}),
        (Batch(META, 7), {"inputs": TOLD, "length": 7}),
        (Lazy(a=META), {"a": TOLD}),
        (torch.zeros(3, dtype=torch.int64).numpy(), {"dtype": "int64", "shape": [3]}),
        (torch.device("meta"), "meta"),
        (torch.bfloat16, "bfloat16"),
        (nn.Linear(1, 1), "<Linear>"),
        (Odd(), "<Odd>"),
        ({Odd(): Odd()}, {"<Odd>": "<Odd>"}),
        (nn.UninitializedParameter(), "<UninitializedParameter>"),
        (ValueError("no\udcffword"), {"exception": "ValueError", "message": "no\udcffword"}),
        (Silent(), "<Silent>"),
        (Path("a") / "b", os.path.join("a", "b")),
        (2**64, "<int>"),
        (-INF, "-inf"),
        (b"bytes", "<bytes>"),
        ("x" * 999, "x" * (MAX_TEXT - 3) + "..."),
        (list(range(MAX_ITEMS + 5)), [*range(MAX_ITEMS), "... 5 more"]),
        ({str(key): 0 for key in range(99)}, {**{str(key): 0 for key in range(MAX_ITEMS)}, "...": "83 more"}),
        ([[[[[1, 2]]]]], [[[["<list of 2>"]]]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_summary_is_small_and_never_reads_a_tensor(value: object, told: object) -> None:
    assert summary(value) == told
    assert json.loads(json.dumps(summary(value), allow_nan=False)) == told


def test_a_summary_of_what_contains_itself_ends() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert summary(endless) == [1, [1, [1, [1, "<list of 2>"]]]]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(META)
nested = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=200
)


@given(nested)
def test_every_summary_is_json_of_bounded_size(value: object) -> None:
    assert len(json.dumps(summary(value), allow_nan=False)) < MAX_PARTS * 6 * 2 * (MAX_TEXT + 40)


# ---- the trace ----------------------------------------------------------------------------------------------------------


def test_what_lasts_is_a_slice_inside_of_what_is_around_it(tmp_path: Path) -> None:
    fit(tmp_path, Trace())
    found = read_trace(tmp_path / TRACE)
    paths = Counter("/".join(one.path) for one in found)
    assert paths["Run/Fit/Train/TrainEpoch/TrainBatch/BackwardPass"] == 8
    assert paths["Run/Fit/Train/TrainEpoch/BatchTransfer"] == 8
    assert paths["Run/Fit/Train/TrainEpoch/Validation/ValidationEpoch/ValidationBatch"] == 4
    assert paths["Run/Fit/SanityCheck/Validation/ValidationEpoch/ValidationBatch/ValidationStep"] == 2
    assert paths["Run"] == paths["Run/Fit"] == paths["Run/Fit/Train"] == 1
    assert paths["Finalize"] == paths["PrepareData"] == 1, "outside of all"
    epochs = [one for one in found if one.name == "TrainEpoch"]
    assert [one.args["epoch"] for one in epochs] == [0, 1]
    batches = [one for one in found if one.name == "TrainBatch"]
    assert all(one.end > one.start for one in batches)
    assert [one.args["fields"]["batch_idx"] for one in batches] == [0, 1, 2, 3] * 2
    assert "outputs" in batches[0].args["fields_at_end"]


def test_a_trace_names_its_rows_as_the_profiler_of_plugins_does(tmp_path: Path) -> None:
    fit(tmp_path, Trace(tmp_path), profiler={"plugins": {"dirpath": tmp_path}})
    mine = json.loads((tmp_path / TRACE).read_text())
    theirs = json.loads((tmp_path / "fit-plugins.trace.json").read_text())
    for trace in (mine, theirs):
        assert trace["displayTimeUnit"] == "ms"
        first = trace["traceEvents"][0]
        assert (first["name"], first["ph"], first["pid"], first["args"]) == ("process_name", "M", 0, {"name": "rank 0"})
    took = [one["dur"] for one in theirs["traceEvents"] if one["name"] == "run_training_epoch"]
    epochs = drawn(tmp_path / TRACE, "TrainEpoch")
    assert all(one.end - one.start >= inner for one, inner in zip(epochs, took, strict=True)), "the same unit"


def test_a_batch_that_a_hook_skips_ends_with_its_epoch(tmp_path: Path) -> None:
    class Skipping(L.Callback):
        def on_train_batch_start(self, *arguments: Any) -> int | None:
            return -1 if arguments[-1] == 2 else None

    fit(tmp_path, Trace(), Skipping())
    assert Counter(names(tmp_path / LINES))["TrainBatchEnd"] == 4
    last = drawn(tmp_path / TRACE, "TrainBatch")[2]
    assert last.end == drawn(tmp_path / TRACE, "TrainEpoch")[0].end


def test_a_trial_inside_of_a_run_is_traced_too(tmp_path: Path) -> None:
    class Tuned(Judged):
        lr = 0.1

    finder = {"learning_rate_finder": {"num_training_steps": 16}}
    run = trainer(tmp_path, plugins=["trace", finder], max_epochs=1)
    run.fit(Tuned(lambda module: torch.optim.SGD(module.parameters(), lr=module.lr)), loader(), loader(4))
    trains = drawn(tmp_path / TRACE, "Train")
    assert [one.path for one in trains] == [("Run", "Fit", "Train")] * 2
    assert len(drawn(tmp_path / TRACE, "TrainBatch")) == 16 + 4


KINDS = list(EVENTS.values())


@given(
    st.lists(st.sampled_from(KINDS) | st.sampled_from(["flush", "end"]), max_size=60),
    st.sets(st.sampled_from(KINDS)),
    st.integers(0, 40),
)
def test_a_trace_is_balanced_after_every_flush_whatever_comes(
    tmp_path_factory: pytest.TempPathFactory, events: list[Any], missing: set[Any], most: int
) -> None:
    path = tmp_path_factory.mktemp("trace") / "a.json"
    path.touch()
    known = set(KINDS) - missing
    trace = PerfettoTrace(Beginning("fit", "now", "Line", 0), known, most)
    trace.file.path = path
    heard: list[Any] = []
    for time, event in enumerate(events):
        if event == "flush":
            trace.file.flush()
            read_trace(path)
        elif event == "end":
            trace.end_all(time)
        elif event in known:
            heard.append(event)
            trace.write(Moment(time, event, "train", 0, time, '{"a":1}'))
    trace.file.flush()
    read_trace(path)
    starts_and_moments = [one for one in json.loads(path.read_text())["traceEvents"] if one["ph"] in "Bi"]
    assert len(starts_and_moments) <= min(most, len(heard))
    assert json.loads(path.read_text())["otherData"]["events_left_out"] == max(0, len(heard) - most)


# ---- however it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "raised"),
    [(ValueError("enough"), ValueError), (KeyboardInterrupt(), SystemExit), (SystemExit(3), SystemExit)],
    ids=["error", "interrupt", "exit"],
)
def test_a_run_that_fails_is_written_to_its_end(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    run = trainer(tmp_path, Trace(), Failing(6, error), OnExceptionCheckpoint(tmp_path), max_epochs=2)
    with pytest.raises(raised):
        run.fit(Judged(), loader(), loader(4))
    _, lines = read_lines(tmp_path / LINES)
    told = [line["event"] for line in lines]
    assert told[-1] == "Finalize" and lines[-1]["fields"] == {"status": "failed"}
    failed = told.index("ExceptionRaised")
    assert lines[failed]["fields"]["exception"]["exception"] == type(error).__name__
    assert "CheckpointCommitted" in told[failed:], "what others do then is heard too"
    found = read_trace(tmp_path / TRACE)
    (end,) = (one for one in found if one.name == "ExceptionRaised")
    assert end.path == ("Run", "Fit", "Train", "TrainEpoch", "TrainBatch", "ExceptionRaised")
    around = {one.path: one.end for one in found if one.path == end.path[: len(one.path)]}
    assert set(around.values()) == {end.start} and len(around) == len(end.path), "all ends there"
    assert not run.bus.is_heard(BeforeZeroGrad)


def test_a_run_that_a_plugin_ends_is_complete(tmp_path: Path) -> None:
    run = fit(tmp_path, Trace(), Failing(6, EndRun()))
    _, lines = read_lines(tmp_path / LINES)
    assert [line["event"] for line in lines][-2:] == ["Teardown", "Finalize"]
    assert lines[-1]["fields"] == {"status": "success"}
    (whole,) = drawn(tmp_path / TRACE, "Run")
    assert drawn(tmp_path / TRACE, "TrainBatch")[-1].end == whole.end
    assert not run.bus.is_heard(BeforeZeroGrad)


class Alarm(L.Callback):
    """Interrupts the training after that many seconds, wherever it is."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.delay_s, 0.3)  # again, where Python ignores it: in a finalizer, say

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def interrupting() -> Iterator[None]:
    def interrupt(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        torch.set_grad_enabled(
            True
        )  # torch switches gradients off in its steps, and may be interrupted before it can restore them


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # a file that was being opened closes itself
def test_an_interrupt_at_any_moment_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FLUSH_EVENTS", 3)  # so that it is often writing when it is interrupted
    for attempt in range(25):
        folder = tmp_path / str(attempt)
        with interrupting(), pytest.raises(SystemExit):
            fit(tmp_path, Trace(folder), Alarm(0.011 + 0.00131 * attempt), max_epochs=-1)
        told = names(folder / LINES)
        assert told[-2:] == ["ExceptionRaised", "Finalize"]
        trace = json.loads((folder / TRACE).read_text())["traceEvents"]
        starts = Counter(one["name"] for one in trace if one["ph"] == "B")
        read_trace(folder / TRACE)
        assert starts["TrainBatch"] in (told.count("TrainBatchStart") + missed for missed in (-1, 0, 1)), (
            "one event at most, the interrupted one, is in only one of the two"
        )


KILLED = """
import os, signal, sys
import torchbus as L
from torchbus.testing import TinyDataModule, TinyModule, quiet_trainer
from torchbus_hookspecs.events import Event

count = 0

def hear(event: Event) -> None:
    global count
    count += 1

class Killer(L.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 400:
            print(count, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

trainer = quiet_trainer(sys.argv[1], max_epochs=-1, callbacks=[Killer()], plugins=["trace"])
trainer.bus.subscribe(Event, hear)
trainer.fit(TinyModule(), datamodule=TinyDataModule())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system kills otherwise")
def test_a_killed_run_loses_a_thousand_events_at_most_and_leaves_whole_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = names(tmp_path / LINES)
    assert 0 <= int(done.stdout.splitlines()[-1]) - len(told) <= recording.FLUSH_EVENTS
    assert len(drawn(tmp_path / TRACE, "TrainBatch")) == told.count("TrainBatchStart") > 300


def test_a_run_that_fails_before_it_is_set_up_is_written_where_the_trainer_writes(tmp_path: Path) -> None:
    class Broken(Judged):
        def prepare_data(self) -> None:
            raise ConnectionError("no data")

    with pytest.raises(ConnectionError):
        trainer(tmp_path, plugins=["trace"], logger="csv").fit(Broken(), loader(), loader(4))
    assert names(tmp_path / LINES)[:2] == ["PrepareData", "ExceptionRaised"]
    read_trace(tmp_path / TRACE)


def test_a_plugin_that_fails_at_the_end_of_a_failing_run_costs_nothing(tmp_path: Path) -> None:
    class Worse(L.Callback):
        def on_exception(self, *arguments: Any) -> None:
            raise RuntimeError("worse")

    trace = Trace()
    run = trainer(tmp_path, trace, Failing(2, ValueError("bad")), Worse(), max_epochs=2)
    with pytest.raises(RuntimeError, match="worse"):
        run.fit(Judged(), loader(), loader(4))
    assert "ExceptionRaised" in names(tmp_path / LINES), "though nobody is told that the run is over"
    read_trace(tmp_path / TRACE)
    before = (tmp_path / LINES).read_bytes()
    run.test(run.lightning_module, loader(), verbose=False)
    assert (tmp_path / LINES).read_bytes() == before and not run.bus.is_heard(BeforeZeroGrad)
    assert names(tmp_path / "test-events.jsonl")[-1] == "Finalize"


# ---- several runs -------------------------------------------------------------------------------------------------------


def test_each_entry_point_has_files_of_its_own_and_overwrites_none(tmp_path: Path) -> None:
    trace = Trace()
    run = trainer(tmp_path, trace)
    module = Judged()
    for entry in ("fit", "validate", "test", "predict", "fit", "fit"):
        loaders = (loader(), loader(4)) if entry == "fit" else (loader(),)
        getattr(run, entry)(module, *loaders, **({"verbose": False} if entry in ("validate", "test") else {}))
    stems = ["fit-events", "fit-events.1", "fit-events.2", "predict-events", "test-events", "validate-events"]
    wanted = sorted(f"{stem}{suffix}" for stem in stems for suffix in (".jsonl", ".trace.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    assert trace.paths == [tmp_path / "fit-events.2.jsonl", tmp_path / "fit-events.2.trace.json"]
    assert "TrainBatchEnd" in names(tmp_path / LINES) and names(tmp_path / LINES).count("Finalize") == 1
    assert len(drawn(tmp_path / "predict-events.trace.json", "PredictBatch")) == 4


def test_another_rank_than_zero_writes_nothing(tmp_path: Path) -> None:
    class Second(SingleDeviceStrategy):
        global_rank = 1

    run = trainer(
        tmp_path, Trace(tmp_path), accelerator="auto", strategy=Second(CPUAccelerator(), [torch.device("cpu")])
    )
    assert not run.is_global_zero
    run.fit(Judged(), loader(), loader(4))
    assert run.global_step == 4 and list(tmp_path.iterdir()) == []


def test_both_files_of_a_run_have_one_number(tmp_path: Path) -> None:
    (tmp_path / TRACE).write_text("somebody's")
    fit(tmp_path, Trace())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fit-events.1.jsonl",
        "fit-events.1.trace.json",
        TRACE,
    ]
    assert (tmp_path / TRACE).read_text() == "somebody's"


def test_a_callback_that_is_copied_during_a_run_takes_no_recording_along(tmp_path: Path) -> None:
    class Copying(L.Callback):
        copy: Any = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.copy = pickle.loads(pickle.dumps(trainer.callbacks[0]))

    copying = Copying()
    fit(tmp_path / "first", Trace(), copying)
    assert copying.copy.paths
    fit(tmp_path / "second", copying.copy)
    assert names(tmp_path / "first" / LINES) == names(tmp_path / "second" / LINES)


# ---- settings -----------------------------------------------------------------------------------------------------------


def test_files_are_where_and_how_the_script_names_them(tmp_path: Path) -> None:
    fit(tmp_path, plugins={"trace": {"dirpath": str(tmp_path / "new" / "folder"), "filename": "all"}})
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "fit-all.jsonl",
        "fit-all.trace.json",
    ]


@pytest.mark.parametrize(("format", "written"), [("jsonl", LINES), ("perfetto", TRACE)])
def test_one_format_may_be_enough(tmp_path: Path, format: Any, written: str) -> None:
    fit(tmp_path, Trace(format=format))
    assert [path.name for path in tmp_path.iterdir()] == [written]


def test_events_may_be_chosen_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_TRACE__EVENTS", '["TrainEpochStart", "TrainEpochEnd", "TrainBatchStart"]')
    fit(tmp_path, plugins=["trace"])
    assert names(tmp_path / LINES) == ["TrainEpochStart", *["TrainBatchStart"] * 4, "TrainEpochEnd"] * 2
    found = read_trace(tmp_path / TRACE)
    assert [one.path for one in found[:2]] == [("TrainEpoch",), ("TrainEpoch", "TrainBatchStart")], (
        "what has no end among them is a moment"
    )


def test_an_unknown_event_is_refused_with_the_nearest(tmp_path: Path) -> None:
    nearest = (
        "`events` is 'TrainBatchEnds'; it should be the name of an event's class, and the nearest is `TrainBatchEnd`."
    )
    with pytest.raises(MisconfigurationException, match=nearest):
        Trace(events=("TrainBatchEnds", "FitStart"))
    with pytest.raises(MisconfigurationException, match=nearest):
        trainer(tmp_path, plugins={"trace": {"events": ["TrainBatchEnds"]}})


def test_only_every_nth_batch_of_an_epoch_is_written_and_all_that_is_of_no_batch(tmp_path: Path) -> None:
    class Twice(Judged):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            return self.loss(batch)

    run = trainer(tmp_path, Trace(every_n_batches=3), max_epochs=2)
    run.fit(Twice(), loader(10), [loader(4), loader(4)])
    _, lines = read_lines(tmp_path / LINES)
    starts = [line["fields"]["batch_idx"] for line in lines if line["event"] == "TrainBatchStart"]
    assert starts == [0, 3] * 2
    counts = Counter(line["event"] for line in lines)
    assert counts["BeforeZeroGrad"] == counts["TrainBatchEnd"] == counts["TrainingStep"] == 4
    assert counts["ValidationBatchStart"] == counts["ValidationStep"] == counts["ValidationBatchEnd"] == 3 * 2
    assert counts["TrainEpochStart"] == counts["TrainEpochEnd"] == 2 and counts["SanityCheckEnd"] == 1
    trains = [line["event"] for line in lines if line["stage"] == "train"]
    assert trains.count("BeforeBatchTransfer") == 4
    assert len(drawn(tmp_path / TRACE, "TrainBatch")) == 4
    module = Judged()
    trainer(tmp_path / "chosen", Trace(every_n_batches=3, events=("BeforeZeroGrad",)), max_epochs=2).fit(
        module, loader(10), loader(4)
    )
    assert names(tmp_path / "chosen" / LINES) == ["BeforeZeroGrad"] * 4, "counted by what it does not write"


def test_fields_may_be_left_out(tmp_path: Path) -> None:
    fit(tmp_path, Trace(fields=False))
    _, lines = read_lines(tmp_path / LINES)
    assert all("fields" not in line for line in lines)
    assert all("batch_idx" not in str(one.args) for one in read_trace(tmp_path / TRACE))


def test_a_trace_has_the_first_events_and_counts_the_others(tmp_path: Path) -> None:
    fit(tmp_path, Trace(max_trace_events=30))
    found = read_trace(tmp_path / TRACE)
    told = names(tmp_path / LINES)
    left_out = json.loads((tmp_path / TRACE).read_text())["otherData"]["events_left_out"]
    assert left_out == len(told) - 30 > 100
    assert found[0].name == "PrepareData" and len(found) < 30
    fit(tmp_path / "none", Trace(max_trace_events=0))
    assert read_trace(tmp_path / "none" / TRACE) == []


def test_settings_are_checked_and_described() -> None:
    for wrong in ({"every_n_batches": 0}, {"max_trace_events": -1}, {"format": "xml"}, {"filename": ""}):
        with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
            Trace(**wrong)
    assert all(setting.description for setting in describe_settings(Trace))


# ---- an observer --------------------------------------------------------------------------------------------------------


class Dropping(Judged):
    """Draws random numbers in each step."""

    def loss(self, batch: Any) -> Any:
        return super().loss((nn.functional.dropout(batch[0]), batch[1]))


def test_a_run_with_it_ends_with_the_same_weights_and_random_numbers(tmp_path: Path) -> None:
    ended = []
    for callbacks in ([], [Trace()]):
        L.seed_everything(3, verbose=False)
        module = Dropping()
        trainer(tmp_path, *callbacks, max_epochs=3).fit(module, loader(shuffle=True), loader(4))
        ended.append((weights(module), torch.rand(3).tolist()))
    assert ended[0] == ended[1]


def test_nothing_listens_before_and_after_a_run(tmp_path: Path) -> None:
    run = trainer(tmp_path, plugins=["trace"])
    assert not run.bus.is_heard(BeforeZeroGrad)
    run.fit(Judged(), loader(), loader(4))
    assert not run.bus.is_heard(BeforeZeroGrad)


def test_what_happens_only_for_a_listener_does_not_happen_for_it(tmp_path: Path) -> None:
    class Logging(Judged):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss", 1.0)
            return super().training_step(batch, batch_idx)

    run = trainer(tmp_path, Trace())
    run.fit(Logging(), loader(), loader(4))
    assert "LogRecord" not in names(tmp_path / LINES)
    run.predict(run.lightning_module, loader(), return_predictions=False)
    assert "PredictEpochEnd" not in names(tmp_path / "predict-events.jsonl")
    assert run.predict_loop.predictions == [[]]

    named = trainer(tmp_path / "named", Trace(events=("LogRecord", "PredictEpochEnd")))
    named.fit(Logging(), loader(), loader(4))
    assert names(tmp_path / "named" / LINES) == ["LogRecord"] * 4
    named.predict(named.lightning_module, loader(), return_predictions=False)
    assert names(tmp_path / "named" / "predict-events.jsonl") == ["PredictEpochEnd"]


def test_a_folder_that_cannot_be_used_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning) as warned:
        run = fit(tmp_path, Trace(tmp_path / "file" / "folder"))
    assert len(warned) == 1
    assert "Trace: cannot use the file" in str(warned[0].message) and "`dirpath`" in str(warned[0].message)
    assert run.global_step == 8 and not run.bus.is_heard(BeforeZeroGrad)


def test_a_folder_that_cannot_be_used_ends_the_run_if_the_script_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MisconfigurationException, match="cannot use the file"):
        fit(tmp_path, plugins={"trace": {"dirpath": tmp_path / "file", "on_failure": "raise"}})


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A limit on file sizes stands for the disk: the system refuses to write on."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_switches_it_off_and_leaves_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FLUSH_EVENTS", 10)
    with pytest.warns(RuntimeWarning) as warned, full_disk(30_000):
        run = fit(tmp_path, Trace(), max_epochs=4)
    messages = [str(one.message) for one in warned if one.category is RuntimeWarning]
    assert len(messages) == 3 and all("has room" in one for one in messages) and "switched off" in messages[2]
    assert [one.name for one in run.bus.quarantined] == ["trace"]
    assert run.global_step == 16 and not run.bus.is_heard(BeforeZeroGrad)
    assert names(tmp_path / LINES)[0] == "PrepareData"
    assert len(drawn(tmp_path / TRACE, "TrainBatch")) > 2


def test_a_disk_that_gets_full_in_a_trial_is_told_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tuned(Judged):
        lr = 0.1

    monkeypatch.setattr(recording, "FLUSH_EVENTS", 10)
    plugins = ["trace", {"learning_rate_finder": {"num_training_steps": 16}}]
    run = trainer(tmp_path, plugins=plugins, max_epochs=2)
    module = Tuned(lambda module: torch.optim.SGD(module.parameters(), lr=module.lr))
    with pytest.warns(RuntimeWarning, match="trace.*has room") as warned, full_disk(20_000):
        run.fit(module, loader(), loader(4))
    assert len(warned) == 3 and "`learning_rate_finder`" not in str(warned[0].message)
    assert [one.name for one in run.bus.quarantined] == ["trace"] and run.global_step == 8
    assert 0 < names(tmp_path / LINES).count("TrainBatchStart") < 16, "it was full in the trial"
    read_trace(tmp_path / TRACE)


def test_a_full_disk_ends_the_run_if_the_script_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FLUSH_EVENTS", 10)
    with pytest.raises(MisconfigurationException, match="has room"), full_disk(30_000):
        fit(tmp_path, plugins={"trace": {"on_failure": "raise"}}, max_epochs=4)
    read_trace(tmp_path / TRACE)


def test_what_a_full_disk_refused_is_written_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    file = GrowingFile(0, lambda state: f"<{state}>")
    file.path = path
    file.add("first,", 1)
    file.flush()
    file.add("second," * 9, 2)
    with full_disk(20), pytest.raises(OSError, match="large"):
        file.flush()
    assert path.read_text() == "first,<1>"
    file.add("third", 3)
    file.flush()
    assert path.read_text() == f"first,{'second,' * 9}third<3>"
