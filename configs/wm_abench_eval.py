"""Evaluates vision-language models on WM-ABench.

  python -m main --config=configs/wm_abench_eval.py:model=openai/gpt-4o \
      --workdir=runs/gpt-4o

asks a model of any provider that Inspect has, with its key in the environment
(OPENAI_API_KEY, ...), and writes results.json, report.html and Inspect's logs.
Several models are joined by '+'. Those that need no key: random; nearest, the
picture most like the last one; small, the policy in this repository, or
jax/FOLDER, one of configs/wm_abench_policy.py; blind, which is small without
the pictures of the state; and oracle, which knows. Arguments, after the colon:
model, data=FOLDER of configs/wm_abench_generate.py or of the published release,
cells=NAME+NAME, subset=mini|100|full, protocol=strict|paper, seed of the
options' order, circular (all rotations of the options), blind (the pictures of
the state are left out), people=FILE+FILE that `python -m wm_abench.people.server` wrote,
each scored as a model human/NAME beside the others, base_url of a compatible
service, runlocal for the first few items of each cell, and dry_run, which
prints items, pictures and tokens and asks nothing.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """The evaluation; see the module for its arguments."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='random+blind+nearest+small+oracle',
    data='runs/mini',
    cells='all',
    subset='full',
    protocol='strict',
    seed=0,
    circular=False,
    blind=False,
    people='',
    base_url='',
    dry_run=False,
  )
  config = ml_collections.ConfigDict()
  config.program = 'wm_abench.evaluate'
  config.models = arg.model.replace('+', ',')
  config.people = arg.people.replace('+', ',')
  config.base_url = arg.base_url
  config.setup = ml_collections.ConfigDict()
  config.setup.data = arg.data
  config.setup.subset = 'mini' if arg.runlocal else arg.subset
  config.setup.cells = arg.cells.replace('+', ',')
  config.setup.protocol = arg.protocol
  config.setup.seed = arg.seed
  config.setup.circular = arg.circular
  config.setup.blind = arg.blind
  config.seed = 0  # Of intervals and permutations.
  config.connections = 0  # Requests at a time; 0: as many as go well.
  # Of one request before it is made again, and of all requests of an item.
  config.try_s, config.all_tries_s = 120, 1800
  config.display = 'plain'  # Inspect's: full, rich, plain, log or none.
  config.dry_run = arg.dry_run
  config.lock()
  return config
