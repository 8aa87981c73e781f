"""What ends a run before its time: signals, exceptions; who is told, in which order, and what is left on the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus_hookspecs import Logger, hookimpl

from .toys import Bare, Regression, assert_same, loader, sgd, weights

Quiet = Callable[..., L.Trainer]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


class Witness(L.Callback):
    """Writes down what it hears, together with loggers and others that it is given to."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.told.append(f"on_exception {type(exception).__name__}")

    @hookimpl
    def on_preempted(self, signum: int) -> None:
        self.told.append(f"on_preempted {signum}")

    def on_train_end(self, *values: Any) -> None:
        self.told.append("on_train_end")

    def teardown(self, *values: Any) -> None:
        self.told.append("teardown")


class Ledger(Logger):
    """Keeps how it was finalized."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    @property
    def name(self) -> str:
        return "ledger"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def finalize(self, status: str) -> None:
        self.told.append(f"finalize {status}")


class Signalling(Regression):
    """Sends its own process a signal at some moment."""

    def __init__(self, moment: str = "", batch: int = 0, number: int = signal.SIGTERM, **named: Any) -> None:
        super().__init__(**named)
        self.moment, self.batch, self.number = moment, batch, number
        self.seen = 0

    def at(self, moment: str) -> None:
        if moment == self.moment and not (self._trainer and self.trainer.sanity_checking and moment != "sanity"):
            self.seen += 1
            if self.seen == self.batch + 1:
                os.kill(os.getpid(), self.number)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.at("training_step")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.at("sanity" if self.trainer.sanity_checking else "validation_step")
        super().validation_step(batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.at("test_step")
        super().test_step(batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        self.at("predict_step")
        return self(batch[0])

    def on_train_epoch_end(self) -> None:
        self.at("on_train_epoch_end")


# ---- whole processes -----------------------------------------------------------------------------------------------------

PROCESSES = '''
"""Forks one training process for each signal, sends it, and tells how the process ended."""
import json, os, signal, sys, time, warnings
from pathlib import Path
import torch
import torchbus as L
from torchbus.callbacks import ModelCheckpoint  # loaded before forking
sys.path.insert(0, sys.argv[1])
from toys import Regression, loader, sgd

torch.set_num_threads(1)
warnings.simplefilter("error")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process of a shell ignores it
trainer = L.Trainer(logger="csv", enable_progress_bar=False, fast_dev_run=True)
trainer.fit(Regression(), loader(), loader())  # imports what the processes would import again


class Witness(L.Callback):
    def __init__(self, pipe):
        self.pipe = pipe

    def tell(self, text):
        os.write(self.pipe, f"{text}\\n".encode())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 4:
            self.tell("training")
        if trainer.global_step >= 4:
            time.sleep(0.01)

    def on_exception(self, trainer, pl_module, exception):
        self.tell(f"on_exception {type(exception).__name__}")


def train(folder, pipe):
    torch.manual_seed(7)
    trainer = L.Trainer(
        max_epochs=200, default_root_dir=folder, logger="csv", log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, callbacks=Witness(pipe),
        plugins={"model_checkpoint": {"every_n_train_steps": 1, "dirpath": folder / "saved", "save_top_k": -1, "monitor": "train_loss"}},
    )
    trainer.fit(Regression(sgd, 0.5), loader(7, shuffle=True), loader(4, seed=2))


answers = {}
for name in sys.argv[2:]:
    folder = Path(name).resolve()
    folder.mkdir()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        train(folder, write)
        sys.exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        lines = [told.readline().strip()]
        os.kill(child, getattr(signal, name))
        lines += told.read().split("\\n")
    _, status = os.waitpid(child, 0)
    answers[name] = {"status": os.waitstatus_to_exitcode(status), "told": [line for line in lines if line]}
print(json.dumps(answers))
'''


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not hasattr(os, "fork"):
        pytest.skip("the processes are forked")
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-c", PROCESSES, str(Path(__file__).parent), "SIGINT", "SIGTERM", "SIGKILL"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    answers: dict[str, Any] = json.loads(run.stdout.splitlines()[-1]) if run.stdout else {}
    assert answers, run.stderr
    return {"folder": folder, "output": run.stdout + run.stderr, **answers}


def assert_all_checkpoints_whole(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.ckpt"))
    for path in paths:
        assert torch.load(path, weights_only=True)["global_step"] > 0
    return paths


def test_ctrl_c_tells_everyone_and_exits_with_130(processes: dict[str, Any]) -> None:
    assert processes["SIGINT"] == {"status": 130, "told": ["training", "on_exception KeyboardInterrupt"]}
    assert len(assert_all_checkpoints_whole(processes["folder"] / "SIGINT" / "saved")) >= 3
    # the logger has written what it had buffered
    [metrics] = (processes["folder"] / "SIGINT").rglob("metrics.csv")
    assert len(metrics.read_text().splitlines()) > 3


def test_sigterm_saves_tells_everyone_and_exits_with_143(processes: dict[str, Any]) -> None:
    assert processes["SIGTERM"] == {"status": 143, "told": ["training", "on_exception SystemExit"]}
    folder = processes["folder"] / "SIGTERM"
    assert_all_checkpoints_whole(folder / "saved")
    assert [path.name for path in assert_all_checkpoints_whole(folder)] == ["preempted.ckpt"]
    assert f"ckpt_path='{folder.resolve() / 'preempted.ckpt'}'" in processes["output"]


def test_a_killed_process_leaves_whole_checkpoints(processes: dict[str, Any]) -> None:
    assert processes["SIGKILL"] == {"status": -9, "told": ["training"]}
    assert len(assert_all_checkpoints_whole(processes["folder"] / "SIGKILL" / "saved")) >= 3


@pytest.mark.parametrize("name", ["SIGTERM/preempted.ckpt", "SIGINT/saved", "SIGKILL/saved"])
def test_the_run_goes_on_exactly_in_another_process(
    quiet: Quiet, processes: dict[str, Any], name: str, tmp_path: Path
) -> None:
    path: Path = processes["folder"] / name
    if path.is_dir():
        path = max(path.glob("*.ckpt"), key=lambda one: int(one.stem.rpartition("=")[2]))
    epochs = torch.load(path, weights_only=True)["epoch"] + 2

    def trained(seed: int, ckpt_path: Path | None) -> dict[str, Any]:
        torch.manual_seed(seed)
        module = Regression(sgd, 0.5, seed=0 if ckpt_path is None else seed)
        quiet(max_epochs=epochs).fit(module, loader(7, shuffle=True), loader(4, seed=2), ckpt_path=ckpt_path)
        return weights(module)

    expected = trained(7, None)
    with pytest.warns(UserWarning, match="ModelCheckpoint"):  # whose state is kept, though it is not here
        assert_same(trained(99, path), expected)


# ---- signals at any moment, in this process ------------------------------------------------------------------------------


@pytest.fixture
def told() -> list[str]:
    return []


def witnessed(quiet: Quiet, told: list[str], **options: Any) -> L.Trainer:
    return quiet(callbacks=Witness(told), logger=Ledger(told), max_epochs=2, **options)


@pytest.mark.parametrize(
    ("moment", "batch", "step"),
    [("training_step", 0, 1), ("training_step", 5, 6), ("validation_step", 1, 4), ("on_train_epoch_end", 0, 4),
     ("sanity", 0, 1), ("on_train_epoch_end", 1, 8)],
)  # fmt: skip
def test_sigterm_in_a_fit_is_heard_at_the_next_point_to_go_on_from(
    quiet: Quiet, told: list[str], tmp_path: Path, moment: str, batch: int, step: int
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = witnessed(quiet, told)
    with pytest.raises(SystemExit) as ended:
        trainer.fit(Signalling(moment, batch), loader(8), loader(4))
    assert ended.value.code == 143
    assert told == ["on_preempted 15", "on_exception SystemExit", "finalize failed"]
    assert trainer.interrupted
    assert torch.load(tmp_path / "preempted.ckpt", weights_only=True)["global_step"] == step
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("moment", ["training_step", "validation_step", "on_train_epoch_end"])
@pytest.mark.parametrize("batch", [0, 1])
def test_what_sigterm_saved_goes_on_exactly(quiet: Quiet, tmp_path: Path, moment: str, batch: int) -> None:
    def trained(kind: Any, ckpt_path: Path | None = None) -> dict[str, Any]:
        torch.manual_seed(7 if ckpt_path is None else 99)
        trainer = quiet(max_epochs=3, accumulate_grad_batches=2, val_check_interval=0.5)
        trainer.fit(kind, loader(8, shuffle=True), loader(4, seed=2), ckpt_path=ckpt_path)
        return {**weights(kind), **trainer.callback_metrics}

    expected = trained(Signalling(dropout=0.5))
    with pytest.raises(SystemExit):
        trained(Signalling(moment, batch, dropout=0.5))
    assert_same(trained(Signalling(dropout=0.5, seed=5), tmp_path / "preempted.ckpt"), expected)


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_sigterm_ends_an_evaluation_and_saves_nothing(
    quiet: Quiet, told: list[str], tmp_path: Path, method: str
) -> None:
    moment = {"validate": "validation_step", "test": "test_step", "predict": "predict_step"}[method]
    module = Signalling(moment)
    with pytest.raises(SystemExit) as ended:
        getattr(witnessed(quiet, told), method)(module, loader(8))
    assert ended.value.code == 143
    assert module.seen == 1
    assert told == ["on_preempted 15", "on_exception SystemExit", "finalize failed"]
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_plugin_that_fails_when_preempted_does_not_keep_the_run_from_being_saved(
    quiet: Quiet, tmp_path: Path
) -> None:
    class Failing(L.Callback):
        @hookimpl
        def on_preempted(self) -> None:
            raise ArithmeticError("no time for this")

    with pytest.raises(ArithmeticError):
        quiet(callbacks=Failing()).fit(Signalling("training_step"), loader(8), loader(4))
    assert torch.load(tmp_path / "preempted.ckpt", weights_only=True)["global_step"] == 1


def test_sigterm_of_an_earlier_run_does_not_end_the_next(quiet: Quiet, told: list[str]) -> None:
    trainer = witnessed(quiet, told)
    with pytest.raises(SystemExit):
        trainer.fit(Signalling("training_step"), loader(8), loader(4))
    trainer.fit(Signalling(), loader(8), loader(4))
    assert told[-3:] == ["on_train_end", "teardown", "finalize success"]


@pytest.mark.parametrize("moment", ["training_step", "validation_step", "sanity", "on_train_epoch_end"])
def test_ctrl_c_anywhere_in_a_fit_ends_it_in_order(quiet: Quiet, told: list[str], moment: str) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            witnessed(quiet, told).fit(Signalling(moment, number=signal.SIGINT), loader(8), loader(4))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert told == ["on_exception KeyboardInterrupt", "finalize failed"]


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_ctrl_c_ends_an_evaluation_in_order(quiet: Quiet, told: list[str], method: str) -> None:
    class Interrupted(Regression):
        def forward(self, inputs: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        getattr(witnessed(quiet, told), method)(Interrupted(), loader(8))
    assert ended.value.code == 130
    assert told == ["on_exception KeyboardInterrupt", "finalize failed"]


# ---- exceptions ----------------------------------------------------------------------------------------------------------


class Failing(L.Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *rest: Any) -> None:
        if trainer.global_step == 3:
            raise ArithmeticError("three")


def test_an_exception_of_a_plugin_carries_a_note_with_plugin_and_hook(quiet: Quiet) -> None:
    with pytest.raises(ArithmeticError, match="three") as raised:
        quiet(plugins={"counts": Failing()}).fit(Bare(), loader())
    assert raised.value.__notes__ == ["Raised by plugin `counts`, in its `on_train_batch_end`."]


def test_the_note_of_an_installed_plugin_names_its_distribution(quiet: Quiet) -> None:
    trainer = quiet(plugins={"early_stopping": {"monitor": "never"}}, max_epochs=1)
    with pytest.raises(RuntimeError) as raised:
        trainer.fit(Bare(), loader())
    [note] = raised.value.__notes__
    assert note == "Raised by plugin `early_stopping` (torchbus-stopping 0.1.0), in its `on_train_epoch_end`."


def test_an_exception_of_the_module_is_the_scripts_own_and_carries_none(quiet: Quiet, told: list[str]) -> None:
    class Module(Bare):
        def on_train_batch_end(self, *values: Any) -> None:
            raise ArithmeticError

    with pytest.raises(ArithmeticError) as raised:
        witnessed(quiet, told).fit(Module(), loader())
    assert not hasattr(raised.value, "__notes__")
    assert told == ["on_exception ArithmeticError", "finalize failed"]


def test_a_trainer_can_be_used_again_after_an_exception(quiet: Quiet, told: list[str]) -> None:
    trainer = witnessed(quiet, told)
    module = Regression()

    class Once(L.Callback):
        is_done = False

        def on_validation_batch_end(self, *values: Any) -> None:
            if not self.is_done:
                self.is_done = True
                raise ArithmeticError

    trainer.callbacks = [*trainer.callbacks, Once()]
    with pytest.raises(ArithmeticError):
        trainer.fit(module, loader(8), loader(4))
    assert trainer.interrupted
    trainer.fit(module, loader(8), loader(4))
    assert (trainer.current_epoch, trainer.global_step) == (2, 8)
    assert not trainer.interrupted
    assert module.training


def test_a_checkpoint_saved_on_an_exception_goes_on_exactly(quiet: Quiet, tmp_path: Path) -> None:
    """Even if it is raised inside of validation."""

    class Raising(Regression):
        fails = False

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if self.fails and self.global_step == 4 and batch_idx == 1:
                raise ArithmeticError
            super().validation_step(batch, batch_idx)

    def trained(module: Raising, ckpt_path: Path | None = None, **options: Any) -> dict[str, Any]:
        torch.manual_seed(7 if ckpt_path is None else 99)
        trainer = quiet(max_epochs=3, **options)
        trainer.fit(module, loader(8, shuffle=True), loader(4, seed=2), ckpt_path=ckpt_path)
        return {**weights(module), **trainer.callback_metrics}

    expected = trained(Raising(dropout=0.5))
    failing = Raising(dropout=0.5)
    failing.fails = True
    saver = {"model_checkpoint": {"save_on_exception": True, "save_top_k": 0, "dirpath": tmp_path}}
    with pytest.raises(ArithmeticError):
        trained(failing, plugins=saver, enable_checkpointing=True)
    [path] = tmp_path.glob("*.ckpt")
    with pytest.warns(UserWarning, match="ModelCheckpoint"):
        resumed = trained(Raising(dropout=0.5), path)
    assert_same(resumed, expected)


def test_an_interrupt_while_gradients_are_off_leaves_them_on(quiet: Callable[..., L.Trainer]) -> None:
    class Interrupted(Bare):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            torch.set_grad_enabled(False)  # as torch does in a step, before it can promise to switch them on again
            raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        quiet().fit(Interrupted(), loader())
    assert torch.is_grad_enabled()
