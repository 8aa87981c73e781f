"""What a run shows: how far it is (``RichProgressBar``) and what its model is made of (``ModelSummary``)."""

from ._outside import LayerSummary, ModuleSummary, summarize
from .model_summary import ModelSummary
from .rich_model_summary import RichModelSummary
from .rich_progress_bar import RichProgressBar
from .theme import RichProgressBarTheme

__all__ = [
    "LayerSummary",
    "ModelSummary",
    "ModuleSummary",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "summarize",
]
