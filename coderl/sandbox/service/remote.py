"""Runs programs on other hosts, over HTTP.

`remote.Sandbox` has the interface of `sandbox.Sandbox`. Its address is either
that of this project's server (serve.py), which receives many programs in one
request and returns complete executions, or that of a SandboxFusion service
(fusion.py), which receives one program.

If a service is down, its caller gets a ServiceError. A failure of the service
never becomes a failed program, and so never a reward.
"""

from collections.abc import Collection, Sequence
from concurrent import futures
import itertools
import logging
import reprlib
import secrets

from coderl.sandbox import api
from coderl.sandbox.service import client as client_lib
from coderl.sandbox.service import fusion, protocol
from commons import errors

ServiceError = errors.ServiceError

_NOT_FOUND = (404, 405)
_HEAD_BYTES = 1024  # The size of a request without its programs, at most.


class _CoderlService:
  """This project's server, which takes many programs in one request."""

  def __init__(
    self,
    client: client_lib.Client,
    service: protocol.Service,
    limits: api.Limits | None,
    requests: int,
  ):
    self.limits, self.layers = limits or service.limits, service.layers
    self._client, self._requests = client, requests
    self._max_bytes = service.max_body_bytes - _HEAD_BYTES
    for name, value in vars(self.limits).items():
      maximum = getattr(service.limits, name)
      if value > maximum:
        raise errors.UserError(
          f'sandbox limit {name}={value}: {client.name} allows {maximum};'
          f' start it with --{name.replace("_", "-")}={value}'
        )

  def batches(self, programs: Sequence[api.Program]) -> list[list[bytes]]:
    """Returns the programs of each request, as JSON."""
    share = -(-len(programs) // self._requests)
    batches: list[list[bytes]] = []
    bytes_left = 0
    for program in programs:
      text = protocol.dumps(protocol.encode(program))
      if len(text) > self._max_bytes:
        raise ServiceError(
          f'a program and its input have {len(text)} bytes;'
          f' {self._client.name} takes at most {self._max_bytes}'
        )
      is_full = batches and len(batches[-1]) == min(
        share, protocol.MAX_PROGRAMS
      )
      if not batches or is_full or len(text) + 2 > bytes_left:
        batches.append([])
        bytes_left = self._max_bytes
      batches[-1].append(text)
      bytes_left -= len(text) + 2
    return batches

  def run(self, batch: list[bytes]) -> list[api.Execution]:
    return self._client.request(
      'POST',
      protocol.RUN_PATH,
      protocol.encode_request(batch, self.limits),
      lambda answer: protocol.decode_executions(answer, len(batch)),
    )


class _FusionService:
  """A SandboxFusion service, which takes one program in a request."""

  def __init__(self, client: client_lib.Client, limits: api.Limits | None):
    self.limits = limits or api.Limits()
    self.layers = {'isolation': 'SandboxFusion does not report its isolation'}
    self._client = client

  def batches(self, programs: Sequence[api.Program]) -> list[api.Program]:
    for program in programs:
      fusion.check_supported(program)
    return list(programs)

  def run(self, program: api.Program) -> list[api.Execution]:
    failed = fusion.encoding_error(program)
    if failed:
      return [failed]
    delimiter = secrets.token_hex(16)
    request = fusion.encode_request(program, self.limits, delimiter)
    execution = self._client.request(
      'POST',
      fusion.RUN_PATH,
      protocol.dumps(request),
      lambda reply: fusion.decode_reply(reply, program, self.limits, delimiter),
    )
    return [execution]

  def check(self) -> None:
    """Raises UserError unless the value of a call comes back unchanged."""
    program = api.Program('print(1)', call='(2, {0.5})')
    (execution,) = self.run(program)
    if (execution.stdout, execution.value) != ('1\n', program.call):
      raise errors.UserError(
        f'{self._client.name}: a test program gave {execution.error!r} and'
        f' {execution.value!r}; its Python must be 3.10 or later'
      )


def _decode_service(answer) -> protocol.Service | None:
  """Returns what this project's server tells about itself; None for others."""
  if type(answer) is not dict or 'protocol' not in answer:
    return None
  if answer['protocol'] != protocol.VERSION:
    raise ValueError(
      f'protocol {reprlib.repr(answer["protocol"])}, not {protocol.VERSION}'
    )
  return protocol.decode(protocol.Service, answer, 'answer')


def _detect_service(
  client: client_lib.Client, limits: api.Limits | None, requests: int
) -> _CoderlService | _FusionService:
  """Finds out which of the two services is at the client's address."""
  path = protocol.SERVICE_PATH
  try:
    service = client.request('GET', path, None, _decode_service)
    if service:
      return _CoderlService(client, service, limits, requests)
  except client_lib.Refused as error:
    if error.code not in _NOT_FOUND:
      raise errors.UserError(str(error)) from error
  try:
    fusion_service = _FusionService(client, limits)
    fusion_service.check()
    return fusion_service
  except client_lib.Refused as error:
    raise errors.UserError(
      f'{error}; it answers neither GET {path} nor POST {fusion.RUN_PATH}'
      if error.code in _NOT_FOUND
      else str(error)
    ) from error


class Sandbox:
  """Runs programs at an address, with the interface of `sandbox.Sandbox`.

  `run` may be called from any thread.

  Args:
    url: address of this project's server or of a SandboxFusion service. Which
      of the two it is, is detected.
    limits: what each program may use. None means the most that this project's
      server allows.
    token: sent with every request, unless it is ''.
    require: layers without which no program may run there.
    requests: requests that are sent at a time.
    attempts: how often a request is sent before ServiceError.
    timeout_s: how long the service may be silent. This project's server sends
      a sign of life while programs run.
    patience_s: how long the service may answer that it is busy.
    seed: of the random part of the waits between attempts.

  Raises:
    UserError: the address, the token, a limit or a layer is refused.
    ServiceError: the service does not answer.
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
    address = client_lib.parse_url(
      url.rstrip('/').removesuffix(fusion.RUN_PATH)
    )
    silence_s = timeout_s + 2 * (limits or api.Limits()).wall_s
    self._client = client_lib.Client(
      address, token, attempts, silence_s, patience_s, seed
    )
    try:
      self._service = _detect_service(self._client, limits, requests)
      self._check_layers(require)
    except BaseException:
      self._client.close()
      raise
    self.limits = self._service.limits
    self._pool = futures.ThreadPoolExecutor(requests, 'remote')

  def _check_layers(self, require: Collection[str]) -> None:
    """Logs which layers the service lacks; raises if one is required."""
    layers = self.layers()
    missing = [name for name in require if layers.get(name, '-')]
    if missing:
      raise errors.UserError(
        f'{self._client.name} lacks required sandbox layers:'
        f' {", ".join(missing)}'
      )
    refused = [f'{name} ({error})' for name, error in layers.items() if error]
    if refused:
      logging.warning('%s without %s', self._client.name, ', '.join(refused))

  def layers(self) -> dict[str, str]:
    """Returns layer -> '' if it is active at the service, else the reason."""
    return dict(self._service.layers)

  def run(self, programs: Sequence[api.Program]) -> list[api.Execution]:
    """Runs programs and returns their executions in the same order.

    Raises:
      ServiceError: not all of them could be run.
      UserError: a SandboxFusion service cannot run one (see fusion.py).
    """
    batches = self._service.batches(programs)
    executions = self._pool.map(self._service.run, batches)
    return [*itertools.chain.from_iterable(executions)]

  def close(self) -> None:
    """Ends after the requests that are being answered."""
    self._client.close()
    self._pool.shutdown(cancel_futures=True)
    self._client.close()  # Closes the connections of those requests.

  def __enter__(self) -> 'Sandbox':
    return self

  def __exit__(self, *exception) -> None:
    self.close()
