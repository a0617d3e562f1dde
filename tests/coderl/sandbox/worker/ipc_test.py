"""A report can only change the values of the program that forged it."""

import pytest

from coderl.sandbox import sandbox

Program, Status = sandbox.Program, sandbox.Status
_LIMITS = sandbox.Limits(cpu_s=1.0, wall_s=1.5, memory_mb=256)


@pytest.fixture(scope='module')
def runner():
  with sandbox.Sandbox(_LIMITS, workers=1) as runner:
    yield runner


def _run(runner, source, **kwargs):
  return runner.run([Program(source, **kwargs)])[0]


_FORGED = 'import os\nos.pwrite(1000, {!r}.encode(), 0)\nos._exit({})'


def test_a_forged_report_changes_only_the_values_of_its_program(runner):
  # A report is trusted for the program's values. The status comes from the
  # kernel.
  called = _run(runner, _FORGED.format('{}\n5\n', 0), call='f()')
  assert (called.status, called.value) == (Status.FINISHED, '5')
  failed = _run(runner, _FORGED.format('{"error": ""}\n5\n', 5), call='f()')
  assert failed.status is Status.RUNTIME_ERROR
  trace = '{}\n\nvariable\t\tx\t1\t1\tTrue\nevent\t1\tx\t1\n'
  traced = _run(runner, _FORGED.format(trace, 0), trace=True)
  assert traced.variables == (sandbox.Variable('', 'x', '1', 1),)
  large = 'import resource\nresource.setrlimit(1, (1 << 22, 1 << 22))\n'
  large += _FORGED.replace('{!r}', '("{{}}\\n" + "1" * (3 << 20))').format(0)
  assert _run(runner, large, call='f()').value is None
  # A value and a trace that were not requested are ignored.
  plain = _run(runner, _FORGED.format(trace.replace('\n\n', '\n5\n'), 0))
  assert plain.value is None
  assert plain.variables == plain.trajectory == ()


@pytest.mark.parametrize(
  'report',
  [
    '[]\n',
    '[' * 10**5,
    '{"error": {"a": [1]}}\n\nvariable\n',
    '{}\n\nvariable\t\tx\t1\tone\tTrue\nevent\t-1\tx\t1\n',
    '{}\n\nvariable\t\tx\t1\t1\nevent\t1\tx\t1\t1\n',
    '{}\n\nother\t\tx\t1\t1\tTrue\n',
  ],
  ids=lambda report: report[:40],
)
def test_a_malformed_report_is_ignored(runner, report):
  execution = _run(runner, _FORGED.format(report, 0), trace=True)
  assert execution.status is Status.FINISHED
  assert execution.variables == execution.trajectory == ()
