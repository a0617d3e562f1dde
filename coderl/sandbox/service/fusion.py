"""The form of SandboxFusion's POST /run_code, both ways.

As a client of such a service: `encode_request` and `decode_reply`. As one:
`decode_request` and `encode_reply`.

There a program runs in a process alone with whatever else was sent, and what
comes back is what it printed and its exit status. So a call's value is printed
between two copies of a random mark, and neither a checker nor a trace, which
the program could reach, is sent at all. Of the limits, the wall time and the
memory are the service's to hold; the output's is held here; the others are
not.
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
_ERROR = re.compile(r'[A-Za-z_][\w.]*(: .*)?')
# The service keeps this much of an output and drops the rest.
_KEPT_BYTES = 1 << 20
# Some versions read no output while a program runs: it stands still with a
# buffer and a pipe full, and is killed for the time.
_STALLED_BYTES = range(2 * (1 << 16) + 1, 3 * (1 << 16) + 1)
_FINISHED, _LATE = 'Finished', 'TimeLimitExceeded'

# The program is a module, as in child.py; the value goes to where standard
# output was at the start, whatever the program did to it since.
_CALL = """\
import os, sys, types
output = os.dup(1)
tracing = types.ModuleType('tracing')
exec({tracing!a}, tracing.__dict__)
sys.modules['program'] = program = types.ModuleType('program')
exec(
  compile({source!a}, {name!r}, 'exec', dont_inherit=True), program.__dict__
)
value = eval({call!a}, program.__dict__)
text = values.canonical(value, **values.WHOLE)[0]
if sys.stdout: sys.stdout.flush()
data = ({mark!r} + text + {mark!r}).encode('utf-8', 'backslashreplace')
while data:
  data = data[os.write(output, data):]
"""


@dataclasses.dataclass(frozen=True)
class _Request:
  """What is read of a request; a memory limit below 1 is none."""

  code: str
  language: str
  stdin: str | None = None
  compile_timeout: float = 10.0  # Python compiles as it runs.
  run_timeout: float = 10.0
  memory_limit_MB: int = -1


@dataclasses.dataclass(frozen=True)
class _Run:
  """What is read of a result; null is left out."""

  status: str
  execution_time: float = 0.0
  return_code: int = 1
  stdout: str = ''
  stderr: str = ''


_FIELDS = [field.name for field in dataclasses.fields(_Request)]
_UNSUPPORTED = ('files', 'fetch_files', 'args')


def check(program: api.Program) -> None:
  """Raises UserError for what such a service cannot do safely."""
  for what, asked in (
    ('a checker', program.checker is not None),
    ('a trace', program.trace),
  ):
    if asked:
      raise errors.UserError(
        f'sandbox.url is a SandboxFusion service, where {what} would share a'
        ' process with the program it is about; for it, give the address of'
        ' `python -m coderl.sandbox.service.serve`, or none, which is this host'
      )


def compile_error(program: api.Program) -> api.Execution | None:
  """The end of a source that is not Unicode: no interpreter compiles it."""
  try:
    for text in (program.source, program.call or ''):
      text.encode()
  except UnicodeEncodeError as error:
    return api.Execution(
      _Status.RUNTIME_ERROR, error=f'UnicodeEncodeError: {error}'
    )
  return None


def encode_request(program: api.Program, limits: api.Limits, mark: str) -> dict:
  """The JSON object that asks for a run.

  mark: what the value of a call stands between; any text of its own.
  """
  source = program.source
  if program.call is not None:
    source = _CALL.format(
      tracing=_tracing_source(),
      source=source,
      name=tracer.PROGRAM,
      call=program.call,
      mark=mark,
    )
  return {
    'code': source,
    'language': LANGUAGES[0],
    # As on this host, where standard input is bytes.
    'stdin': program.stdin.encode('utf-8', 'replace').decode(),
    'compile_timeout': limits.wall_s,
    'run_timeout': limits.wall_s,
    'memory_limit_MB': limits.memory_mb,
    'files': {},
    'fetch_files': [],
  }


@functools.cache
def _tracing_source() -> str:
  return inspect.getsource(values)


def decode_reply(
  reply, program: api.Program, limits: api.Limits, mark: str
) -> api.Execution:
  """What a run gave.

  A finished program has no verdict, whatever its exit status: what it printed,
  or its value, is for the caller to compare.

  Raises:
    Unavailable: the service says that it, not the program, failed.
    ValueError: this is no reply of such a service; names the field.
  """
  ran = _decode_run(reply)
  printed, value = ran.stdout, None
  if program.call is not None:
    printed, value = _split(printed, mark)
  status, error = _ending(ran)
  sent = [len(_bytes(text)) for text in (ran.stdout, ran.stderr)]
  most = limits.output_kb * 1024
  out, err = _bytes(printed), _bytes(ran.stderr)
  if max(len(out), len(err)) > most or _KEPT_BYTES in sent:
    status = _Status.OUTPUT_LIMIT
  elif status is _Status.WALL_LIMIT and sent[0] in _STALLED_BYTES:
    status = _Status.SANDBOX_FAILURE
    error = f'the service read no more than {sent[0]} bytes of output'
  return api.Execution(
    status=status,
    stdout=out[:most].decode('utf-8', 'replace'),
    stderr=err[:most].decode('utf-8', 'replace'),
    error=error,
    value=value,
    wall_s=ran.execution_time,
  )


def _decode_run(reply) -> _Run:
  """The result of the run, or of the compilation that failed."""
  status = reply.get('status') if type(reply) is dict else None
  if status not in ('Success', 'Failed', 'SandboxError'):
    raise ValueError(f'reply.status: {reprlib.repr(status)}')
  if status == 'SandboxError':
    raise client.Unavailable(f'{status}: {reprlib.repr(reply.get("message"))}')
  result = reply.get('run_result') or reply.get('compile_result')
  if type(result) is not dict:
    raise ValueError(f'reply.run_result: {reprlib.repr(result)}')
  names = {field.name for field in dataclasses.fields(_Run)}
  given = {
    name: value
    for name, value in result.items()
    if name in names and value is not None
  }
  ran = protocol.decode(_Run, given, 'reply.run_result')
  if ran.status not in (_FINISHED, _LATE):
    raise client.Unavailable(f'{ran.status}: {reprlib.repr(ran.stderr)}')
  return ran


def _bytes(text: str) -> bytes:
  return text.encode('utf-8', 'replace')


def _split(stdout: str, mark: str) -> tuple[str, str | None]:
  """What was printed, and the value that stood in it."""
  before, *rest = stdout.split(mark)
  if len(rest) != 2:
    return stdout, None
  return before + rest[1], rest[0]


def _ending(ran: _Run) -> tuple[_Status, str]:
  """The status, and the error's text."""
  if ran.status == _LATE:
    return _Status.WALL_LIMIT, ''
  if ran.return_code == 0:
    return _Status.FINISHED, ''
  if ran.return_code < 0:
    return _Status.RUNTIME_ERROR, f'killed by signal {-ran.return_code}'
  last = ran.stderr.rstrip().rpartition('\n')[2]
  if last.startswith('MemoryError'):
    return _Status.MEMORY_LIMIT, last
  if _ERROR.fullmatch(last):
    return _Status.RUNTIME_ERROR, last
  return _Status.RUNTIME_ERROR, f'exit status {ran.return_code}'


def decode_request(data, own: api.Limits) -> tuple[api.Program, api.Limits]:
  """The program of a request's JSON value, and its limits within `own`.

  Raises: ValueError, naming the field and the choices.
  """
  protocol.check_object(data, (*_FIELDS, *_UNSUPPORTED), 'request')
  for name in _UNSUPPORTED:
    if data.get(name):
      raise ValueError(f'request.{name}: not supported here, leave it empty')
  data = {name: value for name, value in data.items() if name in _FIELDS}
  request = protocol.decode(_Request, data, 'request')
  if request.language not in LANGUAGES:
    raise ValueError(
      f'request.language: unknown {reprlib.repr(request.language)};'
      f' choices: {", ".join(LANGUAGES)}'
    )
  memory_mb = request.memory_limit_MB
  limits = dataclasses.replace(
    own,
    cpu_s=min(request.run_timeout, own.cpu_s),
    wall_s=min(request.run_timeout, own.wall_s),
    memory_mb=min(memory_mb, own.memory_mb) if memory_mb > 0 else own.memory_mb,
  )
  return api.Program(request.code, request.stdin or ''), limits


def encode_reply(execution: api.Execution) -> dict:
  """The JSON object that answers a request.

  A program that failed has the exit status 1, whatever its own was.
  """
  status, error = execution.status, execution.error
  late = status in (_Status.CPU_LIMIT, _Status.WALL_LIMIT)
  finished = status is _Status.FINISHED
  broken = status is _Status.SANDBOX_FAILURE
  stderr = execution.stderr
  if error not in stderr:  # Of a source that does not compile, and the like.
    stderr += f'{error}\n'
  run = _Run(
    status='Error' if broken else _LATE if late else _FINISHED,
    execution_time=execution.wall_s,
    return_code=int(not finished),
    stdout=execution.stdout,
    stderr=stderr,
  )
  outcome = 'Success' if finished else 'SandboxError' if broken else 'Failed'
  return {
    'status': outcome,
    'message': '' if finished else f'{status.value}: {error}',
    'compile_result': None,
    'run_result': vars(run) | ({'return_code': None} if late else {}),
    'executor_pod_name': None,
    'files': {},
  }
