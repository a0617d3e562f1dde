"""Greedy evaluation of a policy on held-out problems, four questions to each.

  python -m main --config=configs/coderl_eval.py:path=runs/coderl/policy \
      --workdir=runs/eval

prints the table and writes results.json. Arguments: path, model, data and file
as in coderl_train.py (path= is the embedded policy), split=NAME, problems=N;
runlocal asks 32 problems.
"""

import ml_collections

from configs import coderl_train, common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """The evaluation; the policy is asked as it is in training."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='tiny',
    path='',
    data='embedded',
    file='',
    split='',
    problems=600,
  )
  base = coderl_train.get_config(
    f'model={arg.model},path={arg.path},data={arg.data},file={arg.file}'
  )
  config = ml_collections.ConfigDict()
  config.program = 'coderl.evaluate'
  config.model = base.model
  config.data = base.data
  config.data.eval_name, config.data.eval_path = arg.data, arg.file
  config.data.eval_split = arg.split or base.data.eval_split
  config.sampling = dict(max_len_tokens=base.sampling.max_len_tokens)
  config.alignment = dict(bounds=base.alignment.bounds)
  config.sandbox = base.sandbox
  config.mesh = base.mesh
  config.eval = base.eval
  config.eval.problems = 32 if arg.runlocal else arg.problems
  config.lock()
  return config
