"""The protocol of SandboxFusion (POST /run_code), as client and as server.

A client uses `encode_request` and `decode_reply`; a server uses
`decode_request` and `encode_reply`.

In SandboxFusion one process runs the program and all other code that is sent,
and the answer is what it printed and its exit status. Therefore:

- The value of a call is printed between two copies of a random delimiter.
- Checkers and traces are not sent, because the program could manipulate them.
- The service enforces the wall time and the memory. The limit on output is
  applied here. The other limits are not enforced.
"""

import dataclasses
import functools
import inspect
import re
import reprlib

from coderl.sandbox import api
from coderl.sandbox.service import client, protocol
from coderl.sandbox.tracing import tracer, values
from commons import errors

RUN_PATH, PING_PATH, PONG = '/run_code', '/v1/ping', 'pong'
LANGUAGES = ('python',)

_Status = api.Status
_EXCEPTION_LINE = re.compile(r'[A-Za-z_][\w.]*(: .*)?')
# The service truncates an output at this size.
_SERVICE_OUTPUT_BYTES = 1 << 20
# Some versions do not read the output while a program runs. The program then
# stops when a buffer and a pipe are full, and is killed at the time limit.
_STALLED_BYTES = range(2 * (1 << 16) + 1, 3 * (1 << 16) + 1)
_FINISHED, _TIMED_OUT = 'Finished', 'TimeLimitExceeded'

# As in child.py, the program is a module. The value is written to what was
# standard output at the start, whatever the program has done to it since.
_CALL = """\
import os, sys, types
output = os.dup(1)
values = types.ModuleType('values')
exec({values!a}, values.__dict__)
sys.modules['program'] = program = types.ModuleType('program')
exec(
  compile({source!a}, {name!r}, 'exec', dont_inherit=True), program.__dict__
)
value = eval({call!a}, program.__dict__)
text = values.canonical(value, **values.CALL_LIMITS)[0]
if sys.stdout: sys.stdout.flush()
text = {delimiter!r} + text + {delimiter!r}
data = text.encode('utf-8', 'backslashreplace')
while data:
  data = data[os.write(output, data):]
"""


@dataclasses.dataclass(frozen=True)
class _Request:
  """The fields of a request; a memory limit below 1 means no limit."""

  code: str
  language: str
  stdin: str | None = None
  compile_timeout: float = 10.0  # Not used: Python compiles when it runs.
  run_timeout: float = 10.0
  memory_limit_MB: int = -1


@dataclasses.dataclass(frozen=True)
class _Run:
  """The fields of a result. A field that is null has its default."""

  status: str
  execution_time: float = 0.0
  return_code: int = 1
  stdout: str = ''
  stderr: str = ''


_FIELDS = [field.name for field in dataclasses.fields(_Request)]
_UNSUPPORTED_FIELDS = ('files', 'fetch_files', 'args')


def check_supported(program: api.Program) -> None:
  """Raises UserError if such a service cannot run the program safely."""
  for feature, is_used in (
    ('a checker', program.checker is not None),
    ('a trace', program.trace),
  ):
    if is_used:
      raise errors.UserError(
        f'sandbox.url is a SandboxFusion service, which would run {feature} in'
        ' the process of the program, where the program can change it; give the'
        ' address of `python -m coderl.sandbox.service.serve` instead, or none'
        ' to use this host'
      )


def encoding_error(program: api.Program) -> api.Execution | None:
  """Returns the result of a source that is not Unicode and cannot compile."""
  try:
    for text in (program.source, program.call or ''):
      text.encode()
  except UnicodeEncodeError as error:
    return api.Execution(
      _Status.RUNTIME_ERROR, error=f'UnicodeEncodeError: {error}'
    )
  return None


def encode_request(
  program: api.Program, limits: api.Limits, delimiter: str
) -> dict:
  """Returns the JSON object that requests a run.

  Args:
    program: the program.
    limits: what it may use.
    delimiter: a random text, printed before and after the value of a call.
  """
  source = program.source
  if program.call is not None:
    source = _CALL.format(
      values=_values_source(),
      source=source,
      name=tracer.PROGRAM_FILE_NAME,
      call=program.call,
      delimiter=delimiter,
    )
  return {
    'code': source,
    'language': LANGUAGES[0],
    # On this host, standard input is bytes with the same replacements.
    'stdin': program.stdin.encode('utf-8', 'replace').decode(),
    'compile_timeout': limits.wall_s,
    'run_timeout': limits.wall_s,
    'memory_limit_MB': limits.memory_mb,
    'files': {},
    'fetch_files': [],
  }


@functools.cache
def _values_source() -> str:
  return inspect.getsource(values)


def decode_reply(
  reply, program: api.Program, limits: api.Limits, delimiter: str
) -> api.Execution:
  """Returns the execution that a reply describes.

  The exit status gives no verdict. The caller has to compare the output or the
  value.

  Raises:
    client.Unavailable: the service reports a failure of its own.
    ValueError: it is not a reply of such a service; names the field.
  """
  run = _decode_run(reply)
  printed, value = run.stdout, None
  if program.call is not None:
    printed, value = _split_value(printed, delimiter)
  status, error = _status(run)
  sent_bytes = [len(_encode(text)) for text in (run.stdout, run.stderr)]
  max_bytes = limits.output_kb * 1024
  out, err = _encode(printed), _encode(run.stderr)
  if max(len(out), len(err)) > max_bytes or _SERVICE_OUTPUT_BYTES in sent_bytes:
    status = _Status.OUTPUT_LIMIT
  elif status is _Status.WALL_LIMIT and sent_bytes[0] in _STALLED_BYTES:
    status = _Status.SANDBOX_FAILURE
    error = f'the service read no more than {sent_bytes[0]} bytes of output'
  return api.Execution(
    status=status,
    stdout=out[:max_bytes].decode('utf-8', 'replace'),
    stderr=err[:max_bytes].decode('utf-8', 'replace'),
    error=error,
    value=value,
    wall_s=run.execution_time,
  )


def _decode_run(reply) -> _Run:
  """Returns the result of the run, or of a compilation that failed."""
  status = reply.get('status') if type(reply) is dict else None
  if status not in ('Success', 'Failed', 'SandboxError'):
    raise ValueError(f'reply.status: {reprlib.repr(status)}')
  if status == 'SandboxError':
    raise client.Unavailable(f'{status}: {reprlib.repr(reply.get("message"))}')
  result = reply.get('run_result') or reply.get('compile_result')
  if type(result) is not dict:
    raise ValueError(f'reply.run_result: {reprlib.repr(result)}')
  names = {field.name for field in dataclasses.fields(_Run)}
  fields = {
    name: value
    for name, value in result.items()
    if name in names and value is not None
  }
  run = protocol.decode(_Run, fields, 'reply.run_result')
  if run.status not in (_FINISHED, _TIMED_OUT):
    raise client.Unavailable(f'{run.status}: {reprlib.repr(run.stderr)}')
  return run


def _encode(text: str) -> bytes:
  return text.encode('utf-8', 'replace')


def _split_value(stdout: str, delimiter: str) -> tuple[str, str | None]:
  """Returns the output of the program, and the value inside it, if any."""
  before, *rest = stdout.split(delimiter)
  if len(rest) != 2:
    return stdout, None
  return before + rest[1], rest[0]


def _status(run: _Run) -> tuple[_Status, str]:
  """Returns the status of a run and its error."""
  if run.status == _TIMED_OUT:
    return _Status.WALL_LIMIT, ''
  if run.return_code == 0:
    return _Status.FINISHED, ''
  if run.return_code < 0:
    return _Status.RUNTIME_ERROR, f'killed by signal {-run.return_code}'
  last_line = run.stderr.rstrip().rpartition('\n')[2]
  if last_line.startswith('MemoryError'):
    return _Status.MEMORY_LIMIT, last_line
  if _EXCEPTION_LINE.fullmatch(last_line):
    return _Status.RUNTIME_ERROR, last_line
  return _Status.RUNTIME_ERROR, f'exit status {run.return_code}'


def decode_request(
  data, max_limits: api.Limits
) -> tuple[api.Program, api.Limits]:
  """Returns the program of a request's JSON value, and its limits.

  Args:
    data: the JSON value.
    max_limits: the most that the server allows.

  Raises:
    ValueError: names the wrong field and the choices.
  """
  protocol.check_object(data, (*_FIELDS, *_UNSUPPORTED_FIELDS), 'request')
  for name in _UNSUPPORTED_FIELDS:
    if data.get(name):
      raise ValueError(f'request.{name}: not supported here, leave it empty')
  data = {name: value for name, value in data.items() if name in _FIELDS}
  request = protocol.decode(_Request, data, 'request')
  if request.language not in LANGUAGES:
    raise ValueError(
      f'request.language: unknown {reprlib.repr(request.language)};'
      f' choices: {", ".join(LANGUAGES)}'
    )
  memory_mb = max_limits.memory_mb
  if request.memory_limit_MB > 0:
    memory_mb = min(memory_mb, request.memory_limit_MB)
  limits = dataclasses.replace(
    max_limits,
    cpu_s=min(request.run_timeout, max_limits.cpu_s),
    wall_s=min(request.run_timeout, max_limits.wall_s),
    memory_mb=memory_mb,
  )
  return api.Program(request.code, request.stdin or ''), limits


def encode_reply(execution: api.Execution) -> dict:
  """Returns the JSON object that answers a request.

  Every failed program has exit status 1 in it.
  """
  status, error = execution.status, execution.error
  timed_out = status in (_Status.CPU_LIMIT, _Status.WALL_LIMIT)
  finished = status is _Status.FINISHED
  is_broken = status is _Status.SANDBOX_FAILURE
  stderr = execution.stderr
  if error not in stderr:  # For example, the source does not compile.
    stderr += f'{error}\n'
  run = _Run(
    status='Error' if is_broken else _TIMED_OUT if timed_out else _FINISHED,
    execution_time=execution.wall_s,
    return_code=int(not finished),
    stdout=execution.stdout,
    stderr=stderr,
  )
  outcome = 'Success' if finished else 'SandboxError' if is_broken else 'Failed'
  return {
    'status': outcome,
    'message': '' if finished else f'{status.value}: {error}',
    'compile_result': None,
    'run_result': vars(run) | ({'return_code': None} if timed_out else {}),
    'executor_pod_name': None,
    'files': {},
  }
