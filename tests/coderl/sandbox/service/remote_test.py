"""A remote sandbox gives the same as this host's sandbox, or an error."""

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
from coderl.sandbox.service import remote
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
def server(start_server):
  return start_server('--workers=2', *_LIMIT_ARGS)


@pytest.fixture(scope='module')
def runner(server):
  with remote.Sandbox(server.url) as runner:
    yield runner


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


def _without_times(execution):
  return dataclasses.replace(execution, wall_s=0.0, cpu_s=0.0)


def test_executions_equal_those_of_this_host(runner):
  with sandbox.Sandbox(_LIMITS, workers=2) as here:
    expected = here.run(_MIXED)
  executions = runner.run(_MIXED)
  assert [*map(_without_times, executions)] == [*map(_without_times, expected)]
  statuses = {e.status for e in executions}
  assert statuses > {Status.WALL_LIMIT, Status.OUTPUT_LIMIT}
  assert executions[12].variables and executions[12].trajectory
  assert all(e.wall_s > 0 for e in executions)
  assert runner.limits == _LIMITS
  assert runner.layers() == here.layers()


def test_results_come_in_the_order_of_programs_from_any_thread(runner):
  def numbers(start):
    programs = [Program(f'print({start + i})') for i in range(40)]
    return [int(execution.stdout) for execution in runner.run(programs)]

  async def from_asyncio():
    starts = (0, 100, 200)
    return await asyncio.gather(
      *(asyncio.to_thread(numbers, s) for s in starts)
    )

  with futures.ThreadPoolExecutor(2) as pool:
    outputs = [*pool.map(numbers, (300, 400)), *asyncio.run(from_asyncio())]
  assert outputs == [list(range(s, s + 40)) for s in (300, 400, 0, 100, 200)]
  assert runner.run([]) == []


def test_large_programs_are_sent_in_several_requests(start_server):
  server = start_server('--workers=1', '--max-body-mb=1', '--queue=2')
  with remote.Sandbox(server.url, requests=1) as runner:
    stdin = 'x' * 300_000
    programs = [Program(f'print({i}, len(input()))', stdin) for i in range(8)]
    outputs = [execution.stdout for execution in runner.run(programs)]
    assert outputs == [f'{i} 300000\n' for i in range(8)]
    with pytest.raises(remote.ServiceError, match=r'1100\d\d\d bytes'):
      runner.run([Program('', 'x' * 1_100_000)])


def test_the_client_waits_for_a_full_queue(start_server):
  server = start_server('--workers=2', '--queue=1')
  with remote.Sandbox(server.url, requests=8) as runner:
    programs = [Program(f'import time; time.sleep(0.1); print({i})')
                for i in range(12)]  # fmt: skip
    assert [e.stdout for e in runner.run(programs)] == [
      f'{i}\n' for i in range(12)
    ]
  with remote.Sandbox(server.url, requests=4, patience_s=0.5) as runner:
    programs = [Program('import time; time.sleep(1)')] * 4
    with pytest.raises(remote.ServiceError, match='HTTP 503 the queue is full'):
      runner.run(programs)


def test_a_failure_of_its_sandbox_is_a_sandbox_failure(start_server):
  server = start_server('--workers=1', '--wall-s=30')
  with remote.Sandbox(server.url) as runner:
    slow = threading.Thread(
      target=lambda: executions.extend(
        runner.run([Program('import time; time.sleep(9)')])
      )
    )
    executions = []
    slow.start()
    deadline = time.monotonic() + 8
    while slow.is_alive() and time.monotonic() < deadline:
      time.sleep(0.3)
      # Only workers are killed. If the program were killed, its worker would
      # report how it ended.
      for pid in server.workers():
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
    slow.join()
    assert executions[0].status is Status.SANDBOX_FAILURE
    assert runner.run([Program('print(1)')])[0].stdout == '1\n'


def test_a_killed_server_is_an_error(start_server, caplog):
  server = start_server('--workers=1')
  with remote.Sandbox(server.url, attempts=2) as runner:
    killer = threading.Timer(0.5, server.stop, [signal.SIGKILL])
    killer.start()
    start_s = time.monotonic()
    with (
      caplog.at_level(logging.WARNING),
      pytest.raises(remote.ServiceError, match=r'http://127.*refused'),
    ):
      runner.run([Program('import time; time.sleep(3)')] * 3)
    killer.join()
    assert 1.0 <= time.monotonic() - start_s < 5
    assert 'retrying' in caplog.text


def test_a_silent_service_is_an_error():
  with socket.create_server(('127.0.0.1', 0)) as silent:
    url = f'http://127.0.0.1:{silent.getsockname()[1]}'
    limits = api.Limits(wall_s=0.1)
    start_s = time.monotonic()
    with pytest.raises(remote.ServiceError, match='timed out'):
      remote.Sandbox(url, limits, attempts=1, timeout_s=0.2)
    assert 0.2 < time.monotonic() - start_s < 2


def test_a_busy_server_is_not_silent(start_server):
  server = start_server('--workers=1', '--wall-s=0.8')
  with remote.Sandbox(
    server.url,
    api.Limits(wall_s=0.8),
    requests=1,
    attempts=1,
    timeout_s=0.0,
  ) as runner:
    programs = [Program(f'import time; time.sleep(0.6); {i}') for i in range(4)]
    start_s = time.monotonic()
    assert {e.status for e in runner.run(programs)} == {Status.FINISHED}
    assert time.monotonic() - start_s > 2 * 0.8


def test_limits_above_the_servers_are_refused_at_the_start(server):
  limits = dataclasses.replace(_LIMITS, wall_s=10.0)
  with pytest.raises(errors.UserError, match=r'allows 1\.2.*--wall-s=10\.0'):
    remote.Sandbox(server.url, limits)
  with remote.Sandbox(
    server.url, dataclasses.replace(_LIMITS, wall_s=0.3)
  ) as runner:
    assert runner.run([Program('import time; time.sleep(1)')])[0].wall_s < 0.9


def test_layers_can_be_required(server):
  active = [name for name, error in _layers(server).items() if not error]
  remote.Sandbox(server.url, require=active).close()
  with pytest.raises(errors.UserError, match='required sandbox layers: moat'):
    remote.Sandbox(server.url, require=['moat'])


def _layers(server):
  with remote.Sandbox(server.url) as runner:
    return runner.layers()
