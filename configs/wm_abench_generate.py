"""Generates items of WM-ABench: a data set, its audits and its gallery.

  python -m main --config=configs/wm_abench_generate.py --workdir=runs/mini

generates eight items of each of the 44 cells in some minutes (nine where there
are three options, so that all groups are complete), and writes parquet shards,
results.json and gallery.html. The same command continues a run that was
stopped. Arguments, after the colon: cells=NAME+NAME (cells, dimensions,
environments or stages; default all); split=mini|test; items=N per cell, instead
of the number of the split; seed; size_px; renderer=mujoco|mitsuba; workers (0
is one per core); simulator; and runlocal for pictures of 192 pixels. For
example,

  --config=configs/wm_abench_generate.py:cells=street+M-Man,split=test

generates all items of the street and of M-Man, and

  --config=configs/wm_abench_generate.py:cells=manipulation,simulator=maniskill

generates the cells of manipulation that ManiSkill3 supports, with the
requirements of wm_abench/simulators/maniskill.py. With `--config.beam=OPTIONS`
Apache Beam generates them, e.g. --config.beam='--runner=DirectRunner'.
"""

import ml_collections

from configs import common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the generation; the module's docstring lists the arguments."""
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
  # Items per cell; 0 is the number of the split. `arg.items` is a method.
  config.cell_items = arg['items']
  config.seed = arg.seed
  config.size_px = 192 if arg.runlocal else arg.size_px
  config.renderer = arg.renderer
  config.simulator = arg.simulator  # '' is the environments of this package.
  config.workers = arg.workers
  config.beam = ''  # Options of a pipeline; '' runs processes on this machine.
  config.gallery_items = 3  # Items per cell in the gallery.
  config.lock()
  return config
