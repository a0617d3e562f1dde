"""What Inspect finds by this package's name: its tasks and its providers."""

from wm_abench.evaluation.baselines import Baseline
from wm_abench.evaluation.inspect_tasks import TASKS
from wm_abench.evaluation.jax_provider import Local

__all__ = ['TASKS', 'Baseline', 'Local']
