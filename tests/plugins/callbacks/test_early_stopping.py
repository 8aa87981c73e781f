"""Early stopping: the judgement, the callback with a small fake trainer, and what is said of a missing metric."""

from __future__ import annotations

import logging
import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchbus
from hypothesis import given
from hypothesis import strategies as st
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.monitor import early_advice, not_logged
from torchbus_hookspecs.settings import describe_settings
from torchbus_stopping import EarlyStopping, EarlyStoppingReason
from torchbus_stopping._criterion import Rules, judge, worst_score

from .fakes import FakeBatches

SCORES = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=30)


class OneProcess:
    """The strategy of a run without other processes."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        return decision


class FakeTrainer(FakeBatches):
    """The part of a trainer that early stopping asks, played by hand."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.callback_metrics: dict[str, Any] = {}
        self.state = SimpleNamespace(fn="fit")
        self.strategy = OneProcess()
        self.should_stop = self.sanity_checking = self.fast_dev_run = False
        self.enable_validation = self.is_global_zero = True
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self.current_epoch = self.global_step = self.global_rank = 0
        self.world_size = 1
        vars(self).update(settings)

    def play(self, stopping: EarlyStopping, scores: list[float]) -> int:
        """Epochs with these scores, until somebody asks to stop. Returns how many there were."""
        stopping.setup(self, None, stage="fit")
        stopping.on_train_start(self, None)
        for count, score in enumerate(scores, 1):
            self.callback_metrics = {}
            self.end_batch()
            self.global_step += 2
            self.callback_metrics = {"score": torch.tensor(score)}
            stopping.on_validation_end(self, None)
            stopping.on_train_epoch_end(self, None)
            if self.should_stop:
                return count
            self.current_epoch += 1
        return len(scores)


# ---- the judgement ---------------------------------------------------------------------------------------------------


def rules(**changes: Any) -> Rules:
    given_rules: dict[str, Any] = {
        "monitor": "score",
        "mode": "min",
        "min_delta": 0.0,
        "patience": 3,
        "check_finite": True,
        "stopping_threshold": None,
        "divergence_threshold": None,
    }
    return Rules(**{**given_rules, **changes})


@given(SCORES, st.integers(1, 5), st.sampled_from(["min", "max"]))
def test_it_stops_exactly_when_the_best_score_is_patience_checks_old(
    scores: list[float], patience: int, mode: Any
) -> None:
    best, wait = worst_score(mode), 0
    for count, score in enumerate(scores, 1):
        verdict = judge(torch.tensor(score), best, wait, rules(patience=patience, mode=mode))
        best, wait = verdict.best, verdict.wait
        seen = torch.tensor(scores[:count])
        peak = seen.min() if mode == "min" else seen.max()
        age = count - 1 - (seen == peak).nonzero()[0].item()
        assert float(best) == float(peak)
        assert wait == age
        assert verdict.stops == (age >= patience)
        if verdict.stops:
            return


@given(SCORES, st.floats(0, 5))
def test_falling_and_rising_scores_are_judged_alike(scores: list[float], min_delta: float) -> None:
    low, high = (worst_score("min"), 0), (worst_score("max"), 0)
    for score in scores:
        one = judge(torch.tensor(score), *low, rules(min_delta=min_delta))
        other = judge(torch.tensor(-score), *high, rules(min_delta=min_delta, mode="max"))
        low, high = (one.best, one.wait), (other.best, other.wait)
        assert (float(one.best), one.wait, one.reason) == (-float(other.best), other.wait, other.reason)


@pytest.mark.parametrize(
    ("score", "changes", "reason"),
    [
        (math.nan, {}, "NON_FINITE_METRIC"),
        (math.inf, {}, "NON_FINITE_METRIC"),
        (math.nan, {"check_finite": False}, "NOT_STOPPED"),
        (0.05, {"stopping_threshold": 0.1}, "STOPPING_THRESHOLD"),
        (0.1, {"stopping_threshold": 0.1}, "NOT_STOPPED"),
        (20.0, {"divergence_threshold": 10.0}, "DIVERGENCE_THRESHOLD"),
        (10.0, {"divergence_threshold": 10.0}, "NOT_STOPPED"),
        (-2.0, {"divergence_threshold": -1.0, "mode": "max"}, "DIVERGENCE_THRESHOLD"),
        (2.0, {"patience": 1}, "PATIENCE_EXHAUSTED"),
        (2.0, {"patience": 0}, "PATIENCE_EXHAUSTED"),
    ],
)
def test_each_reason_has_its_name_and_its_words(score: float, changes: dict[str, Any], reason: str) -> None:
    verdict = judge(torch.tensor(score), torch.tensor(1.0), 0, rules(**changes))
    assert verdict.reason is EarlyStoppingReason[reason]
    assert ("`score`" in verdict.message) == verdict.stops or verdict.wait == 0


# ---- the callback ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "settings", "epochs", "best", "wait", "reason"),
    [
        ([5.0, 4.0, 4.5, 4.0, 3.0], {"patience": 2}, 4, 4.0, 2, "PATIENCE_EXHAUSTED"),
        ([5.0, 4.0, 3.0], {"patience": 1}, 3, 3.0, 0, "NOT_STOPPED"),
        ([5.0, 4.0, 4.1, 3.0], {"patience": 0}, 3, 4.0, 1, "PATIENCE_EXHAUSTED"),
        ([1.0] * 6, {}, 4, 1.0, 3, "PATIENCE_EXHAUSTED"),
        ([0.1, 0.3, 0.2, 0.25, 0.9], {"mode": "max", "patience": 2}, 4, 0.3, 2, "PATIENCE_EXHAUSTED"),
        ([1.0, 0.5, 0.05, 0.01], {"stopping_threshold": 0.1}, 3, 0.5, 0, "STOPPING_THRESHOLD"),
        ([1.0, 5.0, 20.0, 1.0], {"divergence_threshold": 10.0}, 3, 1.0, 1, "DIVERGENCE_THRESHOLD"),
        ([1.0, math.nan, 0.5], {}, 2, 1.0, 0, "NON_FINITE_METRIC"),
        ([1.0, math.nan, math.inf, math.nan, 0.5], {"check_finite": False}, 4, 1.0, 3, "PATIENCE_EXHAUSTED"),
    ],
)
def test_it_stops_where_the_recordings_of_lightning_stop(
    scores: list[float], settings: dict[str, Any], epochs: int, best: float, wait: int, reason: str
) -> None:
    stopping, trainer = EarlyStopping("score", **settings), FakeTrainer()
    assert trainer.play(stopping, scores) == epochs
    assert float(stopping.best_score) == pytest.approx(best)
    assert stopping.wait_count == wait
    assert stopping.stopping_reason.name == reason
    assert stopping.stopped_epoch == (epochs - 1 if trainer.should_stop else 0)
    assert (stopping.stopping_reason_message is not None) == trainer.should_stop


@pytest.mark.parametrize(
    ("choice", "trainer_settings", "expected"),
    [
        (None, {}, "training"),
        (None, {"val_check_interval": 0.5}, "validation"),
        (None, {"check_val_every_n_epoch": 2}, "validation"),
        (None, {"check_val_every_n_epoch": 2, "enable_validation": False}, "training"),
        (False, {}, "validation"),
        (True, {"val_check_interval": 0.5}, "training"),
    ],
)
def test_it_checks_once_for_each_validation_or_else_each_epoch(
    choice: bool | None, trainer_settings: dict[str, Any], expected: str
) -> None:
    stopping = EarlyStopping("score", check_on_train_epoch_end=choice)
    trainer = FakeTrainer(callback_metrics={"score": torch.tensor(1.0)}, **trainer_settings)
    stopping.on_validation_end(trainer, None)
    after_validation = math.isfinite(stopping.best_score)
    stopping.on_train_epoch_end(trainer, None)
    assert math.isfinite(stopping.best_score)
    assert ("validation" if after_validation else "training") == expected


@pytest.mark.parametrize("setting", [{"fast_dev_run": True}, {"state": SimpleNamespace(fn="validate")}])
def test_it_does_not_check_outside_of_a_real_fit(setting: dict[str, Any]) -> None:
    stopping = EarlyStopping("absent")
    stopping.on_train_epoch_end(FakeTrainer(**setting), None)
    assert stopping.wait_count == 0


def test_a_resumed_run_goes_on_counting_with_the_patience_of_its_script() -> None:
    first = EarlyStopping("score", patience=2)
    FakeTrainer().play(first, [1.0, 2.0, 2.0])
    resumed = EarlyStopping("score", patience=4)
    resumed.load_state_dict(first.state_dict())
    assert (float(resumed.best_score), resumed.wait_count, resumed.patience) == (1.0, 2, 4)
    assert resumed.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    trainer = FakeTrainer(current_epoch=3, global_step=6)
    assert trainer.play(resumed, [2.0, 2.0, 2.0]) == 2


def test_a_check_that_is_repeated_after_a_resume_counts_once() -> None:
    stopping = EarlyStopping("score", check_on_train_epoch_end=False)
    FakeTrainer().play(stopping, [1.0, 2.0])
    resumed = EarlyStopping("score", check_on_train_epoch_end=False)
    resumed.load_state_dict(stopping.state_dict())
    trainer = FakeTrainer(global_step=4, callback_metrics={"score": torch.tensor(2.0)})
    resumed.on_validation_end(trainer, None)
    assert (float(resumed.best_score), resumed.wait_count) == (1.0, 1)
    resumed.on_validation_end(trainer, None)
    assert resumed.wait_count == 2


def test_its_state_loads_with_weights_only(tmp_path: Any) -> None:
    stopping = EarlyStopping("score", patience=1)
    FakeTrainer().play(stopping, [1.0, 2.0])
    torch.save(stopping.state_dict(), tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    assert state["stopping_reason"] == EarlyStoppingReason.PATIENCE_EXHAUSTED.value


def test_a_fresh_state_has_the_keys_of_lightning() -> None:
    state = EarlyStopping("score").state_dict()
    assert set(state) == {
        "best_score", "patience", "stopped_epoch", "stopping_reason", "stopping_reason_message", "wait_count"
    }  # fmt: skip
    assert EarlyStopping("score", mode="max").state_key == "EarlyStopping{'monitor': 'score', 'mode': 'max'}"


def test_one_rank_that_wants_to_stop_stops_all() -> None:
    class AnotherWantsTo(OneProcess):
        def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
            assert not all
            return True

    stopping, trainer = EarlyStopping("score"), FakeTrainer(strategy=AnotherWantsTo())
    trainer.play(stopping, [1.0])
    assert trainer.should_stop
    assert stopping.stopping_reason is EarlyStoppingReason.NOT_STOPPED


def test_it_says_why_it_stops_and_with_verbose_what_improved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    FakeTrainer().play(EarlyStopping("score", patience=1), [2.0, 1.0, 1.0])
    assert [record.message for record in caplog.records] == [
        "EarlyStopping: `score` is 1: no improvement for 1 check; best: 1. Training is asked to stop."
    ]
    caplog.clear()
    FakeTrainer(world_size=2, global_rank=1).play(EarlyStopping("score", verbose=True), [2.0, 1.0])
    assert caplog.records[-1].message == "[rank 1] EarlyStopping: `score` is 1: a new best, better by 1."
    caplog.clear()
    quiet = EarlyStopping("score", verbose=True, log_rank_zero_only=True)
    FakeTrainer(world_size=2, global_rank=1, is_global_zero=False).play(quiet, [2.0, 1.0])
    assert not caplog.records


@pytest.mark.parametrize("wrong", [{"mode": "median"}, {"patience": -1}, {"min_delta": math.nan}, {"patience": "many"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        EarlyStopping("score", **wrong)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(EarlyStopping))


# ---- a metric that is missing ----------------------------------------------------------------------------------------


def test_a_missing_metric_is_an_error_that_names_the_nearest_and_lists_all() -> None:
    trainer = FakeTrainer(callback_metrics={"val_loss": torch.tensor(1.0), "val_acc": torch.tensor(1.0)})
    with pytest.raises(RuntimeError) as caught:
        EarlyStopping("val_los").on_train_epoch_end(trainer, None)
    assert str(caught.value) == (
        "EarlyStopping: `monitor` is 'val_los', and no metric of that name has been logged."
        " Did you mean `val_loss`?\nLogged so far: `val_acc`, `val_loss`.\n"
        "To fix: log it with `self.log('val_los', ...)`, or correct `monitor`, or set `strict=False` to skip such"
        " checks."
    )


def test_without_strict_a_missing_metric_is_one_warning() -> None:
    stopping, trainer = EarlyStopping("absent", strict=False), FakeTrainer()
    with pytest.warns(UserWarning, match="Nothing has been logged so far"):
        stopping.on_train_epoch_end(trainer, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopping.on_train_epoch_end(trainer, None)


def test_the_sanity_check_shows_a_misspelt_monitor_before_training() -> None:
    stopping = EarlyStopping("val_los")
    trainer = FakeTrainer(sanity_checking=True, callback_metrics={"val_loss": torch.tensor(1.0)})
    with pytest.warns(UserWarning, match=r"'val_los'.*Did you mean `val_loss`\? If it is logged later, all is well"):
        stopping.on_validation_end(trainer, None)
    assert stopping.wait_count == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.sanity_checking = False
        stopping.on_train_start(trainer, None)
        trainer.end_batch()


def test_the_first_batch_shows_a_misspelt_monitor_of_training() -> None:
    stopping = EarlyStopping("train_los")
    trainer = FakeTrainer(sanity_checking=True, callback_metrics={"val_loss": torch.tensor(1.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stopping.on_validation_end(trainer, None)
    trainer.sanity_checking, trainer.callback_metrics = False, {"train_loss": torch.tensor(1.0)}
    stopping.on_train_start(trainer, None)
    with pytest.warns(UserWarning, match="Did you mean `train_loss`"):
        trainer.end_batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.end_batch()


@pytest.mark.parametrize(
    ("monitor", "logged"),
    [
        ("val_loss", {"val_loss"}),
        ("val_loss", set()),
        ("val_loss", {"train_loss"}),
        ("val_accuracy", {"train_accuracy"}),
        ("val_accuracy", {"accuracy"}),
        ("accuracy", {"val_accuracy"}),
        ("train_loss_epoch", {"train_loss", "train_loss_step"}),
        ("train_loss", {"train_loss_step"}),
        ("val_top5", {"val_top1"}),
        ("val/dice", {"train/dice"}),
        ("valid_loss", {"train_loss", "train_loss_step"}),
    ],
)
def test_no_early_advice_where_the_metric_may_well_come_later(monitor: str, logged: set[str]) -> None:
    assert early_advice("EarlyStopping", monitor, logged) is None


@pytest.mark.parametrize(
    ("monitor", "logged", "meant"),
    [
        ("val_los", {"val_loss", "val_acc"}, "val_loss"),
        ("val-loss", {"val_loss"}, "val_loss"),
        ("eval_loss", {"val_loss"}, "val_loss"),
        ("valid_loss", {"val_loss"}, "val_loss"),
        ("val_loss", {"val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"}, "val_loss/dataloader_idx_0"),
        ("acuracy", {"accuracy"}, "accuracy"),
    ],
)
def test_early_advice_names_what_was_probably_meant(monitor: str, logged: set[str], meant: str) -> None:
    advice = early_advice("EarlyStopping", monitor, logged)
    assert advice is not None
    assert f"`{meant}`" in advice


@given(st.text(min_size=1), st.sets(st.text(min_size=1), max_size=30))
def test_what_was_logged_is_never_called_missing_and_advice_never_fails(monitor: str, logged: set[str]) -> None:
    assert early_advice("Plugin", monitor, logged | {monitor}) is None
    early_advice("Plugin", monitor, logged)
    assert repr(monitor) in not_logged("Plugin", monitor, logged, "")


def test_a_long_list_of_metrics_is_cut() -> None:
    message = not_logged("Plugin", "absent", {f"metric_{number}" for number in range(50)}, "")
    assert "and 30 more" in message


# ---- in a real fit ---------------------------------------------------------------------------------------------------


class Scripted(torchbus.LightningModule):
    """Logs one prepared score after each validation, under the name ``val_score``."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.layer(batch).mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_score", self.scores[self.trainer.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(tmp_path: Any, monitor: str, **settings: Any) -> torchbus.Trainer:
    trainer = torchbus.Trainer(
        accelerator="cpu",
        max_epochs=6,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(tmp_path),
        plugins={"early_stopping": {"monitor": monitor, **settings}},
    )
    data = torch.utils.data.DataLoader(torch.ones(4, 1), batch_size=2)
    trainer.fit(Scripted([3.0, 2.0, 2.5, 2.5, 1.0, 0.0]), data, data)
    return trainer


def test_a_fit_with_the_plugin_by_name_stops_without_a_warning(tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = fit(tmp_path, "val_score", patience=2)
    stopping = trainer.early_stopping_callback
    assert isinstance(stopping, EarlyStopping)
    assert (trainer.current_epoch, stopping.stopped_epoch, float(stopping.best_score)) == (4, 3, 2.0)


@pytest.mark.parametrize(("monitor", "meant"), [("val_scor", "val_score"), ("train_los", "train_loss")])
def test_a_fit_with_a_misspelt_monitor_warns_early_and_fails_when_it_matters(
    tmp_path: Any, monitor: str, meant: str
) -> None:
    with (
        pytest.warns(UserWarning, match="If it is logged later, all is well"),
        pytest.raises(RuntimeError, match=f"Did you mean `{meant}`"),
    ):
        fit(tmp_path, monitor)


def test_a_monitor_whose_stage_is_misspelt_is_noticed_too() -> None:
    advice = early_advice("EarlyStopping", "vall_loss", {"train_loss", "val_loss"})
    assert advice is not None
    assert "Did you mean `val_loss`?" in advice
    assert early_advice("EarlyStopping", "value", {"val_loss"}) is None
