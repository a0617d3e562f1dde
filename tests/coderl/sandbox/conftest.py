"""Fixtures that start this project's server, and a fake service."""

import contextlib
import http.server
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

_ROOT = pathlib.Path(__file__).parents[3]


def _parents() -> dict[int, int]:
  """Returns process -> its parent."""
  parents = {}
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      fields = path.read_text().rpartition(')')[2].split()
      parents[int(path.parent.name)] = int(fields[1])
  return parents


class ServerProcess:
  """A process of this project's server.

  Attributes:
    line: the first line that it prints.
    url: its address.
  """

  def __init__(self, *args: str):
    self.process = subprocess.Popen(
      [sys.executable, '-m', 'coderl.sandbox.service.serve', '--port=0', *args],
      cwd=_ROOT,
      stdout=subprocess.PIPE,
      text=True,
    )
    self.line = self.process.stdout.readline()
    self.url = self.line.partition(' at ')[2].partition(': ')[0]

  def workers(self) -> set[int]:
    parents = _parents()
    return {pid for pid in parents if parents[pid] == self.process.pid}

  def children(self) -> set[int]:
    """Returns its workers and their descendants."""
    parents, pids = _parents(), {self.process.pid}
    for _ in range(8):
      pids |= {pid for pid, parent in parents.items() if parent in pids}
    return pids - {self.process.pid}

  def stop(self, number: int = signal.SIGTERM) -> int:
    self.process.send_signal(number)
    self.process.stdout.close()
    return self.process.wait(timeout=30)


@pytest.fixture(scope='module')
def start_server():
  """Starts servers: `start_server('--workers=1')`; they end with the module."""
  with contextlib.ExitStack() as stack:

    def start(*args: str) -> ServerProcess:
      server = ServerProcess(*args)
      stack.callback(server.stop)
      return server

    yield start


class FakeService(http.server.ThreadingHTTPServer):
  """A service of another make, whose answers a test chooses.

  Attributes:
    answer: function of (path, request) that returns the status, the headers,
      and a JSON value or bytes.
    requests: the JSON values that were sent to POST /run_code.
    connections: the sockets of all connections.
    url: its address.
  """

  def __init__(self, answer):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.answer, self.requests, self.connections = answer, [], []
    self.url = f'http://127.0.0.1:{self.server_port}'

  def process_request(self, request, client_address):
    self.connections.append(request)
    super().process_request(request, client_address)

  def hang_up(self):
    self.connections[-1].shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  disable_nagle_algorithm = True

  def do_GET(self):
    self._send(404, {}, {'detail': 'Not Found'})

  def do_POST(self):
    data = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    self.server.requests.append(data)
    self._send(*self.server.answer(self.path, data))

  def _send(self, status, headers, value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    self.send_response(status)
    for name, text in headers.items():
      self.send_header(name, text)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def log_message(self, format, *args):
    del format, args


@pytest.fixture
def fake_service():
  """Starts such a service: `fake_service(answer)`."""
  with contextlib.ExitStack() as stack:

    def start(answer) -> FakeService:
      service = stack.enter_context(FakeService(answer))
      service.daemon_threads = True
      threading.Thread(target=service.serve_forever, args=(0.02,)).start()
      stack.callback(service.shutdown)
      return service

    yield start
