"""The picture of a run: what becomes a point, which curves share a panel, when it is drawn, and that it is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchbus.callbacks import LearningRateMonitor, MetricsPlot
from torchbus.testing import CallbackContract
from torchbus_hookspecs import MisconfigurationException
from torchbus_hookspecs.settings import describe_settings
from torchbus_plotting._curves import MAX_POINTS, Curve
from torchbus_plotting._drawing import draw
from torchbus_plotting._grouping import arranged

from .small_fits import Failing, Line, loader, trainer

NAN, INF = float("nan"), float("inf")
PNG = b"\x89PNG\r\n\x1a\n"


class TestContract(CallbackContract):
    plugin = MetricsPlot
    settings = {"x_axis": "epoch"}


class Logging(Line):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch), on_step=True, on_epoch=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))


def fit(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    given = {"max_epochs": 2, **options}
    ckpt_path = given.pop("ckpt_path", None)
    run = trainer(tmp_path, *callbacks, **given)
    run.fit(Logging(), loader(), loader(), ckpt_path=ckpt_path)
    return run


def panels(*names: str) -> dict[str, list[str]]:
    return {panel.title: [line.label for line in panel.lines] for panel in arranged(names)}


def steps_of(plot: MetricsPlot) -> dict[str, list[float]]:
    return {name: [step for step, *_ in curve.shown()] for name, curve in plot.curves.items()}


# ---- grouping -----------------------------------------------------------------------------------------------------------


def test_stages_of_one_quantity_share_a_panel() -> None:
    assert panels("val_loss", "train_loss_step", "train_loss_epoch", "acc", "acc/valid", "Test-acc") == {
        "loss": ["train, per step", "train, per epoch", "val"],
        "acc": ["val", "test", "acc"],
    }


def test_loaders_are_lines_and_learning_rates_come_last() -> None:
    names = ["lr-SGD/pg1", "lr-SGD/pg2", "val_f1/dataloader_idx_0", "val_f1/dataloader_idx_1", "zeta"]
    assert panels(*names) == {
        "f1": ["val, loader 0", "val, loader 1"],
        "zeta": ["zeta"],
        "learning rate": ["SGD/pg1", "SGD/pg2"],
    }
    assert list(panels(*names)) == ["f1", "zeta", "learning rate"]


def test_three_metrics_that_begin_alike_share_a_panel_and_two_do_not() -> None:
    names = [f"grad_norm/net.layer{index}.weight" for index in range(2)]
    assert len(panels(*names)) == 2
    assert panels(*names, "grad_norm/total") == {"grad_norm": ["…layer0.weight", "…layer1.weight", "total"]}


@given(
    st.lists(st.text(min_size=1), unique=True),
    st.lists(st.sampled_from(["step", "epoch", "val", "loss_step", "_step", "/", "val_"])),
)
def test_every_metric_is_in_exactly_one_panel(names: list[str], odd: list[str]) -> None:
    wanted = list(dict.fromkeys([*names, *odd]))
    found = [line.name for panel in arranged(wanted) for line in panel.lines]
    assert sorted(found) == sorted(wanted)
    assert all(line.label for panel in arranged(wanted) for line in panel.lines)


# ---- curves -------------------------------------------------------------------------------------------------------------


def test_a_long_curve_is_thinned_out_and_keeps_its_end() -> None:
    curve = Curve()
    for step in range(5 * MAX_POINTS):
        curve.add(step, step / 10, step * 2)
        if step % 777 == 0:
            assert curve.shown()[-1] == (step, step / 10, step * 2)
    steps = [step for step, *_ in curve.shown()]
    assert MAX_POINTS / 2 <= len(steps) <= MAX_POINTS + 1
    assert steps == sorted(set(steps)) and steps[0] < 10
    state = curve.state()
    assert Curve([tuple(one) for one in state["points"]], state["stride"]).shown() == curve.shown()  # type: ignore[attr-defined, misc, arg-type]


def test_a_second_value_at_one_step_takes_the_place_of_the_first() -> None:
    curve = Curve()
    for value in (1.0, 2.0):
        curve.add(3, 0.5, value)
    assert curve.shown() == [(3.0, 0.5, 2.0)]


# ---- the picture --------------------------------------------------------------------------------------------------------


AWKWARD: dict[str, list[Any]] = {
    "one_point": [(3, 0.5, 1.0)],
    "constant": [(step, step / 4, 0.0) for step in range(9)],
    "nothing": [(step, step / 4, NAN) for step in range(9)],
    "holes": [(step, step / 4, NAN if 3 < step < 6 else INF if step == 7 else 1e30 * step) for step in range(60)],
    "lr-SGD": [(step, step / 4, 10.0**-step) for step in range(9)],
    "x" * 300: [(0, 0, 1e-30), (1, 1, 2e-30)],
    "val_$bad_{$": [(0, 0, 1)],
    "a/$b_{$": [(0, 0, 1)],
    **{f"a/_hidden{index}损失": [(0, 0, 1)] for index in range(3)},
    **{f"grad_norm/layer{index}.weight": [(0, 0, index), (10**7, 9, -index)] for index in range(30)},
}


@pytest.mark.parametrize("x_axis", ["step", "epoch"])
@pytest.mark.parametrize("log_scale", [False, True])
def test_awkward_values_and_names_are_drawn_without_a_warning(tmp_path: Path, x_axis: Any, log_scale: bool) -> None:
    draw(AWKWARD, tmp_path / "a.png", "png", x_axis, log_scale, "Line")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_text_of_a_picture_says_what_is_in_it(tmp_path: Path, count: int) -> None:
    import matplotlib as mpl

    curves = {f"metric{index}": [(0, 0.0, 1.0), (1, 1.0, NAN)] for index in range(count)}
    with mpl.rc_context({"svg.fonttype": "none"}):  # text as text
        draw(curves, tmp_path / "a.svg", "svg", "step", False, "Line")
    text = (tmp_path / "a.svg").read_text()
    assert all(f">metric{index}<" in text for index in range(count))
    assert text.count("1 not finite") == count and ">Line<" in text


def test_nothing_of_pyplot_is_touched(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from torchbus_plotting._drawing import draw;"
        f"draw({{'a': [(0, 0, 1)]}}, pathlib.Path({str(tmp_path / 'a.png')!r}), 'png', 'step', False, '');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- a run --------------------------------------------------------------------------------------------------------------


def test_points_are_what_loggers_would_be_told_without_any_logger(tmp_path: Path) -> None:
    plot = MetricsPlot()
    run = fit(tmp_path, plot, LearningRateMonitor(), log_every_n_steps=2)
    assert steps_of(plot) == {
        "lr-SGD": [0, 1, 3, 4, 5, 7],
        "train_loss_step": [1, 3, 5, 7],
        "val_loss_epoch": [3, 7],
        "train_loss_epoch": [3, 7],
    }
    assert [epoch for _, epoch, _ in plot.curves["train_loss_step"].shown()] == [0.5, 1.0, 1.5, 2.0]
    assert [epoch for _, epoch, _ in plot.curves["val_loss_epoch"].shown()] == [1.0, 2.0]
    assert plot.path == str(tmp_path / "metrics.png")
    assert Path(plot.path).read_bytes().startswith(PNG)
    run.test(run.lightning_module, loader(), verbose=False)
    assert len(plot.curves["test_loss"].points) == 1


def test_it_is_drawn_after_every_nth_epoch_at_the_end_and_when_the_run_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchbus_plotting._drawing as drawing

    drawn: list[int] = []
    real = drawing.draw
    monkeypatch.setattr(
        drawing, "draw", lambda curves, *rest: (drawn.append(len(curves["train_loss_epoch"])), real(curves, *rest))
    )
    fit(tmp_path, MetricsPlot(every_n_epochs=2), max_epochs=5)
    assert drawn == [2, 4, 5]
    drawn.clear()
    fit(tmp_path, MetricsPlot(every_n_epochs=0), max_epochs=3)
    assert drawn == [3]
    drawn.clear()
    with pytest.raises(ValueError, match="enough"):
        fit(tmp_path, MetricsPlot(every_n_epochs=0), Failing(6, ValueError("enough")))
    assert drawn == [1]


def test_a_resumed_run_draws_from_the_beginning(tmp_path: Path) -> None:
    through = MetricsPlot()
    fit(tmp_path, through)
    run = fit(tmp_path, MetricsPlot(), max_epochs=1)
    run.save_checkpoint(tmp_path / "one.ckpt")
    resumed = MetricsPlot()
    fit(tmp_path, resumed, ckpt_path=tmp_path / "one.ckpt")
    assert steps_of(resumed) == steps_of(through)


def test_a_picture_of_another_format_where_the_script_says(tmp_path: Path) -> None:
    fit(tmp_path, plugins={"metrics_plot": {"path": tmp_path / "new" / "curves.svg", "x_axis": "epoch"}})
    assert "<svg" in (tmp_path / "new" / "curves.svg").read_text()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curves.svg"]


def test_a_disk_that_does_not_play_along_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning) as warned:
        run = fit(tmp_path, MetricsPlot(tmp_path / "file" / "a.png"), max_epochs=4)
    assert "MetricsPlot: cannot use the file" in str(warned[0].message) and "a.png" in str(warned[0].message)
    assert run.global_step == 16 and [one.name for one in run.bus.quarantined] == ["metrics_plot"]


def test_settings_are_checked_and_described() -> None:
    with pytest.raises(MisconfigurationException, match="one of .png, .svg, .pdf"):
        MetricsPlot("curves.bmp")
    with pytest.raises(MisconfigurationException, match="every_n_epochs"):
        MetricsPlot(every_n_epochs=-1)
    assert all(setting.description for setting in describe_settings(MetricsPlot))
