"""A SandboxFusion service is used, and its failures are retried or raised."""

import subprocess
import sys
import time

import pytest

from coderl.sandbox import api, sandbox
from coderl.sandbox.service import remote
from commons import errors

Program, Status = api.Program, api.Status


def _fusion(path, request):
  """Answers as the service does, with this host's Python and no isolation."""
  if path != '/run_code':
    return 404, {}, {'detail': 'Not Found'}
  try:
    process = subprocess.run(
      [sys.executable, '-c', request['code']],
      input=request['stdin'].encode(),
      capture_output=True,
      timeout=request['run_timeout'],
    )
  except subprocess.TimeoutExpired as timeout:
    out = (timeout.stdout or b'').decode()
    return 200, {}, _reply('Failed', status='TimeLimitExceeded', stdout=out)
  status = 'Failed' if process.returncode else 'Success'
  return (
    200,
    {},
    _reply(
      status,
      return_code=process.returncode,
      stdout=process.stdout.decode(),
      stderr=process.stderr.decode(),
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


def _is_check(request):
  """Returns whether it is the call by which the client checks the service."""
  return 'print(1)' in request['code']


def _with_answers(fake_service, *answers):
  """Starts a service that gives these answers in order, the last repeatedly.

  The client's check of the service is answered as by a real one.
  """
  left = list(answers)

  def answer(path, request):
    if _is_check(request):
      return _fusion(path, request)
    return left.pop(0) if len(left) > 1 else left[0]

  return fake_service(answer)


def test_programs_end_there_as_on_this_host(fake_service):
  service = fake_service(_fusion)
  with remote.Sandbox(f'{service.url}/run_code') as runner:
    remote_executions = runner.run(_PLAIN)
  with sandbox.Sandbox(workers=1) as here:
    local_executions = here.run(_PLAIN)
  for local, other in zip(local_executions, remote_executions, strict=True):
    assert (other.status, other.stdout) == (local.status, local.stdout)
    assert (other.value, other.error) == (local.value, local.error)


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


def test_expected_values_are_not_sent(fake_service):
  service = fake_service(_fusion)
  with remote.Sandbox(service.url) as runner:
    runner.run([Program('def f(x): return x * 2', call='f(4321)')])
  sent = str(service.requests)
  assert '4321' in sent and '8642' not in sent
  assert {'files': {}, 'fetch_files': []}.items() <= service.requests[
    -1
  ].items()


@pytest.mark.parametrize(
  ('program', 'feature'),
  [
    (Program('', checker='', entry_point='f'), 'a checker'),
    (Program('', trace=True), 'a trace'),
  ],
)
def test_checkers_and_traces_are_not_sent(fake_service, program, feature):
  service = fake_service(_fusion)
  with remote.Sandbox(service.url) as runner:
    del service.requests[:]
    with pytest.raises(errors.UserError, match=f'{feature}.*service.serve'):
      runner.run([Program('print(1)'), program])
  assert service.requests == []


_TIMED_OUT = {'status': 'TimeLimitExceeded'}


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
    (_reply('Failed', **_TIMED_OUT), Status.WALL_LIMIT, ''),
    # It was killed at the time limit because its output was not read.
    (
      _reply('Failed', **_TIMED_OUT, stdout='x' * 196608),
      Status.SANDBOX_FAILURE,
      'the service read no more than 196608 bytes',
    ),
    (_reply('Failed', **_TIMED_OUT, stdout='x' * 99), Status.WALL_LIMIT, ''),
    # The service truncated the output, so that its real size is unknown.
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
def test_each_reply_has_its_status(fake_service, reply, status, error):
  service = _with_answers(fake_service, (200, {}, reply))
  limits = api.Limits(output_kb=2048)
  with remote.Sandbox(service.url, limits) as runner:
    execution = runner.run([Program('', call='1')])[0]
  assert execution.status is status
  assert execution.error.startswith(error)
  assert execution.value is None  # Exit status 0 alone is no value.
  assert execution.wall_s in (0.0, 0.5)


def test_output_over_the_limit_is_truncated_here(fake_service):
  reply = _reply('Success', return_code=0, stdout='x' * 2000, stderr='e' * 9)
  service = _with_answers(fake_service, (200, {}, reply))
  with remote.Sandbox(service.url, api.Limits(output_kb=1)) as runner:
    execution = runner.run([Program('')])[0]
  assert execution.status is Status.OUTPUT_LIMIT
  assert (execution.stdout, execution.stderr) == ('x' * 1024, 'e' * 9)


_GOOD = (200, {}, _reply('Success', return_code=0, stdout='1\n'))
_DOWN = (503, {}, b'no backend')


_TEMPORARY = [
  _DOWN,
  (500, {}, {'detail': 'oops'}),
  (429, {}, b''),
  (504, {}, b'<html>'),
  (200, {}, _reply('SandboxError')),
  (200, {}, _reply('Success', status='Error', stderr='no fork')),
]


def test_temporary_failures_are_retried_after_growing_waits(fake_service):
  times = {str(i): [] for i in range(len(_TEMPORARY))}

  def answer(path, request):
    if _is_check(request):
      return _fusion(path, request)
    attempts = times[request['code']]
    attempts.append(time.monotonic())
    return _TEMPORARY[int(request['code'])] if len(attempts) < 3 else _GOOD

  with remote.Sandbox(fake_service(answer).url, attempts=3) as runner:
    executions = runner.run([Program(code) for code in times])
  assert {execution.stdout for execution in executions} == {'1\n'}
  for first, second, third in times.values():
    assert 0.5 <= second - first < 1.5  # The waits have a random factor.
    assert 1.0 <= third - second < 2.5
  first_waits = {
    round(second - first, 2) for first, second, _ in times.values()
  }
  assert len(first_waits) > 1


@pytest.mark.parametrize(
  ('failure', 'message'),
  [
    (_DOWN, 'HTTP 503 no backend'),
    ((200, {}, _reply('SandboxError') | {'message': 'no fork'}), 'no fork'),
  ],
)
def test_a_lasting_failure_is_an_error(fake_service, failure, message):
  service = _with_answers(fake_service, failure)
  with remote.Sandbox(service.url, attempts=2) as runner:
    with pytest.raises(remote.ServiceError, match=message) as caught:
      runner.run([Program('')] * 2)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('answer', 'message'),
  [
    ((422, {}, {'detail': [{'msg': 'bad\nfield'}]}), r'422 .*bad\\nfield'),
    ((413, {}, b'too\n large'), 'HTTP 413 too large'),
    ((200, {}, b'<html>'), 'wrong answer to /run_code: not JSON'),
    ((200, {}, {'ok': 1}), ': reply.status: None'),
    ((200, {}, {'status': 'Success'}), ': reply.run_result: None'),
    (
      (200, {}, _reply('Success', return_code='0')),
      'return_code: must be a whole number',
    ),
  ],
)
def test_a_refusal_is_raised_without_a_retry(fake_service, answer, message):
  service = _with_answers(fake_service, answer)
  with remote.Sandbox(service.url) as runner:
    del service.requests[:]
    with pytest.raises(remote.ServiceError, match=message):
      runner.run([Program('')])
  assert len(service.requests) == 1


def test_the_client_waits_as_long_as_the_service_asks(fake_service):
  busy = (429, {'Retry-After': '1'}, b'')
  service = _with_answers(fake_service, busy, _GOOD)
  with remote.Sandbox(service.url, attempts=1) as runner:
    start_s = time.monotonic()
    assert runner.run([Program('')])[0].stdout == '1\n'
    assert 1.0 <= time.monotonic() - start_s < 3.0


def test_connections_are_reused_and_a_stale_one_is_replaced(fake_service):
  service = fake_service(_fusion)
  with remote.Sandbox(service.url, attempts=1) as runner:
    for i in range(3):
      assert runner.run([Program(f'print({i})')])[0].stdout == f'{i}\n'
    assert len(service.connections) == 1
    service.hang_up()
    assert runner.run([Program('print(3)')])[0].stdout == '3\n'
    assert len(service.connections) == 2


def test_an_address_of_neither_service_is_a_user_error(fake_service):
  service = fake_service(
    lambda path, request: (404, {}, {'detail': 'Not Found'})
  )
  message = r'404 Not Found; .* neither GET /v1/sandbox nor POST /run_code'
  with pytest.raises(errors.UserError, match=message):
    remote.Sandbox(service.url)


def test_a_service_with_an_old_python_is_a_user_error(fake_service):
  old = _reply('Failed', return_code=1, stderr='SyntaxError: invalid syntax')
  service = fake_service(lambda path, request: (200, {}, old))
  with pytest.raises(errors.UserError, match=r"'SyntaxError: .*3\.10 or later"):
    remote.Sandbox(service.url)


def test_a_layer_that_it_does_not_report_cannot_be_required(fake_service):
  with pytest.raises(
    errors.UserError, match='required sandbox layers: seccomp'
  ):
    remote.Sandbox(fake_service(_fusion).url, require=['seccomp'])
