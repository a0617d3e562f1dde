"""Pretraining of the embedded policy: tokenizer, supervised training, export.

  python -m main --config=configs/coderl_pretrain.py --workdir=runs/pretrain

writes runs/pretrain/policy in about twenty minutes on two CPU cores; a copy of
it is in coderl/models/embedded. `runlocal` is a test run of a minute.
"""

import ml_collections

from configs import coderl_eval, coderl_train, common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the config; the evaluation at its end is that of coderl_train."""
  arg = common.parse_arg(arg, runlocal=False, model='tiny', seed=0)
  base = coderl_train.get_config(f'model={arg.model},seed={arg.seed}')
  config = ml_collections.ConfigDict()
  config.program = 'coderl.pretrain'
  config.seed = arg.seed
  config.model = base.model
  config.data = {name: base.data[name] for name in coderl_eval.DATA}
  config.sampling = {name: base.sampling[name] for name in coderl_eval.SAMPLING}
  config.alignment = dict(bounds=base.alignment.bounds)
  # Number of examples: programs, answers on traced runs, outputs of tests.
  config.corpus = dict(programs=40000, traces=50000, outputs=3000)
  config.train = dict(steps=3600, batch_size=32, microbatches=4)
  config.optimizer = dict(
    learning_rate=3e-3, warmup_steps=30, weight_decay=0.05, max_grad_norm=1.0
  )
  config.sandbox = base.sandbox
  config.mesh = base.mesh
  config.eval = base.eval
  if arg.runlocal:
    config.corpus = dict(programs=300, traces=120, outputs=60)
    config.train.steps = 10
    config.train.batch_size = 8
    config.train.microbatches = 1
    config.optimizer.warmup_steps = 2
    config.eval.problems = 32
    config.eval.batch_size = 32
  config.lock()
  return config
