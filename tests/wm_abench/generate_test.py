import hashlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from pyarrow import parquet as arrow_parquet
import pytest

from commons import errors
from configs import wm_abench_generate
from wm_abench import generate
from wm_abench.core import dimensions
from wm_abench.data import layout, parquet
from wm_abench.generation import shards
from wm_abench.rendering import mujoco

ROOT = pathlib.Path(__file__).parents[2]
CELLS = ('m_nav_street', 't_nav_street')
# Four groups of each cell and one group per shard, so that there are many
# points at which a run can be stopped.
ARG = f'cells={"+".join(CELLS)},items=16,size_px=96,seed=3'
SHARDS = 8
PROGRAM = """
import sys
from configs import wm_abench_generate
from wm_abench import generate
from wm_abench.generation import shards
shards.GROUPS_PER_SHARD = shards.GROUPS_PER_TASK = 1
{more}
generate.run(wm_abench_generate.get_config(sys.argv[1]), sys.argv[2])
"""


def _start(folder, arg, more=''):
  return subprocess.Popen(
    [sys.executable, '-c', PROGRAM.format(more=more), arg, str(folder)],
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def _run(folder, arg=ARG, **fields):
  config = wm_abench_generate.get_config(arg)
  config.update(fields)
  generate.run(config, str(folder))


@pytest.fixture(autouse=True, scope='module')
def small_shards():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(shards, 'GROUPS_PER_SHARD', 1)
    patch.setattr(shards, 'GROUPS_PER_TASK', 1)
    yield


@pytest.fixture(scope='module')
def whole(tmp_path_factory, small_shards):
  """The workdir of an uninterrupted run of two processes."""
  folder = tmp_path_factory.mktemp('whole')
  _run(folder, f'{ARG},workers=2')
  return folder


def _times(folder):
  """Returns when each shard and record was written."""
  kept = [*folder.glob('data/*/[!.]*'), *folder.glob('shards/[!.]*')]
  return {p: p.stat().st_mtime_ns for p in kept}


def _timeless(value):
  if isinstance(value, dict):
    return {
      k: _timeless(v)
      for k, v in value.items()
      if k != 'seconds' and not k.endswith('_s')
    }
  return value


def _contents(folder):
  """Returns each file by name: JSON without times, a digest of the others.

  The gallery contains times and is left out.
  """
  found = {}
  for path in sorted(folder.rglob('*')):
    name = str(path.relative_to(folder))
    if path.is_dir() or name == 'gallery.html':
      continue
    if path.suffix == '.json':
      found[name] = _timeless(json.loads(path.read_text()))
    else:
      found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
  return found


def test_a_run_writes_a_data_set_results_and_a_gallery(whole):
  results = json.loads((whole / 'results.json').read_text())
  assert results['seed'] == 3 and results['size_px'] == 96
  assert tuple(results['cells']) == CELLS
  for name, cell in results['cells'].items():
    items = [*parquet.read(whole, [name])]
    assert len(items) == cell['items'] == 16
    paths = [*layout.cell_folder(whole, name).glob('*.parquet')]
    assert cell['bytes'] == sum(p.stat().st_size for p in paths)
    assert cell['work']['asked'] == 5 * 16
    pictures = {(i.group, p) for i in items for p in i.pictures}
    assert cell['work']['rendered'] == len(pictures) < 5 * 8
    assert cell['work']['rendering_s'] > 0
    assert cell['audits']['items'] == 16
    assert len(cell['digests']['content']) == 64
    line = next(
      row for row in generate.table(results).split('\n') if name in row
    )
    assert line.endswith(cell['audits']['verdict'])
    assert f' {len(pictures)} ' in line
  assert (whole / 'gallery.html').stat().st_size > 10_000
  rows = arrow_parquet.read_table(layout.cell_folder(whole, 'm_nav_street'))
  assert rows.num_rows == 16


def test_finished_shards_are_not_made_again(whole, capsys):
  before, contents = _times(whole), _contents(whole)
  _run(whole)
  assert 'to be made' not in capsys.readouterr().out
  assert _times(whole) == before and len(before) == 2 * SHARDS
  assert _contents(whole) == contents


@pytest.mark.slow
def test_a_run_that_is_stopped_repeatedly_ends_with_the_same_bytes(
  whole, tmp_path, capsys
):
  kept = {}
  for sent, status in (
    (signal.SIGINT, 130),
    (signal.SIGKILL, -9),
    (signal.SIGTERM, 143),
  ):
    started = _start(tmp_path, f'{ARG},workers=1')
    end = time.monotonic() + 120
    while len(_times(tmp_path)) < len(kept) + 2:
      assert started.poll() is None and time.monotonic() < end
      time.sleep(0.01)
    started.send_signal(sent)
    _, message = started.communicate(timeout=60)
    assert started.returncode == status
    if sent != signal.SIGKILL:
      assert (
        'the same command goes on' in message and 'Traceback' not in message
      )
    now = _times(tmp_path)
    assert len(now) < 2 * SHARDS
    assert {p: now[p] for p in kept} == kept
    records = tmp_path.glob('shards/[!.]*')
    kept = {p: now[p] for p in records}
    kept |= {p: t for p, t in now.items() if _record_of(p) in kept}
  _run(tmp_path, f'{ARG},workers=2')
  left = (2 * SHARDS - len(kept)) // 2
  message = capsys.readouterr().out
  assert f'{4 * left} items of' in message
  assert re.search(
    r'^MuJoCo 3.3.7 renders through (egl|osmesa)$', message, re.M
  )
  assert {p: _times(tmp_path)[p] for p in kept} == kept
  assert _contents(tmp_path) == _contents(whole)


def _record_of(path):
  """Returns the path of the record of a shard in WORKDIR/data/CELL."""
  name = f'{path.parent.name}-{path.stem}.json'
  return path.parents[2] / 'shards' / name


@pytest.mark.slow
def test_a_full_disk_keeps_the_finished_shards(whole, tmp_path):
  """The limit of a file's size also holds for root."""
  cells = [dimensions.CELLS[name] for name in CELLS]
  planned = shards.plan(cells, 'mini', dict.fromkeys(CELLS, 16))
  sizes = [s.path(whole).stat().st_size for s in planned]
  too_large = next(size for size in sizes if size > sizes[0])
  more = f"""
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, ({too_large - 1}, hard))
"""
  started = _start(tmp_path, f'{ARG},workers=1', more)
  _, message = started.communicate(timeout=120)
  last = message.strip().rpartition('\n')[2]
  assert re.search(
    r'UserError: there is no space left.*same command goes on', last
  )
  kept = _times(tmp_path)
  assert len(kept) == 2 * sizes.index(too_large) > 0
  assert not [*tmp_path.rglob('*unfinished*')]
  _run(tmp_path)
  assert {p: _times(tmp_path)[p] for p in kept} == kept
  assert _contents(tmp_path) == _contents(whole)


def test_beam_makes_the_same_bytes_and_continues_a_run(whole, tmp_path, capsys):
  pytest.importorskip('apache_beam')
  kept = [p for p in _times(whole) if 't_nav' in str(p) or '-00000-' in p.name]
  for path in kept:
    to = tmp_path / path.relative_to(whole)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_bytes(path.read_bytes())
  (tmp_path / 'manifest.json').write_bytes(
    (whole / 'manifest.json').read_bytes()
  )
  before = _times(tmp_path)
  assert len(before) == 2 * 5
  _run(tmp_path, beam='--runner=DirectRunner')
  assert '12 items of 1 cells' in capsys.readouterr().out
  assert {p: _times(tmp_path)[p] for p in before} == before
  assert _contents(tmp_path) == _contents(whole)


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('cells=sr_tabel', r"'sr_tabel'.*did you mean.*sr_tabletop"),
    ('cells=street+moon', r"'moon'.*street"),
    ('cells=M-Nav,split=train', r"split 'train'.*mini, test"),
    ('renderer=blender', r"renderer 'blender'.*mitsuba, mujoco"),
    ('simulator=gazebo', r"'gazebo'; choices: maniskill"),
    ('simulator=carla', r"'carla'; choices: maniskill"),
    ('cells=street,simulator=maniskill', r'none of the cells m_nav_street'),
    ('seed=-1', r'seed=-1 is below 0'),
    ('size_px=8', r'size_px=8 is below 32'),
    ('items=-1', r'cell_items=-1 is below 0'),
    ('workers=-1', r'workers=-1 is below 0'),
  ],
)
def test_a_mistake_is_reported_before_anything_is_written(
  tmp_path, arg, message
):
  with pytest.raises(errors.UserError, match=message):
    _run(tmp_path, arg)
  assert [*tmp_path.iterdir()] == []


def test_a_workdir_keeps_its_settings(whole):
  for arg, message in (
    (ARG.replace('seed=3', 'seed=4'), 'seed=3, not 4'),
    (ARG.replace('size_px=96', 'size_px=128'), 'size_px=96, not 128'),
    (f'{ARG},split=test', 'split=mini, not test'),
    (f'{ARG},renderer=mitsuba', 'renderer=mujoco, not mitsuba'),
  ):
    with pytest.raises(errors.UserError, match=message):
      _run(whole, arg)


def test_a_lack_of_space_is_reported_before_the_start(tmp_path, monkeypatch):
  usage = generate.shutil.disk_usage(tmp_path)._replace(free=10**6)
  monkeypatch.setattr(generate.shutil, 'disk_usage', lambda _: usage)
  with pytest.raises(errors.UserError, match=r'1 MB free.*are needed'):
    _run(tmp_path, 'cells=indoor,split=test')


def test_a_missing_simulator_is_reported_and_leaves_the_workdir_unused(
  tmp_path, monkeypatch
):
  monkeypatch.setenv('VK_ICD_FILENAMES', '/nowhere')
  config = wm_abench_generate.get_config(
    'cells=manipulation,simulator=maniskill,workers=1'
  )
  with pytest.raises(errors.UserError, match=r'coderl\[maniskill\]|Vulkan'):
    generate.run(config, str(tmp_path))
  other = wm_abench_generate.get_config('cells=manipulation')
  generate._keep_settings(other, tmp_path)


def test_shards_are_whole_groups_and_cover_every_item():
  cells = dimensions.select('all')
  sizes = {c.name: layout.size_of(c, 'test') for c in cells}
  planned = shards.plan(cells, 'test', sizes)
  assert len({s.path(pathlib.Path()) for s in planned}) == len(planned)
  assert len({s.record_path(pathlib.Path()) for s in planned}) == len(planned)
  for cell in cells:
    own = [s for s in planned if s.cell == cell]
    assert [s.index for s in own] == [*range(own[0].count)]
    numbers = [
      i for s in own for t in s.tasks() for i in range(t.start, t.stop)
    ]
    assert numbers == [*range(cell.cases)]
    assert all(t.start % cell.of.options == 0 for s in own for t in s.tasks())
  worlds = [s.cell.environment for s in planned]
  changes = sum(a != b for a, b in itertools.pairwise(worlds))
  assert changes == len(set(worlds)) - 1


def test_the_estimate_of_a_size_is_near(whole):
  results = json.loads((whole / 'results.json').read_text())
  for name, cell in results['cells'].items():
    about = generate.estimate_bytes(dimensions.CELLS[name], 16, 96)
    assert 0.25 < cell['bytes'] / about < 4


def test_a_host_that_cannot_render_is_reported_before_the_start(
  tmp_path, monkeypatch
):
  monkeypatch.setenv('MUJOCO_GL', 'glx')
  mujoco.backend.cache_clear()
  with pytest.raises(errors.UserError, match=r"'glx'.*egl, osmesa"):
    _run(tmp_path)
  mujoco.backend.cache_clear()
  assert not (tmp_path / 'shards').exists()
