"""What a profiler hears of a run, whichever it is; and that nobody pays for it who has none."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus.profilers import PassThroughProfiler, Profiler, SimpleProfiler
from torchbus_hookspecs import MisconfigurationException, hookimpl

from .toys import Bare, Regression, loader

Quiet = Callable[..., L.Trainer]


class Noting(Profiler):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.open: list[str] = []
        self.stages: list[Any] = []

    def start(self, action_name: str) -> None:
        self.open.append(action_name)

    def stop(self, action_name: str) -> None:
        assert self.open.pop() == action_name, "actions end in the reverse order of their begin"
        self.notes.append(action_name)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        super().setup(stage, local_rank, log_dir)
        assert self.lightning_module is not None
        self.stages.append(("setup", stage, local_rank, log_dir))

    def describe(self) -> None:
        self.stages.append("describe")

    def teardown(self, stage: str | None) -> None:
        self.stages.append(("teardown", stage))


class Everything(Regression):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None: ...

    def optimizer_step(self, *values: Any) -> None:
        super().optimizer_step(*values)


class Data(L.LightningDataModule):
    def setup(self, stage: str) -> None: ...

    def train_dataloader(self) -> Any:
        return loader()

    def val_dataloader(self) -> Any:
        return loader()


class Keyed(L.Callback):
    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def state_key(self) -> str:
        return f"Keyed{{{self.key}}}"

    def on_train_batch_end(self, *arguments: Any) -> None: ...


class Hooks:
    @hookimpl
    def on_train_epoch_end(self) -> None: ...


# ---- which profiler ---------------------------------------------------------------------------------------------------


def test_there_is_always_a_profiler(quiet: Quiet) -> None:
    trainer = quiet()
    assert isinstance(trainer.profiler, PassThroughProfiler)
    with trainer.profiler.profile("anything") as name:
        assert name == "anything"
    trainer.profiler.stop("what never started")
    trainer.profiler.describe()


def test_a_profiler_is_given_by_name_with_settings_or_as_an_instance(quiet: Quiet) -> None:
    given = SimpleProfiler()
    assert quiet(profiler=given).profiler is given
    for wanted in ("simple", "Simple", "torchbus-profilers:simple"):
        assert isinstance(quiet(profiler=wanted).profiler, SimpleProfiler)
    profiler = quiet(profiler={"simple": {"extended": False}}).profiler
    assert isinstance(profiler, SimpleProfiler)
    assert profiler.extended is False


@pytest.mark.parametrize("wanted", [3, True, [SimpleProfiler(), SimpleProfiler()], L.Callback()])
def test_what_is_no_profiler_is_refused(quiet: Quiet, wanted: Any) -> None:
    with pytest.raises(MisconfigurationException, match="it takes one profiler"):
        quiet(profiler=wanted)


def test_an_unknown_name_is_refused_with_those_there_are(quiet: Quiet) -> None:
    with pytest.raises(MisconfigurationException, match=r"it can only be one of \['advanced', .*'simple'\]"):
        quiet(profiler="simpel")
    with pytest.raises(MisconfigurationException, match=r"pass it as Trainer\(logger='csv'\)"):
        quiet(profiler="csv")


def test_wrong_settings_are_told_like_those_of_any_plugin(quiet: Quiet) -> None:
    with pytest.raises(MisconfigurationException, match="`extnded` is not a setting of SimpleProfiler. Did you mean"):
        quiet(profiler={"simple": {"extnded": True}})


def test_a_profiler_among_the_plugins_is_told_where_it_belongs(quiet: Quiet) -> None:
    with pytest.raises(MisconfigurationException, match=r"pass it as Trainer\(profiler='advanced'\)"):
        quiet(plugins=["advanced"])
    with pytest.raises(MisconfigurationException, match=r"pass it as Trainer\(profiler=...\)"):
        quiet(plugins=[SimpleProfiler()])


def test_a_module_of_the_script_may_have_the_name_of_a_profiler(
    quiet: Quiet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugins.py").write_text(
        "from torchbus_hookspecs import hookimpl\n\n@hookimpl\ndef on_train_start(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "plugins" in quiet(plugins=["plugins"]).bus.plugins
    monkeypatch.delitem(sys.modules, "plugins")


def test_barebones_has_no_profiler() -> None:
    with pytest.raises(ValueError, match="profiler='simple'"):
        L.Trainer(barebones=True, profiler="simple")
    assert isinstance(L.Trainer(barebones=True).profiler, PassThroughProfiler)


# ---- what it hears ----------------------------------------------------------------------------------------------------


def test_actions_have_the_names_that_lightning_gives_them(quiet: Quiet) -> None:
    profiler = Noting()
    callbacks = [Keyed("a"), Keyed("b")]
    trainer = quiet(profiler=profiler, callbacks=callbacks, plugins=[{"hooks": Hooks()}], gradient_clip_val=1.0)
    trainer.fit(Everything(), datamodule=Data())
    counts = Counter(profiler.notes)
    strategy, module = "[Strategy]SingleDeviceStrategy", "[LightningModule]Everything"
    for name, count in {
        f"{strategy}.training_step": 6,
        f"{strategy}.backward": 6,
        f"{strategy}.validation_step": 8,
        f"{strategy}.batch_to_device": 14,
        f"{module}.configure_optimizers": 1,
        f"{module}.on_train_batch_start": 6,
        f"{module}.transfer_batch_to_device": 14,
        f"{module}.optimizer_step": 6,
        f"{module}.optimizer_zero_grad": 6,
        f"{module}.configure_gradient_clipping": 6,
        f"{module}.on_validation_model_eval": 2,
        "[LightningDataModule]Data.setup": 1,
        "[LightningDataModule]Data.train_dataloader": 1,
        "[Callback]Keyed{a}.on_train_batch_end": 6,
        "[Callback]Keyed{b}.on_train_batch_end": 6,
        "[Plugin]hooks.on_train_epoch_end": 1,
        "[_TrainingEpochLoop].train_dataloader_next": 6,
        "run_training_batch": 6,
        "run_training_epoch": 1,
    }.items():
        assert counts[name] == count, name
    assert counts["[_EvaluationLoop].val_next"] >= 8
    assert profiler.open == []


def test_other_stages_have_theirs(quiet: Quiet) -> None:
    profiler = Noting()
    trainer, model = quiet(profiler=profiler), Regression()
    trainer.validate(model, loader(), verbose=False)
    trainer.test(model, loader(), verbose=False)
    trainer.predict(model, torch.utils.data.DataLoader(torch.randn(4, 4)))
    counts = Counter(profiler.notes)
    for name in ("validation_step", "test_step", "predict_step"):
        assert counts[f"[Strategy]SingleDeviceStrategy.{name}"] >= 4
    assert {"[_EvaluationLoop].val_next", "[_EvaluationLoop].test_next", "[_PredictionLoop].predict_next"} <= set(
        counts
    )


def test_manual_optimization_has_its_steps(quiet: Quiet) -> None:
    class Manual(Bare):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    profiler = Noting()
    quiet(profiler=profiler).fit(Manual(), loader())
    counts = Counter(profiler.notes)
    assert counts["optimizer_step"] == counts["[Strategy]SingleDeviceStrategy.backward"] == 6


def test_loggers_and_checkpoints_are_heard(quiet: Quiet, tmp_path: Path) -> None:
    profiler = Noting()
    trainer = quiet(profiler=profiler, logger="csv", enable_checkpointing=True, log_every_n_steps=1)
    trainer.fit(Regression(), loader(), loader())
    assert profiler.stages[0] == ("setup", "fit", None, trainer.log_dir)
    counts = Counter(profiler.notes)
    assert counts["save_checkpoint"] == 1
    assert counts["[Logger]csv.log_metrics"] >= 6


def test_a_run_is_begun_reported_and_ended(quiet: Quiet, tmp_path: Path) -> None:
    profiler = Noting()
    trainer = quiet(profiler=profiler)
    trainer.fit(Bare(), loader())
    expected = [("setup", "fit", None, str(tmp_path)), "describe", ("teardown", "fit")]
    assert profiler.stages == expected
    assert profiler.lightning_module is None
    assert not trainer.bus.is_watched


def test_a_run_that_fails_is_reported_and_ended_too(quiet: Quiet) -> None:
    class Failing(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("broken")

    profiler = Noting()
    with pytest.raises(RuntimeError, match="broken"):
        quiet(profiler=profiler).fit(Failing(), loader())
    assert profiler.stages[1:] == ["describe", ("teardown", "fit")]
    assert profiler.open == [], "every action has ended"


def test_a_call_inside_a_call_of_the_same_action_is_part_of_it(quiet: Quiet) -> None:
    class Again(L.Callback):
        depth = 0

        def on_train_batch_end(self, trainer: Any, *values: Any) -> None:
            if self.depth == 0:
                self.depth = 1
                trainer.bus.emitter(L_TrainBatchEnd)(trainer, *values)
                self.depth = 0

    from torchbus_hookspecs.events import TrainBatchEnd as L_TrainBatchEnd

    trainer = quiet(profiler="simple", callbacks=[Again()])
    trainer.fit(Bare(), loader())
    (durations,) = (v for k, v in trainer.profiler.recorded_durations.items() if k.endswith("on_train_batch_end"))
    assert len(durations) == 6


def test_a_profiled_run_ends_with_the_same_weights(quiet: Quiet) -> None:
    weights = []
    for profiler in (None, Noting()):
        model = Bare()
        quiet(profiler=profiler).fit(model, loader())
        weights.append(torch.cat([one.detach().flatten() for one in model.parameters()]))
    assert torch.equal(*weights)


# ---- what it costs ----------------------------------------------------------------------------------------------------


class Counting(L.Callback):
    """Counts the calls of torchbus's own functions in an epoch."""

    calls = 0

    def on_train_epoch_start(self, *arguments: Any) -> None:
        def count(frame: FrameType, what: str, argument: Any) -> None:
            name = frame.f_globals.get("__name__") or frame.f_code.co_filename  # a chain has no module
            self.calls += what == "call" and name.startswith(("torchbus", "<torchbus"))

        sys.setprofile(count)

    def on_train_epoch_end(self, *arguments: Any) -> None:
        sys.setprofile(None)


def calls_of(quiet: Quiet, batches: int, **options: Any) -> int:
    gc.collect()  # generators of earlier runs are closed when they are collected, which is a call
    counting = Counting()
    quiet(callbacks=[counting, Keyed("a")], **options).fit(Bare(), loader(2 * batches))
    return counting.calls


def test_who_has_no_profiler_does_not_pay_for_it(quiet: Quiet) -> None:
    def calls_per_batch(**options: Any) -> int:
        # what is done once is the same in both; alarms have rung before batch 100
        return calls_of(quiet, 200, **options) - calls_of(quiet, 100, **options)

    without = calls_per_batch(plugins=["no:slow_plugins"])
    assert calls_per_batch(plugins={"slow_plugins": {"min_step_ms": 1e6}}) == without
    assert calls_per_batch(profiler=Noting()) > without
