"""The sandbox's side of a worker: its process, and the socket to it."""

from collections.abc import Sequence
import json
import marshal
import pathlib
import socket
import subprocess
import sys

_START_TIMEOUT_S = 60.0
_MAX_MESSAGE_BYTES = 1 << 16
_ROOT = pathlib.Path(__file__).parents[3]
_COMMAND = """
import sys
sys.path.insert(0, {root!r})
from coderl.sandbox.worker import preload
with preload.without_fork_hooks():
  from coderl.sandbox.worker import zygote
sys.path.pop(0)
zygote.main({descriptor}, {limits!r}, {layers!r})
"""


class WorkerError(Exception):
  """A worker died or does not answer."""


class Worker:
  """A zygote process (zygote.py) and the socket to it.

  Args:
    limits: the fields of api.Limits.
    layers: keys of confine.LAYERS.

  Attributes:
    refusals: layer -> '' if it is active, else the kernel's error.

  Raises:
    WorkerError: the process does not start.
  """

  def __init__(self, limits: dict, layers: Sequence[str]):
    self._socket, worker_socket = socket.socketpair(
      socket.AF_UNIX, socket.SOCK_SEQPACKET
    )
    descriptor = worker_socket.fileno()
    command = _COMMAND.format(
      root=str(_ROOT), descriptor=descriptor, limits=limits, layers=layers
    )
    self._process = subprocess.Popen(
      [sys.executable, '-s', '-S', '-P', '-B', '-c', command],
      env={'PYTHONHASHSEED': '0'},
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      pass_fds=[descriptor],
      cwd='/',
      start_new_session=True,  # Ctrl-C must not interrupt it.
    )
    worker_socket.close()
    self.pid = self._process.pid
    try:
      self.refusals: dict[str, str] = self.receive(_START_TIMEOUT_S)
    except WorkerError:
      self.close()
      raise

  def send(self, request: dict, files: list[int]) -> None:
    """Sends a request with open files; raises WorkerError if that fails."""
    try:
      socket.send_fds(self._socket, [marshal.dumps(request)], files)
    except OSError as error:
      raise WorkerError(f'cannot reach the worker: {error}') from error

  def receive(self, timeout_s: float) -> dict:
    """Returns the next answer; raises WorkerError if there is none in time."""
    self._socket.settimeout(timeout_s)
    try:
      message = self._socket.recv(_MAX_MESSAGE_BYTES)
    except OSError as error:
      raise WorkerError(f'the worker does not answer: {error}') from error
    if not message:
      raise WorkerError('the worker died')
    return json.loads(message)

  def close(self, timeout_s: float = 1.0) -> None:
    """Ends the worker, and kills it if it has not ended in time."""
    self._socket.close()
    try:
      self._process.wait(timeout_s)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
