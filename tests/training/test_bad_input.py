"""What is wrong is said early: what, where, and what to do about it."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from .toys import Bare, Recorder, Regression, Stream, assert_same, loader, sgd, weights

Quiet = Callable[..., L.Trainer]


def refused(kind: type[BaseException], words: list[str], call: Callable[[], Any]) -> str:
    """The message of the error that ``call`` must raise; it holds all the words."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"
    return message


def assert_never_trained(recorder: Recorder) -> None:
    assert "on_train_start" not in recorder.heard


# ---- the module --------------------------------------------------------------------------------------------------------


class WithoutStep(L.LightningModule):
    def configure_optimizers(self) -> Any:
        return None


class WithoutOptimizer(L.LightningModule):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            WithoutStep,
            ["WithoutStep", "`training_step`", "fit()", "To fix", "def training_step(self, batch, batch_idx)"],
        ),
        (WithoutOptimizer, ["WithoutOptimizer", "`configure_optimizers`", "fit()", "To fix"]),
    ],
)
def test_a_method_that_fit_needs_is_named_before_anything_runs(
    quiet: Quiet, module: type[L.LightningModule], words: list[str]
) -> None:
    recorder = Recorder()
    refused(L.MisconfigurationException, words, lambda: quiet(callbacks=recorder).fit(module(), loader()))
    assert recorder.heard == ["on_exception"]


@pytest.mark.parametrize("method", ["validate", "test"])
def test_a_step_that_an_evaluation_needs_is_named(quiet: Quiet, method: str) -> None:
    step = {"validate": "validation_step", "test": "test_step"}[method]
    run = getattr(quiet(), method)
    refused(L.MisconfigurationException, ["Bare", f"`{step}`", f"{method}()", "To fix"], lambda: run(Bare(), loader()))


def test_prediction_without_predict_step_or_forward_names_both(quiet: Quiet) -> None:
    words = ["WithoutStep", "`predict_step`", "`forward`"]
    refused(L.MisconfigurationException, words, lambda: quiet().predict(WithoutStep(), loader()))


@pytest.mark.parametrize("given", [None, nn.Linear(1, 1), Bare, "model"])
def test_what_is_no_lightning_module_is_refused(quiet: Quiet, given: Any) -> None:
    refused(TypeError, ["Trainer.fit()", "LightningModule", "To fix"], lambda: quiet().fit(given, loader()))


# ---- loaders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_without_a_module_and_a_run_before_there_is_nothing_to_evaluate(quiet: Quiet, method: str) -> None:
    refused(TypeError, [f"`Trainer.{method}()` requires a `LightningModule`"], getattr(quiet(), method))


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_without_a_module_the_best_checkpoint_is_meant_and_none_is_an_error(quiet: Quiet, method: str) -> None:
    trainer = quiet()
    trainer.fit(Regression(), loader(4), loader(4))
    with pytest.warns(UserWarning, match=rf"`\.{method}\(ckpt_path=None\)` was called without a model"):
        refused(ValueError, ["`ModelCheckpoint` is not configured"], lambda: getattr(trainer, method)(None, loader(4)))


def test_what_only_a_trainer_can_do_and_what_nobody_can_is_refused() -> None:
    module = Bare()
    refused(RuntimeError, ["Bare is not attached to a Trainer"], lambda: module.print("hello"))
    refused(RuntimeError, ["Bare.dtype cannot be set", "To fix"], lambda: setattr(module, "dtype", torch.float64))
    assert module.dtype == torch.float32


def test_a_missing_loader_says_how_to_give_one(quiet: Quiet) -> None:
    recorder = Recorder()
    words = ["no loader", "fit()", "To fix", "train_dataloaders=", "`train_dataloader`", "datamodule"]
    refused(L.MisconfigurationException, words, lambda: quiet(callbacks=recorder).fit(Bare()))
    assert_never_trained(recorder)


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_a_missing_loader_of_an_evaluation_says_how_to_give_one(quiet: Quiet, method: str) -> None:
    run = getattr(quiet(), method)
    refused(L.MisconfigurationException, ["no loader", f"{method}()", "dataloaders="], lambda: run(Regression()))


@pytest.mark.parametrize("given", [7, object(), [loader(), 7]], ids=["number", "object", "among others"])
def test_what_cannot_be_iterated_over_is_no_loader(quiet: Quiet, given: Any) -> None:
    recorder = Recorder()
    words = ["train loader", "iterated", "To fix", "DataLoader"]
    refused(TypeError, words, lambda: quiet(callbacks=recorder).fit(Bare(), given))
    assert_never_trained(recorder)


def test_loaders_and_a_datamodule_at_once_are_refused(quiet: Quiet) -> None:
    words = ["Trainer.fit()", "both", "To fix"]
    data = L.LightningDataModule.from_datasets(loader().dataset)
    refused(L.MisconfigurationException, words, lambda: quiet().fit(Bare(), loader(), datamodule=data))


def test_a_fraction_of_a_loader_without_length_is_refused(quiet: Quiet) -> None:
    words = ["limit_train_batches=0.5", "without length", "To fix"]
    trainer = quiet(limit_train_batches=0.5)
    refused(L.MisconfigurationException, words, lambda: trainer.fit(Bare(), DataLoader(Stream(), batch_size=2)))


def test_a_validation_interval_longer_than_the_epoch_says_the_longest(quiet: Quiet) -> None:
    words = ["val_check_interval=7", "6 batches", "at most 6", "check_val_every_n_epoch=None"]
    trainer = quiet(val_check_interval=7)
    refused(ValueError, words, lambda: trainer.fit(Regression(), loader(), loader()))


# ---- the loss ----------------------------------------------------------------------------------------------------------


def returning(make: Callable[[Any], Any]) -> Bare:
    class Returning(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return make(self.loss(batch))

    return Returning()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda loss: loss.expand(3), RuntimeError, ["loss", "shape (3,)", "scalar", "To fix", "loss.mean()"]),
        (lambda loss: loss.item(), L.MisconfigurationException, ["training_step returned", "must return a Tensor"]),
        (lambda loss: loss.detach(), RuntimeError, ["loss", "no parameter", "detached", "To fix"]),
        (
            lambda loss: {"los": loss},
            L.MisconfigurationException,
            ["training_step returned", "['los']", "under the key `loss`"],
        ),
        (lambda loss: {"loss": None}, L.MisconfigurationException, ["training_step returned", "`loss`"]),
        (lambda loss: [loss], L.MisconfigurationException, ["training_step returned", "must return a Tensor"]),
    ],
    ids=["vector", "float", "detached", "dictionary without loss", "loss of None", "list"],
)
def test_a_loss_that_cannot_be_used_is_told_as_such(
    quiet: Quiet, make: Callable[[Any], Any], kind: type[Exception], words: list[str], accumulate: int
) -> None:
    trainer = quiet(accumulate_grad_batches=accumulate)
    refused(kind, words, lambda: trainer.fit(returning(make), loader()))


def test_a_batch_whose_size_cannot_be_found_asks_for_it(quiet: Quiet) -> None:
    class OnText(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self(torch.ones(1, 4)).mean()
            self.log("loss", loss, on_epoch=True)
            return loss

    texts = DataLoader(["a", "b"], batch_size=2)
    words = ["size of a batch", "list", "no tensor", "To fix", "batch_size="]
    refused(L.MisconfigurationException, words, lambda: quiet().fit(OnText(), texts))


# ---- logging -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"name": "x", "value": torch.zeros(2)}, ValueError, ["self.log(x", "shape (2,)", "To fix", "mean()"]),
        ({"name": "x", "value": {"a": 1}}, ValueError, ["self.log(x, {'a': 1})", "dict ", "self.log_dict"]),
        ({"name": "x", "value": "text"}, ValueError, ["self.log(x, text)", "str ", "number"]),
        ({"name": 1, "value": 1.0}, TypeError, ["name", "string", "int"]),
        (
            {"name": "x", "value": 1.0, "reduce_fx": "maen"},
            L.MisconfigurationException,
            ["self.log(x", "'maen'", "Did you mean", "`mean`"],
        ),
        (
            {"name": "x/dataloader_idx_0", "value": 1.0},
            L.MisconfigurationException,
            ["dataloader_idx", "To fix", "add_dataloader_idx=False"],
        ),
    ],
)
def test_what_cannot_be_logged_is_told_with_its_name(
    quiet: Quiet, arguments: dict[str, Any], kind: type[Exception], words: list[str]
) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log(**arguments)
            return self.loss(batch)

    refused(kind, words, lambda: quiet().fit(Module(), loader()))


def test_logging_outside_of_what_is_collected_says_where_it_happened(quiet: Quiet) -> None:
    class Module(Bare):
        def on_fit_start(self) -> None:
            self.log("x", 1.0)

    refused(L.MisconfigurationException, ["self.log(x", "`on_fit_start`"], lambda: quiet().fit(Module(), loader()))


def test_one_name_with_two_sets_of_arguments_is_refused(quiet: Quiet) -> None:
    class Module(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("x", 1.0, prog_bar=batch_idx > 0)
            return self.loss(batch)

    words = ["self.log(x", "twice", "`training_step`", "different arguments", "To fix"]
    refused(L.MisconfigurationException, words, lambda: quiet().fit(Module(), loader()))


# ---- configure_optimizers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimize", "kind", "words"),
    [
        (lambda m: "adam", L.MisconfigurationException, ["configure_optimizers returned 'adam'", "must return"]),
        (lambda m: {"optimiser": sgd(m)}, KeyError, ["without 'optimizer'", "['optimiser']"]),
        (lambda m: [sgd(m), sgd(m)], RuntimeError, ["2 optimizers", "To fix", "automatic_optimization = False"]),
        (
            lambda m: {"optimizer": (o := sgd(m)), "lr_scheduler": ReduceLROnPlateau(o)},
            L.MisconfigurationException,
            ["ReduceLROnPlateau", "metric", "To fix", '"monitor"'],
        ),
        (
            lambda m: {"optimizer": sgd(m), "lr_scheduler": ReduceLROnPlateau(sgd(m))},
            L.MisconfigurationException,
            ["ReduceLROnPlateau", "optimizer", "To fix"],
        ),
        (lambda m: {"optimizer": sgd(m), "lr_scheduler": 3}, AttributeError, ["3", "no learning rate scheduler"]),
    ],
)
def test_what_configure_optimizers_may_not_return_is_told(
    quiet: Quiet, optimize: Any, kind: type[Exception], words: list[str]
) -> None:
    recorder = Recorder()
    refused(kind, words, lambda: quiet(callbacks=recorder).fit(Bare(optimize), loader()))
    assert_never_trained(recorder)


# ---- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(quiet: Quiet, tmp_path: Path) -> Path:
    trainer = quiet()
    trainer.fit(Bare(), loader())
    trainer.save_checkpoint(tmp_path / "good.ckpt")
    return tmp_path / "good.ckpt"


def resume(quiet: Quiet, path: Path, module: L.LightningModule | None = None, **options: Any) -> Callable[[], Any]:
    return lambda: quiet(max_epochs=2).fit(module or Bare(), loader(), ckpt_path=path, **options)


def test_a_missing_checkpoint_lists_what_is_there(quiet: Quiet, checkpoint: Path) -> None:
    path = checkpoint.with_name("god.ckpt")
    refused(FileNotFoundError, [str(path), "good.ckpt"], resume(quiet, path))
    refused(FileNotFoundError, [str(path), "good.ckpt"], lambda: Bare.load_from_checkpoint(path))
    nowhere = checkpoint.parent / "absent" / "good.ckpt"
    refused(FileNotFoundError, [str(nowhere), "no folder"], resume(quiet, nowhere))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_checkpoint_is_called_damaged(quiet: Quiet, checkpoint: Path, part: float) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(part * len(whole))])
    refused(L.CheckpointError, [str(checkpoint), "damaged"], resume(quiet, checkpoint))
    refused(L.CheckpointError, [str(checkpoint), "damaged"], lambda: Bare.load_from_checkpoint(checkpoint))


def test_a_flipped_byte_in_the_data_is_found(quiet: Quiet, checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    with zipfile.ZipFile(checkpoint) as archive:
        for entry in (one for one in archive.infolist() if one.file_size):
            lengths = struct.unpack_from("<HH", whole, entry.header_offset + 26)  # of the name, and of what follows it
            start = entry.header_offset + 30 + sum(lengths)
            checkpoint.write_bytes(flipped(whole, start + entry.file_size // 2))
            refused(L.CheckpointError, [str(checkpoint), "damaged"], resume(quiet, checkpoint))


def test_a_flipped_byte_anywhere_is_found_or_makes_no_difference(quiet: Quiet, checkpoint: Path) -> None:
    whole, expected = checkpoint.read_bytes(), weights(Bare.load_from_checkpoint(checkpoint))
    found = 0
    for place in [*range(0, len(whole), len(whole) // 150), *range(len(whole) - 60, len(whole))]:
        checkpoint.write_bytes(flipped(whole, place))
        try:
            assert_same(weights(Bare.load_from_checkpoint(checkpoint)), expected)
        except L.CheckpointError as error:
            found += 1
            assert str(checkpoint) in str(error)
    assert found > 50


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02", bytes(4096), b"PK\x03\x04" + bytes(100)])
def test_any_other_file_is_called_damaged_or_no_checkpoint(quiet: Quiet, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    refused(L.CheckpointError, [str(path), "damaged, or no checkpoint"], resume(quiet, path))


@pytest.mark.parametrize("content", [[1, 2], {"weights": torch.zeros(2)}, torch.zeros(3)])
def test_a_torch_file_without_a_state_dict_is_no_checkpoint(quiet: Quiet, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    refused(L.CheckpointError, [str(path), "no checkpoint", "`state_dict`"], resume(quiet, path))


def test_a_folder_is_no_checkpoint(quiet: Quiet, tmp_path: Path) -> None:
    refused(FileNotFoundError, [str(tmp_path)], resume(quiet, tmp_path))


def test_a_bare_state_dict_cannot_be_resumed_from(quiet: Quiet, tmp_path: Path) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": Bare().state_dict()}, path)
    refused(L.CheckpointError, [str(path)], resume(quiet, path))
    assert isinstance(Bare.load_from_checkpoint(path), Bare)  # its weights can be had


class Wider(Bare):
    def __init__(self) -> None:
        super().__init__()
        self.network[3] = nn.Linear(8, 2)
        self.extra = nn.Linear(1, 1)


def test_a_checkpoint_of_another_model_names_both_and_what_differs(quiet: Quiet, checkpoint: Path) -> None:
    words = [str(checkpoint), "another model", "Wider", "network.3.weight", "extra.weight", "To fix", "strict"]
    refused(RuntimeError, words, resume(quiet, checkpoint, Wider()))
    refused(RuntimeError, words, lambda: Wider.load_from_checkpoint(checkpoint))


def test_a_checkpoint_that_could_run_code_is_not_loaded_unless_trusted(quiet: Quiet, checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content["extra"] = re.compile("a pattern is no plain value")
    torch.save(content, checkpoint)
    words = [str(checkpoint), "more than plain values", "weights_only=False"]
    refused(L.CheckpointError, words, resume(quiet, checkpoint))
    refused(L.CheckpointError, words, lambda: Bare.load_from_checkpoint(checkpoint))
    resume(quiet, checkpoint, weights_only=False)()
    assert isinstance(Bare.load_from_checkpoint(checkpoint, weights_only=False), Bare)


def test_weights_alone_cannot_be_resumed_from(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet()
    trainer.fit(Bare(), loader())
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    words = ["contains only the model", "optimizers", "To fix", "load_from_checkpoint"]
    for error in (L.MisconfigurationException, KeyError):
        refused(error, words, resume(quiet, tmp_path / "weights.ckpt"))


def test_more_epochs_in_the_checkpoint_than_allowed_are_told(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet(max_epochs=3)
    trainer.fit(Bare(), loader())
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    words = ["after 3 epochs", "max_epochs=2", "To fix"]
    refused(L.MisconfigurationException, words, resume(quiet, tmp_path / "three.ckpt"))


def test_other_optimizers_than_in_the_checkpoint_are_told(quiet: Quiet, checkpoint: Path) -> None:
    def two_groups(module: nn.Module) -> Any:
        first, *rest = module.parameters()
        return torch.optim.SGD([{"params": [first]}, {"params": rest}], lr=0.1)

    refused(ValueError, ["SGD", "checkpoint", "configure_optimizers"], resume(quiet, checkpoint, Bare(two_groups)))


def test_another_number_of_schedulers_than_in_the_checkpoint_is_told(quiet: Quiet, checkpoint: Path) -> None:
    def scheduled(module: nn.Module) -> Any:
        optimizer = sgd(module)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    words = ["checkpoint", "0", "schedulers", "configure_optimizers", "1"]
    refused(RuntimeError, words, resume(quiet, checkpoint, Bare(scheduled)))


def test_best_before_anything_was_saved_is_told(quiet: Quiet) -> None:
    refused(ValueError, ["'best'", "To fix"], lambda: quiet().validate(Regression(), loader(), ckpt_path="best"))


# ---- what may not be saved ---------------------------------------------------------------------------------------------


class Keeping(L.Callback):
    """Keeps whatever it is given in its state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return {"kept": {"deep": [self.state]}}


@pytest.mark.parametrize("state", [re.compile("x"), object(), lambda: 0, nn.Linear(1, 1)], ids=type)
def test_a_state_that_could_not_be_loaded_safely_names_plugin_and_key(quiet: Quiet, tmp_path: Path, state: Any) -> None:
    trainer = quiet(plugins={"keeper": Keeping(state)})
    trainer.fit(Bare(), loader())
    words = ["`keeper`", "'kept'", "'deep'", "[0]", type(state).__qualname__, "To fix", "state_dict"]
    refused(L.MisconfigurationException, words, lambda: trainer.save_checkpoint(tmp_path / "a.ckpt"))
    assert not list(tmp_path.iterdir())


def test_what_a_hook_adds_to_the_checkpoint_is_named_by_its_key(quiet: Quiet, tmp_path: Path) -> None:
    class Module(Bare):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = {"pattern": re.compile("x")}

    trainer = quiet()
    trainer.fit(Module(), loader())
    words = ["checkpoint['mine']['pattern']", "re.Pattern", "To fix"]
    refused(L.MisconfigurationException, words, lambda: trainer.save_checkpoint(tmp_path / "a.ckpt"))


def test_nothing_can_be_saved_before_there_is_a_module(quiet: Quiet, tmp_path: Path) -> None:
    refused(AttributeError, ["nothing to save", "fit"], lambda: quiet().save_checkpoint(tmp_path / "a.ckpt"))


def test_a_folder_that_cannot_be_written_to_is_told(quiet: Quiet, tmp_path: Path) -> None:
    trainer = quiet()
    trainer.fit(Bare(), loader())
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.ckpt"
    refused(L.CheckpointError, [str(path), "could not be written"], lambda: trainer.save_checkpoint(path))


# ---- plugins and their settings ----------------------------------------------------------------------------------------


def test_an_unknown_plugin_names_the_nearest(quiet: Quiet) -> None:
    words = ["`early_stoping`", "Did you mean", "`early_stopping`", "torchbus plugins list"]
    refused(L.MisconfigurationException, words, lambda: quiet(plugins=["early_stoping"]))
    refused(L.MisconfigurationException, words, lambda: quiet(callbacks="early_stoping"))


def test_faults_of_several_plugins_are_told_at_once(quiet: Quiet) -> None:
    settings = {
        "early_stopping": {"monitr": "val_loss", "patience": -1, "mode": "lowest"},
        "best": {"plugin": "model_checkpoint", "save_top_k": "many", "verbose": "perhaps"},
    }
    message = refused(
        L.MisconfigurationException,
        [
            "early_stopping", "4 settings", "`monitr` is not a setting of EarlyStopping. Did you mean `monitor`?",
            "`monitor` is required", "`patience` is -1", "greater than or equal to 0", "`mode` is 'lowest'", "'min'",
            "best", "2 settings", "`save_top_k` is 'many'", "integer", "`verbose` is 'perhaps'", "boolean",
            "Read from: the script",
        ],
        lambda: quiet(plugins=settings, enable_checkpointing=True),
    )  # fmt: skip
    assert len(message.splitlines()) == 8


def test_a_fault_says_from_which_variable_it_was_read(quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__PATIENCE", "soon")
    monkeypatch.setenv("TORCHBUS_EARLY_STOPPING__MIN_DETLA", "0.1")
    words = [
        "`patience` is 'soon'", "environment variable TORCHBUS_EARLY_STOPPING__PATIENCE", "`min_detla`", "`min_delta`",
    ]  # fmt: skip
    refused(L.MisconfigurationException, words, lambda: quiet(plugins={"early_stopping": {"monitor": "x"}}))


def test_a_fault_says_from_which_file_it_was_read(quiet: Quiet, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text("[plugins.early_stopping]\nmonitor = 3\npatience = 2.5\n")
    words = ["torchbus.toml, [plugins.early_stopping]", "`monitor` is 3", "`patience` is 2.5"]
    refused(L.MisconfigurationException, words, lambda: quiet(plugins=["early_stopping"]))


def test_a_broken_configuration_file_is_told_with_its_place(quiet: Quiet, tmp_path: Path) -> None:
    (tmp_path / "torchbus.toml").write_text("[plugins.early_stopping\n")
    refused(L.MisconfigurationException, ["torchbus.toml", "not valid TOML", "line 1"], quiet)


def test_a_class_in_place_of_an_instance_is_told(quiet: Quiet) -> None:
    refused(L.MisconfigurationException, ["Recorder is a class", "Recorder(...)"], lambda: quiet(callbacks=Recorder))


def test_one_plugin_enabled_twice_says_how_to_name_the_second(quiet: Quiet) -> None:
    plugins = [{"early_stopping": {"monitor": "a"}}, {"early_stopping": {"monitor": "b"}}]
    words = ["`early_stopping`", "twice", "To fix", '"plugin": "early_stopping"']
    refused(L.MisconfigurationException, words, lambda: quiet(plugins=plugins))


def test_a_misspelt_hook_of_a_callback_is_refused(quiet: Quiet) -> None:
    class Misspelt(L.Callback):
        def on_train_batch_ends(self, *values: Any) -> None: ...

    words = ["on_train_batch_ends", "never be called", "`on_train_batch_end`", "To fix"]
    refused(L.MisconfigurationException, words, lambda: quiet(callbacks=Misspelt()))


def test_a_hook_with_too_few_arguments_is_refused_when_it_is_registered(quiet: Quiet) -> None:
    class Short(L.Callback):
        def on_train_batch_end(self, trainer: Any) -> None: ...  # type: ignore[override]

    words = ["short", "`on_train_batch_end`", "trainer, pl_module, outputs, batch, batch_idx", "To fix"]
    refused(L.MisconfigurationException, words, lambda: quiet(callbacks=Short()))


# ---- arguments of the trainer ------------------------------------------------------------------------------------------


def test_an_unknown_argument_names_the_nearest(quiet: Quiet) -> None:
    refused(TypeError, ["'max_epoch'", "Did you mean `max_epochs`"], lambda: quiet(max_epoch=3))


def test_wrong_arguments_are_told_all_at_once(quiet: Quiet) -> None:
    message = refused(
        L.MisconfigurationException,
        [
            "Trainer", "5 settings", "`max_epochs` is -2", "-1 (no limit)", "`limit_train_batches` is 1.5", "at most 1.0",
            "`accumulate_grad_batches` is 'two'", "`max_time` is 'soon'", "`val_check_interval` is 0",
        ],
        lambda: quiet(
            max_epochs=-2, limit_train_batches=1.5, accumulate_grad_batches="two", max_time="soon", val_check_interval=0
        ),
    )  # fmt: skip
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"accelerator": "gpuu"}, ValueError, ["accelerator", "'gpuu'"]),
        ({"strategy": "dpp"}, ValueError, ["strategy", "'dpp'"]),
        ({"gradient_clip_val": "1"}, TypeError, ["gradient_clip_val", "int or a float"]),
        (
            {"gradient_clip_val": 1.0, "gradient_clip_algorithm": "nrom"},
            L.MisconfigurationException,
            ["gradient_clip_algorithm", "'nrom'", "'norm'", "'value'"],
        ),
        ({"barebones": True, "fast_dev_run": True}, ValueError, ["barebones", "fast_dev_run"]),
        ({"logger": 3}, L.MisconfigurationException, ["logger", "3"]),
        (
            {"val_check_interval": 0.5, "check_val_every_n_epoch": None},
            L.MisconfigurationException,
            ["val_check_interval=0.5", "check_val_every_n_epoch=None", "To fix"],
        ),
        (
            {"enable_checkpointing": False, "plugins": "model_checkpoint"},
            L.MisconfigurationException,
            ["found `ModelCheckpoint`"],
        ),
    ],
)
def test_an_argument_that_cannot_work_is_told(
    quiet: Quiet, arguments: dict[str, Any], kind: type[Exception], words: list[str]
) -> None:
    refused(kind, words, lambda: quiet(**arguments))


# ---- a metric that nobody logs -----------------------------------------------------------------------------------------


class Misnaming(Regression):
    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("valid_loss", self.loss(batch))


def test_a_misspelt_monitor_is_told_after_the_sanity_check_and_an_error_when_needed(quiet: Quiet) -> None:
    recorder = Recorder()
    trainer = quiet(callbacks=recorder, plugins={"early_stopping": {"monitor": "val_loss"}})
    with pytest.warns(UserWarning, match="`valid_loss`") as told:
        refused(
            RuntimeError,
            ["EarlyStopping", "'val_loss'", "Did you mean", "`valid_loss`", "To fix"],
            lambda: trainer.fit(Misnaming(), loader(), loader(4)),
        )
    assert len(told) == 1
    assert all(word in str(told[0].message) for word in ("EarlyStopping", "'val_loss'", "Did you mean"))
    assert "on_train_epoch_end" in recorder.heard


def test_the_warning_of_a_misspelt_monitor_comes_before_training(quiet: Quiet) -> None:
    recorder = Recorder()
    trainer = quiet(callbacks=recorder, plugins={"early_stopping": {"monitor": "val_loss"}})
    with pytest.raises(UserWarning, match="`valid_loss`"):  # warnings are errors here
        trainer.fit(Misnaming(), loader(), loader(4))
    assert "on_sanity_check_start" in recorder.heard
    assert_never_trained(recorder)


def test_without_a_sanity_check_it_is_told_after_the_first_batch(quiet: Quiet) -> None:
    recorder = Recorder()
    settings = {"early_stopping": {"monitor": "train_lost"}}
    trainer = quiet(callbacks=recorder, plugins=settings, num_sanity_val_steps=0)
    with pytest.raises(UserWarning, match="`train_loss`"):
        trainer.fit(Regression(), loader(), loader(4))
    assert recorder.heard.count("on_train_batch_end") == 1


@pytest.mark.parametrize("checkpoints", [True, False], ids=["model_checkpoint", "scheduler"])
def test_others_that_follow_a_metric_tell_it_too(quiet: Quiet, checkpoints: bool) -> None:
    def plateau(module: nn.Module) -> Any:
        optimizer = sgd(module)
        scheduler = ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}

    plugins = {"model_checkpoint": {"monitor": "val_loss"}} if checkpoints else None
    trainer = quiet(plugins=plugins, enable_checkpointing=checkpoints)
    name = "ModelCheckpoint" if checkpoints else "ReduceLROnPlateau"
    with pytest.warns(UserWarning, match=f"{name}.*`valid_loss`"):
        refused(
            L.MisconfigurationException,
            [name, "val_loss", "valid_loss", "To fix"],
            lambda: trainer.fit(Misnaming(sgd if checkpoints else plateau), loader(), loader(4)),
        )


def test_a_right_monitor_is_told_nothing(quiet: Quiet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(plugins={"early_stopping": {"monitor": "val_loss"}}).fit(Regression(), loader(), loader(4))


def test_windows_of_no_batches_are_refused_before_training(quiet: Quiet) -> None:
    trainer = quiet(accumulate_grad_batches=0)
    refused(ZeroDivisionError, ["accumulate_grad_batches=0", "at least 1"], lambda: trainer.fit(Bare(), loader()))


def test_errors_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(L.MisconfigurationException("kept", plugin="early_stopping")))
    assert (error.args, error.plugin) == (("kept",), "early_stopping")
