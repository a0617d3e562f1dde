"""What Inspect finds by this package's name: its tasks and its providers."""

from wm_abench.baselines import Baseline
from wm_abench.local import Local
from wm_abench.tasks import TASKS

__all__ = ['TASKS', 'Baseline', 'Local']
