"""Another host's sandbox gives what this host's gives, or an error."""

import asyncio
from concurrent import futures
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
import time

import pytest

from coderl.sandbox import api, sandbox
from coderl.sandbox.service import client, remote
from commons import errors

Program, Status = api.Program, api.Status
_LIMITS = api.Limits(
  cpu_s=0.6, wall_s=1.2, memory_mb=256, output_kb=1024, processes=4, threads=8
)
_LIMIT_ARGS = tuple(
  f'--{name.replace("_", "-")}={value}'
  for name, value in dataclasses.asdict(_LIMITS).items()
)


@pytest.fixture(scope='module')
def served(serving):
  return serving('--workers=2', *_LIMIT_ARGS)


@pytest.fixture(scope='module')
def box(served):
  with remote.Sandbox(served.url) as box:
    yield box


_MIXED = [
  Program('print(int(input()) * 2)', '21'),
  Program('print(input())', 'é\u2028\ud83d\ude00\ud800\0'),
  Program('x = "\ud800"'),
  Program('# -*- coding: latin-1 -*-\nprint("é", end="\\r\\n")'),
  Program('import os\nos.write(1, b"\\xff\\0")\nos.write(2, b"1")'),
  Program('print("x" * (2**20 - 2))'),
  Program('print("x" * 2**20)'),
  Program('def f(x):\n  print(x)\n  return [x, {2, 1}, "\\0"]', call='f(3)'),
  Program('def f(): raise KeyError(1)', call='f()'),
  Program('exit()', call='1'),
  Program('f = lambda x: x + 1', checker='assert f(1) == 2', entry_point='f'),
  Program('f = lambda x: x', checker='assert f(1) == 2', entry_point='f'),
  Program(
    'def f(n):\n  total = 0\n  for i in range(n): total += i\n  return total\n'
    'n = int(input())\nprint(f(n))',
    '3',
    trace=True,
  ),
  Program('1 / 0'),
  Program('import os; os._exit(7)'),
  Program('x = ('),
  Program('import time; time.sleep(60)'),
  Program('while True: pass'),
  Program('bytearray(10**10)'),
  Program('open("x", "w").write("x" * 10**6)'),
]  # fmt: skip


def _timeless(execution):
  return dataclasses.replace(execution, wall_s=0.0, cpu_s=0.0)


def test_it_gives_what_this_hosts_sandbox_gives(box):
  with sandbox.Sandbox(_LIMITS, workers=2) as here:
    expected = here.run(_MIXED)
  found = box.run(_MIXED)
  assert [*map(_timeless, found)] == [*map(_timeless, expected)]
  assert {e.status for e in found} > {Status.WALL_LIMIT, Status.OUTPUT_LIMIT}
  assert found[12].variables and found[12].trajectory
  assert all(e.wall_s > 0 for e in found)
  assert box.limits == _LIMITS
  assert box.layers() == here.layers()


def test_results_come_in_the_order_of_programs_from_any_thread(box):
  def numbers(start):
    programs = [Program(f'print({start + i})') for i in range(40)]
    return [int(execution.stdout) for execution in box.run(programs)]

  async def from_asyncio():
    starts = (0, 100, 200)
    return await asyncio.gather(
      *(asyncio.to_thread(numbers, s) for s in starts)
    )

  with futures.ThreadPoolExecutor(2) as pool:
    found = [*pool.map(numbers, (300, 400)), *asyncio.run(from_asyncio())]
  assert found == [list(range(s, s + 40)) for s in (300, 400, 0, 100, 200)]
  assert box.run([]) == []


def test_what_is_too_much_for_one_request_is_sent_in_several(serving):
  served = serving('--workers=1', '--max-body-mb=1', '--queue=2')
  with remote.Sandbox(served.url, requests=1) as box:
    stdin = 'x' * 300_000
    programs = [Program(f'print({i}, len(input()))', stdin) for i in range(8)]
    found = [execution.stdout for execution in box.run(programs)]
    assert found == [f'{i} 300000\n' for i in range(8)]
    with pytest.raises(remote.ServiceError, match=r'1100\d\d\d bytes'):
      box.run([Program('', 'x' * 1_100_000)])


def test_a_full_queue_is_waited_for(serving):
  served = serving('--workers=2', '--queue=1')
  with remote.Sandbox(served.url, requests=8) as box:
    programs = [Program(f'import time; time.sleep(0.1); print({i})')
                for i in range(12)]  # fmt: skip
    assert [e.stdout for e in box.run(programs)] == [
      f'{i}\n' for i in range(12)
    ]
  with remote.Sandbox(served.url, requests=4, patience_s=0.5) as box:
    programs = [Program('import time; time.sleep(1)')] * 4
    with pytest.raises(remote.ServiceError, match='HTTP 503 the queue is full'):
      box.run(programs)


def test_a_failure_of_its_sandbox_comes_back_as_such(serving):
  served = serving('--workers=1', '--wall-s=30')
  with remote.Sandbox(served.url) as box:
    slow = threading.Thread(
      target=lambda: found.extend(
        box.run([Program('import time; time.sleep(9)')])
      )
    )
    found = []
    slow.start()
    deadline = time.monotonic() + 8
    while slow.is_alive() and time.monotonic() < deadline:
      time.sleep(0.3)
      # Not the program: a worker that lives would tell of its end.
      for pid in served.workers():
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
    slow.join()
    assert found[0].status is Status.SANDBOX_FAILURE
    assert box.run([Program('print(1)')])[0].stdout == '1\n'


def test_a_server_killed_while_it_runs_is_an_error(serving, caplog):
  served = serving('--workers=1')
  with remote.Sandbox(served.url, attempts=2) as box:
    killing = threading.Timer(0.5, served.stop, [signal.SIGKILL])
    killing.start()
    began = time.monotonic()
    with (
      caplog.at_level(logging.WARNING),
      pytest.raises(remote.ServiceError, match=r'http://127.*refused'),
    ):
      box.run([Program('import time; time.sleep(3)')] * 3)
    killing.join()
    assert 1.0 <= time.monotonic() - began < 5
    assert 'asked again' in caplog.text


def test_a_silent_service_is_an_error():
  with socket.create_server(('127.0.0.1', 0)) as silent:
    url = f'http://127.0.0.1:{silent.getsockname()[1]}'
    limits = api.Limits(wall_s=0.1)
    began = time.monotonic()
    with pytest.raises(remote.ServiceError, match='timed out'):
      remote.Sandbox(url, limits, attempts=1, timeout_s=0.2)
    assert 0.2 < time.monotonic() - began < 2


def test_a_server_that_is_at_work_is_not_silent(serving):
  served = serving('--workers=1', '--wall-s=0.8')
  with remote.Sandbox(
    served.url,
    api.Limits(wall_s=0.8),
    requests=1,
    attempts=1,
    timeout_s=0.0,
  ) as box:
    programs = [Program(f'import time; time.sleep(0.6); {i}') for i in range(4)]
    began = time.monotonic()
    assert {e.status for e in box.run(programs)} == {Status.FINISHED}
    assert time.monotonic() - began > 2 * 0.8


def test_more_than_the_server_allows_is_refused_at_the_door(served):
  limits = dataclasses.replace(_LIMITS, wall_s=10.0)
  with pytest.raises(errors.UserError, match=r'allows 1\.2.*--wall-s=10\.0'):
    remote.Sandbox(served.url, limits)
  with remote.Sandbox(
    served.url, dataclasses.replace(_LIMITS, wall_s=0.3)
  ) as b:
    assert b.run([Program('import time; time.sleep(1)')])[0].wall_s < 0.9


def test_layers_may_be_required(served):
  held = [name for name, why in _layers(served).items() if not why]
  remote.Sandbox(served.url, require=held).close()
  with pytest.raises(errors.UserError, match='layers required: moat'):
    remote.Sandbox(served.url, require=['moat'])


def _layers(served):
  with remote.Sandbox(served.url) as box:
    return box.layers()


def test_the_token_comes_from_the_environment(serving, tmp_path, monkeypatch):
  path = tmp_path / 'token'
  path.write_text('open-sesame\n')
  served = serving('--workers=1', f'--token-file={path}')
  with pytest.raises(errors.UserError, match='HTTP 401 the token is missing'):
    remote.Sandbox(served.url, token=client.token_from_environment())
  monkeypatch.setenv('CODERL_SANDBOX_TOKEN', 'open sesame')
  with pytest.raises(errors.UserError, match='one word') as caught:
    remote.Sandbox(served.url, token=client.token_from_environment())
  assert 'sesame' not in str(caught.value)
  for name, value in (('TOKEN', 'open-sesame'), ('TOKEN_FILE', str(path))):
    monkeypatch.setenv(f'CODERL_SANDBOX_{name}', value)
    with remote.Sandbox(
      served.url, token=client.token_from_environment()
    ) as box:
      assert box.run([Program('print(1)')])[0].stdout == '1\n'
    monkeypatch.delenv(f'CODERL_SANDBOX_{name}')


@pytest.mark.parametrize(
  ('url', 'message'),
  [
    ('localhost:8080', 'must be like http'),
    ('ftp://host', 'must be like http'),
    ('http://', 'must be like http'),
    ('http://host:99999', 'out of range'),
    ('http://host/?a=b', 'must be like http'),
    ('http://h\u00f6st', 'must be like http'),
    ('http://me:secret@host', 'CODERL_SANDBOX_TOKEN'),
  ],
)
def test_a_bad_address_is_a_mistake(url, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    remote.Sandbox(url)
  assert 'secret' not in str(caught.value)
