"""The test for people: items on a page of this host, answers in a file.

  python -m wm_abench.people.server --data runs/mini --name ada --items 100

serves a page at an address that it prints, to browsers of this host alone. It
shows one item after the other, its pictures at their own size, and goes by
clicks or by keys: 1 to 4 or A to D choose, Enter confirms. A workdir holds

  manifest.json  which test it is
  NAME.jsonl     a records.Reply a line: the replies of a model `human/NAME`

Each answer is in that file, on the disk, before the page goes on. Stopped or
killed at any moment, the same command goes on with the first item that has no
answer. The browser is told no answer, no factor and no item's name.

Seconds are those that an item was in view, from when all its pictures were
there, and go on where the page is loaded anew. `test_plan.read` is for the scores.
"""

import argparse
from collections.abc import Callable, Sequence
import contextlib
import http
import http.server
import json
import os
import pathlib
import re
import reprlib
import signal
import sys
import threading
from typing import Any

import numpy as np

# TensorFlow only reads data here; its start-up notices are noise.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from commons import errors
from wm_abench.data import picture_files
from wm_abench.people import session, test_plan

_PAGE = pathlib.Path(__file__).with_name('template.html')
_HOST = '127.0.0.1'
_SILENCE_S = 60.0  # Of a browser in the middle of a request, or between two.
_MOST_SECONDS = 1e6
_BODY_BYTES, _DRAINED_BYTES = 4096, 1 << 20
_NAME = re.compile(r'\w[\w.-]{0,63}')
_LENGTH = re.compile('[0-9]{1,9}')
_PICTURES = '/pictures/'
_KINDS = {'.jpg': 'image/jpeg', '.png': 'image/png', '.webp': 'image/webp'}
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
  """An HTTP status, and the line that says why."""

  def __init__(self, status: http.HTTPStatus, detail: str):
    super().__init__(detail)
    self.status = status


class Server(http.server.ThreadingHTTPServer):
  """Serves a sitting to browsers of this host.

  Args:
    port: 0 is any that is free.
    asked: whose page it is.

  Raises:
    UserError: the port is taken.
  """

  def __init__(self, port: int, asked: session.Sitting):
    try:
      super().__init__((_HOST, port), _Handler)
    except OSError as e:
      raise errors.UserError(f'--port {port}: {e.strerror}') from e
    self.asked = asked
    # A page of elsewhere whose name was made to lead here has another one.
    self.hosts = [f'{name}:{self.server_port}' for name in (_HOST, 'localhost')]
    self.page = _PAGE.read_bytes()

  @property
  def address(self) -> str:
    return f'http://{self.hosts[0]}/'

  def handle_error(self, request, client_address) -> None:
    if not isinstance(sys.exception(), OSError):  # A browser that left.
      super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
  """Of one connection, which may carry many requests."""

  protocol_version = 'HTTP/1.1'
  server_version = 'wm_abench'
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
    if int(text) > _BODY_BYTES:
      # Read in part, for its sender to get to the answer.
      self.rfile.read(min(int(text), _DRAINED_BYTES))
      raise _Rejection(
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f'the body has {text} bytes; at most {_BODY_BYTES} are taken',
      )
    return self.rfile.read(int(text))

  def _check_sender(self) -> None:
    """Refuses what a page of elsewhere makes a browser send."""
    host, origin = self.headers.get('Host'), self.headers.get('Origin')
    if host not in self.server.hosts:
      raise _Rejection(
        http.HTTPStatus.FORBIDDEN,
        f'this is {self.server.address}, not {reprlib.repr(host)}',
      )
    if origin not in (None, f'http://{host}'):
      raise _Rejection(
        http.HTTPStatus.FORBIDDEN,
        f'pages of {reprlib.repr(origin)} may not ask this one',
      )

  def _get(self, body: bytes) -> None:
    del body
    asked = self.server.asked
    name = self.path.removeprefix(_PICTURES)
    if self.path == '/':
      self._send(self.server.page, 'text/html; charset=utf-8')
    elif self.path == '/state':
      self._send_json(asked.state())
    elif self.path.startswith(_PICTURES) and name in asked.pictures:
      self._send_picture(asked.pictures[name])
    else:
      raise self._unknown('/', '/state', f'{_PICTURES}NAME')

  def _post(self, body: bytes) -> None:
    if self.path != '/replies':
      raise self._unknown('/replies')
    # A form of another page cannot send this kind.
    if self.headers.get_content_type() != 'application/json':
      raise _Rejection(
        http.HTTPStatus.UNSUPPORTED_MEDIA_TYPE, 'the body must be JSON'
      )
    try:
      self.server.asked.keep(**_decode(body))
    except session.NotAskedError as e:
      raise _Rejection(http.HTTPStatus.CONFLICT, str(e)) from e
    except ValueError as e:
      raise _Rejection(http.HTTPStatus.BAD_REQUEST, str(e)) from e
    except OSError as e:
      raise _Rejection(
        http.HTTPStatus.INSUFFICIENT_STORAGE,
        f'the answer cannot be written: {e.strerror}',
      ) from e
    self._send_json(self.server.asked.state())

  def _unknown(self, *paths: str) -> _Rejection:
    return _Rejection(
      http.HTTPStatus.NOT_FOUND,
      f'no {self.command} {reprlib.repr(self.path)}; choices:'
      f' {", ".join(paths)}',
    )

  def _send_picture(self, path: pathlib.Path) -> None:
    try:
      data = path.read_bytes()
    except OSError as e:
      raise _Rejection(
        http.HTTPStatus.NOT_FOUND, f'{path.name} is gone: {e.strerror}'
      ) from e
    # Its digest names it, so it never changes; shown, it is there at once.
    keep = 'private, max-age=86400, immutable'
    self._send(data, _KINDS[path.suffix], keep)

  def _send_json(self, value, status: int = http.HTTPStatus.OK) -> None:
    data = json.dumps(value).encode()
    self._send(data, 'application/json', status=status)

  def _send(
    self,
    data: bytes,
    kind: str,
    keep: str = 'no-store',
    status: int = http.HTTPStatus.OK,
  ) -> None:
    self.send_response(status)
    headers = {'Content-Type': kind, 'Cache-Control': keep, **_HEADERS}
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header('Content-Length', str(len(data)))
    if self.close_connection:
      self.send_header('Connection', 'close')
    self.end_headers()
    self.wfile.write(data)


def _decode(body: bytes) -> dict[str, Any]:
  """The arguments of `Sitting.keep`."""
  kinds = {'test': str, 'position': int, 'chosen': int, 'seconds': (int, float)}
  try:
    row = json.loads(body)
  except (ValueError, RecursionError) as e:
    raise _Rejection(
      http.HTTPStatus.BAD_REQUEST, f'the body is no JSON: {e}'
    ) from e
  sound = (
    isinstance(row, dict)
    and row.keys() == kinds.keys()
    and all(
      isinstance(row[k], kind) and not isinstance(row[k], bool)
      for k, kind in kinds.items()
    )
    and 0 <= row['seconds'] <= _MOST_SECONDS
  )
  if not sound:
    raise _Rejection(
      http.HTTPStatus.BAD_REQUEST,
      'the body must have test (text), position and chosen (whole numbers) and'
      ' seconds (0 or more), and nothing else',
    )
  return row


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m wm_abench.people.server',
    description='WM-ABench as a test for people, on a page of this host.',
  )
  parser.add_argument(
    '--data', required=True, help='folder of a generation or of the release'
  )
  parser.add_argument(
    '--name', required=True, help='whose test it is; scored as human/NAME'
  )
  parser.add_argument(
    '--workdir', help='where the answers are kept; runs/human/NAME by default'
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
    help='how many; a few more where a group would be cut; 0, the default: all',
  )
  parser.add_argument(
    '--seed', type=int, default=0, help='of all orders; 0 by default'
  )
  parser.add_argument(
    '--port', type=int, default=8090, help='8090 by default; 0: a free one'
  )
  args = parser.parse_args(argv)
  if not _NAME.fullmatch(args.name):
    raise errors.UserError(
      f'--name {args.name!r} must be letters, digits, _, - and ., at most 64,'
      ' with a letter, a digit or _ first'
    )
  for name in ('items', 'seed'):
    if getattr(args, name) < 0:
      raise errors.UserError(f'--{name} {getattr(args, name)} is below 0')
  if args.port and not 1024 <= args.port < 1 << 16:
    raise errors.UserError(
      f'--port {args.port} must be 0 or from 1024 to 65535'
    )
  return args


def _trials(args: argparse.Namespace) -> list[test_plan.Trial]:
  """The test.

  Raises:
    UserError: the data hold no such cell, or a picture that cannot be shown.
  """
  cells = picture_files.select(args.data, args.cells)
  # A short test has not room for every cell: which come first is by the seed.
  np.random.default_rng(args.seed).shuffle(cells)
  readers = [picture_files.read(args.data, [name], 'full') for name in cells]
  questions = test_plan.pick(readers, args.items)
  for question in questions:
    if question.broken:
      raise errors.UserError(f'{question.name}: {question.broken}')
  return test_plan.plan(questions, args.seed)


def _serve(args: argparse.Namespace) -> None:
  """Until a signal says to stop; a second one acts at once."""
  folder = pathlib.Path(args.workdir or f'runs/human/{args.name}')
  settings = {name: getattr(args, name) for name in ('cells', 'items', 'seed')}
  asked = session.Sitting(folder, args.name, _trials(args), settings)
  with contextlib.closing(asked), Server(args.port, asked) as server:

    def stop(number, frame):
      del frame
      signal.signal(number, signal.SIG_DFL)
      # It waits for the loop below, which this handler interrupts.
      threading.Thread(target=server.shutdown).start()

    for kind in (signal.SIGTERM, signal.SIGINT):
      signal.signal(kind, stop)
    print(f'{server.address} asks {args.name}: {asked.described()}')
    print('Ctrl-C ends it; the same command goes on.', flush=True)
    server.serve_forever(poll_interval=0.1)
  print(asked.described())


def main(argv: Sequence[str] | None = None) -> int:
  """The exit status."""
  try:
    _serve(_parse(argv))
  except errors.UserError as e:
    print('error:', ' '.join(str(e).split()), file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
