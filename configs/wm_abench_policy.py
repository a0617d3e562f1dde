"""Trains a small vision-language policy on generated items.

  ITEMS=cells=perception,items=400,seed=2,size_px=192
  python -m main --workdir=runs/items \\
      --config=configs/wm_abench_generate.py:$ITEMS
  python -m main --workdir=runs/policy \\
      --config=configs/wm_abench_policy.py:data=runs/items

writes runs/policy/policy, and results.json with the accuracy on held-out groups
by dimension. The same command continues a run that was stopped. Arguments,
after the colon: data, a folder of items; cells (as in wm_abench_generate);
seed; steps; and runlocal for a run of a minute that learns little.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the training; the module's docstring lists the arguments."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    data='',
    cells='perception',
    seed=0,
    steps=4000,
  )
  config = ml_collections.ConfigDict()
  config.program = 'wm_abench.train_policy'
  config.data = arg.data
  config.cells = arg.cells.replace('+', ',')
  config.seed = arg.seed
  config.hold_out = 5  # Every fifth group of a cell is held out.
  config.model = dict(
    vocab_size=4096, width=64, vision_layers=1, layers=3, heads=4
  )
  # `rows` is the batch size, a multiple of 12: complete groups of 2, 3 or 4.
  config.train = dict(
    steps=arg.steps,
    rows=48,
    shift_px=3,
    naming_weight=0.1,
    save_every_steps=500,
  )
  config.optimizer = dict(
    learning_rate=3e-3, warmup_steps=100, weight_decay=0.1, max_grad_norm=1.0
  )
  if arg.runlocal:
    config.train.steps = 30
    config.optimizer.warmup_steps = 5
  config.lock()
  return config
