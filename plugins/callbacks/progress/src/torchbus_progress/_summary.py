"""What a module is made of: its layers, their parameters and, given an example of its input, their sizes and FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

__all__ = [
    "RIGHT_ALIGNED",
    "Layer",
    "Summary",
    "human_readable",
    "layer_of",
    "note_sizes",
    "summarize_module",
    "text_lines",
    "totals_lines",
]

NOT_APPLICABLE = "n/a"
UNKNOWN = "?"
RIGHT_ALIGNED = ("Params", "FLOPs")


Size = list[Any] | str


@dataclass(slots=True)
class Layer:
    """One submodule.

    Attributes:
        name: its dotted name within the module.
        type: the name of its class.
        parameters: numbers in its parameters, those of its own submodules included; uninitialised ones count 0.
        is_lazy: whether it has uninitialised parameters.
        training: whether it is in training mode.
        flops: floating-point operations of one forward pass; 0 if not measured.
        in_size: shape of its first input of a pass as a list, a list of such for several, or ``"?"``.
        out_size: the same of its first output.
    """

    name: str
    type: str
    parameters: int
    is_lazy: bool
    training: bool
    flops: int = 0
    in_size: Size = UNKNOWN
    out_size: Size = UNKNOWN

    @property
    def layer_type(self) -> str:
        """Lightning's name of ``type``."""
        return self.type

    @property
    def num_parameters(self) -> int:
        """Lightning's name of ``parameters``."""
        return self.parameters


@dataclass(slots=True)
class Summary:
    """The layers of a module and its totals, each parameter counted once.

    Attributes:
        layers: the submodules down to the depth asked for.
        total_parameters: numbers in all parameters.
        trainable_parameters: of these, the numbers that require gradients.
        model_size: megabytes (10^6 bytes) that the parameters take.
        total_training_modes: submodules of any depth in ``"train"`` and in ``"eval"`` mode.
        total_flops: floating-point operations of one forward pass; 0 if not measured.
        is_measured: whether the example went through the module, so that sizes and FLOPs are known.
    """

    layers: list[Layer]
    total_parameters: int
    trainable_parameters: int
    model_size: float
    total_training_modes: dict[str, int]
    total_flops: int = 0
    is_measured: bool = False

    @property
    def layer_names(self) -> list[str]:
        """The layers' dotted names."""
        return [layer.name for layer in self.layers]

    @property
    def layer_types(self) -> list[str]:
        """The names of the layers' classes."""
        return [layer.type for layer in self.layers]

    @property
    def param_nums(self) -> list[int]:
        """Numbers in the layers' parameters."""
        return [layer.parameters for layer in self.layers]

    @property
    def in_sizes(self) -> list[Size]:
        """Shapes of the layers' first inputs."""
        return [layer.in_size for layer in self.layers]

    @property
    def out_sizes(self) -> list[Size]:
        """Shapes of the layers' first outputs."""
        return [layer.out_size for layer in self.layers]

    @property
    def training_modes(self) -> list[bool]:
        """Whether each layer is in training mode."""
        return [layer.training for layer in self.layers]

    @property
    def total_layer_params(self) -> int:
        """Numbers in the parameters of all rows: those of a parent and of its child both count."""
        return sum(self.param_nums)

    def __str__(self) -> str:
        """The table and the totals."""
        totals = totals_lines(
            self.total_parameters,
            self.trainable_parameters,
            self.model_size,
            self.total_training_modes,
            self.total_flops,
        )
        return "\n".join(text_lines(self.columns(), totals))

    def columns(self) -> list[tuple[str, list[str]]]:
        """Title and cells of each column of the table, Lightning's."""
        layers = self.layers
        columns = [
            (" ", [str(index) for index in range(len(layers))]),
            ("Name", [layer.name for layer in layers]),
            ("Type", [layer.type for layer in layers]),
            ("Params", [UNKNOWN if layer.is_lazy else human_readable(layer.parameters) for layer in layers]),
            ("Mode", ["train" if layer.training else "eval" for layer in layers]),
            ("FLOPs", [human_readable(layer.flops) for layer in layers]),
        ]
        if self.is_measured:
            columns.append(("In sizes", [_size_text(layer.in_size) for layer in layers]))
            columns.append(("Out sizes", [_size_text(layer.out_size) for layer in layers]))
        # as Lightning has it: rows of parents and children both count, so in deep tables this row is rarely there
        others = self.total_parameters - self.total_layer_params
        if others > 0:
            cells = {" ": " ", "Name": "other params", "Params": human_readable(others)}
            for title, column in columns:
                column.append(cells.get(title, NOT_APPLICABLE))
        return columns


def summarize_module(module: nn.Module, max_depth: int = 1, example_input: Any = None) -> Summary:
    """Look at a module; with an example of its input, run it once.

    The module is left as it was: modes and random state are restored, no gradients are computed. A module with
    uninitialised parameters is not run, since that would initialise them.

    Args:
        max_depth: levels of submodules to list; -1 for all.
        example_input: a tensor, a tuple or list of positional or a mapping of named arguments of ``forward``; moved
            to the module's device and floating-point type.

    Raises: what ``forward`` raises.
    """
    submodules = {name: submodule for name, submodule in module.named_modules() if name}
    listed = {name: sub for name, sub in submodules.items() if max_depth == -1 or name.count(".") < max_depth}
    parameters = [parameter for parameter in module.parameters() if not _is_lazy(parameter)]
    num_training = sum(submodule.training for submodule in submodules.values())
    summary = Summary(
        layers=[layer_of(name, submodule) for name, submodule in listed.items()],
        total_parameters=sum(parameter.numel() for parameter in parameters),
        trainable_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        model_size=sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 1e6,
        total_training_modes={"train": num_training, "eval": len(submodules) - num_training},
    )
    if example_input is not None and not _has_lazy(module):
        _measure(summary, module, listed, example_input)
    return summary


def _is_lazy(tensor: Tensor) -> bool:
    return bool(is_lazy(tensor))  # as a plain bool: for mypy, torch's own narrows every other tensor away


def _has_lazy(module: nn.Module) -> bool:
    return any(_is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers()))


def layer_of(name: str, module: nn.Module) -> Layer:
    """What can be told of a submodule without running it."""
    count = sum(parameter.numel() for parameter in module.parameters() if not _is_lazy(parameter))
    return Layer(name, type(module).__name__, count, _has_lazy(module), module.training)


# ---- one forward pass ------------------------------------------------------------------------------------------------


def _measure(summary: Summary, module: nn.Module, listed: Mapping[str, nn.Module], example_input: Any) -> None:
    counter = FlopCounterMode(display=False)
    example = _moved(example_input, next(module.parameters(), torch.empty(0)))
    with ExitStack() as stack:
        for layer in summary.layers:
            if not isinstance(listed[layer.name], torch.jit.ScriptModule):  # it takes no hooks
                watch = _Watch(layer, counter.get_total_flops)
                stack.callback(listed[layer.name].register_forward_pre_hook(watch.before).remove)
                stack.callback(listed[layer.name].register_forward_hook(watch.after).remove)
        stack.enter_context(_untouched(module))
        stack.enter_context(counter)
        if isinstance(example, Mapping):
            module(**example)
        elif isinstance(example, (tuple, list)):
            module(*example)
        else:
            module(example)
    summary.total_flops = counter.get_total_flops()
    summary.is_measured = True


@dataclass(slots=True)
class _Watch:
    """Notes a layer's sizes at its first call and its FLOPs at every call."""

    layer: Layer
    flops_so_far: Callable[[], int]
    entered: list[int] = field(default_factory=list)  # a stack: a layer may call itself

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.entered.append(self.flops_so_far())

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.layer.flops += self.flops_so_far() - self.entered.pop()
        note_sizes(self.layer, inputs, output)


def note_sizes(layer: Layer, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep the sizes of a layer's first call."""
    if layer.out_size == UNKNOWN:
        layer.in_size = _size(inputs[0] if len(inputs) == 1 else inputs)
        layer.out_size = _size(output)


def _size(value: Any) -> Size:
    if isinstance(value, Tensor):
        return list(value.shape)
    if isinstance(value, (tuple, list)) and value:
        return [_size(item) for item in value]
    return UNKNOWN


def _size_text(size: Any) -> str:
    return f"[{', '.join(map(_size_text, size))}]" if isinstance(size, list) else str(size)


def _moved(value: Any, like: Tensor) -> Any:
    if isinstance(value, Tensor):
        is_number = value.is_floating_point() and like.is_floating_point()
        return value.to(like.device, like.dtype if is_number else value.dtype)
    if isinstance(value, Mapping):
        return {key: _moved(item, like) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_moved(item, like) for item in value]
    return value


@contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards modes and random state are what they were."""
    modes = [(submodule, submodule.training) for submodule in module.modules()]
    devices = {parameter.device for parameter in module.parameters() if parameter.device.type == "cuda"}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=list(devices)):
            for submodule, _ in modes:
                submodule.training = False  # not `eval()`, which some modules override to merge weights
            yield
    finally:
        for submodule, training in modes:
            submodule.training = training


# ---- text ------------------------------------------------------------------------------------------------------------


def human_readable(number: int) -> str:
    """``999``, ``1.2 K``, ``123 K``, ``3.4 M``, … up to ``T``; three or four digits, the rest cut off."""
    power = min((len(str(number)) - 1) // 3, 4)
    if power == 0:
        return str(number)
    scaled = number / 1000**power
    figures = f"{int(scaled):,}" if scaled >= 100 else f"{scaled:.1f}"
    return f"{figures} {'KMBT'[power - 1]}"


def totals_lines(
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    total_training_modes: Mapping[str, int],
    total_flops: int,
) -> list[tuple[str, str]]:
    """The totals as pairs of text: an amount and what it is."""
    size = f"{model_size:,.1f} MB" if model_size >= 1 else f"{model_size * 1000:,.1f} kB"
    lines = [
        (human_readable(trainable_parameters), "trainable parameters"),
        (human_readable(total_parameters - trainable_parameters), "other parameters"),
        (human_readable(total_parameters), f"parameters in all ({size})"),
        (str(total_training_modes["train"]), "modules in train mode"),
        (str(total_training_modes["eval"]), "modules in eval mode"),
    ]
    if total_flops:
        lines.append((human_readable(total_flops), "FLOPs in a forward pass of the example input"))
    return lines


def text_lines(columns: list[tuple[str, list[str]]], totals: list[tuple[str, str]]) -> list[str]:
    """The table as lines of plain text, and the totals below it."""
    lines: list[list[str]] = [[] for _ in range(1 + len(columns[0][1]))]
    for title, cells in columns:
        width = max(map(len, [title, *cells]))
        for line, cell in zip(lines, [title, *cells], strict=True):
            line.append(cell.rjust(width) if title in RIGHT_ALIGNED else cell.ljust(width))
    text = ["  ".join(line).rstrip() for line in lines]
    return [text[0], "-" * max(map(len, text)), *text[1:], "", *(f"{amount:>8} {what}" for amount, what in totals)]
