"""The callbacks that Lightning's users write, as they write them: only the import is torchbus's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor
from torchbus.callbacks import Callback, EarlyStopping, ModelCheckpoint

from .classifier import QUIET, LitClassifier, ValidatedClassifier, train_loader, val_loader


def test_a_callback_hears_training_start_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    class MyPrintingCallback(Callback):
        def on_train_start(self, trainer, pl_module):
            print("Training is starting")

        def on_train_end(self, trainer, pl_module):
            print("Training is ending")

    trainer = L.Trainer(max_epochs=1, callbacks=[MyPrintingCallback()], **QUIET)
    trainer.fit(LitClassifier(), train_loader())
    printed = capsys.readouterr().out
    assert printed.index("Training is starting") < printed.index("Training is ending")


def test_a_callback_collects_the_metrics_of_each_validation() -> None:
    class MetricsLogger(Callback):
        def __init__(self):
            self.metrics: list[dict[str, float]] = []

        def on_validation_end(self, trainer, pl_module):
            if trainer.sanity_checking:
                return
            self.metrics.append({name: value.item() for name, value in trainer.callback_metrics.items()})

    history = MetricsLogger()
    trainer = L.Trainer(max_epochs=6, callbacks=[history], **QUIET)
    trainer.fit(ValidatedClassifier(), train_loader(), val_loader())
    assert [sorted(row) for row in history.metrics[1:]] == [["train_loss", "val_acc", "val_loss"]] * 5
    assert history.metrics[-1]["val_loss"] < history.metrics[0]["val_loss"]


def test_a_callback_logs_gradient_norms_after_backward() -> None:
    class GradientMonitor(Callback):
        def on_after_backward(self, trainer, pl_module):
            for name, parameter in pl_module.named_parameters():
                if parameter.grad is not None:
                    pl_module.log(f"grad_norm/{name}", parameter.grad.norm())

    module = LitClassifier()
    trainer = L.Trainer(max_epochs=1, callbacks=[GradientMonitor()], **QUIET)
    trainer.fit(module, train_loader())
    norms = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("grad_norm/")}
    assert set(norms) == {f"grad_norm/{name}" for name, _ in module.named_parameters()}
    assert all(value > 0 for value in norms.values())


def test_a_callback_saves_a_checkpoint_every_five_epochs(tmp_path: Path) -> None:
    class CustomCheckpoint(Callback):
        def __init__(self, folder: Path, every_n_epochs: int):
            self.folder, self.every_n_epochs = folder, every_n_epochs

        def on_train_epoch_end(self, trainer, pl_module):
            epoch = trainer.current_epoch + 1
            if epoch % self.every_n_epochs == 0:
                trainer.save_checkpoint(self.folder / f"model_epoch_{epoch}.ckpt")

    trainer = L.Trainer(max_epochs=11, callbacks=[CustomCheckpoint(tmp_path, 5)], enable_checkpointing=False, **QUIET)
    trainer.fit(LitClassifier(), train_loader())
    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == ["model_epoch_10.ckpt", "model_epoch_5.ckpt"]
    assert torch.load(tmp_path / "model_epoch_5.ckpt", weights_only=True)["global_step"] == 30
    LitClassifier.load_from_checkpoint(tmp_path / "model_epoch_10.ckpt")


def test_a_callback_freezes_the_backbone_and_unfreezes_it_at_an_epoch() -> None:
    class FreezeUnfreeze(Callback):
        def __init__(self, unfreeze_at_epoch: int):
            self.unfreeze_at_epoch = unfreeze_at_epoch

        def on_train_start(self, trainer, pl_module):
            for parameter in pl_module.backbone.parameters():
                parameter.requires_grad = False

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == self.unfreeze_at_epoch:
                for parameter in pl_module.backbone.parameters():
                    parameter.requires_grad = True

    class Watch(Callback):
        def __init__(self):
            self.seen: list[Tensor] = []

        def on_train_epoch_end(self, trainer, pl_module):
            self.seen.append(pl_module.backbone[0].weight.detach().clone())

    module, watch = LitClassifier(), Watch()
    before = module.backbone[0].weight.detach().clone()
    L.Trainer(max_epochs=3, callbacks=[FreezeUnfreeze(2), watch], **QUIET).fit(module, train_loader())
    assert [torch.equal(before, weight) for weight in watch.seen] == [True, True, False]


def test_a_callback_raises_the_learning_rate_per_batch_stops_and_plots(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure")

    class LRFinder(Callback):
        def __init__(self, file: Path, min_lr: float = 1e-6, max_lr: float = 1.0, num_steps: int = 20):
            self.file, self.min_lr, self.max_lr, self.num_steps = file, min_lr, max_lr, num_steps
            self.rates: list[float] = []
            self.losses: list[float] = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rate = self.min_lr * (self.max_lr / self.min_lr) ** (trainer.global_step / self.num_steps)
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = rate
            self.rates.append(rate)

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.losses.append(outputs["loss"].item())
            if trainer.global_step >= self.num_steps:
                trainer.should_stop = True

        def on_train_end(self, trainer, pl_module):
            picture = figure.Figure()
            axes = picture.subplots()
            axes.plot(self.rates, self.losses)
            axes.set_xscale("log")
            picture.savefig(self.file)

    finder = LRFinder(tmp_path / "rates.png")
    trainer = L.Trainer(max_epochs=100, callbacks=[finder], **QUIET)
    trainer.fit(LitClassifier(), train_loader())
    assert trainer.global_step == len(finder.losses) == 20
    assert finder.rates[0] == pytest.approx(1e-6) and finder.rates[-1] == pytest.approx(10 ** (-6 + 6 * 19 / 20))
    assert finder.file.read_bytes().startswith(b"\x89PNG")


def test_a_callback_saves_predictions_at_the_end(tmp_path: Path) -> None:
    class PredictionSaver(Callback):
        def __init__(self, file: Path):
            self.file = file
            self.predictions: list[Tensor] = []

        def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            self.predictions.append(outputs)

        def on_predict_end(self, trainer, pl_module):
            torch.save(torch.cat(self.predictions), self.file)

    saver, module = PredictionSaver(tmp_path / "predictions.pt"), LitClassifier()
    returned = L.Trainer(callbacks=[saver], **QUIET).predict(module, val_loader())
    saved = torch.load(saver.file)
    assert saved.shape == (24,) and torch.equal(saved, torch.cat(returned))


def test_a_callback_keeps_its_state_in_checkpoints(tmp_path: Path) -> None:
    class Counter(Callback):
        def __init__(self, what: str = "epochs"):
            self.what = what
            self.state = {"epochs": 0, "batches": 0}

        @property
        def state_key(self) -> str:
            return f"Counter[what={self.what}]"

        def on_train_epoch_end(self, trainer, pl_module):
            if self.what == "epochs":
                self.state["epochs"] += 1

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if self.what == "batches":
                self.state["batches"] += 1

        def load_state_dict(self, state_dict):
            self.state.update(state_dict)

        def state_dict(self):
            return self.state.copy()

    trainer = L.Trainer(max_epochs=2, callbacks=[Counter("epochs"), Counter("batches")], **QUIET)
    trainer.fit(LitClassifier(), train_loader())
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    saved = torch.load(tmp_path / "two.ckpt")["callbacks"]
    assert saved["Counter[what=epochs]"] == {"epochs": 2, "batches": 0}
    assert saved["Counter[what=batches]"] == {"epochs": 0, "batches": 12}

    epochs, batches = Counter("epochs"), Counter("batches")
    trainer = L.Trainer(max_epochs=3, callbacks=[epochs, batches], **QUIET)
    trainer.fit(LitClassifier(), train_loader(), ckpt_path=tmp_path / "two.ckpt")
    assert (epochs.state["epochs"], batches.state["batches"]) == (3, 18)


def test_a_callback_acts_only_under_its_condition() -> None:
    class ConditionalCallback(Callback):
        def __init__(self, condition):
            self.condition = condition
            self.acted_in: list[int] = []

        def on_train_epoch_end(self, trainer, pl_module):
            if self.condition(trainer, pl_module):
                self.acted_in.append(trainer.current_epoch)

    every_second = ConditionalCallback(lambda trainer, pl_module: trainer.current_epoch % 2 == 0)
    good_enough = ConditionalCallback(lambda trainer, pl_module: trainer.callback_metrics["train_loss"] < 100)
    L.Trainer(max_epochs=5, callbacks=[every_second, good_enough], **QUIET).fit(LitClassifier(), train_loader())
    assert every_second.acted_in == [0, 2, 4] and good_enough.acted_in == [0, 1, 2, 3, 4]


def test_a_callback_multiplies_learning_rates_at_given_epochs() -> None:
    class MultiStageTraining(Callback):
        def __init__(self, stages: dict[int, float]):
            self.stages = stages
            self.rates: list[float] = []

        def on_train_epoch_start(self, trainer, pl_module):
            factor = self.stages.get(trainer.current_epoch)
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] *= factor or 1.0
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    stages = MultiStageTraining({1: 0.1, 3: 0.5})
    L.Trainer(max_epochs=4, callbacks=[stages], **QUIET).fit(LitClassifier(learning_rate=0.1), train_loader())
    assert stages.rates == pytest.approx([0.1, 0.01, 0.01, 0.005])


def test_two_independent_callbacks_do_the_same_in_any_order() -> None:
    class CountBatches(Callback):
        def __init__(self):
            self.batches = 0

        def on_train_batch_end(self, *args):
            self.batches += 1

    class LargestLoss(Callback):
        def __init__(self):
            self.largest = 0.0

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.largest = max(self.largest, outputs["loss"].item())

    def run(reverse: bool) -> tuple[int, float]:
        torch.manual_seed(5)
        count, largest = CountBatches(), LargestLoss()
        callbacks = [largest, count] if reverse else [count, largest]
        L.Trainer(max_epochs=2, callbacks=callbacks, **QUIET).fit(LitClassifier(), train_loader())
        return count.batches, largest.largest

    assert run(False) == run(True)
    assert run(False)[0] == 12


def test_a_callback_logs_the_norm_of_the_weights_after_validation() -> None:
    class LogModelNorm(Callback):
        def __init__(self):
            self.norms: list[float] = []

        def on_validation_end(self, trainer, pl_module):
            norm = sum(parameter.norm() ** 2 for parameter in pl_module.parameters()) ** 0.5
            self.norms.append(norm.item())
            if trainer.logger:
                trainer.logger.log_metrics({"model_norm": norm.item()}, step=trainer.global_step)

    norms = LogModelNorm()
    trainer = L.Trainer(max_epochs=2, callbacks=[norms], **{**QUIET, "logger": L.loggers.CSVLogger("logs")})
    trainer.fit(ValidatedClassifier(), train_loader(), val_loader())
    table = (Path(trainer.logger.log_dir) / "metrics.csv").read_text()
    assert "model_norm" in table.splitlines()[0]
    assert len(norms.norms) == 3  # the sanity check is a validation too


def test_early_stopping_and_checkpoints_work_on_the_validation_loss(tmp_path: Path) -> None:
    stopping = EarlyStopping(monitor="val_loss", patience=2, mode="min", min_delta=10.0)
    checkpoint = ModelCheckpoint(
        monitor="val_loss", dirpath=tmp_path, filename="model-{epoch:02d}-{val_loss:.2f}", save_top_k=3, mode="min"
    )
    trainer = L.Trainer(max_epochs=20, callbacks=[stopping, checkpoint], **QUIET)
    trainer.fit(ValidatedClassifier(), train_loader(), val_loader())
    assert trainer.current_epoch == 3 and stopping.stopped_epoch == 2
    assert len(checkpoint.best_k_models) == 3
    best: Any = LitClassifier.load_from_checkpoint(checkpoint.best_model_path)
    assert f"{checkpoint.best_model_score:.2f}" in Path(checkpoint.best_model_path).name
    assert best.hparams.hidden_size == 8
