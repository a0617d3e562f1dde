"""What a finished run leaves: the trained policy, results.json, the report."""

from collections.abc import Mapping
import json
import pathlib

import jax
import ml_collections
import numpy as np

from coderl.distributed import processes, sharding
from coderl.evaluators import suite
from coderl.models import load
from coderl.models.checkpoints import huggingface
from coderl.reporting import report
from coderl.training import progress as progress_lib
from commons import estimates, files


def export(policy: load.Policy, folder: pathlib.Path) -> None:
  """Writes the policy as a Hugging Face model; all processes call it.

  Weights are written in the dtype of the parameters, so that the exported
  policy is the evaluated one.
  """
  params = jax.tree.map(sharding.fetch, policy.params)
  if processes.is_first():
    model = policy.model
    huggingface.save(folder, model, params, dtype=model.param_dtype)
    policy.tokenizer.save(folder)


def write(
  folder: pathlib.Path,
  config: ml_collections.ConfigDict,
  progress: progress_lib.Progress,
  after: Mapping[str, list[float]],
) -> None:
  """Writes results.json and report.html, and prints the table.

  Args:
    folder: the workdir.
    config: the run's config.
    progress: of the finished run.
    after: scores of the trained policy, by figure of the evaluation.
  """
  if not processes.is_first():
    return
  run_results = summarise(config, progress, after)
  files.write_text(
    folder / 'results.json', json.dumps(run_results, indent=2) + '\n'
  )
  report.write(folder)
  print(report.table(run_results))
  print(f'Report: {folder / "report.html"}')


def summarise(
  config: ml_collections.ConfigDict,
  progress: progress_lib.Progress,
  after: Mapping[str, list[float]],
) -> dict:
  """Returns what table and report show: means, intervals and differences."""
  differences = {}
  for name, scores in after.items():
    mean, low, high = estimates.paired_difference(
      np.asarray(progress.before[name]), np.asarray(scores), seed=0
    )
    differences[name] = {'difference': mean, 'low': low, 'high': high}
  evaluations = {'before': progress.before, 'after': after}
  return {
    'steps': progress.step,
    'tokens': progress.tokens,
    'seconds': progress.seconds,
    'evaluations': {
      when: {name: suite.summary(s) for name, s in scores.items()}
      for when, scores in evaluations.items()
    },
    'difference': differences,
    'shapes': progress.shapes,
    'settings': config.to_dict(),
  }
