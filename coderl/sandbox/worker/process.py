"""A worker process, and the socket to it."""

from collections.abc import Sequence
import json
import marshal
import pathlib
import socket
import subprocess
import sys

_START_S = 60.0
_MESSAGE_BYTES = 1 << 16
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
  """A worker died, or no longer answers."""


class Worker:
  """A zygote process and the socket to it.

  limits: the fields of api.Limits. layers: of confine.LAYERS.
  """

  def __init__(self, limits: dict, layers: Sequence[str]):
    self._socket, theirs = socket.socketpair(
      socket.AF_UNIX, socket.SOCK_SEQPACKET
    )
    descriptor = theirs.fileno()
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
      start_new_session=True,  # An interrupt is not meant for it.
    )
    theirs.close()
    self.pid = self._process.pid
    try:
      self.refusals: dict[str, str] = self.receive(_START_S)
    except WorkerError:
      self.close()
      raise

  def send(self, request: dict, files: list[int]) -> None:
    try:
      socket.send_fds(self._socket, [marshal.dumps(request)], files)
    except OSError as error:
      raise WorkerError(f'no worker: {error}') from error

  def receive(self, timeout_s: float) -> dict:
    self._socket.settimeout(timeout_s)
    try:
      message = self._socket.recv(_MESSAGE_BYTES)
    except OSError as error:
      raise WorkerError(f'no answer: {error}') from error
    if not message:
      raise WorkerError('the worker died')
    return json.loads(message)

  def close(self, timeout_s: float = 1.0) -> None:
    self._socket.close()
    try:
      self._process.wait(timeout_s)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
