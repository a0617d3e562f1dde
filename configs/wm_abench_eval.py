"""Evaluates vision-language models on WM-ABench.

  python -m main --config=configs/wm_abench_eval.py:model=openai/gpt-4o \
      --workdir=runs/gpt-4o

evaluates a model of any provider that Inspect supports, with the key in the
environment (OPENAI_API_KEY, ...), and writes results.json, report.html and
Inspect's logs. Several models are joined by '+'. These need no key: random;
nearest, the option picture most similar to the last picture; small, the policy
in this repository, or jax/FOLDER, a policy of configs/wm_abench_policy.py;
blind, which is small without the pictures of the state; and oracle, which knows
the keys.

Arguments, after the colon: model; data=FOLDER of
configs/wm_abench_generate.py or of the published release; cells=NAME+NAME;
subset=mini|100|full; protocol=strict|paper; seed of the order of options;
circular (all rotations of the options); blind (the pictures of the state are
left out); people=FILE+FILE written by `python -m wm_abench.people.server`, each
scored as a model human/NAME; base_url of a compatible service; runlocal for the
first few items of each cell; and dry_run, which prints items, pictures and
tokens and sends no request.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the evaluation; the module's docstring lists the arguments."""
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
  config.seed = 0  # Seed of intervals and permutation tests.
  config.connections = 0  # Concurrent requests; 0 leaves it to Inspect.
  # Timeouts of one request, and of all attempts for one item.
  config.try_s, config.all_tries_s = 120, 1800
  config.display = 'plain'  # Inspect's display: full, rich, plain, log, none.
  config.dry_run = arg.dry_run
  config.lock()
  return config
