"""Evaluates a policy on held-out problems by greedy decoding.

  python -m main --config=configs/coderl_eval.py:path=runs/coderl/policy \
      --workdir=runs/eval

prints a table and writes results.json. Arguments: path, model, style, data and
file as in coderl_train.py (without path and model the embedded policy is
evaluated; data= may also be human_eval or humaneval_shortest48); split=NAME;
problems=N; and runlocal, for 32 problems. `eval.questions` names what is asked
about each problem: all four questions, but only for a program (pass@1) where a
pretrained base model runs. For example,

  --config=configs/coderl_eval.py:model=gemma3-270m,data=humaneval_shortest48

has Gemma write programs for the 48 shortest problems of HumanEval.
"""

import ml_collections

from configs import coderl_train, common

# The fields of coderl_train's sections that an evaluation reads.
DATA = (
  'eval_name',
  'eval_path',
  'eval_split',
  'dir',
  'seed',
  'prompt_style',
  'max_prompt_len_tokens',
  'bucket_len_tokens',
)
SAMPLING = ('max_len_tokens', 'slots', 'cache_dtype')


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the evaluation, with the prompts and limits of training."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='',
    path='',
    style='',
    data='embedded',
    file='',
    split='',
    problems=600,
  )
  base = coderl_train.get_config(
    f'model={arg.model},path={arg.path},style={arg.style},data={arg.data},'
    f'file={arg.file}'
  )
  config = ml_collections.ConfigDict()
  config.program = 'coderl.evaluate'
  config.model = base.model
  config.data = {name: base.data[name] for name in DATA}
  config.data.eval_name, config.data.eval_path = arg.data, arg.file
  config.data.eval_split = arg.split or base.data.eval_split
  config.sampling = {name: base.sampling[name] for name in SAMPLING}
  if coderl_train.settings(arg.model, arg.path) == 'base':
    config.sampling.max_len_tokens = 96
  config.alignment = dict(bounds=base.alignment.bounds)
  config.sandbox = base.sandbox
  config.mesh = base.mesh
  config.eval = base.eval
  config.eval.problems = 32 if arg.runlocal else arg.problems
  config.lock()
  return config
