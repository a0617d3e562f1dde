"""A run in a shared process ends as it would in a process of its own."""

import pytest

from coderl.sandbox import sandbox

Program, Status = sandbox.Program, sandbox.Status
_LIMITS = sandbox.Limits(
  cpu_s=0.5, wall_s=1.0, memory_mb=256, output_kb=64, file_kb=64, processes=8
)
_INPUTS = ('3\n4\n5\n', '0\n', '', '7\nrest\n', '3\n4\n5\n', '2\n1\n')
# The output would show if a later run found what an earlier one has left.
_COUNT = 'n = getattr({0}, "left", 0)\n{0}.left = n + 1\nprint(n, {0}.left)\n'
_PROGRAMS = {
  'plain': 'print(sum(int(input()) for _ in range(2)))',
  'globals': 'print("x" in globals(), __name__)\nx = input()',
  'main module': 'import sys\nprint(dir(sys.modules["__main__"]))\nx = 1',
  'builtins': 'import builtins\n' + _COUNT.format('builtins'),
  'print': 'import builtins\np = print\nbuiltins.print = lambda x: p(x, 1)\n'
  'print(len(open(0).read()))',
  'module': 'import math\n' + _COUNT.format('math'),
  'named late': 'm = __import__("heapq")\n' + _COUNT.format('m'),
  'class': 'import collections\n' + _COUNT.format('collections.Counter'),
  'imported': 'import statistics\n' + _COUNT.format('statistics'),
  'exit': 'import sys\nprint(1)\nsys.exit(int(input()) - 3)',
  'os exit': 'import os\nprint(1, flush=True)\nos._exit(int(input()))',
  'half read': 'import sys\nprint(sys.stdin.readline(), end="")',
  'end of file': 'try:\n  while True: print(input(), end="")\n'
  'except EOFError: print("end")',
  'random': 'import random\nrandom.shuffle(x := list(range(9)))\nprint(x)\n'
  'random.seed(int(input()))',
  'recursion': 'import sys\nprint(sys.getrecursionlimit())\n'
  'sys.setrecursionlimit(5000 + int(input()))',
  'thread': 'import threading\nthreading.stack_size(2**26)\n'
  'threading.Thread(target=lambda: print(input())).start()',
  'daemon': 'import threading, time\ntarget = lambda: time.sleep(9)\n'
  'threading.Thread(target=target, daemon=True).start()\n'
  'print(threading.active_count())',
  'pool': 'from concurrent import futures\n'
  'print(*futures.ThreadPoolExecutor(2).map(abs, [int(input())]))',
  'files': 'import os\nprint(os.listdir())\nopen("f", "w").write("x")',
  'open files': 'import os\nf = [os.dup(0) for _ in range(20)]\nprint(f)',
  'closed': 'import os\nprint(input(), flush=True)\nos.close(1)',
  'all closed': 'import os\nprint(input(), flush=True)\n'
  'os.closerange(0, 5000)',
  'stdin': 'import io, sys\nsys.stdin = io.StringIO(open(0).read() + "9")\n'
  'print(input())',
  'stdout': 'import io, sys\nout, sys.stdout = sys.stdout, io.StringIO()\n'
  'print(1)\nout.write(sys.stdout.getvalue() + input())',
  'atexit': 'import atexit\natexit.register(print, "bye")\nprint(input())',
  'garbage': 'class A:\n  def __del__(s): print("gone")\n'
  'a = A()\na.a = a\nprint(input())',
  'signal': 'import signal\nprint(signal.getsignal(signal.SIGUSR1))\n'
  'signal.signal(signal.SIGUSR1, print)\nsignal.setitimer(0, 0.2)',
  'collector': 'import gc\nprint(gc.isenabled(), gc.get_threshold())\n'
  'gc.disable()\ngc.set_threshold(9)',
  'decimals': 'import decimal\nprint(decimal.getcontext().prec)\n'
  'decimal.getcontext().prec = 50',
  'path': 'import os, sys\nprint(sys.path[0], os.getcwd(), os.environ)\n'
  'sys.path.insert(0, "x")\nos.environ["A"] = "1"\nos.chdir("/")',
  'trace': 'import sys\nprint(sys.gettrace())\n'
  'sys.settrace(lambda *a: None)',
  'child': 'import os\nif not os.fork():\n'
  '  import time; time.sleep(0.2); print("late")\n  os._exit(0)\n'
  'print(input())',
  'crash': 'import ctypes\nprint(1, flush=True)\n'
  'int(input()) or ctypes.string_at(0)',
  'limits': 'n = int(input())\nprint(n)\nif n == 0: bytearray(10**10)\n'
  'while n == 7: print("x" * 99)',
  'memory': 'import math\nprint(len(bytearray(150 * 2**20)))',
  'syntax': 'x = (',
  'streams': 'import sys\nfor f in sys.stdin, sys.stdout, sys.stderr:\n'
  '  print(f.name, f.mode, f.encoding, f.errors, f.line_buffering)',
}  # fmt: skip


_CALLED = {
  'plain': 'def f(x): return [x, {x: None}]',
  'state': 'seen = []\ndef f(x):\n  seen.append(x)\n  return seen',
  'builtins': 'import builtins\ndef f(x):\n  n = getattr(builtins, "n", 0)\n'
  '  builtins.n = n + 1\n  return n',
  'module name': 'n = __name__\ndef f(x): return n',
  'raises': 'def f(x):\n  if x == 2: raise KeyError(x)\n  return x',
  'exits': 'import os\ndef f(x):\n  if x == 2: os._exit(0)\n  return x',
  'ends': 'def f(x):\n  if x == 2: exit()\n  return x',
  'prints': 'def f(x): print(x)',
  'long': 'def f(x): return "ab" * 50_000',
  'too long': 'def f(x): return "ab" * (10 ** 6 * x)',
  'opaque': 'class A: pass\ndef f(x): return A() if x else 0',
  'loops': 'def f(x):\n  while x == 2: pass\n  return x',
  'undefined': 'g = 1',
  'forges': 'import os\ndef f(x):\n  try: os.pwrite(1000, b"{}\\n", 0)\n'
  '  except OSError: pass\n  return x',
}


@pytest.fixture(scope='module')
def runner():
  # With one worker, all inputs are in one batch.
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    yield runner


def _result(execution):
  e = execution
  return e.status, e.stdout, e.error, e.value


@pytest.mark.parametrize('name', _PROGRAMS)
def test_inputs_in_sequence_end_as_alone(runner, name):
  programs = [Program(_PROGRAMS[name], stdin) for stdin in _INPUTS]
  alone = [_result(runner.run([program])[0]) for program in programs]
  assert [*map(_result, runner.run(programs))] == alone


@pytest.mark.parametrize('name', _CALLED)
def test_calls_in_sequence_end_as_alone(runner, name):
  programs = [Program(_CALLED[name], call=f'f({x})') for x in (0, 1, 2, 3, 1)]
  programs.append(Program(_CALLED[name], '7', call='(f(4), input())'))
  programs.append(Program(_CALLED[name], call='f(syntax error'))
  alone = [_result(runner.run([program])[0]) for program in programs]
  assert [*map(_result, runner.run(programs))] == alone


def test_each_input_has_its_own_time_in_a_shared_process(runner):
  source = 'import os, time\nend = time.time() + float(input())\n'
  pid = source + 'while time.time() < end: pass\nprint(id(os), os.times()[0])'
  programs = [Program(pid.replace('os.times()[0]', '0'), '0.3\n')] * 4
  executions = runner.run(programs)
  assert {e.status for e in executions} == {Status.FINISHED}
  assert all(0.05 < e.cpu_s < 0.45 and e.wall_s >= 0.3 for e in executions)


def test_a_timeout_does_not_affect_other_inputs(runner):
  source = 'n = int(input())\nwhile n == 1: pass\nprint(n)'
  executions = runner.run([Program(source, str(n)) for n in (0, 1, 2, 1, 3)])
  assert [e.stdout for e in executions] == ['0\n', '', '2\n', '', '3\n']
  assert [e.status is Status.CPU_LIMIT for e in executions] == [
    False, True, False, True, False
  ]  # fmt: skip


def test_later_inputs_cost_less_than_a_fork(runner):
  source = 'import os\nprint(os.stat("/tmp").st_ino, input())'
  printed = runner.run([Program(source, str(n)) for n in range(16)])
  assert [e.stdout.split()[1] for e in printed] == [str(n) for n in range(16)]
  _assert_cheaper(printed)
  call = 'import os\ndef f(x): return x'
  called = runner.run([Program(call, call=f'f({n})') for n in range(16)])
  assert [e.value for e in called] == [str(n) for n in range(16)]
  _assert_cheaper(called)


def _assert_cheaper(executions):
  # The first run contains the fork of the process.
  first, *others = [e.cpu_s for e in executions]
  assert sorted(others)[len(others) // 2] < first


def test_an_output_is_final_when_the_next_input_arrives(runner):
  source = (
    'import os\n'
    'n = int(input())\nprint(n, flush=True)\n'
    'try: os.pwrite(900, b"forged", 0)\n'
    'except OSError: pass\n'
    'try: os.dup2(1, 60)\nexcept OSError: pass\n'
  )
  executions = runner.run([Program(source, str(n)) for n in range(4)])
  assert [e.stdout for e in executions] == [f'{n}\n' for n in range(4)]


def test_executions_of_mixed_sources_keep_the_order(runner):
  programs = [
    Program(f'print(input(), {n % 3})', str(n), call='1' if n == 7 else None)
    for n in range(40)
  ]
  executions = runner.run(programs)
  assert [e.stdout for e in executions] == [f'{n} {n % 3}\n' for n in range(40)]
  assert executions[7].value == '1'
