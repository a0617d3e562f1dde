"""A service of SandboxFusion's form: its statuses, its faults, its silence."""

import subprocess
import sys
import time

import pytest

from coderl.sandbox import api, sandbox
from coderl.sandbox.service import remote
from commons import errors

Program, Status = api.Program, api.Status


def _fusion(path, request):
  """As the service without isolation does it, on this host's Python."""
  if path != '/run_code':
    return 404, {}, {'detail': 'Not Found'}
  try:
    ran = subprocess.run(
      [sys.executable, '-c', request['code']],
      input=request['stdin'].encode(),
      capture_output=True,
      timeout=request['run_timeout'],
    )
  except subprocess.TimeoutExpired as late:
    out = (late.stdout or b'').decode()
    return 200, {}, _reply('Failed', status='TimeLimitExceeded', stdout=out)
  status = 'Failed' if ran.returncode else 'Success'
  return (
    200,
    {},
    _reply(
      status,
      return_code=ran.returncode,
      stdout=ran.stdout.decode(),
      stderr=ran.stderr.decode(),
    ),
  )


def _reply(outcome, **fields):
  run = {
    'status': 'Finished',
    'execution_time': 0.5,
    'return_code': None,
    'stdout': '',
    'stderr': '',
  }
  return {
    'status': outcome,
    'message': '',
    'compile_result': None,
    'run_result': run | fields,
    'executor_pod_name': None,
    'files': {},
  }


def _is_trial(request):
  """Whether it is the call by which the client tries the service out."""
  return 'print(1)' in request['code']


def _scripted(theirs, *answers):
  """A service that gives these after the trial; the last one ever after."""
  left = list(answers)

  def answer(path, request):
    if _is_trial(request):
      return _fusion(path, request)
    return left.pop(0) if len(left) > 1 else left[0]

  return theirs(answer)


def test_programs_run_on_a_service_of_another_make(theirs):
  service = theirs(_fusion)
  with remote.Sandbox(f'{service.url}/run_code') as box:
    found = box.run(_PLAIN)
  with sandbox.Sandbox(workers=1) as here:
    expected = here.run(_PLAIN)
  for one, other in zip(expected, found, strict=True):
    assert (other.status, other.stdout) == (one.status, one.stdout)
    assert (other.value, other.error) == (one.value, one.error)


_PLAIN = [
  Program('print(int(input()) * 2)', '21'),
  Program('print(input())', 'é\u2028\ud800'),
  Program('x = "\ud800"'),
  Program('1 / 0'),
  Program('import os; os._exit(7)'),
  Program('bytearray(10**19)'),
  Program('def f(x):\n  print(x)\n  return [x, {2, 1}]', call='f("\ud800")'),
  Program('def f(x): return [x, {2, 1}, "\\ud800"]', call='f(3)'),
  Program('class Any:\n  def __eq__(s, o): return True', call='Any()'),
  Program('import atexit\natexit.register(print, 2)\nprint(1)', call='3'),
  Program('import sys\nsys.stdout = None', call='3'),
  Program('if __name__ == "__main__": x = 1\nelse: x = 2', call='x'),
  Program('def f(): raise KeyError(1)', call='f()'),
  Program('exit()', call='1'),
  Program('import os; os._exit(0)', call='1'),
  Program('value = source = 9', call='value'),
  Program('import os\nos.close(1)', call='3'),
]  # fmt: skip


def test_what_is_expected_does_not_travel(theirs):
  service = theirs(_fusion)
  with remote.Sandbox(service.url) as box:
    box.run([Program('def f(x): return x * 2', call='f(4321)')])
  sent = str(service.seen)
  assert '4321' in sent and '8642' not in sent
  assert {'files': {}, 'fetch_files': []}.items() <= service.seen[-1].items()


@pytest.mark.parametrize(
  ('program', 'what'),
  [
    (Program('', checker='', entry_point='f'), 'a checker'),
    (Program('', trace=True), 'a trace'),
  ],
)
def test_what_would_not_be_safe_there_is_not_sent(theirs, program, what):
  service = theirs(_fusion)
  with remote.Sandbox(service.url) as box:
    del service.seen[:]
    with pytest.raises(errors.UserError, match=f'{what}.*execution.serve'):
      box.run([Program('print(1)'), program])
  assert service.seen == []


_LATE = {'status': 'TimeLimitExceeded'}


@pytest.mark.parametrize(
  ('reply', 'status', 'error'),
  [
    (_reply('Success', return_code=0), Status.FINISHED, ''),
    (_reply('Failed', return_code=7), Status.RUNTIME_ERROR, 'exit status 7'),
    (_reply('Failed', return_code=-11), Status.RUNTIME_ERROR, 'killed by sig'),
    (
      _reply('Failed', return_code=1, stderr='Traceback\n  x\nKeyError: 1\n'),
      Status.RUNTIME_ERROR,
      'KeyError: 1',
    ),
    (
      _reply('Failed', return_code=1, stderr='Traceback\n  x\nMemoryError\n'),
      Status.MEMORY_LIMIT,
      'MemoryError',
    ),
    (_reply('Failed', **_LATE), Status.WALL_LIMIT, ''),
    # Killed for the time because nobody read what it printed.
    (
      _reply('Failed', **_LATE, stdout='x' * 196608),
      Status.SANDBOX_FAILURE,
      'the service read no more than 196608 bytes',
    ),
    (_reply('Failed', **_LATE, stdout='x' * 99), Status.WALL_LIMIT, ''),
    # Cut there: what is whole is not known.
    (
      _reply('Success', return_code=0, stdout='x' * 2**20),
      Status.OUTPUT_LIMIT,
      '',
    ),
    (
      _reply('Failed', run_result=None) | {'run_result': None, 'compile_result':
        {'status': 'Finished', 'return_code': 1, 'stderr': 'SyntaxError: x'}},
      Status.RUNTIME_ERROR,
      'SyntaxError: x',
    ),
  ],
)  # fmt: skip
def test_an_answer_of_another_make_has_its_status(theirs, reply, status, error):
  service = _scripted(theirs, (200, {}, reply))
  limits = api.Limits(output_kb=2048)
  with remote.Sandbox(service.url, limits) as box:
    execution = box.run([Program('', call='1')])[0]
  assert execution.status is status
  assert execution.error.startswith(error)
  assert execution.value is None  # An exit status of 0 alone says nothing.
  assert execution.wall_s in (0.0, 0.5)


def test_output_over_the_limit_is_cut_here(theirs):
  reply = _reply('Success', return_code=0, stdout='x' * 2000, stderr='e' * 9)
  service = _scripted(theirs, (200, {}, reply))
  with remote.Sandbox(service.url, api.Limits(output_kb=1)) as box:
    execution = box.run([Program('')])[0]
  assert execution.status is Status.OUTPUT_LIMIT
  assert (execution.stdout, execution.stderr) == ('x' * 1024, 'e' * 9)


_GOOD = (200, {}, _reply('Success', return_code=0, stdout='1\n'))
_DOWN = (503, {}, b'no backend')


_PASSING = [
  _DOWN,
  (500, {}, {'detail': 'oops'}),
  (429, {}, b''),
  (504, {}, b'<html>'),
  (200, {}, _reply('SandboxError')),
  (200, {}, _reply('Success', status='Error', stderr='no fork')),
]


def test_what_may_pass_is_asked_again(theirs):
  times = {str(i): [] for i in range(len(_PASSING))}

  def answer(path, request):
    if _is_trial(request):
      return _fusion(path, request)
    asked = times[request['code']]
    asked.append(time.monotonic())
    return _PASSING[int(request['code'])] if len(asked) < 3 else _GOOD

  with remote.Sandbox(theirs(answer).url, attempts=3) as box:
    found = box.run([Program(code) for code in times])
  assert {execution.stdout for execution in found} == {'1\n'}
  for first, second, third in times.values():
    assert 0.5 <= second - first < 1.5  # With its jitter.
    assert 1.0 <= third - second < 2.5
  assert len({round(asked[1] - asked[0], 2) for asked in times.values()}) > 1


@pytest.mark.parametrize(
  ('failure', 'message'),
  [
    (_DOWN, 'HTTP 503 no backend'),
    ((200, {}, _reply('SandboxError') | {'message': 'no fork'}), 'no fork'),
  ],
)
def test_what_does_not_pass_is_an_error_and_no_reward(theirs, failure, message):
  service = _scripted(theirs, failure)
  with remote.Sandbox(service.url, attempts=2) as box:
    with pytest.raises(remote.ServiceError, match=message) as caught:
      box.run([Program('')] * 2)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('answer', 'message'),
  [
    ((422, {}, {'detail': [{'msg': 'bad\nfield'}]}), r'422 .*bad\\nfield'),
    ((413, {}, b'too\n large'), 'HTTP 413 too large'),
    ((200, {}, b'<html>'), 'answers /run_code with not JSON'),
    ((200, {}, {'ok': 1}), 'with reply.status: None'),
    ((200, {}, {'status': 'Success'}), 'with reply.run_result: None'),
    (
      (200, {}, _reply('Success', return_code='0')),
      'return_code: must be a whole number',
    ),
  ],
)
def test_a_refusal_is_quoted_at_once(theirs, answer, message):
  service = _scripted(theirs, answer)
  with remote.Sandbox(service.url) as box:
    del service.seen[:]
    with pytest.raises(remote.ServiceError, match=message):
      box.run([Program('')])
  assert len(service.seen) == 1


def test_the_time_to_come_back_is_honoured(theirs):
  busy = (429, {'Retry-After': '1'}, b'')
  service = _scripted(theirs, busy, _GOOD)
  with remote.Sandbox(service.url, attempts=1) as box:
    began = time.monotonic()
    assert box.run([Program('')])[0].stdout == '1\n'
    assert 1.0 <= time.monotonic() - began < 3.0


def test_connections_are_kept_and_a_stale_one_is_no_failure(theirs):
  service = theirs(_fusion)
  with remote.Sandbox(service.url, attempts=1) as box:
    for i in range(3):
      assert box.run([Program(f'print({i})')])[0].stdout == f'{i}\n'
    assert len(service.connections) == 1
    service.hang_up()
    assert box.run([Program('print(3)')])[0].stdout == '3\n'
    assert len(service.connections) == 2


def test_what_is_neither_is_a_mistake(theirs):
  service = theirs(lambda path, request: (404, {}, {'detail': 'Not Found'}))
  message = r'404 Not Found; .* neither GET /v1/sandbox nor POST /run_code'
  with pytest.raises(errors.UserError, match=message):
    remote.Sandbox(service.url)


def test_a_service_whose_python_is_too_old_is_a_mistake(theirs):
  old = _reply('Failed', return_code=1, stderr='SyntaxError: invalid syntax')
  service = theirs(lambda path, request: (200, {}, old))
  with pytest.raises(errors.UserError, match=r"'SyntaxError: .*3\.10 or later"):
    remote.Sandbox(service.url)


def test_a_layer_that_it_does_not_tell_of_cannot_be_required(theirs):
  with pytest.raises(errors.UserError, match='layers required: seccomp'):
    remote.Sandbox(theirs(_fusion).url, require=['seccomp'])
