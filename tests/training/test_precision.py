"""Each precision trains; parameters, activations and gradients have the format it promises."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchbus as L
from torch import Tensor, nn
from torchbus.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision

from .toys import Bare, Regression, assert_same, loader, weights

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64

FORMATS = {
    # precision: parameters, activations, what torch.zeros makes inside a step
    "32-true": (F32, F32, F32),
    "64-true": (F64, F64, F64),
    "bf16-true": (BF16, BF16, BF16),
    "16-true": (F16, F16, F16),
    "bf16-mixed": (F32, BF16, F32),
    "16-mixed": (F32, F16, F32),
}


def slow(module: nn.Module) -> Any:
    return torch.optim.SGD(module.parameters(), lr=0.05)


class Gentle(Bare):
    """Its gradients are small enough to be scaled by ``2.0**16`` in 16 bits."""

    def loss(self, batch: Any) -> Tensor:
        return 0.01 * super().loss(batch)


class Watching(Regression):
    """Notes losses and formats."""

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.losses: list[float] = []
        self.seen: set[tuple[torch.dtype, ...]] = set()
        self.network[0].register_forward_hook(lambda layer, inputs, output: self.look(output))

    def look(self, output: Tensor) -> None:
        self.seen.add((self.network[0].weight.dtype, output.dtype, torch.zeros(1).dtype))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(loss.item())
        return loss


@pytest.mark.parametrize("precision", FORMATS)
def test_training_lowers_the_loss_in_the_promised_formats(quiet: Callable[..., L.Trainer], precision: str) -> None:
    module = Watching(slow)
    trainer = quiet(precision=precision, max_epochs=12)
    trainer.fit(module, loader(), loader(4, seed=2))
    assert module.seen == {FORMATS[precision]}  # in training and in validation
    assert {one.dtype for one in module.parameters()} == {FORMATS[precision][0]}
    first, last = sum(module.losses[:6]), sum(module.losses[-6:])
    assert last < first / 3
    assert torch.get_default_dtype() is F32
    assert trainer.precision == precision


@pytest.mark.parametrize(
    ("given", "meant"),
    [(None, "32-true"), (16, "16-mixed"), ("bf16", "bf16-mixed"), (64, "64-true"), ("32", "32-true")],
)
def test_short_names_mean_what_they_mean_in_lightning(quiet: Callable[..., L.Trainer], given: Any, meant: str) -> None:
    assert quiet(precision=given).precision == meant


@pytest.mark.parametrize("wrong", ["8-mixed", "fp16", 8, "16_mixed", [], {"precision": 16}])
def test_an_unknown_precision_names_the_choices(quiet: Callable[..., L.Trainer], wrong: Any) -> None:
    with pytest.raises(ValueError, match="precision") as refused:
        quiet(precision=wrong)
    assert repr(wrong) in str(refused.value)
    assert all(repr(one) in str(refused.value) for one in FORMATS)


def test_in_true_precision_floats_of_a_batch_are_converted_and_whole_numbers_are_not(
    quiet: Callable[..., L.Trainer],
) -> None:
    seen: list[Any] = []

    class Mixed(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append([batch["inputs"].dtype, batch["labels"].dtype, batch["more"][0].dtype, batch["text"]])
            return self(batch["inputs"]).mean()

    batch = {"inputs": torch.randn(2, 4), "labels": torch.tensor([1, 2]), "more": (torch.randn(1),), "text": "kept"}
    quiet(precision="bf16-true").fit(Mixed(), OneBatch(batch))
    assert seen == [[BF16, torch.int64, BF16, "kept"]]


def test_the_default_format_is_given_back_after_an_error(quiet: Callable[..., L.Trainer]) -> None:
    class Failing(Bare):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        quiet(precision="64-true").fit(Failing(), loader())
    assert torch.get_default_dtype() is F32


def test_predictions_are_made_in_the_precision_too(quiet: Callable[..., L.Trainer]) -> None:
    predictions = quiet(precision="bf16-mixed").predict(Predicting(), loader(4))
    assert [one.dtype for one in predictions or []] == [BF16, BF16]


class OneBatch:
    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __iter__(self) -> Any:
        return iter([self.batch])


class Predicting(Bare):
    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch[0])


# ---- 16-mixed: gradients are scaled ------------------------------------------------------------------------------------


class Gradients(L.Callback):
    """Keeps the gradients as hooks see them."""

    def __init__(self) -> None:
        self.scaled: list[Tensor] = []
        self.real: list[Tensor] = []

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.scaled.append(flat_gradient(pl_module))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        self.real.append(flat_gradient(pl_module))


def flat_gradient(module: nn.Module) -> Tensor:
    return torch.cat([one.grad.detach().flatten().clone() for one in module.parameters() if one.grad is not None])


@pytest.mark.parametrize("automatic", [True, False])
def test_before_the_step_gradients_are_real_ones(quiet: Callable[..., L.Trainer], automatic: bool) -> None:
    class Manual(Gentle):
        def __init__(self) -> None:
            super().__init__(slow)
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    gradients, module = Gradients(), Gentle(slow) if automatic else Manual()
    reference = Gentle(slow)
    reference.loss(next(iter(loader()))).backward()
    trainer = quiet(precision="16-mixed", callbacks=gradients, max_steps=1, max_epochs=-1)
    trainer.fit(module, loader())
    scale = 2.0**16
    torch.testing.assert_close(gradients.real[0], flat_gradient(reference), rtol=0.02, atol=0.01)
    torch.testing.assert_close(gradients.scaled[0], gradients.real[0] * scale)


def test_clipping_is_of_real_gradients(quiet: Callable[..., L.Trainer]) -> None:
    def plain_sgd(module: nn.Module) -> Any:
        return torch.optim.SGD(module.parameters(), lr=1.0)

    module = Gentle(plain_sgd)
    before = torch.cat([one.detach().flatten().clone() for one in module.parameters()])
    quiet(precision="16-mixed", gradient_clip_val=0.01, max_steps=1, max_epochs=-1).fit(module, loader())
    change = torch.cat([one.detach().flatten() for one in module.parameters()]) - before
    assert change.norm().item() == pytest.approx(0.01, rel=1e-3)


class Exploding(Gentle):
    """Its second step has no finite gradient."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        return loss * torch.inf if batch_idx == 1 else loss


def test_a_step_without_finite_gradients_is_left_out_and_the_scale_is_halved(quiet: Callable[..., L.Trainer]) -> None:
    after: list[dict[str, Tensor]] = []

    class Keep(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *rest: Any) -> None:
            after.append(weights(pl_module))

    trainer = quiet(precision="16-mixed", callbacks=Keep())
    trainer.fit(Exploding(slow), loader(8))
    assert_same(after[0], after[1])
    assert not torch.equal(after[1]["network.0.weight"], after[2]["network.0.weight"])
    assert trainer.scaler.get_scale() == 2.0**15
    assert all(torch.isfinite(one).all() for one in after[-1].values())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_scaler_goes_through_checkpoints(quiet: Callable[..., L.Trainer], tmp_path: Path, accumulate: int) -> None:
    trainer = quiet(precision="16-mixed", accumulate_grad_batches=accumulate)
    trainer.fit(Exploding(slow), loader(8))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    saved = torch.load(tmp_path / "half.ckpt", weights_only=True)
    assert saved["MixedPrecision"] == trainer.scaler.state_dict()
    assert saved["MixedPrecision"]["scale"] == 2.0**15
    resumed = quiet(precision="16-mixed", accumulate_grad_batches=accumulate)
    resumed.fit(Exploding(slow), loader(8), ckpt_path=tmp_path / "half.ckpt")
    assert resumed.scaler.state_dict() == trainer.scaler.state_dict()


def test_without_a_scaler_there_is_no_state_of_one(quiet: Callable[..., L.Trainer], tmp_path: Path) -> None:
    trainer = quiet(precision="bf16-mixed")
    trainer.fit(Bare(), loader(4))
    trainer.save_checkpoint(tmp_path / "brain.ckpt")
    assert "MixedPrecision" not in torch.load(tmp_path / "brain.ckpt", weights_only=True)
    assert trainer.scaler is None


def test_accumulating_in_16_mixed_unscales_once_per_window(quiet: Callable[..., L.Trainer]) -> None:
    gradients = Gradients()
    quiet(precision="16-mixed", accumulate_grad_batches=2, callbacks=gradients).fit(Gentle(slow), loader(12))
    assert (len(gradients.scaled), len(gradients.real)) == (6, 3)
    norms = [one.norm().item() for one in gradients.real]
    assert all(0.0 < norm < 100.0 for norm in norms)


@pytest.mark.filterwarnings("ignore:training_step returned None")
def test_a_skipped_training_step_in_16_mixed_is_no_error(quiet: Callable[..., L.Trainer]) -> None:
    class Skipping(Gentle):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx % 2 == 0 else self.loss(batch)

    trainer = quiet(precision="16-mixed", max_epochs=2)
    trainer.fit(Skipping(slow), loader(8))
    assert trainer.global_step == 8


def test_lbfgs_in_16_mixed_is_refused_with_what_to_use(quiet: Callable[..., L.Trainer]) -> None:
    module = Bare(lambda module: torch.optim.LBFGS(module.parameters()))
    with pytest.raises(L.MisconfigurationException, match="LBFGS.*bf16-mixed"):
        quiet(precision="16-mixed").fit(module, loader())


def test_a_gan_in_16_mixed_scales_the_gradients_of_both_optimizers(quiet: Callable[..., L.Trainer]) -> None:
    class Two(Gentle):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(part.parameters(), lr=0.05) for part in (self.network[0], self.network[3])]

    module = Two()
    initial = weights(module)
    trainer = quiet(precision="16-mixed")
    trainer.fit(module, loader(8))
    assert trainer.global_step == 8
    moved = [name for name, value in weights(module).items() if not torch.equal(value, initial[name])]
    assert len(moved) == 4
    assert all(torch.isfinite(one).all() for one in itertools.chain(module.parameters()))


# ---- in which format things are made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "16-true"])
def test_configure_model_makes_layers_in_the_precision(quiet: Callable[..., L.Trainer], precision: str) -> None:
    made: list[torch.dtype] = []

    class Late(Bare):
        def configure_model(self) -> None:
            made.append(nn.Linear(1, 1).weight.dtype)

        def on_fit_start(self) -> None:
            made.append(torch.zeros(1).dtype)

    quiet(precision=precision, fast_dev_run=True).fit(Late(slow), loader())
    assert made == [FORMATS[precision][0], F32]


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_complex_numbers_stay_complex(quiet: Callable[..., L.Trainer], precision: str) -> None:
    class Complex(Bare):
        def __init__(self) -> None:
            super().__init__(slow)
            self.register_buffer("phases", torch.full((2,), 1 + 2j))

    module = Complex()
    quiet(precision=precision).fit(module, loader(4))
    assert module.phases.tolist() == [1 + 2j] * 2


# ---- precisions as objects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["plugins", "precision"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (DoublePrecision, "64-true"),
        (HalfPrecision, "16-true"),
        (lambda: HalfPrecision("bf16-true"), "bf16-true"),
        (lambda: MixedPrecision("bf16-mixed", "cpu"), "bf16-mixed"),
    ],
)
def test_a_precision_may_be_given_as_an_object(
    quiet: Callable[..., L.Trainer], make: Any, name: str, argument: str
) -> None:
    precision, module = make(), Watching(slow)
    trainer = quiet(**{argument: precision})
    trainer.fit(module, loader(4), loader(4))
    assert trainer.precision_plugin is precision
    assert module.seen == {FORMATS[name]}


def test_a_precision_stands_among_other_plugins_and_has_a_scaler_of_ones_own(quiet: Callable[..., L.Trainer]) -> None:
    scaler, gradients = torch.amp.GradScaler("cpu", init_scale=4.0), Gradients()
    trainer = quiet(plugins=[gradients, MixedPrecision("16-mixed", "cpu", scaler)], max_steps=1, max_epochs=-1)
    trainer.fit(Gentle(slow), loader(4))
    assert trainer.scaler is scaler
    torch.testing.assert_close(gradients.scaled[0], gradients.real[0] * 4)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: MixedPrecision("16-true", "cpu"), ValueError, "'16-mixed' or 'bf16-mixed'"),
        (
            lambda: MixedPrecision("bf16-mixed", "cpu", torch.amp.GradScaler("cpu")),
            L.MisconfigurationException,
            "scaler",
        ),
        (lambda: L.Trainer(precision=64, plugins=DoublePrecision()), ValueError, "received both.* choose one"),
        (
            lambda: L.Trainer(plugins=[Precision(), DoublePrecision()]),
            L.MisconfigurationException,
            "several precisions",
        ),
        (lambda: L.Trainer(precision="transformer-engine"), ValueError, "Transformer Engine is not supported"),
    ],
)
def test_precisions_that_cannot_be_are_refused(make: Callable[[], Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        make()


def test_a_fused_optimizer_may_be_clipped_in_16_mixed(quiet: Callable[..., L.Trainer]) -> None:
    """It could unscale by itself; since clipping needs real gradients, it is given those."""
    found: list[dict[str, Tensor]] = []
    for fused in (True, False):
        module = Gentle(lambda module, fused=fused: torch.optim.SGD(module.parameters(), lr=1.0, fused=fused))
        quiet(precision="16-mixed", gradient_clip_val=0.01).fit(module, loader())
        found.append(weights(module))
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name])
