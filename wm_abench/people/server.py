"""The test for people: items on a page of this host, answers in a file.

  python -m wm_abench.people.server --data runs/mini --name ada --items 100

prints the address of a page, which only browsers of this host can open. The
page shows one item after the other with its pictures at their own size. It is
used by clicks or by keys: 1 to 4 or A to D choose, Enter confirms. A workdir
contains

  manifest.json  which test it is
  NAME.jsonl     one records.Reply per line, the replies of `human/NAME`

Each answer is on the disk before the page continues. If the program is stopped
or killed, the same command continues with the first item that has no answer.
The browser gets neither keys nor factors nor names of items.

The time of an answer is how long the item was in view with all its pictures;
it continues if the page is reloaded.
"""

import argparse
from collections.abc import Callable, Sequence
import contextlib
import http
import http.server
import json
import pathlib
import re
import reprlib
import signal
import sys
import threading
from typing import Any

import numpy as np

from commons import errors
from wm_abench.core import records
from wm_abench.data import pictures, selection
from wm_abench.people import session as session_lib
from wm_abench.people import test_plan

_PAGE = pathlib.Path(__file__).with_name('template.html')
_HOST = '127.0.0.1'
_TIMEOUT_S = 60.0  # For a browser that is silent during or between requests.
_MAX_SECONDS = 1e6
_MAX_BODY_BYTES, _MAX_DRAINED_BYTES = 4096, 1 << 20
_NAME = re.compile(r'\w[\w.-]{0,63}')
_LENGTH = re.compile('[0-9]{1,9}')
_PICTURES = '/pictures/'
_HEADERS = {
  'Content-Security-Policy': (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src"
    " 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
  ),
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}


class _Rejection(Exception):
  """A rejected request: an HTTP status and one line with the reason."""

  def __init__(self, status: http.HTTPStatus, detail: str):
    super().__init__(detail)
    self.status = status


class Server(http.server.ThreadingHTTPServer):
  """Serves a session to browsers of this host.

  Args:
    port: the port; 0 for any free one.
    session: the session.

  Raises:
    UserError: the port is in use.
  """

  def __init__(self, port: int, session: session_lib.Session):
    try:
      super().__init__((_HOST, port), _Handler)
    except OSError as e:
      raise errors.UserError(f'--port {port}: {e.strerror}') from e
    self.session = session
    # A foreign host name that resolves to this host is refused (DNS rebinding).
    self.hosts = [f'{name}:{self.server_port}' for name in (_HOST, 'localhost')]
    self.page = _PAGE.read_bytes()

  @property
  def address(self) -> str:
    return f'http://{self.hosts[0]}/'

  def handle_error(self, request, client_address) -> None:
    # An OSError means that the browser closed the connection.
    if not isinstance(sys.exception(), OSError):
      super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
  """Handles one connection, which may carry many requests."""

  protocol_version = 'HTTP/1.1'
  server_version = 'wm_abench'
  timeout = _TIMEOUT_S
  disable_nagle_algorithm = True
  server: Server

  def do_GET(self) -> None:
    self._answer(self._get)

  def do_POST(self) -> None:
    self._answer(self._post)

  def log_message(self, format, *args) -> None:
    del format, args  # Requests are not logged.

  def send_error(self, code, message=None, explain=None) -> None:
    """Sends the base class's error for a request that is not HTTP."""
    del explain
    self.close_connection = True
    self._send_json({'detail': message or http.HTTPStatus(code).phrase}, code)

  def _answer(self, answer: Callable[[bytes], None]) -> None:
    try:
      body = self._body()
      self._check_sender()
      answer(body)
    except _Rejection as rejection:
      self.close_connection = True
      self._send_json({'detail': str(rejection)}, rejection.status)

  def _body(self) -> bytes:
    text = self.headers.get('Content-Length', '0')
    if 'Transfer-Encoding' in self.headers or not _LENGTH.fullmatch(text):
      raise _Rejection(
        http.HTTPStatus.LENGTH_REQUIRED, 'Content-Length must be a number'
      )
    if int(text) > _MAX_BODY_BYTES:
      # The sender reads the response only after sending part of the body.
      self.rfile.read(min(int(text), _MAX_DRAINED_BYTES))
      raise _Rejection(
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the body has {text} bytes; at most {_MAX_BODY_BYTES} are accepted',
      )
    return self.rfile.read(int(text))

  def _check_sender(self) -> None:
    """Refuses requests that other pages make a browser send."""
    host, origin = self.headers.get('Host'), self.headers.get('Origin')
    if host not in self.server.hosts:
      raise _Rejection(
        http.HTTPStatus.FORBIDDEN,
        f'this is {self.server.address}, not {reprlib.repr(host)}',
      )
    if origin not in (None, f'http://{host}'):
      raise _Rejection(
        http.HTTPStatus.FORBIDDEN,
        f'pages of {reprlib.repr(origin)} may not send requests here',
      )

  def _get(self, body: bytes) -> None:
    del body
    session = self.server.session
    digest = self.path.removeprefix(_PICTURES)
    if self.path == '/':
      self._send(self.server.page, 'text/html; charset=utf-8')
    elif self.path == '/state':
      self._send_json(session.state())
    elif self.path.startswith(_PICTURES) and digest in session.pictures:
      self._send_picture(session.pictures[digest])
    else:
      raise self._unknown('/', '/state', f'{_PICTURES}DIGEST')

  def _post(self, body: bytes) -> None:
    if self.path != '/replies':
      raise self._unknown('/replies')
    # A form of another page cannot send this type.
    if self.headers.get_content_type() != 'application/json':
      raise _Rejection(
        http.HTTPStatus.UNSUPPORTED_MEDIA_TYPE, 'the body must be JSON'
      )
    try:
      self.server.session.keep(**_decode(body))
    except session_lib.NotCurrentError as e:
      raise _Rejection(http.HTTPStatus.CONFLICT, str(e)) from e
    except ValueError as e:
      raise _Rejection(http.HTTPStatus.BAD_REQUEST, str(e)) from e
    except OSError as e:
      raise _Rejection(
        http.HTTPStatus.INSUFFICIENT_STORAGE,
        f'the answer cannot be written: {e.strerror}',
      ) from e
    self._send_json(self.server.session.state())

  def _unknown(self, *paths: str) -> _Rejection:
    return _Rejection(
      http.HTTPStatus.NOT_FOUND,
      f'no {self.command} {reprlib.repr(self.path)}; choices:'
      f' {", ".join(paths)}',
    )

  def _send_picture(self, picture: records.Picture) -> None:
    try:
      encoded = picture.read()
    except errors.UserError as e:
      raise _Rejection(http.HTTPStatus.NOT_FOUND, str(e)) from e
    # The path contains the digest, so the picture at a path never changes.
    caching = 'private, max-age=86400, immutable'
    self._send(encoded, records.media_type(encoded), caching)

  def _send_json(self, value, status: int = http.HTTPStatus.OK) -> None:
    data = json.dumps(value).encode()
    self._send(data, 'application/json', status=status)

  def _send(
    self,
    data: bytes,
    content_type: str,
    caching: str = 'no-store',
    status: int = http.HTTPStatus.OK,
  ) -> None:
    self.send_response(status)
    headers = {'Content-Type': content_type, 'Cache-Control': caching}
    headers |= _HEADERS
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header('Content-Length', str(len(data)))
    if self.close_connection:
      self.send_header('Connection', 'close')
    self.end_headers()
    self.wfile.write(data)


def _decode(body: bytes) -> dict[str, Any]:
  """Returns the arguments of Session.keep."""
  types = {'test': str, 'position': int, 'chosen': int, 'seconds': (int, float)}
  try:
    arguments = json.loads(body)
  except (ValueError, RecursionError) as e:
    raise _Rejection(
      http.HTTPStatus.BAD_REQUEST, f'the body is not JSON: {e}'
    ) from e
  valid = (
    isinstance(arguments, dict)
    and arguments.keys() == types.keys()
    and all(
      isinstance(arguments[k], kind) and not isinstance(arguments[k], bool)
      for k, kind in types.items()
    )
    and 0 <= arguments['seconds'] <= _MAX_SECONDS
  )
  if not valid:
    raise _Rejection(
      http.HTTPStatus.BAD_REQUEST,
      'the body must have test (text), position and chosen (whole numbers) and'
      ' seconds (0 or more), and nothing else',
    )
  return arguments


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m wm_abench.people.server',
    description='WM-ABench as a test for people, on a page of this host.',
  )
  parser.add_argument(
    '--data',
    required=True,
    help='workdir of a generation, or folder of the release',
  )
  parser.add_argument(
    '--name', required=True, help="the person's name; scored as human/NAME"
  )
  parser.add_argument(
    '--workdir', help='folder of the answers; runs/human/NAME by default'
  )
  parser.add_argument(
    '--cells',
    default='all',
    help='cells, dimensions, environments or stages, joined by commas',
  )
  parser.add_argument(
    '--items',
    type=int,
    default=0,
    help='number of items, 0 (the default) for all; groups stay whole, so'
    ' there may be a few more',
  )
  parser.add_argument(
    '--seed', type=int, default=0, help='seed of all orders; 0 by default'
  )
  parser.add_argument(
    '--port',
    type=int,
    default=8090,
    help='8090 by default; 0 for any free port',
  )
  args = parser.parse_args(argv)
  if not _NAME.fullmatch(args.name):
    raise errors.UserError(
      f'--name {args.name!r} must consist of at most 64 letters, digits, _, -'
      ' and ., and start with a letter, a digit or _'
    )
  for name in ('items', 'seed'):
    if getattr(args, name) < 0:
      raise errors.UserError(f'--{name} {getattr(args, name)} is below 0')
  if args.port and not 1024 <= args.port < 1 << 16:
    raise errors.UserError(
      f'--port {args.port} must be 0 or from 1024 to 65535'
    )
  return args


def _test(args: argparse.Namespace) -> list[records.Item]:
  """Returns the items of the test, in order.

  Raises:
    UserError: the data lacks a cell, or a picture cannot be decoded.
  """
  cells = selection.select_cells(args.data, args.cells)
  # A short test does not contain every cell; the seed selects its cells.
  np.random.default_rng(args.seed).shuffle(cells)
  readers = [selection.read(args.data, [name], 'full') for name in cells]
  items = test_plan.pick(readers, args.items)
  for item in items:
    if problem := pictures.decode_errors(item.pictures):
      raise errors.UserError(f'{item.name}: {problem}')
  return test_plan.plan(items, args.seed)


def _serve(args: argparse.Namespace) -> None:
  """Serves until a signal; a second signal ends the program at once."""
  folder = pathlib.Path(args.workdir or f'runs/human/{args.name}')
  settings = {'cells': args.cells, 'items': args.items}
  session = session_lib.Session(
    folder, args.name, _test(args), args.seed, settings
  )
  with contextlib.closing(session), Server(args.port, session) as server:

    def stop(number, frame):
      del frame
      signal.signal(number, signal.SIG_DFL)
      # shutdown() waits for the loop below, which this handler interrupts.
      threading.Thread(target=server.shutdown).start()

    for kind in (signal.SIGTERM, signal.SIGINT):
      signal.signal(kind, stop)
    print(f'{server.address} asks {args.name}: {session.describe()}')
    print('Ctrl-C ends it; the same command continues.', flush=True)
    server.serve_forever(poll_interval=0.1)
  print(session.describe())


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the program and returns its exit status."""
  try:
    _serve(_parse(argv))
  except errors.UserError as e:
    print('error:', ' '.join(str(e).split()), file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
