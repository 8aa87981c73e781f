"""Which operators each action spends its time in, on every device."""

from __future__ import annotations

import inspect
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field
from torch.autograd.profiler import record_function
from torch.autograd.profiler_util import EventList
from torch.profiler import ProfilerAction
from torchbus_hookspecs import MisconfigurationException, Profiler, validated
from torchbus_hookspecs.errors import did_you_mean

from ._module_names import RegisterRecordFunction
from ._titles import title
from ._windows import DEFAULT_STEPS, Windows, default_schedule

__all__ = ["PyTorchProfiler"]

SORT_KEYS = (
    "cpu_time", "cuda_time", "cpu_time_total", "cuda_time_total", "self_cpu_time_total", "self_cuda_time_total",
    "cpu_memory_usage", "cuda_memory_usage", "self_cpu_memory_usage", "self_cuda_memory_usage", "count",
)  # fmt: skip
STEPS = {
    "training_step": "num_training_batches",
    "validation_step": "num_val_batches",
    "test_step": "num_test_batches",
    "predict_step": "num_predict_batches",
}
"""Each kind of step, and where a trainer says how many of them an epoch has."""
OWN_KEYWORDS = ("export_to_flame_graph", "metric")


class _Context(Protocol):
    def __enter__(self) -> Any: ...

    def __exit__(self, *error: Any) -> Any: ...


@validated
class PyTorchProfiler(Profiler):
    """Runs ``torch.profiler`` over a few steps of each kind: a table of operators, and traces to look at.

    Every action appears as ``[pl][profile]NAME``, every layer's forward pass as ``[pl][module]TYPE: NAME``. Further keyword
    arguments go to ``torch.profiler.profile``; two more are ``export_to_flame_graph`` (also write the stacks, for flame
    graphs) and ``metric`` (of which time: ``"self_cpu_time_total"`` or ``"self_cuda_time_total"``).

    By default one step of each kind is waited for, one warms up, three are recorded. Another ``schedule`` is followed by
    each kind of step up to the end of its first window; with ``schedule=None`` everything is recorded, which is for short
    runs only.

    Attributes:
        profiler: torch's profiler, while a run is under way.
        function_events: the events recorded in the last run.

    Raises:
        MisconfigurationException: ``sort_by_key`` is unknown, or ``schedule`` is none.
        KeyError: ``table_kwargs`` has what the table does not take.
        TypeError: ``torch.profiler.profile`` does not know a keyword argument.
    """

    def __init__(
        self,
        dirpath: Annotated[
            str | Path | None, Field(description="Folder of report and traces; default: the logger's.")
        ] = None,
        filename: Annotated[
            str | None, Field(description="Name of the report without suffix; default: print it.")
        ] = None,
        group_by_input_shapes: Annotated[
            bool, Field(description="Tell calls of an operator apart by the shapes of its inputs.")
        ] = False,
        emit_nvtx: Annotated[
            bool, Field(description="Mark actions for `nvprof` and Nsight instead of recording.")
        ] = False,
        export_to_chrome: Annotated[
            bool, Field(description="Write a trace of each window, for Perfetto and TensorBoard.")
        ] = True,
        row_limit: Annotated[int, Field(description="Rows of the table; -1 for all.")] = 20,
        sort_by_key: Annotated[
            str | None, Field(description="What the table is sorted by; default: total time on the GPU, else the CPU.")
        ] = None,
        record_module_names: Annotated[bool, Field(description="Record each layer's forward pass by name.")] = True,
        table_kwargs: Annotated[
            dict[str, Any] | None, Field(description="Further arguments for `key_averages().table()`.")
        ] = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename)
        self._group_by_input_shapes = group_by_input_shapes
        self._emit_nvtx = emit_nvtx
        self._row_limit = row_limit
        default_key = "cuda_time_total" if torch.cuda.is_available() else "cpu_time_total"
        self._sort_by_key = sort_by_key or default_key
        self._record_module_names = record_module_names
        self._table_kwargs = dict(table_kwargs or {})
        self._export_to_chrome = export_to_chrome
        self._export_to_flame_graph = bool(profiler_kwargs.get("export_to_flame_graph", False))
        self._metric = str(profiler_kwargs.get("metric", "self_cpu_time_total"))
        self._schedule = profiler_kwargs.get("schedule", default_schedule)
        self._profiler_kwargs = {key: one for key, one in profiler_kwargs.items() if key not in OWN_KEYWORDS}
        self.profiler: Any = None
        self.function_events: EventList | None = None
        self._recordings: dict[str, record_function] = {}
        self._contexts = ExitStack()
        self._windows: Windows | None = None
        self._step_name = ""
        self._warned: set[str] = set()
        self._check()

    def _check(self) -> None:
        if self._sort_by_key not in SORT_KEYS:
            hint = did_you_mean(self._sort_by_key, SORT_KEYS)
            raise MisconfigurationException(
                f"Found sort_by_key: {self._sort_by_key}. Should be within {set(SORT_KEYS)}.{hint}"
            )
        parameters = set(inspect.signature(EventList.table).parameters) - {"self", "sort_by", "row_limit"}
        for key in self._table_kwargs:
            if key in ("sort_by", "row_limit"):
                instead = {"sort_by": "sort_by_key"}.get(key, key)
                raise KeyError(
                    f"Found invalid table_kwargs key: {key}. This is already a positional argument of the Profiler."
                    f" To fix: pass {instead}=..."
                )
            if key not in parameters:
                raise KeyError(f"Found invalid table_kwargs key: {key}. Should be within {parameters}.")
        schedule = self._schedule
        if schedule is not None and not callable(schedule):
            raise MisconfigurationException(f"Schedule should be a callable. Found: {schedule}")
        if schedule is not None and not isinstance(schedule(0), ProfilerAction):
            raise MisconfigurationException(
                f"Schedule should return a `torch.profiler.ProfilerAction`. Found: {schedule(0)}"
            )
        known = set(inspect.signature(torch.profiler.profile.__init__).parameters) - {"self"}
        for key in self._profiler_kwargs:
            if key not in known:
                hint = did_you_mean(key, [*known, *OWN_KEYWORDS])
                raise TypeError(f"PyTorchProfiler: torch.profiler.profile takes no argument {key!r}.{hint}")

    # ---- actions -----------------------------------------------------------------------------------------------------

    def start(self, action_name: str) -> None:
        """An action begins; the first one starts torch's profiler, a step may open or close a window."""
        if self.profiler is None:
            self._begin()
        kind = next((one for one in STEPS if action_name.endswith(one)), None)
        if kind is not None:
            self._enter_step(kind, action_name)
        if action_name not in self._recordings:
            self._recordings[action_name] = record_function(f"[pl][profile]{action_name}")
            self._recordings[action_name].__enter__()  # type: ignore[no-untyped-call]  # torch's own

    def stop(self, action_name: str) -> None:
        """An action ends."""
        recording = self._recordings.pop(action_name, None)
        if recording is not None:
            recording.__exit__(None, None, None)

    def _enter_step(self, kind: str, action_name: str) -> None:
        trainer = self.lightning_module.trainer if self.lightning_module is not None else None
        if trainer is not None and trainer.sanity_checking:
            return
        if self._windows is not None and self._windows.enter(kind, self._all_of_few(kind, trainer)):
            self.profiler.step()  # closes the window before this step, if there was one: it goes by the last name
        if self._windows is None or self._windows.records:
            self._step_name = action_name

    def _all_of_few(self, kind: str, trainer: Any) -> int | None:
        """How many steps of that kind there are, if they are too few for the default schedule."""
        if trainer is None or self._schedule is not default_schedule:
            return None
        found = getattr(trainer, STEPS[kind])
        num_steps = sum(found) if isinstance(found, list) else found
        if num_steps >= DEFAULT_STEPS:
            return None
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(
                f"The default schedule of PyTorchProfiler needs {DEFAULT_STEPS} steps, and there are {num_steps} of"
                f" {kind}: not enough steps to properly record traces after a warm-up. All of them are recorded instead.",
                UserWarning,
                stacklevel=2,
            )
        return num_steps

    # ---- torch's profiler --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._windows = Windows(self._schedule) if self._schedule is not None and not self._emit_nvtx else None
        if self._emit_nvtx:
            self._contexts.enter_context(torch.cuda.profiler.profile())
            profiler: _Context = torch.autograd.profiler.emit_nvtx()  # type: ignore[no-untyped-call]  # torch's own
        else:
            options: dict[str, Any] = {
                "on_trace_ready": self._write_trace,
                "with_stack": self._export_to_flame_graph,
                "record_shapes": self._group_by_input_shapes,
                "acc_events": True,  # the windows of all kinds of steps belong in the report
                **self._profiler_kwargs,
                "schedule": self._windows,
            }
            known = inspect.signature(torch.profiler.profile.__init__).parameters
            profiler = torch.profiler.profile(**{key: one for key, one in options.items() if key in known})
        self.profiler = self._contexts.enter_context(profiler)
        if self._record_module_names and self.lightning_module is not None:
            self._contexts.enter_context(RegisterRecordFunction(self.lightning_module))

    def _write_trace(self, profiler: Any) -> None:
        if self.dirpath is None:
            if self._export_to_chrome or self._export_to_flame_graph:
                warnings.warn(
                    "PyTorchProfiler writes no trace: it has no dirpath. To fix: give one, or set export_to_chrome=False.",
                    UserWarning,
                    stacklevel=2,
                )
            return
        # with the time, since a run may record the same action again
        stamp = f".{time.time_ns()}"
        if self._export_to_chrome:
            profiler.export_chrome_trace(str(self.output_file(f"{stamp}.pt.trace.json", self._step_name)))
        if self._export_to_flame_graph:
            profiler.export_stacks(str(self.output_file(f"{stamp}.stack", self._step_name)), self._metric)

    def _finish(self) -> None:
        """Stop recording, and keep what was recorded."""
        profiler, self.profiler = self.profiler, None
        if profiler is None:
            return
        for recording in reversed(self._recordings.values()):
            recording.__exit__(None, None, None)
        self._contexts.close()
        if not self._emit_nvtx:
            self.function_events = profiler.events() if profiler.profiler is not None else None
        self._recordings.clear()
        self._warned.clear()
        self._windows, self._step_name = None, ""

    # ---- the report --------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The table of operators and actions; ends the recording."""
        self._finish()
        if not self.function_events:
            return ""
        events: Any = self.function_events
        averages = events.key_averages(group_by_input_shapes=self._group_by_input_shapes)
        table = averages.table(sort_by=self._sort_by_key, row_limit=self._row_limit, **self._table_kwargs)
        return f"{title(self._stage)}\nProfile stats for: records\n{table}\n"

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins; another one's recording ends."""
        self._finish()
        self.function_events = None
        super().setup(stage, local_rank, log_dir)

    def teardown(self, stage: str | None) -> None:
        """The run is over."""
        self._finish()
        super().teardown(stage)

    def __getstate__(self) -> dict[str, Any]:
        # what is being recorded belongs to this process and this object
        left_out: dict[str, Any] = {"profiler": None, "_recordings": {}, "_contexts": ExitStack(), "_windows": None}
        return {**self.__dict__, **left_out}
