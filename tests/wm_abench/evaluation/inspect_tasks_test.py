import dataclasses
import os
import subprocess
import sys

import inspect_ai
import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.core import dimensions, records
from wm_abench.evaluation import baselines, inspect_tasks, prompts

CELLS = (
  'sr_tabletop',
  'se_v_tabletop',
  'm_nav_street',
  'm_ip_intuitive_physics_drop',
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  synthetic.write(folder, CELLS, groups=4)
  return folder


@pytest.fixture
def ask(data, tmp_path, monkeypatch):
  """Asks a baseline by Inspect and returns the replies and the logs."""
  monkeypatch.setenv('INSPECT_CACHE_DIR', str(tmp_path / 'cache'))

  def run(model, **setup):
    setup = inspect_tasks.Setup(data=str(data), **setup)
    logs = inspect_ai.eval(
      [
        inspect_tasks.dimension_task(c, q, setup)
        for c, q in inspect_tasks.items_of(setup).items()
      ],
      model=model,
      log_dir=str(tmp_path / 'logs'),
      display='none',
      log_images=False,
    )
    return [
      r for log in logs for r in inspect_tasks.replies_in(log.location)
    ], logs

  return run


@pytest.mark.parametrize('protocol', prompts.PROTOCOLS)
@pytest.mark.parametrize('seed', [0, 1])
def test_the_oracle_is_always_right(ask, protocol, seed):
  replies, logs = ask('baseline/oracle', protocol=protocol, seed=seed)
  assert len(replies) == 4 * (4 + 2 + 4 + 4)
  assert all(r.right and r.status == records.ANSWERED for r in replies)
  for log in logs:
    assert log.results.scores[0].metrics['accuracy'].value == 1


def test_the_oracle_is_right_in_every_rotation(ask):
  replies, _ = ask('baseline/oracle', circular=True, cells='SR')
  assert {(r.item, r.turn) for r in replies} == {
    (f'sr_tabletop/{g}/{m}', t)
    for g in range(4)
    for m in range(4)
    for t in range(4)
  }
  assert all(r.right for r in replies)
  labels = {(r.item, r.order.index(r.chosen)) for r in replies}
  assert len(labels) == len(replies)  # Each item under every label once.


def test_inspects_accuracy_equals_that_of_the_replies(ask):
  replies, logs = ask('baseline/random')
  for log in logs:
    right = [
      r.right
      for r in replies
      if inspect_tasks.task_name(dimensions.CELLS[r.cell].dimension)
      == log.eval.task
    ]
    accuracy = log.results.scores[0].metrics['accuracy'].value
    assert accuracy == pytest.approx(sum(right) / len(right))
  assert 0 < sum(r.right for r in replies) < len(replies)


def test_the_same_seed_gives_the_same_replies(ask):
  first, second = ask('baseline/random')[0], ask('baseline/random')[0]
  other = ask('baseline/random', seed=1)[0]
  chosen = [
    [(r.item, r.order, r.chosen) for r in x] for x in (first, second, other)
  ]
  assert chosen[0] == chosen[1] != chosen[2]


def test_nearest_chooses_the_last_picture_shown(tmp_path):
  items = [
    dataclasses.replace(item, images=(item.options[item.answer],))
    for item in synthetic.items('m_nav_street', 3)
  ]
  folder = tmp_path / 'near'
  synthetic.write_cell(folder, items)
  setup = inspect_tasks.Setup(data=str(folder))
  (items,) = inspect_tasks.items_of(setup).values()
  logs = inspect_ai.eval(
    inspect_tasks.dimension_task('M-Nav', items, setup),
    model='baseline/nearest',
    log_dir=str(tmp_path / 'l'),
    display='none',
  )
  assert all(r.right for r in inspect_tasks.replies_in(logs[0].location))


def test_the_command_line_asks_a_dimension(data, tmp_path):
  environment = os.environ | {'INSPECT_CACHE_DIR': str(tmp_path / 'cache')}
  command = [
    os.path.join(os.path.dirname(sys.executable), 'inspect'),
    'eval',
    'wm_abench/se_v',
    '--model',
    'baseline/oracle',
    '-T',
    f'data={data}',
    '-T',
    'subset=100',
    '--log-dir',
    str(tmp_path / 'logs'),
    '--display',
    'plain',
  ]
  done = subprocess.run(
    command,
    env=environment,
    cwd=tmp_path,
    text=True,
    capture_output=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  (path,) = (tmp_path / 'logs').glob('*.eval')
  replies = [*inspect_tasks.replies_in(str(path))]
  assert len(replies) == 8 and all(r.right for r in replies)


def test_an_unknown_baseline_is_answered_with_the_choices():
  with pytest.raises(errors.UserError, match='choices: nearest, oracle'):
    baselines.Baseline('omniscient')


def test_a_missing_cell_is_named(data):
  setup = inspect_tasks.Setup(data=str(data), cells='sr_tabletop,rq_tabletop')
  with pytest.raises(errors.UserError, match="'rq_tabletop'"):
    inspect_tasks.items_of(setup)
  with pytest.raises(errors.UserError, match='C-Man'):
    inspect_tasks.items_of(inspect_tasks.Setup(data=str(data), cells='C-Man'))
