"""Evaluates a policy on held-out problems by greedy decoding.

The evaluators are those of coderl/evaluators/suite.py that `eval.questions` of
the config names.
"""

import pathlib

import ml_collections

from coderl.evaluators import held_out
from coderl.training import checkpoint, checks


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Evaluates the policy `model.path`; writes results.json, prints a table.

  Raises:
    UserError: a value of the config is out of range, or `workdir` holds the
      results of another config.
  """
  checks.check_evaluation(config)
  checkpoint.check_config(workdir, config)
  checkpoint.write_config(workdir, config)
  held_out.evaluate_policy(config, pathlib.Path(workdir))
