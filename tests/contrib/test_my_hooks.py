"""The smallest plugin, as the README shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchbus as L

ROOT = Path(__file__).parents[2]
FILE = ROOT / "contrib" / "examples" / "my_hooks.py"


class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.25)


def test_readme_shows_the_file() -> None:
    code = FILE.read_text(encoding="utf-8").split('"""\n\n', 1)[1]
    assert f"```python\n# my_hooks.py\n{code}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_file_of_hooks_is_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = L.Trainer(
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        plugins=[str(FILE)],
    )
    trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(4, 1), batch_size=2))
    steps, saved = sorted(capsys.readouterr().out.splitlines())
    assert saved == f"saved {trainer.checkpoint_callback.best_model_path}"
    assert steps == "2 steps, learning rate 0.25"
