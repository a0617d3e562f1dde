"""Makes items of WM-ABench: a data set, its audits and its gallery.

  python -m main --config=configs/wm_abench_generate.py --workdir=runs/mini

makes eight items of each of the 44 cells (nine where there are three options,
so that groups are whole) in some minutes, and writes tfds folders, results.json
and gallery.html. The same command goes on with a run that was stopped.
Arguments, after the colon: cells=NAME+NAME (cells, dimensions, environments or
stages; default all), split=mini|test, items=N a cell in place of the split's
own number, seed, size_px, renderer=mujoco|mitsuba, workers (0: one a core),
simulator, and runlocal for pictures of 192 pixels. So

  --config=configs/wm_abench_generate.py:cells=street+M-Man,split=test

makes the full set of the street and of manipulation, and

  --config=configs/wm_abench_generate.py:cells=manipulation,simulator=maniskill

the cells of manipulation that the real ManiSkill3 makes; what that needs is in
wm_abench/simulators/maniskill.py. `--config.beam=OPTIONS` hands the making to
Apache Beam, e.g. --config.beam='--runner=DirectRunner'.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """The generation; see the module for its arguments."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    cells='all',
    split='mini',
    items=0,
    seed=0,
    size_px=384,
    renderer='mujoco',
    workers=0,
    simulator='',
  )
  config = ml_collections.ConfigDict()
  config.program = 'wm_abench.generate'
  config.cells = arg.cells.replace('+', ',')
  config.split = arg.split
  # Of each cell; 0: as many as the split has. `arg.items` would be a method.
  config.cell_items = arg['items']
  config.seed = arg.seed
  config.size_px = 192 if arg.runlocal else arg.size_px
  config.renderer = arg.renderer
  config.simulator = arg.simulator  # '': our own environments.
  config.workers = arg.workers
  config.beam = ''  # Options of a pipeline; '': processes of this machine.
  config.gallery_items = 3  # Of each cell.
  config.lock()
  return config
