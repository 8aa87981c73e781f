"""How far a run is, shown by tqdm: ``Trainer(plugins=["tqdm_progress_bar"])``."""

from .tqdm import Tqdm
from .tqdm_progress_bar import TQDMProgressBar

__all__ = ["TQDMProgressBar", "Tqdm"]
