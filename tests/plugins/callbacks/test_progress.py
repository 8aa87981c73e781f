"""The progress bar: what it asks of a trainer, what it draws in a terminal, what it writes elsewhere."""

from __future__ import annotations

import io
import itertools
import math
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from torchbus_hookspecs import Callback, MisconfigurationException, ProgressBar
from torchbus_progress import RichProgressBar, RichProgressBarTheme, _live, _pace, _plain

from .fakes import FakeBatches

MODULE: Any = None  # the bar does not look at it
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_live, "monotonic", clock)
    monkeypatch.setattr(_plain, "monotonic", clock)
    monkeypatch.setattr(_pace, "monotonic", clock)
    return clock


class FakeTrainer(FakeBatches):
    """The part of a trainer that a bar asks."""


def fake_trainer(**changes: Any) -> Any:
    attributes = {
        "num_training_batches": 4,
        "num_val_batches": [2, 1],
        "num_sanity_val_batches": [1, 1],
        "num_test_batches": [2, 1],
        "num_predict_batches": [2],
        "current_epoch": 0,
        "max_epochs": 3,
        "check_val_every_n_epoch": 1,
        "progress_bar_metrics": {},
        "sanity_checking": False,
        "is_global_zero": True,
        "loggers": [],
        "lightning_module": None,
    }
    trainer = FakeTrainer()
    vars(trainer).update({**attributes, **changes})
    return trainer


class Screen:
    """A bar with the text it writes."""

    def __init__(self, terminal: bool, bar: type[RichProgressBar] = RichProgressBar, **settings: Any) -> None:
        self.file = io.StringIO()
        console = {"file": self.file, "force_terminal": terminal, "width": 100, "color_system": None}
        self.bar = bar(**settings, console_kwargs=console)

    @property
    def text(self) -> str:
        return self.file.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def validate(bar: RichProgressBar, trainer: Any, batches: int = 3) -> None:
    bar.on_validation_start(trainer, MODULE)
    for batch_idx in range(batches):
        bar.on_validation_batch_end(trainer, MODULE, None, None, batch_idx)
    bar.on_validation_end(trainer, MODULE)


def train_batches(trainer: Any, batches: int = 4) -> None:
    for _ in range(batches):
        trainer.end_batch()


def fit(bar: RichProgressBar, trainer: Any, epochs: int = 3) -> None:
    bar.setup(trainer, MODULE, "fit")
    trainer.sanity_checking = True
    bar.on_sanity_check_start(trainer, MODULE)
    validate(bar, trainer, 2)
    bar.on_sanity_check_end(trainer, MODULE)
    trainer.sanity_checking = False
    bar.on_train_start(trainer, MODULE)
    for trainer.current_epoch in range(epochs):
        trainer.fit_loop.progress.batches_done = 0
        bar.on_train_epoch_start(trainer, MODULE)
        train_batches(trainer)
        trainer.progress_bar_metrics["train_loss"] = 0.123456 / (trainer.current_epoch + 1)
        validate(bar, trainer)
        trainer.progress_bar_metrics["val_acc"] = 0.97
        bar.on_train_epoch_end(trainer, MODULE)
    trainer.current_epoch = epochs
    bar.on_train_end(trainer, MODULE)
    bar.teardown(trainer, MODULE, "fit")


# ---- the base class --------------------------------------------------------------------------------------------------


class Bar(ProgressBar):
    """A third party's bar, as small as may be."""

    def __init__(self) -> None:
        self.enabled = True

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False


def with_trainer(**changes: Any) -> Bar:
    bar = Bar()
    bar.setup(fake_trainer(**changes), MODULE, "fit")
    return bar


def test_the_contract_has_the_base_class_without_importing_torch() -> None:
    import subprocess

    code = "import sys, torchbus_hookspecs as h; h.ProgressBar; print('torch' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_bar_observes_and_so_does_not_end_a_run() -> None:
    assert issubclass(RichProgressBar, Callback)
    assert Bar.on_failure == RichProgressBar.on_failure == "quarantine"


def test_descriptions_are_lightnings() -> None:
    bar = Bar()
    assert bar.sanity_check_description == "Sanity Checking"
    assert [bar.train_description, bar.validation_description] == ["Training", "Validation"]
    assert [bar.test_description, bar.predict_description] == ["Testing", "Predicting"]


def test_totals_are_those_of_the_trainer() -> None:
    bar = with_trainer(num_training_batches=math.inf)
    assert bar.total_train_batches == math.inf
    assert bar.total_val_batches == 3
    assert bar.has_dataloader_changed(1)
    assert bar.total_val_batches_current_dataloader == 1
    assert bar.has_dataloader_changed(0)
    assert not bar.has_dataloader_changed(0)
    assert bar.total_test_batches_current_dataloader == 2
    assert bar.total_predict_batches_current_dataloader == 2
    bar.trainer.sanity_checking = True
    assert bar.total_val_batches_current_dataloader == 1
    bar.reset_dataloader_idx_tracker()
    with pytest.raises(RuntimeError, match="call `has_dataloader_changed`"):
        _ = bar.total_test_batches_current_dataloader


@pytest.mark.parametrize(("every", "epoch", "total"), [(2, 0, 0), (2, 1, 3), (None, 0, 3)])
def test_no_validation_batches_are_expected_in_an_epoch_without_validation(
    every: int | None, epoch: int, total: int
) -> None:
    assert with_trainer(check_val_every_n_epoch=every, current_epoch=epoch).total_val_batches == total


def test_a_bar_without_a_run_says_that_it_has_no_trainer() -> None:
    with pytest.raises(RuntimeError, match="Bar has no trainer yet: give it to a Trainer"):
        _ = Bar().trainer


def test_ranks_other_than_zero_show_nothing() -> None:
    assert not with_trainer(is_global_zero=False).enabled
    screen = Screen(terminal=True)
    fit(screen.bar, fake_trainer(is_global_zero=False))
    assert screen.text == ""
    assert screen.bar.is_disabled


def test_a_bar_must_say_how_to_switch_it_off() -> None:
    with pytest.raises(NotImplementedError, match="ProgressBar must implement `disable`"):
        ProgressBar().disable()
    with pytest.raises(NotImplementedError, match="ProgressBar must implement `enable`"):
        ProgressBar().enable()


@pytest.mark.parametrize(
    ("versions", "shown"),
    [([], None), ([None], None), ([""], None), ([3], 3), (["run-7fa2"], "7fa2"), ([0, "a"], "0_a"), ([1, 1], 1)],
)
def test_metrics_are_the_logged_ones_and_the_loggers_version(versions: list[Any], shown: Any) -> None:
    loggers = [SimpleNamespace(version=version) for version in versions]
    bar = with_trainer(loggers=loggers, progress_bar_metrics={"loss": 0.5})
    expected = {"loss": 0.5} if shown is None else {"v_num": shown, "loss": 0.5}
    assert bar.get_metrics(bar.trainer, MODULE) == expected


def test_print_prints(capsys: pytest.CaptureFixture[str]) -> None:
    Bar().print("a", 1, sep="-")
    assert capsys.readouterr().out == "a-1\n"


# ---- where there is no terminal --------------------------------------------------------------------------------------


def test_without_a_terminal_each_epoch_is_one_line_with_its_validation(clock: Clock) -> None:
    screen = Screen(terminal=False)
    fit(screen.bar, fake_trainer(loggers=[SimpleNamespace(version=7)]))
    assert screen.lines == [
        "epoch 1/3 · 4 batches · 0.0 s · train_loss 0.1235 · val_acc 0.97",
        "epoch 2/3 · 4 batches · 0.0 s · train_loss 0.06173 · val_acc 0.97",
        "epoch 3/3 · 4 batches · 0.0 s · train_loss 0.04115 · val_acc 0.97",
    ]


def test_without_a_limit_of_epochs_the_line_gives_none(clock: Clock) -> None:
    for unlimited in (None, -1):
        screen = Screen(terminal=False)
        fit(screen.bar, fake_trainer(max_epochs=unlimited), epochs=1)
        assert screen.text.startswith("epoch 1 · 4 batches")


def test_evaluation_and_prediction_are_one_line_each(clock: Clock) -> None:
    screen = Screen(terminal=False)
    trainer = fake_trainer(progress_bar_metrics={"loss": 0.25})
    bar = screen.bar
    bar.setup(trainer, MODULE, "validate")
    validate(bar, trainer)
    bar.on_test_start(trainer, MODULE)
    for dataloader_idx, batch_idx in [(0, 0), (0, 1), (1, 0)]:
        bar.on_test_batch_end(trainer, MODULE, None, None, batch_idx, dataloader_idx)
        clock.now += 30
    bar.on_test_end(trainer, MODULE)
    trainer.progress_bar_metrics = {}
    bar.on_predict_start(trainer, MODULE)
    bar.on_predict_batch_end(trainer, MODULE, None, None, 0)
    bar.on_predict_end(trainer, MODULE)
    assert screen.lines == [
        "validation · 3 batches · 0.0 s · loss 0.25",
        "testing · 3/3 batches · 0:01:00 · loss 0.25",
        "testing · 3 batches · 0:01:30 · loss 0.25",
        "predicting · 1 batch · 0.0 s",
    ]


def test_an_epoch_of_hours_shows_each_minute_that_it_lives(clock: Clock) -> None:
    screen = Screen(terminal=False)
    trainer = fake_trainer(num_training_batches=math.inf, progress_bar_metrics={"loss": 1.5})
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    for _ in range(7):
        clock.now += 20
        trainer.end_batch()
    assert screen.lines == [
        "epoch 1/3 · 3/? batches · 0:01:00 · loss 1.5",
        "epoch 1/3 · 6/? batches · 0:02:00 · loss 1.5",
    ]


def test_a_run_that_stops_with_an_exception_says_how_far_it_came(clock: Clock) -> None:
    screen = Screen(terminal=False)
    trainer = fake_trainer()
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    train_batches(trainer, 2)
    screen.bar.on_exception(trainer, MODULE, KeyboardInterrupt())
    assert screen.lines == ["epoch 1/3 · 2/4 batches · 0.0 s"]


def test_a_pipe_gets_no_control_characters_even_if_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    fit(RichProgressBar(), fake_trainer())
    output = capsys.readouterr().out
    assert output.startswith("epoch 1/3")
    assert not [character for character in output if character < " " and character != "\n"]


def test_an_output_that_knows_ascii_only_gets_no_other_characters() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    fit(RichProgressBar(console_kwargs={"file": file}), fake_trainer(), epochs=1)
    assert raw.getvalue().startswith(b"epoch 1/3 - 4 batches - ")


# ---- in a terminal ---------------------------------------------------------------------------------------------------


def test_a_terminal_shows_epoch_bar_counts_times_speed_and_metrics() -> None:
    screen = Screen(terminal=True)
    fit(screen.bar, fake_trainer(loggers=[SimpleNamespace(version=7)]))
    final = screen.text.split("\x1b[2K")[-1]
    row, metrics = final.splitlines()[:2]
    assert row.startswith("Epoch 2/2 ━━━")
    assert " 4/4 0:00:00 • 0:00:00 " in row
    assert row.endswith(" it/s")
    assert metrics == "v_num 7  train_loss 0.04115  val_acc 0.97"


def test_the_terminal_is_given_back_at_the_end_and_the_last_state_stays() -> None:
    screen = Screen(terminal=True)
    stdout = sys.stdout
    fit(screen.bar, fake_trainer())
    assert screen.text.startswith(HIDE_CURSOR)
    assert screen.text.endswith("\n" + SHOW_CURSOR)
    assert sys.stdout is stdout


@pytest.mark.parametrize("exception", [ValueError(), KeyboardInterrupt()])
def test_the_terminal_is_given_back_when_the_run_raises(exception: BaseException) -> None:
    screen = Screen(terminal=True)
    trainer = fake_trainer()
    stdout = sys.stdout
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    train_batches(trainer, 3)
    assert sys.stdout is not stdout
    screen.bar.on_exception(trainer, MODULE, exception)
    assert " 3/4 " in screen.text.split("\x1b[2K")[-1]
    assert screen.text.endswith(SHOW_CURSOR)
    assert sys.stdout is stdout


def test_metrics_that_cannot_be_read_give_the_terminal_back_too() -> None:
    class Broken(RichProgressBar):
        def get_metrics(self, trainer: Any, pl_module: Any) -> Any:
            raise RuntimeError("device lost")

    screen = Screen(terminal=True, bar=Broken, refresh_rate=1)
    trainer = fake_trainer()
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    with pytest.raises(RuntimeError, match="device lost"):
        screen.bar.on_train_epoch_end(trainer, MODULE)
    assert screen.text.endswith(SHOW_CURSOR)
    screen.bar.on_train_epoch_start(trainer, MODULE)
    screen.bar.on_exception(trainer, MODULE, ValueError())
    assert screen.text.endswith(SHOW_CURSOR)


def test_it_draws_ten_times_a_second_at_most(clock: Clock) -> None:
    class Counting(RichProgressBar):
        readings = 0

        def get_metrics(self, trainer: Any, pl_module: Any) -> Any:
            self.readings += 1
            return super().get_metrics(trainer, pl_module)

    screen = Screen(terminal=True, bar=Counting, refresh_rate=1)
    trainer = fake_trainer(num_training_batches=10_000)
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    for _ in range(2000):  # two seconds
        clock.now += 0.001
        trainer.end_batch()
    assert isinstance(screen.bar, Counting)
    assert 15 <= screen.bar.readings <= 20
    screen.bar.teardown(trainer, MODULE, "fit")


def test_slow_batches_are_shown_as_they_come_whatever_the_refresh_rate(clock: Clock) -> None:
    screen = Screen(terminal=True, refresh_rate=100)
    trainer = fake_trainer(num_training_batches=50)
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    for _ in range(6):
        clock.now += 0.6
        trainer.end_batch()
    screen.bar.teardown(trainer, MODULE, "fit")
    drawn = [count for count in range(7) if f" {count}/50 " in screen.text]
    assert drawn == list(range(7))


def test_a_slow_terminal_is_drawn_less_often(clock: Clock) -> None:
    class SlowFile(io.StringIO):
        def write(self, text: str) -> int:
            clock.now += 0.01
            return super().write(text)

    file = SlowFile()
    bar = RichProgressBar(1, console_kwargs={"file": file, "force_terminal": True, "width": 100})
    trainer = fake_trainer(num_training_batches=10_000)
    bar.setup(trainer, MODULE, "fit")
    bar.on_train_start(trainer, MODULE)
    for _ in range(2000):
        clock.now += 0.001
        trainer.end_batch()
    assert 4 <= file.getvalue().count("Epoch 0/2") <= 5
    bar.teardown(trainer, MODULE, "fit")


def test_validation_within_an_epoch_has_a_row_below_and_leaves_no_trace(clock: Clock) -> None:
    screen = Screen(terminal=True, refresh_rate=1)
    trainer = fake_trainer()
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    train_batches(trainer)
    screen.bar.on_validation_start(trainer, MODULE)
    clock.now += 5
    screen.bar.on_validation_batch_end(trainer, MODULE, None, None, 0)
    assert screen.bar.val_progress_bar is not None
    assert screen.bar.val_progress_bar.completed == 1
    assert screen.bar.train_progress_bar is not None
    assert screen.bar.train_progress_bar.completed == 4
    above, below = screen.text.split("\x1b[2K")[-1].splitlines()
    assert above.startswith("Epoch 0/2 ")
    assert below.startswith("Validation ")
    screen.bar.on_validation_end(trainer, MODULE)
    assert screen.bar.val_progress_bar is None
    screen.bar.on_train_epoch_end(trainer, MODULE)
    screen.bar.on_train_end(trainer, MODULE)
    assert "Validation" not in screen.text.split("\x1b[2K")[-1]


def test_leave_keeps_a_row_for_every_epoch() -> None:
    screen = Screen(terminal=True, leave=True)
    fit(screen.bar, fake_trainer())
    last_words = [piece.splitlines()[0] for piece in screen.text.split("\x1b[2K") if piece.startswith("Epoch")]
    assert [row[:9] for row in last_words if " 4/4 " in row] == ["Epoch 0/2", "Epoch 1/2", "Epoch 2/2"]


def test_a_run_resumed_within_an_epoch_goes_on_where_it_was() -> None:
    screen = Screen(terminal=True)
    trainer = fake_trainer(current_epoch=1)
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)  # no start of an epoch follows
    trainer.fit_loop.progress.batches_done = 3
    screen.bar.refresh(hard=True)
    assert screen.bar.train_progress_bar is not None
    assert screen.bar.train_progress_bar.completed == 3
    screen.bar.teardown(trainer, MODULE, "fit")


def test_many_metrics_wrap_instead_of_being_cut_off() -> None:
    screen = Screen(terminal=True)
    names = [f"a_rather_long_metric_name_{index}" for index in range(9)]
    fit(screen.bar, fake_trainer(progress_bar_metrics=dict.fromkeys(names, 1.0)))
    final = screen.text.split("\x1b[2K")[-1]
    assert all(name in final for name in names)


def test_printing_goes_above_the_bar() -> None:
    screen = Screen(terminal=True)
    trainer = fake_trainer()
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    screen.bar.print("hello")
    assert "\x1b[2Khello\nEpoch 0/2" in screen.text
    screen.bar.teardown(trainer, MODULE, "fit")


def test_its_columns_can_be_replaced() -> None:
    class Short(RichProgressBar):
        def configure_columns(self, trainer: Any) -> Any:
            return super().configure_columns(trainer)[:1]

    screen = Screen(terminal=True, bar=Short)
    fit(screen.bar, fake_trainer())
    assert screen.text.split("\x1b[2K")[-1].splitlines()[0].strip() == "Epoch 2/2"


# ---- settings and switches -------------------------------------------------------------------------------------------


def test_refresh_rate_zero_shows_nothing() -> None:
    screen = Screen(terminal=True, refresh_rate=0)
    assert screen.bar.is_disabled
    fit(screen.bar, fake_trainer())
    assert screen.text == ""


def test_it_can_be_switched_off_and_on_between_epochs(clock: Clock) -> None:
    screen = Screen(terminal=False)
    trainer = fake_trainer()
    screen.bar.setup(trainer, MODULE, "fit")
    screen.bar.on_train_start(trainer, MODULE)
    for trainer.current_epoch, switch in enumerate([screen.bar.disable, screen.bar.enable]):
        switch()
        trainer.fit_loop.progress.batches_done = 0
        screen.bar.on_train_epoch_start(trainer, MODULE)
        train_batches(trainer)
        screen.bar.on_train_epoch_end(trainer, MODULE)
    assert screen.bar.is_enabled
    assert screen.lines == ["epoch 2/3 · 4 batches · 0.0 s"]


def test_hooks_in_any_order_do_not_raise() -> None:
    hooks = ["on_validation_end", "on_train_epoch_end", "on_test_end", "on_sanity_check_end", "on_train_end"]
    for order in itertools.permutations(hooks, 3):
        screen = Screen(terminal=True)
        screen.bar.setup(fake_trainer(), MODULE, "fit")
        for hook in order:
            getattr(screen.bar, hook)(fake_trainer(), MODULE)


def test_it_can_be_pickled_between_runs() -> None:
    bar = RichProgressBar(refresh_rate=7)
    fit(bar, fake_trainer())
    bar._trainer = None
    assert pickle.loads(pickle.dumps(bar)).refresh_rate == 7


def test_a_theme_may_be_given_as_settings() -> None:
    screen = Screen(terminal=True, theme={"metrics_format": ".1f", "metrics_text_delimiter": " | "})
    fit(screen.bar, fake_trainer())
    assert "train_loss 0.0 | val_acc 1.0" in screen.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"refresh_rate": -1}, "`refresh_rate` is -1"),
        ({"theme": {"progress_bar": "nocolour"}}, "no rich style"),
        ({"theme": {"metrics_format": "4z"}}, "no format"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MisconfigurationException, match=words):
        RichProgressBar(**settings)


def test_wrong_arguments_for_the_console_are_found_at_once() -> None:
    with pytest.raises(TypeError, match="no_such_argument"):
        RichProgressBar(console_kwargs={"no_such_argument": 1})


def test_a_wrong_style_in_a_theme_names_its_part() -> None:
    with pytest.raises(ValueError, match="time='nocolour'"):
        RichProgressBarTheme(time="nocolour")
