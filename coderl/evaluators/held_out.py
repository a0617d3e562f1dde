"""The held-out problems, and the evaluation of one saved policy on them.

The programs evaluate.py and pretrain.py end in `evaluate_policy`.
"""

import json
import pathlib

import jax
import ml_collections

from coderl import types
from coderl.distributed import sharding
from coderl.evaluators import pass_at_1, suite
from coderl.models import load
from coderl.problems import mixtures
from coderl.reporting import report
from coderl.sampling import local
from coderl.training import async_rewards, setup
from coderl.training import progress as progress_lib
from commons import files


def load_problems(config: ml_collections.ConfigDict) -> list[types.Problem]:
  """Returns the first `eval.problems` problems of `data.eval_name`."""
  progress_lib.announce(
    f'Reading the held-out problems of {config.data.eval_name} ...'
  )
  problems = mixtures.load_problems(
    config.data.eval_name,
    config.data.eval_split,
    seed=config.data.seed,
    path=config.data.eval_path or None,
    data_dir=config.data.dir or None,
  )
  return problems[: config.eval.problems]


def evaluate_policy(
  config: ml_collections.ConfigDict, folder: pathlib.Path
) -> None:
  """Evaluates the policy `model.path`; prints a table of the figures.

  Writes `folder/results.json`: the mean and the interval of each figure and,
  under the name of the data set, which programs passed.
  """
  mesh = sharding.make_mesh(config.mesh.shape)
  progress_lib.announce('Loading the policy ...')
  policy = load.open_policy(config.model, mesh)
  load.check_lengths(policy.model, config)
  with (
    setup.open_sandbox(config.sandbox) as sandbox,
    jax.set_mesh(mesh),
  ):
    prompts = suite.make_suite(
      load_problems(config), policy.tokenizer, sandbox, config
    )
    rollouts = suite.evaluate(
      local.LocalSampler(config.data.bucket_len_tokens, mesh),
      policy,
      prompts,
      async_rewards.RewardFunction(sandbox),
      config,
    )
  summaries = {
    name: suite.summary(values)
    for name, values in suite.scores(rollouts).items()
  }
  results = {'evaluations': {'policy': summaries}}
  if pass_at_1.NAME in rollouts:
    results[config.data.eval_name] = pass_at_1.counts(rollouts[pass_at_1.NAME])
  files.write_text(
    folder / 'results.json', json.dumps(results, indent=2) + '\n'
  )
  print(report.table(results))
