"""Checkpoint files: what is in them, who takes it back, and that nothing ever leaves half of one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torchbus_hookspecs.events import CheckpointCommitted

from .toys import Bare, Regression, assert_same, loader, sgd, weights

Quiet = Callable[..., L.Trainer]
HERE = Path(__file__).parent


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def read(path: Path | str) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


# ---- what is in them ---------------------------------------------------------------------------------------------------

LIGHTNING_KEYS = {
    "epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states",
    "lr_schedulers", "hparams_name", "hyper_parameters", "datamodule_hparams_name", "datamodule_hyper_parameters",
}  # fmt: skip
LIGHTNING_LOOPS = {
    "state_dict", "epoch_loop.state_dict", "epoch_loop.batch_progress", "epoch_loop.scheduler_progress",
    "epoch_loop.automatic_optimization.state_dict", "epoch_loop.automatic_optimization.optim_progress",
    "epoch_loop.manual_optimization.state_dict", "epoch_loop.manual_optimization.optim_step_progress",
    "epoch_loop.val_loop.state_dict", "epoch_loop.val_loop.batch_progress", "epoch_progress",
}  # fmt: skip


class Tuned(Bare):
    def __init__(self, width: int = 1, folder: Any = Path("a/b"), layers: Any = (1, 2), *, name: str = "x") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.given = {"width": width, "folder": folder, "layers": layers, "name": name}


class Data(L.LightningDataModule):
    def __init__(self, batch_size: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.seen = 0

    def train_dataloader(self) -> Any:
        self.seen += 1
        return loader(8, self.hparams.batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = state_dict["seen"]


def test_the_keys_are_lightnings_and_all_of_it_loads_with_weights_only(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet()
    trainer.fit(Tuned(), datamodule=Data())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = read(tmp_path / "a.ckpt")
    assert set(content) == LIGHTNING_KEYS | {"Data"}
    assert set(content["loops"]) == {"fit_loop", "validate_loop", "test_loop", "predict_loop", "torchbus"}
    assert set(content["loops"]["fit_loop"]) == LIGHTNING_LOOPS
    assert (content["epoch"], content["global_step"]) == (1, 4)
    assert_same(content["state_dict"], weights(trainer.lightning_module))
    assert content["Data"] == {"seen": 1}


def test_weights_only_leaves_out_what_only_training_needs(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet(callbacks=Counter())
    trainer.fit(Tuned(), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    content = read(tmp_path / "a.ckpt")
    assert not {"callbacks", "optimizer_states", "lr_schedulers"} & set(content)
    assert {"state_dict", "hyper_parameters", "loops"} <= set(content)


def test_hyperparameters_come_back_paths_as_text(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet()
    trainer.fit(Tuned(7, layers=[1, {"deep": (2, None)}], name="y"), datamodule=Data(4))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = read(tmp_path / "a.ckpt")
    expected = {"width": 7, "folder": os.path.join("a", "b"), "layers": [1, {"deep": (2, None)}], "name": "y"}
    assert content["hyper_parameters"] == expected
    assert content["datamodule_hyper_parameters"] == {"batch_size": 4}
    assert Tuned.load_from_checkpoint(tmp_path / "a.ckpt").given == expected
    assert Data.load_from_checkpoint(tmp_path / "a.ckpt").hparams == {"batch_size": 4}
    assert Data.load_from_checkpoint(tmp_path / "a.ckpt").seen == 1


def test_loading_takes_overrides_and_a_module_that_is_nearly_the_same(quiet: Quiet, tmp_path: Path) -> None:
    class More(Tuned):
        def __init__(self, width: int = 1) -> None:
            super().__init__(width)
            self.extra = torch.nn.Linear(1, 1)

    trainer = quiet()
    trainer.fit(Tuned(), loader())
    path = tmp_path / "a.ckpt"
    trainer.save_checkpoint(path)
    loaded = Tuned.load_from_checkpoint(path, width=9)
    assert loaded.given["width"] == 9
    assert_same(weights(loaded), weights(trainer.lightning_module))
    with pytest.raises(RuntimeError, match="extra.weight"):
        More.load_from_checkpoint(path)
    with pytest.warns(UserWarning, match=r"in the model state dict but not in the checkpoint: \['extra.weight'"):
        lenient = More.load_from_checkpoint(path, strict=False)
    assert torch.equal(lenient.network[0].weight, loaded.network[0].weight)


def test_a_checkpoint_made_by_lightning_is_understood(quiet: Quiet, tmp_path: Path) -> None:
    """Its counters are written differently in places; nothing of torchbus's own is in it."""
    trainer = quiet(max_epochs=2)
    trainer.fit(Bare(), loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = read(tmp_path / "a.ckpt")
    del content["loops"]["torchbus"]
    torch.save(content, tmp_path / "lightning.ckpt")
    resumed = quiet(max_epochs=3)
    resumed.fit(Bare(), loader(), ckpt_path=tmp_path / "lightning.ckpt")
    assert (resumed.current_epoch, resumed.global_step) == (3, 18)


# ---- states of plugins -------------------------------------------------------------------------------------------------


class Counter(L.Callback):
    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(self, *values: Any) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


def test_a_state_is_kept_under_the_instance_name_where_there_is_one(quiet: Quiet, tmp_path: Path) -> None:
    first, second, third = Counter(), Counter(), Counter()
    trainer = quiet(plugins=[{"one": first}, {"two": second}, third])
    trainer.fit(Bare(), loader(8))
    second.count = 50
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert read(tmp_path / "a.ckpt")["callbacks"] == {
        "one": {"count": 4}, "two": {"count": 50}, "Counter": {"count": 4},
    }  # fmt: skip
    two, one, unnamed = Counter(), Counter(), Counter()  # in another order
    resumed = quiet(plugins=[unnamed, {"two": two}, {"one": one}], max_epochs=2)
    resumed.fit(Bare(), loader(8), ckpt_path=tmp_path / "a.ckpt")
    assert (one.count, two.count, unnamed.count) == (8, 54, 8)


def test_two_states_under_one_key_are_refused(quiet: Quiet) -> None:
    with pytest.raises(RuntimeError, match="'Counter'.*To fix"):
        quiet(callbacks=[Counter(), Counter()])


def test_the_state_of_an_absent_plugin_is_kept_and_written_back(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet(plugins={"counter": Counter()})
    trainer.fit(Bare(), loader(8))
    trainer.save_checkpoint(tmp_path / "with.ckpt")
    without = quiet(max_epochs=2)
    with pytest.warns(UserWarning, match="`counter`.*kept"):
        without.fit(Bare(), loader(8), ckpt_path=tmp_path / "with.ckpt")
    without.save_checkpoint(tmp_path / "without.ckpt")
    back = Counter()
    quiet(plugins={"counter": back}, max_epochs=3).fit(Bare(), loader(8), ckpt_path=tmp_path / "without.ckpt")
    assert back.count == 8


def test_hooks_of_module_and_callbacks_may_add_to_it_and_take_it_back(quiet: Quiet, tmp_path: Path) -> None:
    class Adding(L.Callback):
        seen: Any = None

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["callback's"] = {"values": [1, torch.ones(2)]}

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            self.seen = checkpoint["callback's"]["values"][0]

    class Module(Bare):
        seen: Any = None

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["module's"] = 3

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            self.seen = checkpoint["module's"]

    trainer = quiet(callbacks=Adding())
    trainer.fit(Module(), loader(4))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    callback, module = Adding(), Module()
    quiet(callbacks=callback, max_epochs=2).fit(module, loader(4), ckpt_path=tmp_path / "a.ckpt")
    assert (callback.seen, module.seen) == (1, 3)
    assert Module.load_from_checkpoint(tmp_path / "a.ckpt").seen == 3


def test_on_checkpoint_committed_comes_when_the_file_is_there(quiet: Quiet, tmp_path: Path) -> None:
    committed: list[tuple[str, bool, int]] = []
    trainer = quiet(plugins={"model_checkpoint": {"every_n_train_steps": 2}}, enable_checkpointing=True)

    @trainer.on(CheckpointCommitted)
    def look(event: CheckpointCommitted) -> None:
        committed.append((Path(event.filepath).name, event.weights_only, read(event.filepath)["global_step"]))

    trainer.fit(Bare(), loader(8))
    trainer.save_checkpoint(tmp_path / "mine.ckpt", weights_only=True)
    assert committed == [("epoch=0-step=2.ckpt", False, 2), ("epoch=0-step=4.ckpt", False, 4), ("mine.ckpt", True, 4)]


# ---- best and last -----------------------------------------------------------------------------------------------------


def test_best_and_last_are_found_by_name(quiet: Quiet) -> None:
    class Worsening(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", float(self.trainer.current_epoch))

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("epoch_of_weights", self.loss(batch))

    trainer = quiet(
        plugins={"model_checkpoint": {"monitor": "val_loss", "save_top_k": -1, "save_last": True}},
        enable_checkpointing=True,
        max_epochs=3,
    )
    module = Worsening()
    trainer.fit(module, loader(), loader(4))
    final = weights(module)
    checkpoint: Any = trainer.checkpoint_callback
    assert Path(checkpoint.best_model_path).name == "epoch=0-step=6.ckpt"
    assert read(checkpoint.last_model_path)["global_step"] == 18
    with pytest.warns(UserWarning, match="without a model"):
        trainer.test(dataloaders=loader(4), verbose=False)
    assert trainer.ckpt_path == checkpoint.best_model_path
    assert_same(weights(module), read(checkpoint.best_model_path)["state_dict"])
    trainer.test(dataloaders=loader(4), ckpt_path="last", verbose=False)
    assert_same(weights(module), final)
    trainer.test(module, loader(4), verbose=False)
    assert trainer.ckpt_path is None


def test_last_is_found_by_a_new_trainer_of_the_same_folder(quiet: Quiet, tmp_path: Path) -> None:
    def saving(**options: Any) -> L.Trainer:
        return quiet(plugins={"model_checkpoint": {"save_last": True}}, enable_checkpointing=True, **options)

    first = saving()
    with pytest.warns(UserWarning, match="no last checkpoint available"):
        first.fit(Bare(), loader(), ckpt_path="last")
    resumed = saving(max_epochs=2)
    resumed.fit(Bare(), loader(), ckpt_path="last")
    assert (resumed.ckpt_path, resumed.global_step) == (str(tmp_path / "checkpoints/last.ckpt"), 12)


def test_hpc_is_the_newest_checkpoint_of_a_run_that_was_asked_to_go(quiet: Quiet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no HPC checkpoint was found"):
        quiet().fit(Bare(), loader(), ckpt_path="hpc")
    trainer = fitted(quiet)
    for age, name in enumerate(("hpc_ckpt_2.ckpt", "hpc_ckpt_10.ckpt", "preempted.ckpt")):
        trainer.save_checkpoint(tmp_path / name)
        os.utime(tmp_path / name, (age, age))
        resumed = quiet(max_epochs=2)
        resumed.fit(Bare(), loader(4), ckpt_path="hpc")
        assert resumed.ckpt_path == str(tmp_path / name)


def test_without_a_model_the_best_checkpoint_must_be_there(quiet: Quiet) -> None:
    for options, reason in (
        ({}, "`ModelCheckpoint` is not configured"),
        ({"fast_dev_run": True}, "`fast_dev_run=True`"),
        ({"plugins": {"model_checkpoint": {"save_top_k": 0}}, "enable_checkpointing": True}, "to save the best"),
    ):
        trainer = quiet(**options)
        trainer.fit(Regression(), loader(), loader(4))
        with pytest.warns(UserWarning, match="without a model"), pytest.raises(ValueError, match=reason):
            trainer.test(dataloaders=loader(), verbose=False)


def test_an_evaluation_gives_callbacks_their_states_too(quiet: Quiet, tmp_path: Path) -> None:
    class Counting(L.Callback):
        count = 0

        def on_train_batch_end(self, *args: Any) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.count = state_dict["count"]

    fitted(quiet, callbacks=[Counting()]).save_checkpoint(tmp_path / "a.ckpt")
    counting = Counting()
    quiet(callbacks=[counting]).test(Regression(), loader(4), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert counting.count == 2


def test_a_default_trainer_keeps_the_newest_checkpoint(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet(enable_checkpointing=True, max_epochs=2)
    trainer.fit(Bare(), loader())
    assert names(tmp_path / "checkpoints") == ["epoch=1-step=12.ckpt"]


# ---- the file ----------------------------------------------------------------------------------------------------------


def fitted(quiet: Quiet, **options: Any) -> L.Trainer:
    trainer = quiet(**options)
    trainer.fit(Bare(), loader(4))
    return trainer


def test_saving_leaves_nothing_beside_the_file(quiet: Quiet, tmp_path: Path) -> None:
    trainer = fitted(quiet)
    for _ in range(3):
        trainer.save_checkpoint(tmp_path / "deep" / "er" / "a.ckpt")
    assert names(tmp_path / "deep" / "er") == ["a.ckpt"]
    assert stat.S_IMODE((tmp_path / "deep" / "er" / "a.ckpt").stat().st_mode) == 0o666 & ~umask()


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


class Stubborn:
    """Allowed in checkpoints, and fails while it is being written, when most of the file is there already."""

    def __reduce__(self) -> Any:
        raise OSError(28, "No space left on device")


class Unlucky(L.Callback):
    is_failing = False

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["bulk"] = torch.zeros(100_000)
        if self.is_failing:
            checkpoint["stubborn"] = Stubborn()


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(quiet: Quiet, tmp_path: Path) -> None:
    unlucky, path = Unlucky(), tmp_path / "kept" / "a.ckpt"
    trainer = fitted(quiet, callbacks=unlucky)
    trainer.save_checkpoint(path)
    before = path.read_bytes()
    unlucky.is_failing = True
    with torch.serialization.safe_globals([Stubborn]), pytest.raises(L.CheckpointError) as told:
        trainer.save_checkpoint(path)
    assert all(word in str(told.value) for word in (str(path), "No space left", "untouched", "To fix"))
    assert path.read_bytes() == before
    assert names(path.parent) == ["a.ckpt"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of file sizes are set in a child process")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(quiet: Quiet, tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk: the system refuses to write on, half-way through the file."""
    import resource
    import signal

    trainer, path = fitted(quiet, callbacks=Unlucky()), tmp_path / "kept" / "a.ckpt"
    trainer.save_checkpoint(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(L.CheckpointError, match="untouched"):
            trainer.save_checkpoint(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert names(path.parent) == ["a.ckpt"]


def test_model_checkpoint_forgets_a_file_that_was_not_written_and_says_what_to_do(quiet: Quiet, tmp_path: Path) -> None:
    class Late(Unlucky):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            self.is_failing = trainer.global_step > 2
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    trainer = quiet(
        plugins=[Late(), {"model_checkpoint": {"save_top_k": -1, "monitor": "train_loss"}}],
        enable_checkpointing=True,
        max_epochs=3,
    )
    with torch.serialization.safe_globals([Stubborn]), pytest.raises(L.CheckpointError) as told:
        trainer.fit(Regression(), loader(4), loader(4))
    assert any("To fix" in note for note in told.value.__notes__)
    checkpoint: Any = trainer.checkpoint_callback
    assert names(tmp_path / "checkpoints") == ["epoch=0-step=2.ckpt"]
    assert Path(checkpoint.best_model_path).name == "epoch=0-step=2.ckpt"


def test_what_a_dead_process_left_is_swept_by_the_next_save(quiet: Quiet, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / f".torchbus-{dead.pid}-abc.tmp").write_bytes(b"half")
    (folder / f".torchbus-{os.getppid()}-abc.tmp").write_bytes(b"somebody is writing this")
    (folder / ".torchbus-notes.tmp").write_bytes(b"not ours")
    quiet(enable_checkpointing=True).fit(Bare(), loader(4))
    assert names(folder) == [f".torchbus-{os.getppid()}-abc.tmp", ".torchbus-notes.tmp", "epoch=0-step=2.ckpt"]


def test_a_link_as_target_is_replaced_and_its_file_left_alone(quiet: Quiet, tmp_path: Path) -> None:
    trainer = fitted(quiet)
    (tmp_path / "original.ckpt").write_bytes(b"kept")
    (tmp_path / "link.ckpt").symlink_to("original.ckpt")
    trainer.save_checkpoint(tmp_path / "link.ckpt")
    assert (tmp_path / "original.ckpt").read_bytes() == b"kept"
    assert read(tmp_path / "link.ckpt")["global_step"] == 2


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from torchbus._checkpoint_io import load_checkpoint, save_checkpoint

torch.set_num_threads(1)
path, kills = Path(sys.argv[1]), int(sys.argv[2])
random.seed(0)
save_checkpoint({"state_dict": {}, "number": 0, "bulk": torch.zeros(300_000)}, path)
numbers = []
for kill in range(kills):
    child = os.fork()
    if child == 0:
        number = load_checkpoint(path)["number"]
        while True:
            number += 1
            save_checkpoint({"state_dict": {}, "number": number, "bulk": torch.full((300_000,), float(number))}, path)
    time.sleep(0.02 + 0.02 * random.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = load_checkpoint(path)
    assert (found["bulk"] == found["number"]).all()
    numbers.append(found["number"])
assert numbers == sorted(numbers)
left = len(list(path.parent.glob(".torchbus-*.tmp")))
save_checkpoint(found, path)
print(numbers[-1], left, *sorted(one.name for one in path.parent.iterdir()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
def test_no_kill_ever_leaves_an_unreadable_checkpoint(tmp_path: Path) -> None:
    """Each child saves one after the other until it is killed, somewhere inside of a save."""
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "live.ckpt"), "20"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    saved, left, *files = run.stdout.split()
    assert int(saved) > 0
    assert int(left) <= 1  # each child sweeps what the one before left
    assert files == ["live.ckpt"]


def test_resuming_does_not_touch_the_file_it_resumes_from(quiet: Quiet, tmp_path: Path) -> None:
    trainer = fitted(quiet)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    before = (tmp_path / "a.ckpt").read_bytes()
    quiet(max_epochs=3).fit(Bare(sgd), loader(4), ckpt_path=tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").read_bytes() == before
