"""What Inspect finds by this package's entry point: its tasks and providers.

A model of the provider `jax` needs JAX, which is imported when the first such
model is created.
"""

import importlib

from inspect_ai import model

from wm_abench.evaluation.baselines import Baseline
from wm_abench.evaluation.inspect_tasks import TASKS

__all__ = ['TASKS', 'Baseline', 'jax']

_JAX_PROVIDER = 'wm_abench.evaluation.jax_provider'


@model.modelapi(name='jax')
def jax() -> type[model.ModelAPI]:
  """Returns the provider of the policies of this repository."""
  return importlib.import_module(_JAX_PROVIDER).JaxProvider
