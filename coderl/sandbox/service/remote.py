"""The door to running programs on other hosts, over HTTP.

`remote.Sandbox` has the interface of `sandbox.Sandbox`. At the address stands
either our own server (serve.py), which is asked for many programs at a time
and gives back all that a run gave, or a service of SandboxFusion's form
(fusion.py), which is asked for one.

A service that is down stops whoever asks, by a ServiceError. It is never a
failed program: no reward comes of it.
"""

from collections.abc import Collection, Sequence
from concurrent import futures
import dataclasses
import itertools
import logging
import reprlib
import secrets

from coderl.sandbox import api
from coderl.sandbox.service import client as client_lib
from coderl.sandbox.service import fusion, protocol
from commons import errors

ServiceError = errors.ServiceError

_NOT_HERE = (404, 405)
_HEAD_BYTES = 1024  # Of a request, beside its programs.


class _Coderl:
  """Our own server: many programs in a request."""

  def __init__(
    self,
    client: client_lib.Client,
    service: protocol.Service,
    limits: api.Limits | None,
    requests: int,
  ):
    self.limits, self.layers = limits or service.limits, service.layers
    self._client, self._requests = client, requests
    self._most_bytes = service.max_body_bytes - _HEAD_BYTES
    for field in dataclasses.fields(self.limits):
      asked, most = (
        getattr(limits, field.name) for limits in (self.limits, service.limits)
      )
      if asked > most:
        raise errors.UserError(
          f'sandbox limit {field.name}={asked}: {client.name} allows {most};'
          f' start it with --{field.name.replace("_", "-")}={asked}'
        )

  def batches(self, programs: Sequence[api.Program]) -> list[list[bytes]]:
    """What is sent together, as JSON."""
    share = -(-len(programs) // self._requests)
    batches: list[list[bytes]] = []
    left = 0
    for program in programs:
      text = protocol.dumps(protocol.encode(program))
      if len(text) > self._most_bytes:
        raise ServiceError(
          f'a program and its input are {len(text)} bytes, of which'
          f' {self._client.name} takes {self._most_bytes}'
        )
      full = batches and len(batches[-1]) == min(share, protocol.MAX_PROGRAMS)
      if not batches or full or len(text) + 2 > left:
        batches.append([])
        left = self._most_bytes
      batches[-1].append(text)
      left -= len(text) + 2
    return batches

  def run(self, batch: list[bytes]) -> list[api.Execution]:
    return self._client.ask(
      'POST',
      protocol.RUN_PATH,
      protocol.encode_request(batch, self.limits),
      lambda answer: protocol.decode_executions(answer, len(batch)),
    )


class _Fusion:
  """A service of SandboxFusion's form: one program in a request."""

  def __init__(self, client: client_lib.Client, limits: api.Limits | None):
    self.limits = limits or api.Limits()
    self.layers = {'isolation': 'SandboxFusion does not tell of its own'}
    self._client = client

  def batches(self, programs: Sequence[api.Program]) -> list[api.Program]:
    for program in programs:
      fusion.check(program)
    return list(programs)

  def run(self, program: api.Program) -> list[api.Execution]:
    failed = fusion.compile_error(program)
    if failed:
      return [failed]
    mark = secrets.token_hex(16)
    request = fusion.encode_request(program, self.limits, mark)
    execution = self._client.ask(
      'POST',
      fusion.RUN_PATH,
      protocol.dumps(request),
      lambda reply: fusion.decode_reply(reply, program, self.limits, mark),
    )
    return [execution]

  def try_out(self) -> None:
    """Raises UserError unless values of calls come back as they should."""
    program = api.Program('print(1)', call='(2, {0.5})')
    (execution,) = self.run(program)
    if (execution.stdout, execution.value) != ('1\n', program.call):
      raise errors.UserError(
        f'{self._client.name}: a trial program gave {execution.error!r} and'
        f' {execution.value!r}; its Python must be 3.10 or later'
      )


def _service(answer) -> protocol.Service | None:
  """What our server says of itself; None of another's."""
  if type(answer) is not dict or 'protocol' not in answer:
    return None
  if answer['protocol'] != protocol.PROTOCOL:
    raise ValueError(
      f'protocol {reprlib.repr(answer["protocol"])}, not {protocol.PROTOCOL}'
    )
  return protocol.decode(protocol.Service, answer, 'answer')


def _find(
  client: client_lib.Client, limits: api.Limits | None, requests: int
) -> _Coderl | _Fusion:
  """Asks which of the two the client faces."""
  asked = protocol.SERVICE_PATH
  try:
    service = client.ask('GET', asked, None, _service)
    if service:
      return _Coderl(client, service, limits, requests)
  except client_lib.Refused as error:
    if error.code not in _NOT_HERE:
      raise errors.UserError(str(error)) from error
  try:
    found = _Fusion(client, limits)
    found.try_out()
    return found
  except client_lib.Refused as error:
    raise errors.UserError(
      f'{error}; it answers neither GET {asked} nor POST {fusion.RUN_PATH}'
      if error.code in _NOT_HERE
      else str(error)
    ) from error


class Sandbox:
  """Runs programs at an address, as `sandbox.Sandbox` does here.

  url: of our server or of a SandboxFusion service; which one is asked of it.
  limits: of every program; None is what our server allows at most. token: that
  the service asks for. require: layers without which no program is to run
  there. requests: at a time. attempts: to be answered one.
  timeout_s: of silence; our server gives a sign of life while programs run.
  patience_s: of being told that the service is busy. seed: of the waits
  between attempts.

  `run` may be called from any thread.

  Raises: UserError, where the address, the token or a limit is refused;
    ServiceError, where the service does not answer.
  """

  def __init__(
    self,
    url: str,
    limits: api.Limits | None = None,
    *,
    token: str = '',
    require: Collection[str] = (),
    requests: int = 16,
    attempts: int = 6,
    timeout_s: float = 60.0,
    patience_s: float = 600.0,
    seed: int = 0,
  ):
    parts = client_lib.parse(url.rstrip('/').removesuffix(fusion.RUN_PATH))
    silence_s = timeout_s + 2 * (limits or api.Limits()).wall_s
    self._client = client_lib.Client(
      parts, token, attempts, silence_s, patience_s, seed
    )
    try:
      self._service = _find(self._client, limits, requests)
      self._tell(require)
    except BaseException:
      self._client.close()
      raise
    self.limits = self._service.limits
    self._pool = futures.ThreadPoolExecutor(requests, 'remote')

  def _tell(self, require: Collection[str]) -> None:
    """Says what the service lacks, or fails where that is required."""
    layers = self.layers()
    missing = [name for name in require if layers.get(name, '-')]
    if missing:
      raise errors.UserError(
        f'{self._client.name} has not the sandbox layers required:'
        f' {", ".join(missing)}'
      )
    refused = [f'{name} ({why})' for name, why in layers.items() if why]
    if refused:
      logging.warning('%s without %s', self._client.name, ', '.join(refused))

  def layers(self) -> dict[str, str]:
    """Layer -> '' where it holds over there, else why it does not."""
    return dict(self._service.layers)

  def run(self, programs: Sequence[api.Program]) -> list[api.Execution]:
    """Runs programs; what each gave, in their order.

    Raises: ServiceError, where not all of them could be run; UserError, for
      what SandboxFusion cannot do (fusion.check).
    """
    ran = self._pool.map(self._service.run, self._service.batches(programs))
    return [*itertools.chain.from_iterable(ran)]

  def close(self) -> None:
    """Ends after the requests that are being answered."""
    self._client.close()
    self._pool.shutdown(cancel_futures=True)
    self._client.close()  # The connections of these.

  def __enter__(self) -> 'Sandbox':
    return self

  def __exit__(self, *exception) -> None:
    self.close()
