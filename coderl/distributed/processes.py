"""Runs several processes as one: they join, exchange data and end together.

The devices of all processes form one mesh (sharding.py). Host work is either
split over the processes and then gathered, or repeated by each of them. So all
processes know the same and decide the same. The first process alone writes
files.

Joining and ending use sockets of this module beside jax.distributed. In jax
0.10.2 jax.distributed does not name a process that never joins, and it ends the
others by SIGABRT (status 134) with a C++ stack dump, whatever its heartbeat.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import os
import pickle
import selectors
import socket
import sys
import threading
import time
import traceback
from typing import Any, NoReturn, TypeVar
import zlib

import jax
from jax.experimental import multihost_utils
import ml_collections
import numpy as np

from coderl.sandbox import api
from commons import errors

AUTO = 'auto'
# Words of the protocol; a message is one line.
_JOIN, _GO, _FAILED, _BYE = 'coderl', 'go', 'failed', 'bye'
_RETRY_S = 0.2
# A process may take this long to report its own error before a peer's counts.
_GRACE_S = 3.0
_LINE_BYTES = 1024

T = TypeVar('T')


@contextlib.contextmanager
def session(section: ml_collections.ConfigDict) -> Iterator[None]:
  """Joins the processes that the config's section `hosts` names.

  If one process fails, all others end within seconds, each with one line and
  status 3. Two cases are left to jax's heartbeat: processes joined by 'auto',
  and the loss of the first process itself (jax aborts the others, status 134).

  Args:
    section: coordinator is HOST:PORT of the first process, 'auto' to ask the
      cluster (Cloud TPU, SLURM, Kubernetes), or '' to read
      JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; without
      these there is one process. count is the number of processes, index the
      number of this one, wait_s the time limit of joining.

  Raises:
    UserError: the section is invalid, or a process did not join in time.
  """
  watch = _join(section)
  try:
    yield
  except BaseException as error:
    if jax.process_count() == 1:
      raise
    if isinstance(error, jax.errors.JaxRuntimeError) or 'Gloo' in str(error):
      # A collective fails if a peer has ended; the watch then names the peer.
      time.sleep(2 * _GRACE_S)
      if not watch.peers:
        _end_with(f'another process has ended: {error}')
    if not watch.peers:
      raise
    watch.fail(error)
  watch.close()


def _end_with(message: str) -> NoReturn:
  """Prints one line and ends this process, because a peer has ended."""
  print(
    f'\nerror: process {jax.process_index()} of {jax.process_count()}:'
    f' {" ".join(message.split())[:300]}; start them all again with the same'
    ' command to go on from the last checkpoint',
    file=sys.stderr,
    flush=True,
  )
  # An orderly shutdown of jax would wait for the peer.
  os._exit(3)


def _join(section: ml_collections.ConfigDict) -> '_Watch':
  """Joins the processes and returns the watch over them."""
  address = section.coordinator
  count, index = section.count, section.index
  if not address:
    environment = os.environ
    address = environment.get('JAX_COORDINATOR_ADDRESS', '')
    count = count or _number(environment, 'JAX_NUM_PROCESSES')
    index = index if index >= 0 else _number(environment, 'JAX_PROCESS_ID', -1)
  if not address:
    return _Watch({})
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  if address == AUTO:
    jax.distributed.initialize(initialization_timeout=section.wait_s)
    return _Watch({})
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal():
    raise errors.UserError(
      f"hosts.coordinator={address!r}: must be HOST:PORT, '{AUTO}' or ''"
    )
  if not 0 <= index < count:
    raise errors.UserError(
      f'hosts.index={index} with hosts.count={count}: the processes are'
      ' numbered from 0 to count - 1'
    )
  if index == 0:
    peers = _accept_peers(int(port), count, section.wait_s)
  else:
    peers = _call_first(host, int(port), count, index, section.wait_s)
  jax.distributed.initialize(
    address, count, index, initialization_timeout=section.wait_s
  )
  return _Watch(peers)


def _number(environment, name: str, default: int = 0) -> int:
  text = environment.get(name, str(default))
  if not text.lstrip('-').isdecimal():
    raise errors.UserError(f'{name}={text!r}: must be a number')
  return int(text)


class _Watch:
  """Ends this process once a peer has ended before the end of the session.

  The first process is connected to every other process, the others to the first
  alone; it passes on what it learns.

  Attributes:
    peers: connections by the number of the process at their other end.
  """

  def __init__(self, peers: dict[int, socket.socket]):
    self.peers, self._closed = peers, threading.Event()
    self._is_first = 0 not in peers
    self._thread = threading.Thread(target=self._run, daemon=True)
    if peers:
      self._thread.start()

  def close(self) -> None:
    """Ends the watch at the end of the session."""
    self._closed.set()
    for peer in self.peers.values():
      with contextlib.suppress(OSError):
        peer.sendall(f'{_BYE}\n'.encode())
        peer.shutdown(socket.SHUT_WR)

  def fail(self, error: BaseException) -> NoReturn:
    """Reports an error here and to the peers, then ends this process.

    The status is the one of main.py, without jax's shutdown, which would wait
    for the peers and then abort. The first process ends last, because jax
    aborts the others when it is gone.
    """
    self._closed.set()
    self._send(jax.process_index(), str(error) or type(error).__name__)
    if isinstance(error, errors.UserError | errors.ServiceError):
      print('error:', ' '.join(str(error).split()), file=sys.stderr)
    else:
      traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    if self._is_first:
      self._thread.join(2 * _GRACE_S)
    if isinstance(error, errors.UserError):
      os._exit(2)
    os._exit(3 if isinstance(error, errors.ServiceError) else 1)

  def _send(self, index: int, fault: str) -> None:
    """Sends the peers the number of a failed process and its error."""
    line = f'{_FAILED} {index} {" ".join(fault.split())[:_LINE_BYTES]}\n'
    for peer in self.peers.values():
      with contextlib.suppress(OSError):
        peer.sendall(line.encode())

  def _run(self) -> None:
    """Reads from the peers until all have left or one has failed."""
    selector = selectors.DefaultSelector()
    for index, peer in self.peers.items():
      peer.settimeout(None)
      peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
      selector.register(peer, selectors.EVENT_READ, index)
    while selector.get_map():
      for key, _ in selector.select():
        try:
          text = key.fileobj.recv(2 * _LINE_BYTES).decode()
        except OSError:
          text = ''
        words = text.partition('\n')[0].split()
        if words[:1] != [_FAILED]:
          selector.unregister(key.fileobj)
        if words[:1] != [_BYE] and not self._closed.is_set():
          self._end_after(key.data, words[1:])

  def _end_after(self, index: int, words: Sequence[str]) -> None:
    """Ends this process after the failure of a peer, unless it fails itself.

    Args:
      index: the peer that reported the failure, or whose connection broke.
      words: the number of the failed process and its error; empty if the
        connection broke.
    """
    index = int(words[0]) if words else index
    fault = ' '.join(words[1:]) or 'killed, or its host is lost'
    if self._is_first:
      self._send(index, fault)
    # The same error may be about to be raised here, with a better message. The
    # first process ends last, as in `fail`.
    if not self._closed.wait(_GRACE_S + self._is_first):
      _end_with(f'process {index} has ended ({fault})')


def _missing(missing: Sequence[int], count: int, wait_s: float) -> str:
  names = ', '.join(str(index) for index in missing)
  return (
    f'of {count} processes, number {names} did not join within'
    f' hosts.wait_s={wait_s} seconds'
  )


def _accept_peers(
  port: int, count: int, wait_s: float
) -> dict[int, socket.socket]:
  """Waits for processes 1 to count - 1 and sends each the outcome."""
  deadline = time.monotonic() + wait_s
  peers: dict[int, socket.socket] = {}
  fault = ''
  try:
    server = socket.create_server(('', port))
  except OSError as e:
    raise errors.UserError(
      f'hosts.coordinator: port {port} cannot be opened: {e.strerror}'
    ) from e
  with server:
    while len(peers) < count - 1 and not fault:
      server.settimeout(max(0.01, deadline - time.monotonic()))
      try:
        connection, _ = server.accept()
      except TimeoutError:
        missing = sorted({*range(1, count)} - {*peers})
        fault = _missing(missing, count, wait_s)
        break
      connection.settimeout(_RETRY_S)
      index, fault = _read_call(connection, count, peers)
      if index is None:
        connection.close()
      else:
        peers[index] = connection
  for peer in peers.values():
    with contextlib.suppress(OSError):
      peer.sendall(f'{fault or _GO}\n'.encode())
  if fault:
    raise errors.UserError(fault)
  return peers


def _read_call(
  connection: socket.socket, count: int, known: dict[int, socket.socket]
) -> tuple[int | None, str]:
  """Returns the caller's number, None for a stranger, and an error or ''."""
  try:
    words = connection.recv(_LINE_BYTES).decode().split()
    name, index, its_count = words[0], int(words[1]), int(words[2])
  except (OSError, ValueError, IndexError):
    return None, ''
  if name != _JOIN:
    return None, ''
  if its_count != count:
    return index, f'hosts.count={its_count} in process {index}, {count} in 0'
  if index in known:
    return None, f'two processes have hosts.index={index}'
  return index, ''


def _call_first(
  host: str, port: int, count: int, index: int, wait_s: float
) -> dict[int, socket.socket]:
  """Calls the first process until it answers and returns the connection."""
  deadline = time.monotonic() + wait_s
  while True:
    try:
      connection = socket.create_connection((host, port), timeout=1)
      connection.sendall(f'{_JOIN} {index} {count}\n'.encode())
      # The first process may start later; its time limit begins then.
      connection.settimeout(wait_s + 1)
      reply = connection.recv(_LINE_BYTES).decode().strip()
    except OSError:
      reply = ''
    if reply == _GO:
      return {0: connection}
    if reply:
      raise errors.UserError(reply)
    if time.monotonic() > deadline:
      where = f' at {host}:{port}'
      raise errors.UserError(_missing([0], count, wait_s) + where)
    time.sleep(_RETRY_S)


def is_first() -> bool:
  """Returns whether this is the process that writes files."""
  return jax.process_index() == 0


def gather(value: T) -> list[T]:
  """Returns the values of all processes in order; all of them must call it."""
  if jax.process_count() == 1:
    return [value]
  data = np.frombuffer(zlib.compress(pickle.dumps(value), 1), np.uint8)
  lens = multihost_utils.process_allgather(np.int32(len(data)))
  buffers = multihost_utils.process_allgather(
    np.pad(data, (0, max(lens) - len(data)))
  )
  return [
    pickle.loads(zlib.decompress(buffer[:n].tobytes()))
    for buffer, n in zip(buffers, lens, strict=True)
  ]


def call_and_gather(function: Callable[[], T]) -> list[T]:
  """Calls a function in every process and returns all results, in order.

  Raises:
    ServiceError: in all processes, if the function raises it in one of them.
  """
  value, fault = None, ''
  try:
    value = function()
  except errors.ServiceError as error:
    fault = str(error)
  outcomes = gather((value, fault))
  for _, fault in outcomes:
    if fault:
      raise errors.ServiceError(fault)
  return [value for value, _ in outcomes]


class Runner:
  """The sandboxes of all processes as one: each runs its share of programs."""

  def __init__(self, local: api.Runner):
    self.local = local

  def run(self, programs: Sequence[api.Program]) -> list[api.Execution]:
    """Runs programs; all processes pass the same and get the same."""
    count, index = jax.process_count(), jax.process_index()
    shares = call_and_gather(
      lambda: self.local.run(list(programs)[index::count])
    )
    executions: list[Any] = [None] * len(programs)
    for i, share in enumerate(shares):
      executions[i::count] = share
    return executions
