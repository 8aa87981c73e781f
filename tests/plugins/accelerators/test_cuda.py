"""CUDA devices as accelerators: what a CPU can show of it, and a real fit where there is a GPU."""

from __future__ import annotations

import pytest
import torch
import torchbus as L
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchbus_cuda import CUDAAccelerator
from torchbus_hookspecs import MisconfigurationException

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize(
    ("request_", "numbers"),
    [(2, [0, 1]), ([0, 2], [0, 2]), ("0,2", [0, 2]), ("1,", [1]), ("2", [0, 1]), (-1, [0, 1, 2]), ("-1", [0, 1, 2])],
)
def test_every_form_of_devices_is_read(request_, numbers, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert CUDAAccelerator.parse_devices(request_) == numbers
    assert CUDAAccelerator.get_parallel_devices(numbers) == [torch.device("cuda", one) for one in numbers]


@pytest.mark.parametrize("request_", [4, [3], "0,7", [0, 0], 0, []])
def test_devices_that_are_not_there_are_refused_with_a_list_of_those_that_are(request_, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Pretend GPU")
    with pytest.raises(MisconfigurationException, match=r"0 \(Pretend GPU\), 1 \(Pretend GPU\), 2"):
        CUDAAccelerator.parse_devices(request_)


@pytest.mark.parametrize(
    ("request_", "error"),
    [("two", ValueError), ("", ValueError), (1.5, TypeError), (True, TypeError), (["0"], TypeError)],
)
def test_devices_of_another_form_are_refused(request_, error):
    with pytest.raises(error, match="a number of devices, a list of their numbers"):
        CUDAAccelerator.parse_devices(request_)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_one_says_so(tmp_path):
    with pytest.raises(
        MisconfigurationException, match=r"CUDAAccelerator` can not run on your system.* Available are: cpu"
    ):
        L.Trainer(accelerator="cuda", default_root_dir=tmp_path)


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        assert inputs.device.type == "cuda"
        loss = nn.functional.mse_loss(self.layer(inputs), targets)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def fit(path, ckpt_path=None, **options):
    torch.manual_seed(0)
    inputs = torch.randn(64, 8)
    data = TensorDataset(inputs, inputs.sum(1, keepdim=True))
    module = Net()
    trainer = L.Trainer(
        accelerator="cuda",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=path,
        **options,
    )
    trainer.fit(module, DataLoader(data, batch_size=8, shuffle=True), ckpt_path=ckpt_path)
    return trainer, module


@needs_gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"])
def test_every_precision_trains_on_a_gpu(precision, tmp_path):
    trainer, module = fit(tmp_path, precision=precision, max_epochs=20, gradient_clip_val=5.0)
    assert trainer.callback_metrics["loss_epoch"] < 2.0
    assert next(module.parameters()).device.type == "cuda"


@needs_gpu
def test_a_run_resumed_on_a_gpu_ends_where_the_uninterrupted_one_ends(tmp_path):
    keep_all = {"model_checkpoint": {"dirpath": str(tmp_path / "all"), "every_n_train_steps": 1, "save_top_k": -1}}
    torch.use_deterministic_algorithms(True)
    try:
        _, whole = fit(tmp_path, max_epochs=2, plugins=keep_all)
        _, resumed = fit(
            tmp_path, max_epochs=2, ckpt_path=tmp_path / "all" / "epoch=0-step=3.ckpt", enable_checkpointing=False
        )
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
