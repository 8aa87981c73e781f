"""The model summary: the figures it computes, how it shows them, and that it leaves the model as it was."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn
from torchbus.callbacks import summarize
from torchbus.utilities import model_summary
from torchbus_hookspecs import MisconfigurationException
from torchbus_progress import ModelSummary, RichModelSummary
from torchbus_progress._summary import human_readable, summarize_module


class Recorder(ModelSummary):
    """Keeps what it is told; takes the FLOPs by keyword only, as Lightning's own callers do."""

    told: dict[str, Any] | None = None

    @staticmethod
    def summarize(  # type: ignore[override]
        summary_data: Any, total_parameters: int, trainable_parameters: int, model_size: float, modes: Any, **rest: Any
    ) -> None:
        Recorder.told = {
            "columns": [[title.strip(), [cell.strip() for cell in cells]] for title, cells in summary_data],
            "totals": [total_parameters, trainable_parameters, model_size],
            "modes": modes,
            **rest,
        }


def summary_of(module: nn.Module, *, is_global_zero: bool = True, **settings: Any) -> Any:
    Recorder.told = None
    Recorder(**settings).on_fit_start(SimpleNamespace(is_global_zero=is_global_zero), module)  # type: ignore[arg-type]
    return Recorder.told


class Recorded(nn.Module):
    """The module of the recording of Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.example_input_array: Any = None
        self.layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Sequential(nn.Linear(3, 1)))
        self.frozen = nn.Linear(4, 1).requires_grad_(False)
        self.frozen.eval()
        self.alone = nn.Parameter(torch.ones(5))

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)


RECORDED = {
    1: [
        ["", ["0", "1", ""]],
        ["Name", ["layer", "frozen", "other params"]],
        ["Type", ["Sequential", "Linear", "n/a"]],
        ["Params", ["25", "5", "5"]],
        ["Mode", ["train", "eval", "n/a"]],
        ["FLOPs", ["0", "0", "n/a"]],
    ],
    2: [
        ["", ["0", "1", "2", "3", "4"]],
        ["Name", ["layer", "layer.0", "layer.1", "layer.2", "frozen"]],
        ["Type", ["Sequential", "Linear", "BatchNorm1d", "Sequential", "Linear"]],
        ["Params", ["25", "15", "6", "4", "5"]],
        ["Mode", ["train", "train", "train", "train", "eval"]],
        ["FLOPs", ["0", "0", "0", "0", "0"]],
    ],
    -1: [
        ["", ["0", "1", "2", "3", "4", "5"]],
        ["Name", ["layer", "layer.0", "layer.1", "layer.2", "layer.2.0", "frozen"]],
        ["Type", ["Sequential", "Linear", "BatchNorm1d", "Sequential", "Linear", "Linear"]],
        ["Params", ["25", "15", "6", "4", "4", "5"]],
        ["Mode", ["train", "train", "train", "train", "train", "eval"]],
        ["FLOPs", ["0", "0", "0", "0", "0", "0"]],
    ],
}


@pytest.mark.parametrize("max_depth", RECORDED)
def test_the_figures_are_those_that_lightning_gives(max_depth: int) -> None:
    assert summary_of(Recorded(), max_depth=max_depth) == {
        "columns": RECORDED[max_depth],
        "totals": [35, 30, 0.00014],
        "modes": {"train": 5, "eval": 1},
        "total_flops": 0,
    }


def test_depth_zero_gives_no_summary() -> None:
    assert summary_of(Recorded(), max_depth=0) is None


def test_only_rank_zero_shows_it() -> None:
    assert summary_of(Recorded(), is_global_zero=False) is None


def test_further_settings_reach_summarize() -> None:
    assert summary_of(Recorded(), header_style="red")["header_style"] == "red"


@pytest.mark.parametrize("value", [-2, "deep"])
def test_a_wrong_depth_is_refused(value: Any) -> None:
    with pytest.raises(MisconfigurationException, match="max_depth"):
        ModelSummary(max_depth=value)


# ---- with an example of the input ------------------------------------------------------------------------------------


def cells(told: Any, title: str) -> Any:
    return next(column for name, column in told["columns"] if name == title)


def test_an_example_of_the_input_gives_sizes_and_flops() -> None:
    module = Recorded()
    module.example_input_array = torch.ones(7, 4)
    told = summary_of(module, max_depth=2)
    assert [title for title, _ in told["columns"]][-3:] == ["FLOPs", "In sizes", "Out sizes"]
    assert cells(told, "In sizes") == ["[7, 4]", "[7, 4]", "[7, 3]", "[7, 3]", "?"]
    assert cells(told, "Out sizes") == ["[7, 1]", "[7, 3]", "[7, 3]", "[7, 1]", "?"]
    multiply_add = 2
    first, second = multiply_add * 7 * 4 * 3, multiply_add * 7 * 3 * 1
    assert cells(told, "FLOPs") == [str(first + second), str(first), "0", str(second), "0"]
    assert told["total_flops"] == first + second


@pytest.mark.parametrize(
    "example", [(torch.ones(2, 4), 3.0), [torch.ones(2, 4), 3.0], {"x": torch.ones(2, 4), "scale": 3.0}]
)
def test_the_example_may_be_positional_or_named_arguments(example: Any) -> None:
    class TwoArguments(Recorded):
        def forward(self, x: torch.Tensor, scale: float = 1.0) -> Any:
            return self.layer(x) * scale

    module = TwoArguments()
    module.example_input_array = example
    assert cells(summary_of(module), "Out sizes")[0] == "[2, 1]"


def test_sizes_of_several_inputs_and_outputs_are_nested() -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor, y: Any) -> Any:
            return x, [y, "text"]

    class Outer(Recorded):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: torch.Tensor) -> Any:
            return self.pair(x, None)

    module = Outer()
    module.example_input_array = torch.ones(2, 4)
    told = summary_of(module)
    assert cells(told, "In sizes")[2] == "[[2, 4], ?]"
    assert cells(told, "Out sizes")[2] == "[[2, 4], [?, ?]]"


def test_the_example_follows_the_type_of_the_parameters() -> None:
    module = Recorded().to(torch.bfloat16)
    assert summarize_module(module, example_input=torch.ones(2, 4)).is_measured


def test_the_model_is_left_as_it_was() -> None:
    class Random(Recorded):
        def forward(self, x: torch.Tensor) -> Any:
            assert not torch.is_grad_enabled()
            assert not any(module.training for module in self.modules())
            return self.layer(x + torch.rand(1))

    module = Random()
    modes = [submodule.training for submodule in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    random_state = torch.get_rng_state()
    summarize_module(module, example_input=torch.ones(2, 4))
    assert [submodule.training for submodule in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in module.modules())


def test_an_example_that_fails_costs_the_sizes_only() -> None:
    module = Recorded()
    module.example_input_array = torch.ones(2, 9)
    with pytest.warns(UserWarning, match=r"`example_input_array` does not go through the model \(RuntimeError: "):
        told = summary_of(module)
    assert told["columns"] == RECORDED[1]
    assert [submodule.training for submodule in module.modules()].count(False) == 1
    assert not any(module._forward_hooks for module in module.modules())


def test_uninitialised_parameters_are_shown_as_unknown_and_stay_uninitialised() -> None:
    class Lazy(Recorded):
        def __init__(self) -> None:
            super().__init__()
            self.lazy = nn.LazyLinear(2)
            self.example_input_array = torch.ones(2, 4)

        def forward(self, x: torch.Tensor) -> Any:
            return self.lazy(x)

    module = Lazy()
    told = summary_of(module)
    assert cells(told, "Params") == ["25", "5", "?", "5"]
    assert told["totals"][0] == 35
    assert isinstance(module.lazy, nn.LazyLinear)


def test_a_shared_layer_counts_once_in_the_totals_and_each_call_in_the_flops() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4, bias=False)
            self.second = self.first

        def forward(self, x: torch.Tensor) -> Any:
            return self.second(self.first(x))

    summary = summarize_module(Shared(), example_input=torch.ones(1, 4))
    assert summary.total_parameters == 16
    assert [layer.flops for layer in summary.layers] == [2 * 2 * 16]


def test_a_model_without_layers_is_summarised() -> None:
    assert summarize_module(nn.Module()).columns()[1] == ("Name", [])


# ---- how it is shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1234, "1.2 K"),
        (123_999, "123 K"),
        (999_999, "999 K"),
        (3_400_000, "3.4 M"),
        (7_000_000_000, "7.0 B"),
        (5_000_000_000_000_000, "5,000 T"),
    ],
)
def test_large_numbers_are_shortened(number: int, text: str) -> None:
    assert human_readable(number) == text


def test_the_plain_summary_is_an_aligned_table(capsys: pytest.CaptureFixture[str]) -> None:
    ModelSummary().on_fit_start(SimpleNamespace(is_global_zero=True), Recorded())  # type: ignore[arg-type]
    assert capsys.readouterr().out == (
        "   Name          Type        Params  Mode   FLOPs\n"
        "-------------------------------------------------\n"
        "0  layer         Sequential      25  train      0\n"
        "1  frozen        Linear           5  eval       0\n"
        "   other params  n/a              5  n/a      n/a\n"
        "\n"
        "      30 trainable parameters\n"
        "       5 other parameters\n"
        "      35 parameters in all (0.1 kB)\n"
        "       5 modules in train mode\n"
        "       1 modules in eval mode\n"
    )


def rich_text(module: nn.Module, **settings: Any) -> str:
    console = Console(file=io.StringIO(), **settings)
    RichModelSummary(max_depth=-1, console=console).on_fit_start(SimpleNamespace(is_global_zero=True), module)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_rich_summary_shows_the_same_figures() -> None:
    module = Recorded()
    module.example_input_array = torch.ones(7, 4)
    text = rich_text(module, force_terminal=True, width=100)
    assert "\x1b[1;35m" in text
    for cell in ["layer.2.0", "BatchNorm1d", "[7, 4]", "FLOPs in a forward pass"]:
        assert cell in text


def test_the_rich_summary_is_not_squeezed_where_there_is_no_terminal() -> None:
    module = Recorded()
    module.add_module("a" * 100, nn.Linear(1, 1))
    text = rich_text(module)
    assert "a" * 100 in text
    assert "\x1b" not in text


class Example(nn.Module):
    """Two layers, a loose parameter, and an example of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.Dropout().eval())
        self.head = nn.Linear(3, 2)
        self.loose = nn.Parameter(torch.zeros(5))
        self.head.weight.requires_grad = False
        self.example_input_array = torch.zeros(7, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(inputs))


def test_a_module_is_summarised_outside_of_a_fit() -> None:
    summary = summarize(Example(), max_depth=-1)
    assert summary.layer_names == ["body", "body.0", "body.1", "head"]
    assert summary.layer_types == ["Sequential", "Linear", "Dropout", "Linear"]
    assert summary.param_nums == [15, 15, 0, 8]
    assert summary.in_sizes == [[7, 4], [7, 4], [7, 3], [7, 3]]
    assert summary.out_sizes == [[7, 3], [7, 3], [7, 3], [7, 2]]
    assert summary.training_modes == [True, True, False, True]
    assert summary.total_training_modes == {"train": 3, "eval": 1}
    assert (summary.total_parameters, summary.trainable_parameters, summary.total_layer_params) == (28, 22, 38)
    assert summary.total_flops == 2 * 7 * (4 * 3 + 3 * 2)


def test_a_summary_reads_as_the_printed_table() -> None:
    lines = str(summarize(Example())).splitlines()
    assert lines[0].split() == ["Name", "Type", "Params", "Mode", "FLOPs", "In", "sizes", "Out", "sizes"]
    assert lines[3].split()[:4] == ["1", "head", "Linear", "8"]
    assert "22 trainable parameters" in lines[6]


def test_scripts_find_summaries_where_lightning_has_them() -> None:
    summary = model_summary.ModelSummary(Example(), max_depth=1)
    assert isinstance(model_summary.summarize(Example()), model_summary.ModelSummary)
    assert repr(summary) == str(summary)
    assert [(name, type(one)) for name, one in summary.named_modules] == [("body", nn.Sequential), ("head", nn.Linear)]
    head = summary.summarize()["head"]
    assert (head.layer_type, head.num_parameters, head.in_size, head.out_size) == ("Linear", 8, [7, 3], [7, 2])
    with pytest.raises(AttributeError, match="has no attribute 'callbacks'"):
        _ = model_summary.callbacks


def test_a_single_layer_notes_the_sizes_of_its_first_call() -> None:
    layer = nn.Linear(3, 2)
    summary = model_summary.LayerSummary(layer)
    assert (summary.layer_type, summary.num_parameters, summary.training) == ("Linear", 8, True)
    assert (summary.in_size, summary.out_size) == ("?", "?")
    layer(torch.ones(5, 3))
    layer(torch.ones(1, 3))
    assert (summary.in_size, summary.out_size) == ([5, 3], [5, 2])
    summary.detach_hook()
    assert not layer._forward_hooks


@pytest.mark.parametrize("depth", [-2, 0.5])
def test_a_depth_that_cannot_be_is_refused(depth: Any) -> None:
    with pytest.raises(ValueError, match="`max_depth` can be -1, 0 or > 0, got"):
        summarize(Example(), max_depth=depth)


@pytest.mark.parametrize(("max_depth", "names"), [(1, ["0", "1"]), (-1, ["0", "1", "1.0", "1.1"])])
def test_rich_model_summary_lists_as_many_levels_as_asked_for(
    max_depth: int, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    model.example_input_array = None  # type: ignore[assignment]  # as a LightningModule has it
    RichModelSummary(max_depth=max_depth).on_fit_start(SimpleNamespace(is_global_zero=True), model)  # type: ignore[arg-type]
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert [
        row[1] for row in rows if len(row) > 2 and row[0].isdigit() and row[2] in ("Linear", "Sequential", "ReLU")
    ] == names
