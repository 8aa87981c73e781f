"""The classes of all installed callback plugins, and the bases to write one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchbus_hookspecs import Callback as Callback
from torchbus_hookspecs import Checkpoint as Checkpoint
from torchbus_hookspecs import ProgressBar as ProgressBar

from ._facade import lazy_classes

if TYPE_CHECKING:
    from torchbus_averaging import EMAWeightAveraging as EMAWeightAveraging
    from torchbus_averaging import StochasticWeightAveraging as StochasticWeightAveraging
    from torchbus_averaging import WeightAveraging as WeightAveraging
    from torchbus_checkpointing import ModelCheckpoint as ModelCheckpoint
    from torchbus_checkpointing import OnExceptionCheckpoint as OnExceptionCheckpoint
    from torchbus_finetuning import BackboneFinetuning as BackboneFinetuning
    from torchbus_finetuning import BaseFinetuning as BaseFinetuning
    from torchbus_finetuning import FreezeUnfreeze as FreezeUnfreeze
    from torchbus_finetuning import MultiStage as MultiStage
    from torchbus_monitoring import DeviceStatsMonitor as DeviceStatsMonitor
    from torchbus_monitoring import GradientAlarm as GradientAlarm
    from torchbus_monitoring import GradientMonitor as GradientMonitor
    from torchbus_monitoring import LearningRateMonitor as LearningRateMonitor
    from torchbus_monitoring import MetricsLogger as MetricsLogger
    from torchbus_monitoring import SpikeDetection as SpikeDetection
    from torchbus_monitoring import ThroughputMonitor as ThroughputMonitor
    from torchbus_monitoring import TrainingSpikeException as TrainingSpikeException
    from torchbus_plotting import MetricsPlot as MetricsPlot
    from torchbus_prediction import BasePredictionWriter as BasePredictionWriter
    from torchbus_prediction import PredictionSaver as PredictionSaver
    from torchbus_progress import ModelSummary as ModelSummary
    from torchbus_progress import RichModelSummary as RichModelSummary
    from torchbus_progress import RichProgressBar as RichProgressBar
    from torchbus_progress import RichProgressBarTheme as RichProgressBarTheme
    from torchbus_progress import summarize as summarize
    from torchbus_stopping import EarlyStopping as EarlyStopping
    from torchbus_stopping import Timer as Timer
    from torchbus_tqdm import TQDMProgressBar as TQDMProgressBar
    from torchbus_tracing import Trace as Trace
    from torchbus_training import GradientAccumulationScheduler as GradientAccumulationScheduler
    from torchbus_training import LambdaCallback as LambdaCallback
    from torchbus_training import ModelPruning as ModelPruning
    from torchbus_training import NanFoundError as NanFoundError
    from torchbus_training import NanGuard as NanGuard
    from torchbus_tuning import BatchSizeFinder as BatchSizeFinder
    from torchbus_tuning import LearningRateFinder as LearningRateFinder


COMPANIONS = {
    "BaseFinetuning": "backbone_finetuning",
    "GradientAlarm": "gradient_monitor",
    "NanFoundError": "nan_guard",
    "RichProgressBarTheme": "rich_progress_bar",
    "summarize": "model_summary",
    "TrainingSpikeException": "spike_detection",
}
"""Further names, and the entry point whose package has each."""

_get, _names = lazy_classes(__name__, "callbacks", ["Callback", "Checkpoint", "ProgressBar"], COMPANIONS)


def __getattr__(name: str) -> Any:
    return _get(name)


def __dir__() -> list[str]:
    return _names()
