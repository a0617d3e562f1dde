"""The sandbox as a service over HTTP.

  python -m coderl.sandbox.service.serve --port 8080 --workers 16 --token-file FILE

  GET  /v1/sandbox  what this is: limits, layers, workers (protocol.Service)
  POST /v1/run      runs programs, and answers with all that they gave
  POST /run_code    as SandboxFusion does: one program, Python alone
  GET  /v1/ping     "pong", to anyone

What a request asks for is held within this server's limits. A request beyond
the queue is told to come back (503). A mistake in one is a 400 of one line. At
SIGTERM or SIGINT it takes no more requests, finishes those it has, and ends.

It speaks plain HTTP. On other addresses than this host's own, put a token on
it, and TLS in front of it.
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
_ALIVE_S = 1.0  # Between signs of life while programs run.
_SILENCE_S = 60.0  # Of a client in the middle of a request, or between two.
_CONNECTIONS = 512
_LENGTH = re.compile('[0-9]{1,15}')


class _Rejection(Exception):
  """An HTTP status, and the line that says why."""

  def __init__(self, status: http.HTTPStatus, detail: str):
    super().__init__(detail)
    self.status = status


class Server(http.server.ThreadingHTTPServer):
  """Answers requests in threads.

  boxes: run the programs. token: '' for none. max_requests: that run or wait.
  """

  daemon_threads = False  # server_close waits for them.
  request_queue_size = 128

  def __init__(
    self,
    address: tuple[str, int],
    boxes: sandbox_cache.Sandboxes,
    service: protocol.Service,
    token: str,
    max_requests: int,
  ):
    if ':' in address[0]:
      self.address_family = socket.AF_INET6
    super().__init__(address, _Handler)
    self.service, self.token = service, token
    self._boxes = boxes
    self._free = threading.BoundedSemaphore(max_requests)
    self._runs = futures.ThreadPoolExecutor(max_requests, 'run')
    self._open: set[socket.socket] = set()

  def admit(self) -> None:
    """Takes a place in the queue, to be given back by `run` or `release`."""
    if not self._free.acquire(blocking=False):
      raise _Rejection(
        http.HTTPStatus.SERVICE_UNAVAILABLE, 'the queue is full; come back'
      )

  def release(self) -> None:
    self._free.release()

  def run(
    self, programs: list[api.Program], limits: api.Limits
  ) -> futures.Future:
    """Of the programs' executions."""
    ran = self._runs.submit(self._run, programs, limits)
    # Not before it is over, even where its client has left.
    ran.add_done_callback(lambda _: self.release())
    return ran

  def _run(
    self, programs: list[api.Program], limits: api.Limits
  ) -> list[api.Execution]:
    with self._boxes.under(limits) as box:
      return box.run(programs)

  def verify_request(self, request, client_address) -> bool:
    return len(self._open) < _CONNECTIONS

  def process_request(self, request, client_address) -> None:
    self._open.add(request)
    super().process_request(request, client_address)

  def shutdown_request(self, request) -> None:
    self._open.discard(request)
    super().shutdown_request(request)

  def handle_error(self, request, client_address) -> None:
    if not isinstance(sys.exception(), OSError):  # A client that left.
      super().handle_error(request, client_address)

  def finish(self) -> None:
    """Answers the requests that it has; those who ask no more are let go."""
    for connection in self._open.copy():
      try:
        connection.shutdown(socket.SHUT_RD)
      except OSError:
        continue  # It left by itself.
    self.server_close()
    self._runs.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
  """Of one connection, which may carry many requests."""

  protocol_version = 'HTTP/1.1'
  server_version = 'coderl'
  timeout = _SILENCE_S
  disable_nagle_algorithm = True
  server: Server

  def do_GET(self) -> None:
    self._answer(self._get)

  def do_POST(self) -> None:
    self._answer(self._post)

  def log_message(self, format, *args) -> None:
    del format, args  # Not a line for every request.

  def send_error(self, code, message=None, explain=None) -> None:
    """What the base class has to say of a request that is not HTTP."""
    del explain
    self.close_connection = True
    self._send(code, {'detail': message or http.HTTPStatus(code).phrase})

  def _answer(self, answer) -> None:
    self._unread = 0
    try:
      self._unread = self._length()
      answer()
    except _Rejection as rejection:
      self._discard()
      self._send(rejection.status, {'detail': str(rejection)})

  def _length(self) -> int:
    """Bytes of the request's body."""
    text = self.headers.get('Content-Length', '0')
    if 'Transfer-Encoding' in self.headers or not _LENGTH.fullmatch(text):
      self.close_connection = True  # Where the body ends is not known.
      raise _Rejection(
        http.HTTPStatus.LENGTH_REQUIRED, 'Content-Length must be a number'
      )
    return int(text)

  def _get(self) -> None:
    if self.path == fusion.PING_PATH:
      self._send(http.HTTPStatus.OK, fusion.PONG)
      return
    self._authorise()
    if self.path != protocol.SERVICE_PATH:
      raise self._unknown((fusion.PING_PATH, protocol.SERVICE_PATH))
    self._send(http.HTTPStatus.OK, protocol.encode(self.server.service))

  def _post(self) -> None:
    self._authorise()
    if self.path not in _RUNS:
      raise self._unknown(_RUNS)
    decode, encode = _RUNS[self.path]
    most = self.server.service.max_body_bytes
    if self._unread > most:
      raise _Rejection(
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the body has {self._unread} bytes; at most {most} are taken',
      )
    self.server.admit()
    try:
      programs, limits = self._read(decode)
      ran = self.server.run(programs, limits)
    except BaseException:
      self.server.release()
      raise
    self._stream(ran, encode)

  def _authorise(self) -> None:
    token = self.server.token
    given = self.headers.get('Authorization', '')
    # Compared in a time that does not tell how much of it was right.
    if token and not hmac.compare_digest(
      given.encode(), f'Bearer {token}'.encode()
    ):
      raise _Rejection(
        http.HTTPStatus.UNAUTHORIZED, 'the token is missing or wrong'
      )

  def _unknown(self, paths: Iterable[str]) -> _Rejection:
    return _Rejection(
      http.HTTPStatus.NOT_FOUND,
      f'no {self.command} {reprlib.repr(self.path)}; choices:'
      f' {", ".join(paths)}',
    )

  def _read(self, decode: Callable) -> tuple:
    data = self.rfile.read(self._unread)
    whole, self._unread = len(data) == self._unread, 0
    try:
      if not whole:
        raise ValueError('the body is shorter than its Content-Length')
      return decode(protocol.loads(data), self.server.service.limits)
    except ValueError as error:
      raise _Rejection(http.HTTPStatus.BAD_REQUEST, str(error)) from error

  def _discard(self) -> None:
    """Reads the rest of a body, for its sender to get to the answer."""
    most = 4 * self.server.service.max_body_bytes
    self.close_connection |= self._unread > most
    left = min(self._unread, most)
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

  def _stream(self, ran: futures.Future, encode: Callable) -> None:
    """The executions; until then white space, which JSON may begin with."""
    self.send_response(http.HTTPStatus.OK)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Transfer-Encoding', 'chunked')
    self.end_headers()
    while not futures.wait([ran], _ALIVE_S).done:
      self._chunk(b' ')
    self._chunk(encode(ran.result()))
    self._chunk(b'')

  def _chunk(self, data: bytes) -> None:
    self.wfile.write(b'%x\r\n%b\r\n' % (len(data), data))


def _decode_run(data, own: api.Limits) -> tuple[list[api.Program], api.Limits]:
  programs, asked = protocol.decode_request(data)
  within = {
    name: min(value, getattr(own, name)) for name, value in vars(asked).items()
  }
  return programs, api.Limits(**within)


def _decode_fusion(
  data, own: api.Limits
) -> tuple[list[api.Program], api.Limits]:
  program, limits = fusion.decode_request(data, own)
  return [program], limits


def _encode_fusion(executions: Sequence[api.Execution]) -> bytes:
  return protocol.dumps(fusion.encode_reply(executions[0]))


# How a request is read, and its answer written.
_RUNS: dict[str, tuple[Callable, Callable]] = {
  protocol.RUN_PATH: (_decode_run, protocol.encode_executions),
  fusion.RUN_PATH: (_decode_fusion, _encode_fusion),
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m coderl.sandbox.service.serve',
    description='The sandbox as a service over HTTP.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  parser.add_argument('--host', default='127.0.0.1', help='address to bind')
  parser.add_argument('--port', type=int, default=8080, help='0: a free one')
  parser.add_argument(
    '--workers', type=int, default=os.cpu_count() or 1, help='programs at once'
  )
  parser.add_argument(
    '--queue', type=int, default=64, help='requests that run or wait'
  )
  parser.add_argument(
    '--max-body-mb', type=int, default=32, help='of one request'
  )
  parser.add_argument(
    '--token-file', default='', help='holds the token that requests must bear'
  )
  parser.add_argument(
    '--require',
    nargs='*',
    choices=tuple(confine.LAYERS),
    default=(),
    help='layers without which nothing runs',
  )
  limits = parser.add_argument_group('most that a program may use')
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
  args: argparse.Namespace, boxes: sandbox_cache.Sandboxes, token: str
) -> Server:
  """Listens, once programs can be run."""
  limits = api.Limits(
    **{
      field.name: getattr(args, field.name)
      for field in dataclasses.fields(api.Limits)
    }
  )
  with boxes.under(limits) as box:
    layers = box.layers()
  service = protocol.Service(
    limits, layers, args.workers, max_body_bytes=args.max_body_mb << 20
  )
  try:
    address = (args.host, args.port)
    return Server(address, boxes, service, token, args.queue)
  except OSError as error:
    raise errors.UserError(
      f'--host {args.host} --port {args.port}: {error.strerror}'
    ) from error


def _described(server: Server) -> str:
  """One line."""
  host, port = server.server_address[:2]
  host = f'[{host}]' if ':' in host else host
  layers = server.service.layers
  held = [name for name, why in layers.items() if not why]
  refused = [f'{name} ({why})' for name, why in layers.items() if why]
  return (
    f'Sandbox at http://{host}:{port}: {server.service.workers} workers;'
    f' {"a" if server.token else "no"} token; layers {", ".join(held) or "-"};'
    f' without {", ".join(refused) or "none"}'
  )


def _serve(args: argparse.Namespace) -> None:
  """Until a signal says to stop; a second one acts at once."""
  token = client.read_token(args.token_file) if args.token_file else ''
  boxes = sandbox_cache.Sandboxes(args.workers, args.require)
  with contextlib.closing(boxes):
    server = _start(args, boxes, token)

    def stop(number, frame):
      del frame
      signal.signal(number, signal.SIG_DFL)
      # It waits for the loop below, which this handler interrupts.
      threading.Thread(target=server.shutdown).start()

    for kind in (signal.SIGTERM, signal.SIGINT):
      signal.signal(kind, stop)
    print(_described(server), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.finish()


def main(argv: Sequence[str] | None = None) -> int:
  """The exit status."""
  try:
    _serve(_parse(argv))
  except errors.UserError as error:
    print('error:', error, file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
