"""Functions as hooks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from torchbus_hookspecs import Callback, MisconfigurationException
from torchbus_hookspecs.events import TrainBatchEnd, TrainEnd
from torchbus_hookspecs.settings import describe_settings
from torchbus_training import LambdaCallback

from .small_fits import Line, loader, trainer


def test_each_function_is_called_as_its_method_would_be(tmp_path: Path) -> None:
    heard: list[Any] = []
    callback = LambdaCallback(
        setup=lambda trainer, pl_module, stage: heard.append(stage),
        on_train_batch_end=lambda trainer, pl_module, outputs, batch, batch_idx: heard.append(batch_idx),
        on_train_end=lambda trainer, pl_module: heard.append(trainer.global_step),
    )
    trainer(tmp_path, callback).fit(Line(), loader(4))
    assert heard == ["fit", 0, 1, 2]


def test_a_hook_without_function_is_not_heard(tmp_path: Path) -> None:
    run = trainer(tmp_path, LambdaCallback(on_train_end=lambda *_: None))
    assert run.bus.is_heard(TrainEnd)
    assert not run.bus.is_heard(TrainBatchEnd)


def test_it_is_enabled_by_name(tmp_path: Path) -> None:
    heard: list[str] = []
    settings = {"lambda_callback": {"on_exception": lambda trainer, pl_module, exception: heard.append(str(exception))}}
    run = trainer(tmp_path, plugins=settings)
    with pytest.raises(TypeError):
        run.fit(Line(), [1, 2, 3])
    assert len(heard) == 1


def test_every_hook_of_a_callback_is_a_setting() -> None:
    hooks = {name for name in vars(Callback) if name.startswith("on_") and inspect.isfunction(vars(Callback)[name])}
    assert set(inspect.signature(LambdaCallback.__init__).parameters) - {"self"} == hooks | {"setup", "teardown"}


def test_a_hook_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match="Did you mean `on_train_end`"):
        LambdaCallback(on_train_ends=lambda *_: None)  # type: ignore[call-arg]


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="on_fit_end"):
        LambdaCallback(on_fit_end=3)  # type: ignore[arg-type]


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in describe_settings(LambdaCallback))


def test_each_setting_is_called_in_its_place(tmp_path: Path) -> None:
    from torchbus.testing import TinyDataModule, TinyModule

    heard: list[str] = []
    settings = {one.name: lambda *_, hook=one.name: heard.append(hook) for one in describe_settings(LambdaCallback)}
    run, module, data = trainer(tmp_path, LambdaCallback(**settings), max_epochs=1), TinyModule(), TinyDataModule()
    run.fit(module, datamodule=data)
    run.save_checkpoint(tmp_path / "one.ckpt")
    for entry in (run.test, run.predict):
        entry(module, datamodule=data, ckpt_path=tmp_path / "one.ckpt")
    run.fit_loop.max_epochs = 2
    with pytest.raises(TypeError):
        run.fit(module, [1, 2, 3], data.val_dataloader())
    assert set(heard) == {
        "setup", "teardown", "on_fit_start", "on_fit_end", "on_sanity_check_start", "on_sanity_check_end",
        "on_train_batch_start", "on_train_batch_end", "on_train_epoch_start", "on_train_epoch_end",
        "on_validation_epoch_start", "on_validation_epoch_end", "on_test_epoch_start", "on_test_epoch_end",
        "on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end",
        "on_train_start", "on_train_end", "on_validation_start", "on_validation_end", "on_test_start", "on_test_end",
        "on_exception", "on_save_checkpoint", "on_load_checkpoint", "on_before_backward", "on_after_backward",
        "on_before_optimizer_step", "on_before_zero_grad", "on_predict_start", "on_predict_end",
        "on_predict_batch_start", "on_predict_batch_end", "on_predict_epoch_start", "on_predict_epoch_end",
    }  # fmt: skip
