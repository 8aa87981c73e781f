"""A module in a form that runs without torchbus."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from .toys import Bare, loader

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.mark.parametrize("method", ["script", "trace"])
def test_torchscript_computes_the_same_without_torchbus(tmp_path: Path, method: str) -> None:
    module, inputs = Bare(dropout=0.5), torch.ones(3, 4)
    module.to_torchscript(tmp_path / "a.pt", method=method, example_inputs=inputs)
    assert module.training and module.network.training
    assert torch.equal(torch.jit.load(tmp_path / "a.pt")(inputs), module.eval()(inputs))
    with pytest.raises(RuntimeError, match="not attached"):
        print(module.trainer)


def test_tracing_needs_an_example_of_the_input_and_a_known_method() -> None:
    with pytest.raises(ValueError, match="`example_inputs`.*`self.example_input_array`"):
        Bare().to_torchscript(method="trace")
    with pytest.raises(ValueError, match="'script' or 'trace', not 'guess'"):
        Bare().to_torchscript(method="guess")


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is not None, reason="needs onnx to be absent")
def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(
        ModuleNotFoundError, match=r"`Bare.to_onnx\(\)` requires `.*onnxscript`.*pip install .*onnxscript"
    ):
        Bare().to_onnx(input_sample=torch.ones(1, 4))
    with pytest.raises(ModuleNotFoundError, match="pip install torch-tensorrt"):
        Bare().to_tensorrt("a.ep")


def test_onnx_is_written_to_a_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    Bare().to_onnx(tmp_path / "a.onnx", torch.ones(1, 4))
    assert (tmp_path / "a.onnx").stat().st_size > 0


def test_a_loader_that_nobody_defines_is_told() -> None:
    assert len(list(loader(4))) == 2
    for name in ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"):
        with pytest.raises(Exception, match=f"Bare has no `{name}`"):
            getattr(Bare(), name)()
    assert Bare().predict_step(torch.ones(1, 4), 0).shape == (1, 1)
