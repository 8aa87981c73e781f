"""The bar of tqdm's: what it counts, what it writes, how often it looks at metrics."""

from __future__ import annotations

import math
import os
import pickle
import pty
import re
import subprocess
import sys
import termios
from typing import Any

import pytest
import torch
import torchbus as L
from torch.utils.data import DataLoader, IterableDataset
from torchbus.callbacks import RichProgressBar, TQDMProgressBar
from torchbus_hookspecs import MisconfigurationException
from torchbus_tqdm import Tqdm, tqdm_progress_bar

pytestmark = pytest.mark.filterwarnings("ignore:There is a `validation_step`")


class Model(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).sum()
        self.log("loss", torch.tensor(0.25), prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("acc", 1.0, prog_bar=True)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("test_acc", 1.0, prog_bar=True)

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        return self.layer(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Recorder(Tqdm):
    """Remembers every number of batches, every total and every title it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.counts: list[float] = []
        self.totals: list[float | None] = []
        self.titles: list[str] = []
        super().__init__(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "n" and (not self.counts or self.counts[-1] != value):
            self.counts.append(value)
        if name == "total" and value not in self.totals[-1:]:
            self.totals.append(value)
        super().__setattr__(name, value)

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        self.titles.append(desc or "")
        super().set_description(desc, refresh)


class Clock:
    """Time that passes only when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Endless(IterableDataset):
    """Nobody knows how many there are: five."""

    def __iter__(self):
        return iter(torch.ones(5, 4))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm_progress_bar, "Tqdm", Recorder)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tqdm_progress_bar, "monotonic", clock)
    return clock


def loader(batches: int) -> DataLoader:
    return DataLoader(torch.ones(batches, 4))


def trainer(bar: Any = None, **options: Any) -> L.Trainer:
    options = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "max_epochs": 1,
        **options,
    }
    return L.Trainer(callbacks=bar, accelerator="cpu", **options)


def fit(bar: TQDMProgressBar, train: Any = 5, val: Any = None, **options: Any) -> L.Trainer:
    run = trainer(bar, **options)
    run.fit(Model(), loader(train) if isinstance(train, int) else train, val)
    return run


# ---- which bar a trainer has -----------------------------------------------------------------------------------------


def test_an_instance_or_a_name_replaces_the_default_bar() -> None:
    assert isinstance(trainer().progress_bar_callback, RichProgressBar)
    bar = TQDMProgressBar(refresh_rate=0)
    assert [one for one in trainer(bar).callbacks if isinstance(one, L.callbacks.ProgressBar)] == [bar]
    for plugins in (["tqdm_progress_bar"], {"tqdm_progress_bar": {"leave": True}}):
        assert isinstance(trainer(plugins=plugins).progress_bar_callback, TQDMProgressBar)
    assert trainer(enable_progress_bar=False).progress_bar_callback is None


def test_it_is_the_default_where_rich_is_switched_off_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_PLUGIN_ALLOW", "torchbus-tqdm,torchbus-cpu")
    assert isinstance(trainer().progress_bar_callback, TQDMProgressBar)


def test_two_bars_or_one_that_is_switched_off_are_refused() -> None:
    with pytest.raises(MisconfigurationException, match="multiple progress bar callbacks.* TQDMProgressBar, RichProgr"):
        trainer([TQDMProgressBar(), RichProgressBar()])
    with pytest.raises(MisconfigurationException, match="enable_progress_bar=False` but found `TQDMProgressBar`"):
        trainer(TQDMProgressBar(), enable_progress_bar=False)


# ---- counting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val", "rate", "train_counts", "val_counts"),
    [
        (2, 3, 1, [0, 1, 2], [0, 1, 2, 3]),
        (1, 1, 3, [0, 1], [0, 1]),
        (5, 2, 3, [0, 3, 5], [0, 2]),
        (5, 2, 6, [0, 5], [0, 2]),
    ],
)
def test_bars_move_every_refresh_rate_batches_and_end_at_the_total(
    train: int, val: int, rate: int, train_counts: list[int], val_counts: list[int], recorded: None
) -> None:
    bar = TQDMProgressBar(refresh_rate=rate)
    fit(bar, train, loader(val), num_sanity_val_steps=0)
    assert bar.train_progress_bar.counts == train_counts
    assert bar.val_progress_bar.counts == val_counts
    assert (bar.train_progress_bar.total, bar.val_progress_bar.total) == (train, val)


def test_evaluation_counts_one_loader_after_the_other(recorded: None) -> None:
    bar, model = TQDMProgressBar(), Model()
    run = trainer(bar)
    loaders = [loader(2), loader(3)]
    run.validate(model, loaders, verbose=False)
    run.test(model, loaders, verbose=False)
    run.predict(model, loaders)
    for shown, what in (
        (bar.val_progress_bar, "Validation"),
        (bar.test_progress_bar, "Testing"),
        (bar.predict_progress_bar, "Predicting"),
    ):
        assert shown.titles == [f"{what} DataLoader 0", f"{what} DataLoader 1"]
        assert shown.totals == [None, 2, 3]
        assert shown.counts == [0, 1, 2, 0, 1, 2, 3]
        assert shown.leave


def test_the_sanity_check_has_a_bar_of_its_own(recorded: None) -> None:
    bars = []

    class Keeping(TQDMProgressBar):
        def on_sanity_check_end(self, trainer, pl_module):
            bars.append(self.val_progress_bar)
            super().on_sanity_check_end(trainer, pl_module)

    bar = Keeping()
    fit(bar, 2, loader(5), num_sanity_val_steps=3)
    assert bars[0].titles == ["Sanity Checking DataLoader 0"]
    assert (bars[0].total, bars[0].leave) == (3, False)
    assert bar.val_progress_bar is not bars[0]
    assert (bar.val_progress_bar.total, bar.val_progress_bar.leave) == (5, False)


def test_batches_of_a_loader_without_length_are_counted_too() -> None:
    bar = TQDMProgressBar(refresh_rate=3)
    fit(bar, DataLoader(Endless()), DataLoader(Endless()))
    assert (bar.train_progress_bar.n, bar.train_progress_bar.total) == (5, None)
    assert (bar.val_progress_bar.n, bar.val_progress_bar.total) == (5, None)
    assert math.isinf(bar.total_train_batches)


def test_a_run_resumed_within_an_epoch_goes_on_where_it_was(tmp_path) -> None:
    class Saving(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 2:
                trainer.save_checkpoint(tmp_path / "here.ckpt")

    trainer([TQDMProgressBar(), Saving()]).fit(Model(), loader(8))
    bar = TQDMProgressBar()
    run = trainer(bar)
    run.fit(Model(), loader(8), ckpt_path=tmp_path / "here.ckpt")
    assert (bar.train_progress_bar.n, bar.train_progress_bar.total) == (8, 8)
    assert bar.train_progress_bar.desc.startswith("Epoch 0")


# ---- drawing ---------------------------------------------------------------------------------------------------------


class Reading(TQDMProgressBar):
    """Notes after how many batches the metrics were read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read: list[float] = []

    def get_metrics(self, trainer, pl_module):
        self.read.append(self.train_progress_bar.n)
        return {**super().get_metrics(trainer, pl_module), "mine": 7}


def test_metrics_are_read_ten_times_a_second_at_most_and_for_the_first_and_last_batch(clock: Clock) -> None:
    class Passing(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            clock.now += 0.03

    bar = Reading()
    run = trainer([bar, Passing()])
    run.fit(Model(), loader(11))
    assert bar.read == [1, 5, 9, 11, 11], "each fourth batch, the last, and the end of the epoch"


def test_metrics_of_others_are_shown_and_fractions_keep_their_width(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Reading(), 2)
    assert capsys.readouterr().out.rstrip().endswith("loss=0.250, mine=7]")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"), (1.0, "1.000"), (0.1, "0.100"), (1e-5, "1e-5"), (12.5, "12.50"), (-1.0, "-1.00"), (123.0, "123.0"),
        (123456.7, "1.23e+5"), (math.nan, "nan"), ("1.0", "1.000"), ("10000", "10000"), ("abc", "abc"), ("v1.2", "v1.2"),
    ],
)  # fmt: skip
def test_fractions_have_the_width_of_three_digits(number: Any, text: str) -> None:
    assert Tqdm.format_num(number) == text


def test_validation_has_the_line_below_and_its_metrics_stand_in_the_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    fit(TQDMProgressBar(), 2, loader(2))
    text = capsys.readouterr().out
    assert "\n\rValidation DataLoader 0: 100%" in text
    last = text.rstrip().rpartition("\r")[2]
    assert last.startswith("Epoch 0: 100%|")
    assert last.endswith("loss=0.250, acc=1.000]")


def test_leave_keeps_a_line_for_every_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    fit(TQDMProgressBar(), 2, max_epochs=3)
    assert [line.rpartition("\r")[2][:7] for line in capsys.readouterr().out.split("\n")] == ["Epoch 2", ""]
    fit(TQDMProgressBar(leave=True), 2, max_epochs=3)
    lines = [line.rpartition("\r")[2][:7] for line in capsys.readouterr().out.split("\n")]
    assert lines == ["Epoch 0", "Epoch 1", "Epoch 2", ""]


def test_other_processes_have_their_lines_above() -> None:
    bar = TQDMProgressBar(process_position=2)
    assert bar.process_position == 2
    positions = []

    class Asking(L.Callback):
        def on_validation_start(self, trainer, pl_module):
            positions.extend([bar.train_progress_bar.pos, bar.val_progress_bar.pos])

    trainer([bar, Asking()], num_sanity_val_steps=0).fit(Model(), loader(1), loader(1))
    assert positions == [-4, -5]


def test_bars_can_be_made_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    class Short(TQDMProgressBar):
        BAR_FORMAT = "{desc}{n_fmt} of {total_fmt}"

        @property
        def train_description(self) -> str:
            return "Learning"

        def init_train_tqdm(self) -> Tqdm:
            bar = super().init_train_tqdm()
            bar.unit = "step"
            return bar

    bar = Short()
    fit(bar, 2)
    assert bar.train_progress_bar.unit == "step"
    out = capsys.readouterr().out
    assert out.startswith("\rLearning0 of ?")
    assert out.rstrip().endswith("Epoch 0: 2 of 2")


def test_a_run_that_raises_leaves_its_last_state_and_a_free_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Model):
        def training_step(self, batch, batch_idx):
            if batch_idx == 5:
                raise ValueError("broken")
            return super().training_step(batch, batch_idx)

    bar = TQDMProgressBar(refresh_rate=100)
    with pytest.raises(ValueError, match="broken"):
        trainer(bar).fit(Broken(), loader(8))
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert " 5/8 [" in out.rpartition("\r")[2]


def test_a_bar_that_fails_is_quarantined_and_the_run_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(TQDMProgressBar):
        def get_metrics(self, trainer, pl_module):
            raise RuntimeError("device lost")

    with pytest.warns(RuntimeWarning, match="device lost"):
        run = fit(Failing(), 4, max_epochs=3)
    assert run.global_step == 12
    assert [one.name for one in run.bus.quarantined] == ["failing"]
    assert "device lost" in capsys.readouterr().out


SCRIPT = """
import torch, warnings
warnings.simplefilter("ignore")
import torchbus as L
from torchbus.callbacks import TQDMProgressBar

class Model(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, batch_idx):
        if batch_idx == 1:
            self.print("hello")
        return self.layer(batch).sum()
    def validation_step(self, batch, batch_idx): ...
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

loader = torch.utils.data.DataLoader(torch.ones(3, 1))
trainer = L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_model_summary=False,
                    callbacks=TQDMProgressBar(), accelerator="cpu")
trainer.fit(Model(), loader, loader)
trainer.validate(Model(), loader, verbose=False)
"""


def screen(written: str) -> list[str]:
    """The lines that a terminal shows: tqdm goes to the start of a line, a line down and a line up, nothing else."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", written):
        if token == "\r":
            column = 0
        elif token == "\x1b[A":
            row -= 1
        elif token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        else:
            line = lines[row]
            lines[row] = line[:column].ljust(column) + token + line[column + len(token) :]
            column += len(token)
    return lines


@pytest.mark.slow
def test_a_terminal_ends_with_one_line_for_each_thing_done() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:  # how Linux says that the other side is closed
        assert process.wait() == 0
    finally:
        os.close(ours)
    shown = [line.rstrip() for line in screen(written.decode()) if line.strip()]
    assert shown[0] == "hello"
    assert shown[1].startswith("Epoch 0: 100%|███")
    assert shown[2].startswith("Validation DataLoader 0: 100%|███")
    assert len(shown) == 3


# ---- settings and switches -------------------------------------------------------------------------------------------


def test_refresh_rate_zero_and_disable_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    switched_off = TQDMProgressBar()
    switched_off.disable()
    for bar in (TQDMProgressBar(refresh_rate=0), switched_off):
        assert (bar.is_enabled, bar.is_disabled) == (False, True)
        fit(bar, 3, loader(2))
        assert bar.train_progress_bar.total == 3
    assert capsys.readouterr().out == ""
    switched_off.enable()
    assert switched_off.is_enabled


def test_it_can_be_switched_on_between_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    bar = TQDMProgressBar()
    bar.disable()

    class Switch(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            bar.enable()

    trainer([bar, Switch()], max_epochs=2).fit(Model(), loader(2))
    out = capsys.readouterr().out
    assert "Epoch 0" not in out
    assert "Epoch 1: 100%" in out


def test_what_a_module_prints_goes_above_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    class Talking(Model):
        def training_step(self, batch, batch_idx):
            self.print("batch", batch_idx, sep=" number ", flush=True)
            return super().training_step(batch, batch_idx)

    bar = TQDMProgressBar()
    trainer(bar).fit(Talking(), loader(1))
    assert "\rbatch number 0\n" in capsys.readouterr().out
    bar.disable()
    trainer(bar).fit(Talking(), loader(1))
    assert capsys.readouterr().out == "batch number 0\n"


@pytest.mark.parametrize(("rate", "variable", "result"), [(0, 1, 1), (1, 0, 1), (2, 1, 2), (1, 2, 2)])
def test_tqdms_own_variable_may_raise_the_refresh_rate(
    rate: int, variable: int, result: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_MINITERS", str(variable))
    assert TQDMProgressBar(refresh_rate=rate).refresh_rate == result


def test_in_colab_it_is_drawn_less_often_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLAB_GPU", "1")
    assert TQDMProgressBar().refresh_rate == 20
    assert TQDMProgressBar(refresh_rate=19).refresh_rate == 19


def test_it_can_be_pickled_after_a_run() -> None:
    bar = TQDMProgressBar(refresh_rate=7)
    fit(bar, 1)
    assert pickle.loads(pickle.dumps(bar)).refresh_rate == 7


def test_a_bar_that_was_never_shown_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"TQDMProgressBar.train_progress_bar has not been set yet"):
        _ = TQDMProgressBar().train_progress_bar


@pytest.mark.parametrize("settings", [{"refresh_rate": -1}, {"process_position": -1}, {"leave": "perhaps"}])
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=f"`{next(iter(settings))}` is"):
        TQDMProgressBar(**settings)
