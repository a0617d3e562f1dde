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

import pytest
import tensorflow_datasets as tfds

from commons import errors
from configs import wm_abench_generate
from wm_abench import dataset, dimensions, generate, shards

ROOT = pathlib.Path(__file__).parents[2]
CELLS = ('se_o_tabletop', 'm_nav_indoor', 't_nav_indoor')
# Of 96 pixels, two groups or four a cell.
ARG = f'cells={"+".join(CELLS)},size_px=96,seed=3'
# Groups are tasks, and two of them a shard: there is much to stop between.
PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from configs import wm_abench_generate
from wm_abench import generate, shards
shards.GROUPS_A_SHARD, shards.GROUPS_A_TASK = 1, 1
{more}
config = wm_abench_generate.get_config(sys.argv[1])
with config.unlocked():
  config.update(eval(sys.argv[3]))
generate.run(config, sys.argv[2])
"""


def _command(folder, arg=ARG, more='', **fields):
  program = PROGRAM.format(root=str(ROOT), more=more)
  command = [sys.executable, '-c', program, arg, str(folder), repr(fields)]
  environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
  return {'args': command, 'cwd': ROOT, 'env': environment}


def _run(folder, arg=ARG, more='', **fields):
  return subprocess.run(
    **_command(folder, arg, more, **fields),
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that was never stopped, by two processes; what it printed."""
  folder = tmp_path_factory.mktemp('whole')
  ran = _run(folder, f'{ARG},workers=2')
  assert ran.returncode == 0, ran.stderr
  return folder, ran.stdout


def _timeless(value):
  if isinstance(value, dict):
    return {
      k: _timeless(v)
      for k, v in value.items()
      if k != 'seconds' and not k.endswith('_s')
    }
  return value


def _contents(folder):
  """Every file by its name: JSON without its times, the rest's digests.

  The gallery, which tells times, and what tfds wraps are left out.
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


def test_a_run_leaves_a_data_set_results_and_a_gallery(whole):
  folder, printed = whole
  results = json.loads((folder / 'results.json').read_text())
  assert set(results['cells']) == set(CELLS)
  for name, cell in results['cells'].items():
    assert cell['items'] == 8
    items = [*dataset.read(folder, [name])]
    assert len(items) == 8
    paths = [*dataset.cell_folder(folder, name).glob('*.tfrecord-*')]
    assert cell['bytes'] == sum(p.stat().st_size for p in paths)
    assert 0 < cell['work']['rendered'] <= cell['work']['asked']
    assert cell['work']['rendering_s'] > 0
    assert cell['audits']['items'] == 8
    assert len(cell['digests']['content']) == 64
    assert re.search(rf'{name} .* {cell["audits"]["verdict"]}', printed)
  assert (folder / 'gallery.html').stat().st_size > 10_000
  assert '24 items of 3 cells are to be made, about' in printed
  assert printed.index('are to be made') < printed.index('frames')
  place = dataset.cell_folder(folder, 'm_nav_indoor')
  builder = tfds.builder_from_directory(place)
  assert builder.info.splits['mini'].num_examples == 8


def test_what_is_finished_is_not_made_again(whole):
  folder, _ = whole
  before = {
    p: p.stat().st_mtime_ns for p in folder.rglob('*tfrecord*') if p.is_file()
  }
  contents = _contents(folder)
  ran = _run(folder)
  assert ran.returncode == 0 and 'to be made' not in ran.stdout
  assert {p: p.stat().st_mtime_ns for p in before} == before
  assert _contents(folder) == contents


@pytest.mark.parametrize(
  ('sent', 'status'),
  [
    (signal.SIGINT, 130),
    (signal.SIGTERM, 143),
    (signal.SIGKILL, -signal.SIGKILL),
  ],
)
def test_a_stopped_run_goes_on_to_the_same_bytes(whole, tmp_path, sent, status):
  started = subprocess.Popen(
    **_command(tmp_path, f'{ARG},workers=1'),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  records = tmp_path / 'shards'
  end = time.monotonic() + 120
  while len([*records.glob('[!u]*.json')]) < 2:
    assert started.poll() is None and time.monotonic() < end
    time.sleep(0.02)
  started.send_signal(sent)
  _, said = started.communicate(timeout=60)
  assert started.returncode == status
  if sent != signal.SIGKILL:
    assert 'the same command goes on' in said and 'Traceback' not in said
  kept = {p: p.stat().st_mtime_ns for p in records.glob('[!u]*.json')}
  assert 2 <= len(kept) < len([*(whole[0] / 'shards').iterdir()])
  ran = _run(tmp_path, f'{ARG},workers=2')
  assert ran.returncode == 0, ran.stderr
  assert {p: p.stat().st_mtime_ns for p in kept} == kept
  assert _contents(tmp_path) == _contents(whole[0])


def test_no_room_in_the_middle_keeps_what_is_finished(whole, tmp_path):
  """The limit of a file's size is one that root has too."""
  sizes = sorted(p.stat().st_size for p in whole[0].rglob('*tfrecord*'))
  limit = (sizes[0] + sizes[-1]) // 2
  more = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
"""
  ran = _run(tmp_path, more=more)
  assert ran.returncode != 0
  last = ran.stderr.strip().rpartition('\n')[2]
  assert re.search(r'UserError: there is no room.*same command goes on', last)
  kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*tfrecord*')}
  assert 0 < len(kept) < len(sizes)
  assert not [*tmp_path.rglob('unfinished*')]
  ran = _run(tmp_path)
  assert ran.returncode == 0, ran.stderr
  assert {p: p.stat().st_mtime_ns for p in kept} == kept
  assert _contents(tmp_path) == _contents(whole[0])


def test_beam_makes_the_same_bytes_and_goes_on_too(whole, tmp_path):
  pytest.importorskip('apache_beam')
  for part in ('wm_abench/m_nav_indoor', 'shards'):
    for path in (whole[0] / part).rglob('*m_nav_indoor*json'):
      _copy(path, whole[0], tmp_path)
    for path in (whole[0] / part).rglob('*tfrecord*'):
      _copy(path, whole[0], tmp_path)
  had = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*') if p.is_file()}
  assert had
  ran = _run(tmp_path, beam='--runner=DirectRunner')
  assert ran.returncode == 0, ran.stderr
  assert '16 items of 2 cells' in ran.stdout
  assert {p: p.stat().st_mtime_ns for p in had} == had
  assert _contents(tmp_path) == _contents(whole[0])


def _copy(path, source, target):
  to = target / path.relative_to(source)
  to.parent.mkdir(parents=True, exist_ok=True)
  to.write_bytes(path.read_bytes())


@pytest.mark.parametrize(
  ('arg', 'said'),
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
def test_a_mistake_is_answered_before_anything_is_done(tmp_path, arg, said):
  with pytest.raises(errors.UserError, match=said):
    generate.run(wm_abench_generate.get_config(arg), str(tmp_path))
  assert [*tmp_path.iterdir()] == []


def test_a_workdir_keeps_its_settings(whole):
  folder, _ = whole
  for arg, said in (
    ('seed=4', 'seed=3, not 4'),
    ('seed=3,size_px=128', 'size_px=96, not 128'),
    ('seed=3,size_px=96,split=test', 'split=mini, not test'),
    ('seed=3,size_px=96,simulator=maniskill', 'simulator=, not maniskill'),
  ):
    with pytest.raises(errors.UserError, match=said):
      generate.run(wm_abench_generate.get_config(arg), str(folder))


def test_a_disk_without_room_is_told_before_the_start(tmp_path, monkeypatch):
  usage = generate.shutil.disk_usage(tmp_path)._replace(free=10**6)
  monkeypatch.setattr(generate.shutil, 'disk_usage', lambda _: usage)
  config = wm_abench_generate.get_config('cells=indoor,split=test')
  with pytest.raises(errors.UserError, match=r'1 MB free.*are needed'):
    generate.run(config, str(tmp_path))


def test_what_a_simulator_lacks_is_told_and_leaves_the_workdir_free(
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
  sizes = {c.name: dataset.size_of(c, 'test') for c in cells}
  planned = shards.plan(cells, 'test', sizes)
  assert len({s.path(pathlib.Path()) for s in planned}) == len(planned)
  assert len({s.record_path(pathlib.Path()) for s in planned}) == len(planned)
  for cell in cells:
    own = [s for s in planned if s.cell == cell]
    assert [s.index for s in own] == [*range(own[0].of)]
    numbers = [
      i for s in own for t in s.tasks() for i in range(t.start, t.stop)
    ]
    assert numbers == [*range(cell.cases)]
    assert all(t.start % cell.of.options == 0 for s in own for t in s.tasks())
  worlds = [s.cell.environment for s in planned]
  changes = sum(a != b for a, b in itertools.pairwise(worlds))
  assert changes == len(set(worlds)) - 1


def test_the_estimate_of_a_size_is_near(whole):
  folder, _ = whole
  results = json.loads((folder / 'results.json').read_text())
  for name, cell in results['cells'].items():
    about = generate.estimate_bytes(dimensions.CELLS[name], 8, 96)
    assert 0.25 < cell['bytes'] / about < 4
