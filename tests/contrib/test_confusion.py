"""The plugin `confusion`, written as a third party writes one."""

from __future__ import annotations

import warnings

import pytest
import torch
import torchbus as L
from torch.utils.data import DataLoader, TensorDataset
from torchbus_hookspecs import MisconfigurationException

torchbus_confusion = pytest.importorskip("torchbus_confusion", reason="pip install ./contrib/plugins/confusion")

from torchbus_confusion._matrix import count, most_confused, render  # noqa: E402

TARGET = [0, 0, 1, 1, 1, 2]
PREDS = [0, 1, 1, 2, 2, 2]
EMPTY = torch.zeros(0, 0, dtype=torch.long)


class Known(L.LightningModule):
    """Predicts what its data says, as scores or as classes."""

    def __init__(self, scores: bool = False):
        super().__init__()
        self.scores = scores
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return self.weight * 1.0

    def validation_step(self, batch, batch_idx):
        return self.test_step(batch, batch_idx)

    def test_step(self, batch, batch_idx):
        preds, target = batch
        return {"preds": torch.nn.functional.one_hot(preds, 3).float() if self.scores else preds, "target": target}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Silent(Known):
    def test_step(self, batch, batch_idx):
        return {"loss": self.weight}


def loader(batch_size: int = 2) -> DataLoader:
    return DataLoader(TensorDataset(torch.tensor(PREDS), torch.tensor(TARGET)), batch_size=batch_size)


def trainer(**options) -> L.Trainer:
    return L.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **options
    )


@pytest.mark.parametrize("scores", [False, True])
def test_classes_and_scores_are_counted_over_batches(scores: bool, capsys: pytest.CaptureFixture[str]) -> None:
    confusion = torchbus_confusion.ConfusionMatrix(classes=["a", "b"])
    trainer(callbacks=[confusion]).test(Known(scores), loader())
    assert confusion.counts.tolist() == [[1, 1, 0], [0, 1, 2], [0, 0, 1]]
    assert [tuple(one) for one in confusion.most_confused()] == [(1, 2, 2, 3), (0, 1, 1, 2)]
    assert capsys.readouterr().out.splitlines() == [
        "3 of 6 right (50.0%); rows: true class, columns: predicted",
        "     a   b   2",
        " a   1   1   .",
        " b   .   1   2",
        " 2   .   .   1",
        "b taken for 2: 2 of 3",
        "a taken for b: 1 of 2",
    ]


def test_it_is_enabled_by_name_and_its_settings_are_checked() -> None:
    plugin = trainer(plugins={"confusion": {"worst": 1}}).bus.plugins["confusion"]
    assert isinstance(plugin.object, torchbus_confusion.ConfusionMatrix)
    assert plugin.origin.startswith("torchbus-confusion ")
    assert plugin.policy == "quarantine"
    with pytest.raises(MisconfigurationException, match=r"`wurst` is not a setting .* Did you mean `worst`") as error:
        trainer(plugins={"confusion": {"wurst": 1, "stage": "fit"}})
    assert {fault.field for fault in error.value.faults} == {"wurst", "stage"}


def test_installed_is_not_enabled() -> None:
    assert "confusion" not in trainer().bus.plugins


def test_validation_is_looked_at_when_asked_for_and_without_the_sanity_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer(max_epochs=2, plugins={"confusion": {"stage": "validation"}}).fit(Known(), loader(), loader())
    assert capsys.readouterr().out.count("3 of 6 right") == 2


def test_the_other_stage_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(plugins={"confusion": {"stage": "validation"}}).test(Known(), loader(), verbose=False)
    assert capsys.readouterr().out == ""


def test_each_epoch_counts_anew() -> None:
    confusion = torchbus_confusion.ConfusionMatrix()
    run = trainer(callbacks=[confusion])
    run.test(Known(), loader())
    run.test(Known(), loader())
    assert confusion.counts.sum() == 6


def test_outputs_without_predictions_are_told_and_do_not_end_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(plugins=["confusion"]).test(Silent(), loader())
    assert "test_step returned a dictionary with 'loss'. To fix: return a dictionary with \"preds\"" in str(
        caught[0].message
    )
    assert "Plugins that were switched off" in capsys.readouterr().out


def test_shapes_that_do_not_fit_and_negative_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions and 3 targets"):
        count(EMPTY, torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="a class is negative"):
        count(EMPTY, torch.tensor([1]), torch.tensor([-1]))


def test_many_classes_are_shown_as_pairs_only() -> None:
    target = torch.arange(30)
    counts = count(EMPTY, target.flip(0), target)
    assert render(counts, (), worst=1).splitlines()[1:] == ["0 taken for 29: 1 of 1"]


def test_a_perfect_result_has_no_confused_pairs() -> None:
    target = torch.arange(3)
    assert most_confused(count(EMPTY, target, target), worst=3) == []
    assert count(EMPTY, target[:0], target[:0]) is EMPTY
