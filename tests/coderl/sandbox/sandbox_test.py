"""Programs end with the right status, and leave nothing behind."""

import asyncio
from concurrent import futures
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from coderl.sandbox import sandbox

Program, Status = sandbox.Program, sandbox.Status
_LIMITS = sandbox.Limits(
  cpu_s=1.0,
  wall_s=1.5,
  memory_mb=256,
  output_kb=64,
  file_kb=64,
  processes=4,
  threads=8,
)


@pytest.fixture(scope='module')
def runner():
  with sandbox.Sandbox(_LIMITS, workers=2) as runner:
    yield runner


def _run(runner, source, **kwargs):
  return runner.run([Program(source, **kwargs)])[0]


@pytest.mark.parametrize(
  ('source', 'stdin', 'stdout'),
  [
    ('print(int(input()) * 2)', '21', '42\n'),
    ('import sys\nfor x in sys.stdin: print(x, end="")', 'a\nb\n', 'a\nb\n'),
    ('import sys\nprint(len(sys.stdin.buffer.readline()))', 'é\n', '3\n'),
    ('print(len(open(0).read()))', 'x' * 10**6, '1000000\n'),
    ('import os\nos.write(1, os.read(0, 9))', 'abc', 'abc'),
    ('import sys\nsys.stdout.buffer.write(b"\\xff")', '', '�'),
    ('out = open(1, "w")\nout.write("late")', '', 'late'),
    ('import atexit\natexit.register(print, "bye")', '', 'bye\n'),
    ('import sys\nprint(1)\nsys.exit(0)', '', '1\n'),
    ('print(1)\nexit()', '', '1\n'),
    ('import os\nprint(1, flush=True)\nos._exit(0)', '', '1\n'),
    ('if __name__ == "__main__": print(__name__)', '', '__main__\n'),
    ('print(len(str(10**5000)))', '', '5001\n'),
    ('import os\nprint(os.environ, os.listdir())', '', 'environ({}) []\n'),
    (
      'import sys\nsys.setrecursionlimit(10**6)\n'
      'def f(n): return n and 1 + f(n - 1)\nprint(f(50000))',
      '',
      '50000\n',
    ),
    (
      'import threading\nthreading.stack_size(2**26)\n'
      't = threading.Thread(target=print, args=(1,))\nt.start()',
      '',
      '1\n',
    ),
    ('import os\nos.closerange(3, 256)\nprint(1)', '', '1\n'),
    ('open("f", "w").write("x")\nprint(open("f").read())', '', 'x\n'),
  ],
)  # fmt: skip
def test_honest_programs_finish(runner, source, stdin, stdout):
  execution = _run(runner, source, stdin=stdin)
  assert execution.error == ''
  assert execution.status is Status.FINISHED
  assert execution.stdout == stdout


@pytest.mark.parametrize(
  ('source', 'status', 'error'),
  [
    ('1 / 0', Status.RUNTIME_ERROR, 'ZeroDivisionError: division by zero'),
    ('input()', Status.RUNTIME_ERROR, 'EOFError: EOF when reading a line'),
    ('import sys; sys.exit(3)', Status.RUNTIME_ERROR, 'SystemExit: 3'),
    ('import os; os._exit(7)', Status.RUNTIME_ERROR, 'exit status 7'),
    ('import os; os._exit(113)', Status.RUNTIME_ERROR, 'exit status 113'),
    ('x = (', Status.RUNTIME_ERROR, 'SyntaxError: '),
    ('x = "\0"', Status.RUNTIME_ERROR, ''),
    ('x = "\ud800"', Status.RUNTIME_ERROR, 'UnicodeEncodeError: '),
    ('(' * 10000 + ')' * 10000, Status.RUNTIME_ERROR, ''),
    ('-' * 10**6 + '1', Status.RUNTIME_ERROR, ''),
    ('import ctypes; ctypes.string_at(0)', Status.RUNTIME_ERROR, 'killed by'),
    ('import time; time.sleep(60)', Status.WALL_LIMIT, ''),
    (
      'import signal\nfor s in range(1, 32):\n  try: signal.signal(s, 1)\n'
      '  except OSError: pass\nwhile True:\n  try:\n    while True: pass\n'
      '  except BaseException: pass',
      Status.CPU_LIMIT,
      '',
    ),
    ('bytearray(10**10)', Status.MEMORY_LIMIT, 'MemoryError'),
    ('x = []\nwhile True: x.append(bytes(10**6))', Status.MEMORY_LIMIT, ''),
    ('while True: print("x" * 99)', Status.OUTPUT_LIMIT, ''),
    (
      'import sys\nwhile True: sys.stderr.write("x" * 99)',
      Status.OUTPUT_LIMIT,
      '',
    ),
    (
      'import os\nfor _ in range(9):\n  try: os.write(1, bytes(10**5))\n'
      '  except OSError: pass',
      Status.OUTPUT_LIMIT,
      '',
    ),
    ('open("/x", "w")', Status.RUNTIME_ERROR, 'OSError: '),
    ('open("x", "w").write("x" * 10**5)', Status.FILE_LIMIT, 'OSError: '),
    (
      'import threading, time\nfor _ in range(50):\n'
      '  threading.Thread(target=time.sleep, args=(1,), daemon=True).start()',
      Status.THREAD_LIMIT,
      'RuntimeError: ',
    ),
  ],
)
def test_each_failure_has_its_status(runner, source, status, error):
  execution = _run(runner, source)
  assert execution.status is status
  assert execution.error.startswith(error)
  assert len(execution.stdout) <= _LIMITS.output_kb * 1024


_LOOP = 'while True: pass'
# Shares every processor with its own child processes.
_STARVED = (
  'import os\nfor _ in range(12 * os.cpu_count()):\n'
  '  if os.fork() == 0: break\n'
)


@pytest.mark.parametrize('cpu_s', [0.3, 1.0])
def test_a_loop_ends_after_its_cpu_limit_and_is_not_retried(cpu_s):
  limits = sandbox.Limits(cpu_s=cpu_s, wall_s=60.0)
  with sandbox.Sandbox(limits, workers=1) as runner:
    execution = _run(runner, _LOOP)
  assert execution.status is Status.CPU_LIMIT
  assert execution.cpu_s == pytest.approx(cpu_s, abs=0.2)
  assert execution.wall_s < 30 * cpu_s


@pytest.mark.parametrize(
  ('source', 'factor'),
  [('import time; time.sleep(60)', 1), (_LOOP, 1), (_STARVED + _LOOP, 2)],
)
def test_wall_time_doubles_only_without_a_processor(source, factor):
  # A loaded machine shares its processors evenly only over a longer time.
  wall_s = 1.5
  forks = 12 * os.cpu_count()
  limits = sandbox.Limits(cpu_s=60.0, wall_s=wall_s, processes=forks)
  with sandbox.Sandbox(limits, workers=1) as runner:
    execution = _run(runner, source)
  assert execution.status is Status.WALL_LIMIT
  assert factor * wall_s <= execution.wall_s < 2 * wall_s + 0.4
  if 'sleep' in source:
    assert execution.wall_s < wall_s + 0.4


def test_output_up_to_the_limit_is_complete():
  limits = sandbox.Limits(output_kb=1024)
  with sandbox.Sandbox(limits, workers=1) as runner:
    execution = _run(runner, 'print("x" * (2**20 - 2) + "y", end="")')
  assert execution.status is Status.FINISHED
  assert len(execution.stdout) == 2**20 - 1
  assert execution.stdout[-1] == 'y'


def test_a_program_cannot_reach_files_and_network_of_the_host(runner, tmp_path):
  if any(runner.layers().values()):
    pytest.skip(f'namespaces refused: {runner.layers()}')
  secret = tmp_path / 'expected.txt'
  secret.write_text('42')
  tmp_path.chmod(0o755)
  assert _run(runner, f'print(open({str(secret)!r}).read())').stdout == ''
  assert _run(runner, 'open("/etc/passwd")').status is Status.RUNTIME_ERROR
  code = 'import socket\nsocket.create_connection(("127.0.0.1", {}))'
  refused = _run(runner, code.format(_listen()))
  assert refused.error.startswith('PermissionError')


def _listen():
  server = socket.create_server(('127.0.0.1', 0))
  threading.Thread(target=server.accept, daemon=True).start()
  return server.getsockname()[1]


def test_a_fork_bomb_is_limited_and_does_not_harm_the_worker(runner):
  bomb = 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'
  assert _run(runner, bomb).status is not Status.FINISHED
  assert _run(runner, 'print(1)').stdout == '1\n'


def test_a_program_cannot_kill_its_worker(runner):
  source = (
    'import os, signal\nfor pid in (os.getppid(), 0, 1, -1):\n'
    '  try: os.kill(pid, signal.SIGKILL)\n  except OSError: pass\n'
    'print("alive")'
  )
  execution = _run(runner, source)
  assert (execution.status, execution.stdout) == (Status.FINISHED, 'alive\n')


def test_daemons_end_with_the_run(runner):
  source = (
    'import os, time\nif os.fork() == 0:\n  os.setsid()\n'
    '  if os.fork() == 0:\n    while True: time.sleep(0.01)\n'
    '  os._exit(0)\nprint(1)'
  )
  before = _processes()
  execution = _run(runner, source)
  assert (execution.status, execution.stdout) == (Status.FINISHED, '1\n')
  assert _processes() <= before


def _processes():
  return _processes_under(os.getpid())


def _processes_under(root):
  """Returns a process and its descendants."""
  parents = {}
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    try:
      fields = path.read_text().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
      continue
    parents[int(path.parent.name)] = int(fields[1])
  pids = {root}
  for _ in range(8):
    pids |= {pid for pid, parent in parents.items() if parent in pids}
  return pids


def test_a_program_sees_nothing_of_the_previous_program(runner):
  leave = 'import builtins\nbuiltins.x = 1\nopen("left", "w").write("x")'
  look = 'import os\nprint(os.listdir(), "x" in dir(__builtins__))'
  runner.run([Program(leave)] * 4)
  assert {e.stdout for e in runner.run([Program(look)] * 4)} == {'[] False\n'}


def test_a_changed_scratch_directory_is_replaced():
  # The program ends later than its change by more than the error of a coarse
  # clock.
  touch = (
    'import os, time\nos.mkdir("x")\nos.rmdir("x")\ntime.sleep(0.05)\n'
    'print(time.time_ns() - 20_000_000)'
  )
  look = 'import os\nprint(os.stat(".").st_mtime_ns)'
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    if runner.layers()['mount']:
      pytest.skip(f'no scratch directory: {runner.layers()["mount"]}')
    change_ns, seen_ns = (
      int(_run(runner, source).stdout) for source in (touch, look)
    )
  # Even the times of an empty directory would reveal the previous program.
  assert change_ns < seen_ns


def test_a_program_forks_like_any_interpreter(runner):
  source = (
    'import os, random, threading\n'
    't = threading.Thread(target=threading.Event().wait, daemon=True)\n'
    't.start()\nr, w = os.pipe()\nif os.fork() == 0:\n'
    '  state = random.random(), threading.active_count()\n'
    '  os.write(w, repr(state).encode())\n  os._exit(0)\n'
    'number, threads = eval(os.read(r, 99))\n'
    'print(number != random.random(), threads, threading.active_count())\n'
  )
  assert _run(runner, source).stdout == 'True 1 2\n'


def test_runs_from_asyncio(runner):
  async def run():
    batches = [[Program(f'print({n})')] for n in range(4)]
    results = await asyncio.gather(
      *(asyncio.to_thread(runner.run, batch) for batch in batches)
    )
    return [executions[0].stdout for executions in results]

  assert asyncio.run(run()) == [f'{n}\n' for n in range(4)]


def test_kernel_memory_of_a_program_does_not_kill_the_worker():
  # The memory of sockets counts for no process when the kernel chooses which
  # one to kill.
  hoard = (
    'import os, socket\nfor _ in range(6): os.fork()\nkept = []\n'
    'while True:\n  kept += socket.socketpair()\n'
    '  kept[-1].setblocking(False)\n'
    '  try:\n    while True: kept[-1].send(bytes(1 << 16))\n'
    '  except BlockingIOError: pass\n'
  )
  limits = sandbox.Limits(memory_mb=64, processes=70, cpu_s=4.0, wall_s=4.0)
  with sandbox.Sandbox(limits, workers=1) as runner:
    if runner.layers()['cgroup']:
      pytest.skip(f'no control group: {runner.layers()["cgroup"]}')
    before = _processes()
    for _ in range(4):
      status = _run(runner, hoard).status
      assert status in (Status.MEMORY_LIMIT, Status.RUNTIME_ERROR)
    assert _processes() == before


def test_a_closed_sandbox_runs_nothing():
  runner = sandbox.Sandbox(workers=1)
  runner.close()
  with pytest.raises(RuntimeError, match='the sandbox is closed'):
    runner.run([Program('print(1)')])


def test_results_come_in_the_order_of_programs_from_any_thread(runner):
  def numbers(start):
    programs = [
      Program(f'import time; time.sleep({i % 3} / 50); print({start + i})')
      for i in range(12)
    ]
    return [int(execution.stdout) for execution in runner.run(programs)]

  with futures.ThreadPoolExecutor(3) as pool:
    outputs = list(pool.map(numbers, (0, 100, 200)))
  assert outputs == [list(range(s, s + 12)) for s in (0, 100, 200)]
  assert runner.run([]) == []


@pytest.mark.parametrize(
  ('source', 'call', 'value'),
  [
    ('def f(x): return [x, {2, 1}, None]', 'f(3)', '[3, {1, 2}, None]'),
    ('def f(): return float("nan"), b"x"', 'f()', "(nan, b'x')"),
    ('f = range\nif __name__ == "__main__": f = None', 'f(3)', 'range(0, 3)'),
    (
      'class Any:\n  def __eq__(s, o): return True\n'
      '  def __repr__(s): return "3"',
      'Any()',
      '<Any>',
    ),
    ('class Any(int):\n  def __repr__(s): return "3"', 'Any(4)', '<Any>'),
  ],
)
def test_values_of_calls_are_canonical_text(runner, source, call, value):
  execution = _run(runner, source, call=call)
  assert (execution.status, execution.value) == (Status.FINISHED, value)


def test_a_failed_call_has_no_value(runner):
  execution = _run(runner, 'def f(): raise KeyError(1)', call='f()')
  assert execution.status is Status.RUNTIME_ERROR
  assert execution.value is None
  assert _run(runner, 'exit()', call='f()').value is None


def test_a_traced_run_gives_the_same_output(runner):
  source = 'x = int(input())\nprint(x)\ny = [x]\ny.append(2)\nraise KeyError'
  plain, traced = runner.run(
    [Program(source, '7'), Program(source, '7', trace=True)]
  )
  assert plain.variables == plain.trajectory == ()
  assert (plain.status, plain.stdout) == (traced.status, traced.stdout)
  assert traced.variables == (
    sandbox.Variable('', 'x', '7', 1),
    sandbox.Variable('', 'y', '[7, 2]', 4),
  )
  assert traced.trajectory == (
    sandbox.Event(1, 'x', '7'),
    sandbox.Event(3, 'y', '[7]'),
    sandbox.Event(4, 'y', '[7, 2]'),
  )


def test_a_call_is_traced(runner):
  source = 'def f(x):\n  y = x * 2\n  return y'
  execution = _run(runner, source, call='f(3)', trace=True)
  assert execution.value == '6'
  assert execution.variables == (
    sandbox.Variable('f', 'x', '3', 1),
    sandbox.Variable('f', 'y', '6', 2),
  )


def test_a_dead_worker_is_replaced_and_its_program_run_again():
  before = _children()
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    (first,) = _children() - before
    with futures.ThreadPoolExecutor(1) as pool:
      slow = Program('import time; time.sleep(0.5); print(input())', 'right')
      result = pool.submit(runner.run, [slow] * 2)
      time.sleep(0.2)
      os.kill(first, signal.SIGKILL)
      executions = result.result()
    assert {e.stdout for e in executions} == {'right\n'}
    assert {e.status for e in executions} == {Status.FINISHED}


def _children():
  paths = pathlib.Path('/proc/self/task').glob('*/children')
  return {int(pid) for path in paths for pid in path.read_text().split()}


def test_a_program_whose_worker_dies_twice_is_a_sandbox_failure():
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    asleep = Program('import time; time.sleep(1)')
    with futures.ThreadPoolExecutor(1) as pool:
      result = pool.submit(runner.run, [asleep])
      while not result.done():
        time.sleep(0.2)
        # Only workers are killed. If the program were killed, its worker would
        # report how it ended.
        _kill(_children())
    assert result.result()[0].status is Status.SANDBOX_FAILURE
    assert _run(runner, 'print(1)').stdout == '1\n'


def _kill(pids):
  for pid in pids:
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, signal.SIGKILL)


def test_closing_leaves_no_process():
  before = _processes()
  with sandbox.Sandbox(_LIMITS, workers=2) as runner:
    assert len(_processes() - before) >= 2
    runner.run([Program('print(1)')] * 4)
  assert _processes() <= before


def test_workers_die_with_a_killed_process():
  source = (
    'import sys, time\nfrom coderl.sandbox import sandbox\n'
    'runner = sandbox.Sandbox(workers=1)\nprint("ready", flush=True)\n'
    'runner.run([sandbox.Program("import time; time.sleep(60)")])'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', source],
    stdout=subprocess.PIPE,
    cwd=pathlib.Path(sandbox.__file__).parents[2],
  )
  process.stdout.readline()
  time.sleep(0.2)
  workers = _processes_under(process.pid) - {process.pid}
  assert workers
  process.kill()
  process.communicate()
  deadline = time.monotonic() + 5
  while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert not any(_alive(pid) for pid in workers)


def _alive(pid):
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  return state.rpartition(')')[2].split()[0] != 'Z'


def test_workers_must_be_a_positive_number():
  with pytest.raises(ValueError, match='workers=-1'):
    sandbox.Sandbox(workers=-1)
