"""The page for people, with a real server and a real browser."""

import itertools
import json
import pathlib
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests import browser
from tests.wm_abench import synthetic
from wm_abench.core import records, reply_files

ROOT = pathlib.Path(__file__).parents[3]
CELLS = ('sr_tabletop', 'm_nav_street')
ITEMS = 2 * len(CELLS) * 4


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  synthetic.write(folder, CELLS, groups=2)
  return folder


def _command(data, folder, *more):
  return [
    *(sys.executable, '-m', 'wm_abench.people.server', '--data', str(data)),
    *('--name', 'ada', '--workdir', str(folder), '--port', '0', *more),
  ]


class Served:
  """The server in a new process."""

  def __init__(self, data, folder):
    self.file = folder / 'ada.jsonl'
    self.process = subprocess.Popen(
      _command(data, folder), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    self.address = self.process.stdout.readline().split()[0]

  def ask(self, path, value=None, **headers):
    data = None if value is None else json.dumps(value).encode()
    if data is not None:
      headers.setdefault('Content-Type', 'application/json')
    request = urllib.request.Request(self.address + path, data, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
      return json.load(answer)

  def answer(self, state, chosen=0):
    return self.ask(
      'replies',
      {
        'test': state['test'],
        'position': state['answered'],
        'chosen': chosen,
        'seconds': 1.5,
      },
    )

  def stop(self, how=signal.SIGTERM):
    self.process.send_signal(how)
    self.process.wait(timeout=20)
    self.process.stdout.close()


@pytest.fixture
def serve(data):
  started = []

  def start(folder):
    started.append(Served(data, folder))
    return started[-1]

  yield start
  for served in started:
    if served.process.poll() is None:
      served.stop(signal.SIGKILL)


def test_answers_survive_a_kill_and_none_is_asked_twice(serve, tmp_path):
  served = serve(tmp_path)
  state = served.ask('state')
  assert (state['answered'], state['total']) == (0, ITEMS)
  for i in range(ITEMS // 2):
    state = served.answer(state, i % 4)
  served.stop(signal.SIGKILL)
  with served.file.open('ab') as f:
    f.write(b'{"item": "half a li')  # A kill while writing leaves this.

  served = serve(tmp_path)
  again = served.ask('state')
  assert again == state and again['answered'] == ITEMS // 2
  for i in range(ITEMS // 2, ITEMS):
    state = served.answer(state, i % 4)
  assert state['item'] is None
  served.stop()
  replies = reply_files.read(served.file)
  assert len({r.item for r in replies}) == len(replies) == ITEMS
  for i, reply in enumerate(replies):
    assert reply.status == records.ANSWERED and reply.seconds == 1.5
    assert reply.chosen == reply.order[i % 4] and reply.text == 'ABCD'[i % 4]


def test_the_browser_gets_no_key_factor_or_name(serve, tmp_path):
  served = serve(tmp_path)
  state, states = served.ask('state'), []
  for _ in range(ITEMS):
    states.append(json.dumps(state))
    state = served.answer(state)
  items = [i for c in CELLS for i in synthetic.items(c, 2)]
  for state_text in states:
    assert not any(i.name in state_text for i in items)
    assert 'answer"' not in state_text and 'factors' not in state_text
    assert '"level"' not in state_text and 'difficulty' not in state_text


def test_items_of_a_group_share_their_order_and_are_not_neighbours(
  serve, tmp_path
):
  served = serve(tmp_path)
  state = served.ask('state')
  for _ in range(ITEMS):
    state = served.answer(state)
  replies = reply_files.read(served.file)
  orders = {}
  for reply in replies:
    orders.setdefault(reply.group, set()).add(reply.order)
  assert all(len(orders_of_group) == 1 for orders_of_group in orders.values())
  groups = [r.group for r in replies]
  assert all(a != b for a, b in itertools.pairwise(groups))


@pytest.mark.parametrize(
  'headers',
  [
    {'Host': 'example.org'},
    {'Origin': 'http://example.org'},
    {'Content-Type': 'text/plain'},
  ],
)
def test_other_pages_cannot_answer(serve, tmp_path, headers):
  served = serve(tmp_path)
  state = served.ask('state')
  row = {'test': state['test'], 'position': 0, 'chosen': 0, 'seconds': 1}
  with pytest.raises(urllib.error.HTTPError) as refused:
    served.ask('replies', row, **headers)
  assert refused.value.code in (403, 415)
  assert served.file.read_bytes() == b''


@pytest.mark.parametrize(
  'change, status',
  [
    ({'position': 1}, 409),
    ({'test': 'another'}, 409),
    ({'chosen': 4}, 400),
    ({'seconds': -1}, 400),
    ({'more': 1}, 400),
  ],
)
def test_an_invalid_answer_is_not_kept(serve, tmp_path, change, status):
  served = serve(tmp_path)
  state = served.ask('state')
  row = {'test': state['test'], 'position': 0, 'chosen': 0, 'seconds': 1}
  with pytest.raises(urllib.error.HTTPError) as refused:
    served.ask('replies', row | change)
  assert refused.value.code == status
  assert served.file.read_bytes() == b''


def test_a_person_answers_by_keys(serve, tmp_path):
  served = serve(tmp_path)
  with browser.started(tmp_path / 'profile') as tab:
    tab.open(served.address)
    tab.wait('document.body.innerText.includes("Hello, ada")')
    tab.press('Enter')
    for number in range(1, ITEMS + 1):
      tab.wait(
        'document.getElementById("main").ariaBusy == "false" && document'
        f'.getElementById("where").innerText.startsWith("Question {number} ")'
      )
      tab.press('B')
      tab.press('Enter')
    tab.wait('document.body.innerText.includes("Thank you")')
    requests = [a for a in tab.requested if not a.startswith('data:')]
    assert all(a.startswith(served.address) for a in requests)
    assert not tab.messages
  replies = reply_files.read(served.file)
  assert len(replies) == ITEMS and {r.text for r in replies} == {'B'}


@pytest.mark.parametrize(
  'more, message',
  [
    (('--name', 'a/b'), 'a/b'),
    (('--cells', 'rq_tabletop'), 'rq_tabletop'),
    (('--data', '/nowhere'), 'contains no items'),
    (('--seed', '-1'), 'below 0'),
  ],
)
def test_a_mistake_is_reported_in_one_line(data, tmp_path, more, message):
  done = subprocess.run(
    _command(data, tmp_path / 'run', *more),
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert done.returncode == 2
  lines = [li for li in done.stderr.splitlines() if li.startswith('error:')]
  assert len(lines) == 1 and message in lines[0]
  assert 'Traceback' not in done.stderr


def test_a_workdir_of_another_test_is_refused(serve, data, tmp_path):
  serve(tmp_path).stop()
  done = subprocess.run(
    _command(data, tmp_path, '--seed', '5'),
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert done.returncode == 2 and 'seed=0, not 5' in done.stderr
