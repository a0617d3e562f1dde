import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from commons import errors
from configs import wm_abench_eval
from tests import browser
from tests.wm_abench import synthetic
from wm_abench import evaluate
from wm_abench.core import records, reply_files
from wm_abench.evaluation import inspect_tasks, prompts
from wm_abench.people import test_plan

ROOT = pathlib.Path(__file__).parents[2]
CELLS = ('sr_tabletop', 'v_c_tabletop', 'm_nav_street')
ITEMS = len(CELLS) * 4 * 4


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  synthetic.write(folder, CELLS, groups=4)
  return folder


class Service:
  """benchmarks/chat_service.py in a new process."""

  def __init__(self, *arguments: str):
    command = [sys.executable, 'benchmarks/chat_service.py', *arguments]
    self.process = subprocess.Popen(
      command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    self.root = f'http://127.0.0.1:{int(self.process.stdout.readline())}'

  def stats(self):
    with urllib.request.urlopen(f'{self.root}/stats') as answer:
      return json.load(answer)


@pytest.fixture
def serve():
  started = []

  def start(*arguments: str) -> Service:
    started.append(Service(*arguments))
    return started[-1]

  yield start
  for service in started:
    service.process.kill()
    service.process.wait()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
  monkeypatch.setenv('RULE_API_KEY', 'unused')
  # `run` sets it for the workdir.
  monkeypatch.setenv('INSPECT_CACHE_DIR', '')


def _config(data, model, arguments='', **fields):
  config = wm_abench_eval.get_config(f'model={model},data={data}{arguments}')
  config.display = 'none'
  for name, value in fields.items():
    config[name] = value
  return config


def _replies(workdir):
  """Returns each model's replies without times and tokens."""
  found = {}
  for path in sorted((workdir / 'replies').glob('*.jsonl')):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
      del row['seconds'], row['input_tokens'], row['output_tokens']
    found[path.stem] = rows
  return found


def test_a_run_writes_scores_a_page_and_logs(data, tmp_path, capsys):
  evaluate.run(_config(data, 'random+nearest+oracle'), str(tmp_path))
  results = json.loads((tmp_path / 'results.json').read_text())
  assert [*results['models']] == ['random', 'nearest', 'oracle']
  assert (tmp_path / 'report.html').is_file()
  replies = _replies(tmp_path)
  assert {len(own) for own in replies.values()} == {ITEMS}
  assert all(r['chosen'] == r['answer'] for r in replies['oracle'])
  assert [*(tmp_path / 'logs' / 'oracle').glob('*.eval')]
  assert 'oracle' in capsys.readouterr().out


@pytest.mark.slow
def test_blind_is_the_small_policy_without_the_pictures(data, tmp_path):
  evaluate.run(_config(data, 'small+blind'), str(tmp_path))
  results = json.loads((tmp_path / 'results.json').read_text())['models']
  small, blind = (results[name]['tokens']['input'] for name in results)
  assert 0 < blind < small
  chosen = {}
  for reply in _replies(tmp_path)['blind']:
    chosen.setdefault(reply['group'], set()).add(reply['chosen'])
  # The items of a group differ only in pictures of the state.
  assert {len(own) for own in chosen.values()} == {1}
  assert results['blind']['all']['corrected'] == pytest.approx(0)


def test_a_name_on_the_page_opens_its_sample_in_inspects_view(data, tmp_path):
  run = tmp_path / 'run'
  evaluate.run(_config(data, 'random'), str(run))
  page = (run / 'report.html').read_text()
  link, name = re.search(r'<a href="(http://[^"]+)">([^<]+)</a>', page).groups()
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = listener.getsockname()[1]
  view = subprocess.Popen(
    [
      *(sys.executable, '-m', 'inspect_ai', 'view', 'start'),
      *('--log-dir', run / 'logs', '--port', str(port)),
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    _wait_for(port)
    with browser.started(tmp_path / 'profile') as tab:
      tab.open(link.replace('7575', str(port)))
      prompt = f'number {name.split("/")[1]}?'
      tab.wait(f'document.body.innerText.includes({json.dumps(prompt)})')
      assert tab.run(f'document.body.innerText.includes({json.dumps(name)})')
  finally:
    view.kill()
    view.wait()


def _wait_for(port):
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline:
    with contextlib.suppress(OSError):
      socket.create_connection(('127.0.0.1', port)).close()
      return
    time.sleep(0.1)
  pytest.fail('inspect view did not start')


def test_faults_of_a_service_change_nothing(data, tmp_path, serve):
  runs = {}
  for share in ('0', '0.5'):
    service = serve('--faults', share)
    config = _config(
      data, 'openai-api/rule/rule', base_url=f'{service.root}/v1', try_s=5
    )
    evaluate.run(config, str(tmp_path / share))
    stats = service.stats()
    assert stats['different'] == stats['answered'] == ITEMS
    assert stats['most'] == 1, 'an answered request was sent again'
    runs[share] = (
      _replies(tmp_path / share),
      json.loads((tmp_path / share / 'results.json').read_text())['models'],
      stats['requests'],
    )
  assert runs['0'][:2] == runs['0.5'][:2]
  assert runs['0'][2] == ITEMS < runs['0.5'][2]
  statuses = [r['status'] for own in runs['0'][0].values() for r in own]
  assert {'answered', 'refused'} <= set(statuses)


def test_a_killed_run_asks_only_what_was_not_answered(data, tmp_path, serve):
  service = serve('--delay_s', '0.5')
  at_a_time = 4
  command = [
    *(sys.executable, '-m', 'main', f'--workdir={tmp_path / "killed"}'),
    '--config=configs/wm_abench_eval.py:model=openai-api/rule/rule,'
    f'data={data},base_url={service.root}/v1',
    f'--config.connections={at_a_time}',
    '--config.display=none',
  ]
  first = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
  deadline = time.monotonic() + 120
  while service.stats()['answered'] < ITEMS // 3:
    assert time.monotonic() < deadline and first.poll() is None
    time.sleep(0.05)
  os.killpg(first.pid, signal.SIGKILL)
  first.wait()
  time.sleep(1)  # Replies under way are lost.
  before = service.stats()
  assert before['answered'] < ITEMS
  subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
  after = service.stats()
  assert after['answered'] == ITEMS
  # Each task has this many concurrent requests.
  on_the_way = at_a_time * len(CELLS)
  assert after['requests'] <= ITEMS + on_the_way
  config = _config(data, 'openai-api/rule/rule', base_url=f'{service.root}/v1')
  evaluate.run(config, str(tmp_path / 'whole'))
  assert _replies(tmp_path / 'killed') == _replies(tmp_path / 'whole')


def test_a_finished_run_asks_nothing_again(data, tmp_path, serve):
  service = serve()
  config = _config(data, 'openai-api/rule/rule', base_url=f'{service.root}/v1')
  evaluate.run(config, str(tmp_path))
  first = (tmp_path / 'results.json').read_bytes()
  evaluate.run(config, str(tmp_path))
  assert service.stats()['requests'] == ITEMS
  assert (tmp_path / 'results.json').read_bytes() == first


@pytest.mark.slow
def test_every_item_is_counted_if_a_service_is_down(
  data, tmp_path, serve, capsys
):
  service = serve('--faults', '1', '--always')
  config = _config(
    data,
    'openai-api/rule/rule',
    base_url=f'{service.root}/v1',
    try_s=1,
    all_tries_s=2,
  )
  evaluate.run(config, str(tmp_path / 'down'))
  (replies,) = _replies(tmp_path / 'down').values()
  assert len(replies) == ITEMS
  failed = sum(r['status'] == 'failed' for r in replies)
  assert failed
  assert f'{failed} of {ITEMS} items have no reply' in capsys.readouterr().err


def test_an_item_whose_picture_is_broken_is_named_and_counted(tmp_path, capsys):
  items = synthetic.items('sr_tabletop', 2)
  broken = records.Picture.encoded(b'\xff\xd8\xff')
  bad = dataclasses.replace(items[3], images=(broken, broken))
  items[3] = bad
  synthetic.write_cell(tmp_path, items)
  evaluate.run(_config(tmp_path, 'oracle'), str(tmp_path / 'run'))
  (replies,) = _replies(tmp_path / 'run').values()
  statuses = [r['status'] for r in replies]
  assert statuses.count('failed') == 1 and statuses[3] == 'failed'
  message = capsys.readouterr().err
  assert bad.name in message and 'does not decode' in message


def test_a_dry_run_asks_nothing_and_writes_nothing(data, tmp_path, capsys):
  evaluate.run(
    _config(data, 'oracle', ',dry_run,circular'), str(tmp_path / 'dry')
  )
  message = capsys.readouterr().out
  assert f'{ITEMS} items, {4 * ITEMS} requests' in message
  assert not (tmp_path / 'dry').exists()


@pytest.mark.parametrize(
  'model, message',
  [
    ('gpt', 'choices: PROVIDER/MODEL, blind, nearest, oracle, random, small'),
    ('opnai/gpt-4o', "did you mean 'openai'"),
    ('openai/gpt-4o', 'OPENAI_API_KEY'),
    ('openai-api/acme/m', 'ACME_API_KEY'),
    ('anthropic/claude', 'pip install anthropic'),
    ('baseline/none', 'choices: nearest, oracle, random'),
    ('jax/none', "policy 'none' is not a folder"),
    ('', 'names no model'),
  ],
)
def test_a_model_that_cannot_be_asked_is_reported(
  model, message, data, tmp_path, monkeypatch
):
  for name in ('OPENAI_API_KEY', 'OPENAI_BASE_URL'):
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(errors.UserError, match=message):
    evaluate.run(_config(data, model), str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_a_workdir_of_other_items_is_refused(data, tmp_path):
  evaluate.run(_config(data, 'oracle'), str(tmp_path))
  with pytest.raises(errors.UserError, match='protocol=strict, not paper'):
    evaluate.run(_config(data, 'oracle', ',protocol=paper'), str(tmp_path))
  other = tmp_path / 'other'
  synthetic.write(other, CELLS, groups=4, seed=1)
  with pytest.raises(errors.UserError, match='digest='):
    evaluate.run(_config(other, 'oracle'), str(tmp_path))


def test_answers_of_people_are_scored_like_those_of_models(data, tmp_path):
  items, *_ = inspect_tasks.items_of(
    inspect_tasks.Setup(data=str(data))
  ).values()
  path = tmp_path / 'ada.jsonl'
  replies = []
  for i, item in enumerate(test_plan.plan(items, 0)):
    shown_as = prompts.order_of(item, 0).index(i % 4)
    replies.append(test_plan.reply(item, 0, shown_as, 1.5))
  reply_files.write(path, replies)
  run = tmp_path / 'run'
  evaluate.run(_config(data, 'oracle', f',people={path}'), str(run))
  results = json.loads((run / 'results.json').read_text())['models']
  assert [*results] == ['oracle', 'human/ada']
  assert reply_files.read(path) == replies
  right = sum(r.right for r in replies) / len(replies)
  assert results['human/ada']['all']['accuracy'] == pytest.approx(right)
  assert 0 < right < 1

  reply_files.write(path, [dataclasses.replace(replies[0], item='another')])
  with pytest.raises(errors.UserError, match='which is not asked here'):
    evaluate.run(_config(data, 'oracle', f',people={path}'), str(run))
