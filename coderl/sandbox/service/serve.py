"""Serves the sandbox over HTTP.

  python -m coderl.sandbox.service.serve --port 8080 --token-file FILE

  GET  /v1/sandbox  limits, layers and workers of the server (protocol.Service)
  POST /v1/run      runs programs, and answers with their executions
  POST /run_code    the protocol of SandboxFusion: one program in Python
  GET  /v1/ping     answers "pong" to anyone

The limits of a request are reduced to those of the server. If the queue is
full, the answer is 503 with the time to retry. A wrong request is answered with
400 and one line. At SIGTERM or SIGINT the server takes no more requests,
finishes those that it has, and ends.

The server speaks plain HTTP. If it listens on other addresses than that of its
own host, give it a token, and put a proxy with TLS in front of it.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
import contextlib
import dataclasses
import hmac
import http
import http.server
import os
import re
import reprlib
import signal
import socket
import sys
import threading

from coderl.sandbox import api, sandbox_cache
from coderl.sandbox.isolation import confine
from coderl.sandbox.service import client, fusion, protocol
from commons import errors

_RETRY_AFTER_S = 1
# Between two signs of life while programs run.
_ALIVE_INTERVAL_S = 1.0
# How long a client may be silent, within a request or between two.
_CLIENT_TIMEOUT_S = 60.0
_MAX_CONNECTIONS = 512
_CONTENT_LENGTH = re.compile('[0-9]{1,15}')


class _RejectedError(Exception):
  """A request that is rejected; `status` is the HTTP status of the answer."""

  def __init__(self, status: http.HTTPStatus, detail: str):
    super().__init__(detail)
    self.status = status


class Server(http.server.ThreadingHTTPServer):
  """Answers each connection in its own thread.

  Args:
    address: host and port to listen at.
    sandboxes: run the programs.
    service: what the server tells about itself.
    token: what requests must carry; '' for none.
    max_requests: requests that may run or wait at a time.
  """

  daemon_threads = False  # server_close must wait for the threads.
  request_queue_size = 128

  def __init__(
    self,
    address: tuple[str, int],
    sandboxes: sandbox_cache.SandboxCache,
    service: protocol.Service,
    token: str,
    max_requests: int,
  ):
    if ':' in address[0]:
      self.address_family = socket.AF_INET6
    super().__init__(address, _Handler)
    self.service, self.token = service, token
    self._sandboxes = sandboxes
    self._free = threading.BoundedSemaphore(max_requests)
    self._pool = futures.ThreadPoolExecutor(max_requests, 'run')
    self._connections: set[socket.socket] = set()

  def admit(self) -> None:
    """Reserves room for a request until `release`, or until `run` is over.

    Raises:
      _RejectedError: as many requests as allowed run or wait.
    """
    if not self._free.acquire(blocking=False):
      raise _RejectedError(
        http.HTTPStatus.SERVICE_UNAVAILABLE, 'the queue is full; retry later'
      )

  def release(self) -> None:
    self._free.release()

  def run(
    self, programs: list[api.Program], limits: api.Limits
  ) -> futures.Future:
    """Starts to run programs; returns a future of their executions."""
    future = self._pool.submit(self._run, programs, limits)
    # The room is released when the run is over, even if the client has left.
    future.add_done_callback(lambda _: self.release())
    return future

  def _run(
    self, programs: list[api.Program], limits: api.Limits
  ) -> list[api.Execution]:
    with self._sandboxes.lease(limits) as runner:
      return runner.run(programs)

  def verify_request(self, request, client_address) -> bool:
    return len(self._connections) < _MAX_CONNECTIONS

  def process_request(self, request, client_address) -> None:
    self._connections.add(request)
    super().process_request(request, client_address)

  def shutdown_request(self, request) -> None:
    self._connections.discard(request)
    super().shutdown_request(request)

  def handle_error(self, request, client_address) -> None:
    # An OSError means that the client has left.
    if not isinstance(sys.exception(), OSError):
      super().handle_error(request, client_address)

  def finish(self) -> None:
    """Answers the requests that it has, and closes all connections."""
    for connection in self._connections.copy():
      try:
        connection.shutdown(socket.SHUT_RD)
      except OSError:
        continue  # The client has left.
    self.server_close()
    self._pool.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
  """Handles one connection, which may carry many requests."""

  protocol_version = 'HTTP/1.1'
  server_version = 'coderl'
  timeout = _CLIENT_TIMEOUT_S
  disable_nagle_algorithm = True
  server: Server

  def do_GET(self) -> None:
    self._answer(self._get)

  def do_POST(self) -> None:
    self._answer(self._post)

  def log_message(self, format, *args) -> None:
    del format, args  # The base class would print a line for every request.

  def send_error(self, code, message=None, explain=None) -> None:
    """Answers a request that the base class cannot read as HTTP."""
    del explain
    self.close_connection = True
    self._send(code, {'detail': message or http.HTTPStatus(code).phrase})

  def _answer(self, answer) -> None:
    self._unread_bytes = 0
    try:
      self._unread_bytes = self._content_length()
      answer()
    except _RejectedError as error:
      self._discard_body()
      self._send(error.status, {'detail': str(error)})

  def _content_length(self) -> int:
    text = self.headers.get('Content-Length', '0')
    if 'Transfer-Encoding' in self.headers or not _CONTENT_LENGTH.fullmatch(
      text
    ):
      self.close_connection = True  # The end of the body is unknown.
      raise _RejectedError(
        http.HTTPStatus.LENGTH_REQUIRED, 'Content-Length must be a number'
      )
    return int(text)

  def _get(self) -> None:
    if self.path == fusion.PING_PATH:
      self._send(http.HTTPStatus.OK, fusion.PONG)
      return
    self._authorise()
    if self.path != protocol.SERVICE_PATH:
      raise self._not_found((fusion.PING_PATH, protocol.SERVICE_PATH))
    self._send(http.HTTPStatus.OK, protocol.encode(self.server.service))

  def _post(self) -> None:
    self._authorise()
    if self.path not in _CODECS:
      raise self._not_found(_CODECS)
    decode, encode = _CODECS[self.path]
    max_bytes = self.server.service.max_body_bytes
    if self._unread_bytes > max_bytes:
      raise _RejectedError(
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the body has {self._unread_bytes} bytes; at most {max_bytes} are'
        ' taken',
      )
    self.server.admit()
    try:
      programs, limits = self._read(decode)
      future = self.server.run(programs, limits)
    except BaseException:
      self.server.release()
      raise
    self._stream(future, encode)

  def _authorise(self) -> None:
    token = self.server.token
    header = self.headers.get('Authorization', '')
    # The time of the comparison does not show how much of a token was right.
    if token and not hmac.compare_digest(
      header.encode(), f'Bearer {token}'.encode()
    ):
      raise _RejectedError(
        http.HTTPStatus.UNAUTHORIZED, 'the token is missing or wrong'
      )

  def _not_found(self, paths: Iterable[str]) -> _RejectedError:
    return _RejectedError(
      http.HTTPStatus.NOT_FOUND,
      f'no {self.command} {reprlib.repr(self.path)}; choices:'
      f' {", ".join(paths)}',
    )

  def _read(self, decode: Callable) -> tuple:
    data = self.rfile.read(self._unread_bytes)
    is_complete = len(data) == self._unread_bytes
    self._unread_bytes = 0
    try:
      if not is_complete:
        raise ValueError('the body is shorter than its Content-Length')
      return decode(protocol.loads(data), self.server.service.limits)
    except ValueError as error:
      raise _RejectedError(http.HTTPStatus.BAD_REQUEST, str(error)) from error

  def _discard_body(self) -> None:
    """Reads the rest of a body; its sender reads the answer only afterwards."""
    max_bytes = 4 * self.server.service.max_body_bytes
    self.close_connection |= self._unread_bytes > max_bytes
    left = min(self._unread_bytes, max_bytes)
    while left and (data := self.rfile.read(min(left, 1 << 16))):
      left -= len(data)

  def _send(self, status: http.HTTPStatus, value) -> None:
    body = protocol.dumps(value)
    self.send_response(status)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(body)))
    if self.close_connection:
      self.send_header('Connection', 'close')
    if status == http.HTTPStatus.UNAUTHORIZED:
      self.send_header('WWW-Authenticate', 'Bearer')
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
      self.send_header('Retry-After', str(_RETRY_AFTER_S))
    self.end_headers()
    self.wfile.write(body)

  def _stream(self, future: futures.Future, encode: Callable) -> None:
    """Sends the executions, and blanks until they are there.

    JSON may begin with blanks. They show the client that the server works.
    """
    self.send_response(http.HTTPStatus.OK)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Transfer-Encoding', 'chunked')
    self.end_headers()
    while not futures.wait([future], _ALIVE_INTERVAL_S).done:
      self._send_chunk(b' ')
    self._send_chunk(encode(future.result()))
    self._send_chunk(b'')

  def _send_chunk(self, data: bytes) -> None:
    self.wfile.write(b'%x\r\n%b\r\n' % (len(data), data))


def _decode_run(
  data, max_limits: api.Limits
) -> tuple[list[api.Program], api.Limits]:
  programs, limits = protocol.decode_request(data)
  reduced = {
    name: min(value, getattr(max_limits, name))
    for name, value in vars(limits).items()
  }
  return programs, api.Limits(**reduced)


def _decode_fusion(
  data, max_limits: api.Limits
) -> tuple[list[api.Program], api.Limits]:
  program, limits = fusion.decode_request(data, max_limits)
  return [program], limits


def _encode_fusion(executions: Sequence[api.Execution]) -> bytes:
  return protocol.dumps(fusion.encode_reply(executions[0]))


# Path -> decoder of the request, encoder of the answer.
_CODECS: dict[str, tuple[Callable, Callable]] = {
  protocol.RUN_PATH: (_decode_run, protocol.encode_executions),
  fusion.RUN_PATH: (_decode_fusion, _encode_fusion),
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m coderl.sandbox.service.serve',
    description='Serves the sandbox over HTTP.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument('--host', default='127.0.0.1', help='address to bind')
  parser.add_argument(
    '--port', type=int, default=8080, help='0 chooses a free port'
  )
  parser.add_argument(
    '--workers',
    type=int,
    default=os.cpu_count() or 1,
    help='programs that run at a time',
  )
  parser.add_argument(
    '--queue',
    type=int,
    default=64,
    help='requests that may run or wait at a time',
  )
  parser.add_argument(
    '--max-body-mb', type=int, default=32, help='size of one request'
  )
  parser.add_argument(
    '--token-file',
    default='',
    help='file with the token that requests must carry',
  )
  parser.add_argument(
    '--require',
    nargs='*',
    choices=tuple(confine.LAYERS),
    default=(),
    help='layers without which no program may run',
  )
  limits = parser.add_argument_group('the most that a program may use')
  for field in dataclasses.fields(api.Limits):
    name = f'--{field.name.replace("_", "-")}'
    limits.add_argument(name, type=field.type, default=field.default, help=' ')
  args = parser.parse_args(argv)
  for name in ('workers', 'queue', 'max_body_mb'):
    if getattr(args, name) < 1:
      parser.error(f'--{name.replace("_", "-")} must be at least 1')
  if not 0 <= args.port < 1 << 16:
    parser.error('--port must be less than 65536')
  return args


def _start(
  args: argparse.Namespace, sandboxes: sandbox_cache.SandboxCache, token: str
) -> Server:
  """Opens a sandbox, then listens."""
  limits = api.Limits(
    **{
      field.name: getattr(args, field.name)
      for field in dataclasses.fields(api.Limits)
    }
  )
  with sandboxes.lease(limits) as runner:
    layers = runner.layers()
  service = protocol.Service(
    limits, layers, args.workers, max_body_bytes=args.max_body_mb << 20
  )
  try:
    address = (args.host, args.port)
    return Server(address, sandboxes, service, token, args.queue)
  except OSError as error:
    raise errors.UserError(
      f'--host {args.host} --port {args.port}: {error.strerror}'
    ) from error


def _describe(server: Server) -> str:
  """Returns one line on what is served where."""
  host, port = server.server_address[:2]
  host = f'[{host}]' if ':' in host else host
  layers = server.service.layers
  active = [name for name, error in layers.items() if not error]
  refused = [f'{name} ({error})' for name, error in layers.items() if error]
  return (
    f'Sandbox at http://{host}:{port}: {server.service.workers} workers;'
    f' {"a" if server.token else "no"} token;'
    f' layers {", ".join(active) or "-"};'
    f' without {", ".join(refused) or "none"}'
  )


def _serve(args: argparse.Namespace) -> None:
  """Serves until a signal; a second signal ends the process at once."""
  token = client.read_token(args.token_file) if args.token_file else ''
  sandboxes = sandbox_cache.SandboxCache(args.workers, args.require)
  with contextlib.closing(sandboxes):
    server = _start(args, sandboxes, token)

    def stop(number, frame):
      del frame
      signal.signal(number, signal.SIG_DFL)
      # shutdown waits for serve_forever, which this handler interrupts, so that
      # it needs its own thread.
      threading.Thread(target=server.shutdown).start()

    for kind in (signal.SIGTERM, signal.SIGINT):
      signal.signal(kind, stop)
    print(_describe(server), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.finish()


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the server; returns the exit status."""
  try:
    _serve(_parse(argv))
  except errors.UserError as error:
    print('error:', error, file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
