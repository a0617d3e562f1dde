"""Several processes as one run: joining, exchanging, and ending together.

Devices of all processes make one mesh (sharding.py). What the host does is
either split, each process with its own share, and then gathered, or done by
each alike; so every process knows the same and decides the same. The first
process alone writes.
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
from typing import Any, TypeVar
import zlib

import jax
from jax.experimental import multihost_utils
import ml_collections
import numpy as np

from coderl.sandbox import api
from commons import errors

AUTO = 'auto'
_CALL, _GO, _GONE, _BYE = 'coderl', 'go', 'gone', 'bye'
_RETRY_S = 0.2
_GRACE_S = 3.0
_LINE_BYTES = 1024

T = TypeVar('T')


@contextlib.contextmanager
def session(section: ml_collections.ConfigDict) -> Iterator[None]:
  """Joins the processes that the config's section `hosts` names, if any.

  coordinator: HOST:PORT of the first process; 'auto' asks the cluster (Cloud
  TPU, SLURM, Kubernetes); '' reads JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES
  and JAX_PROCESS_ID, and without them there is one process. count, index: of
  the processes, and this one's number. wait_s: for all to join.

  A process that dies takes all others along, each with one line and status 3:
  at once where they were joined by address, by jax's heartbeat where 'auto'.

  Raises:
    UserError: the section makes no sense, or a process did not join in time.
  """
  watch = _join(section)
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if jax.process_count() == 1:
      raise
    time.sleep(_GRACE_S)  # The watch knows better who it is.
    _end_with(f'another process has ended: {error}')
  except errors.ServiceError:
    watch.close()  # All processes raise it.
    raise
  except BaseException as error:
    watch.close(str(error) or type(error).__name__)
    raise
  watch.close()


def _end_with(message: str) -> None:
  """Ends this process, which may wait for one that is gone."""
  print(
    f'\nerror: process {jax.process_index()} of {jax.process_count()}:'
    f' {" ".join(message.split())[:300]}; start them all again with the same'
    ' command to go on from the last checkpoint',
    file=sys.stderr,
    flush=True,
  )
  # To shut down in order, jax would wait for the one that is gone.
  os._exit(3)


def _join(section: ml_collections.ConfigDict) -> '_Watch':
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
      f'hosts.index={index} with hosts.count={count}: each process has a'
      ' number of its own, from 0 to count - 1'
    )
  if index == 0:
    peers = _call_the_roll(int(port), count, section.wait_s)
  else:
    peers = _answer_the_roll(host, int(port), count, index, section.wait_s)
  jax.distributed.initialize(
    address, count, index, initialization_timeout=section.wait_s
  )
  return _Watch(peers)


def _number(environment, name: str, default: int = 0) -> int:
  text = environment.get(name, str(default))
  if not text.lstrip('-').isdecimal():
    raise errors.UserError(f'{name}={text!r}: must be a number')
  return int(text)


# jax.distributed aborts a process whose peers do not come, and does not say who
# they are; of one that dies it hears after a minute and more. So each process
# calls at the coordinator's port first, and the connection stays: the first
# process has one to every other.


class _Watch:
  """Ends this process once another has ended before its time.

  peers: connections, by the number of the process at their other end.
  """

  def __init__(self, peers: dict[int, socket.socket]):
    self._peers, self._closed = peers, threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)
    if peers:
      self._thread.start()

  def close(self, fault: str = '') -> None:
    """Says good-bye or, to the others' end, what went wrong here."""
    self._closed.set()
    if fault:
      self._tell(jax.process_index(), fault)
    for peer in self._peers.values():
      with contextlib.suppress(OSError):
        peer.sendall(f'{_BYE}\n'.encode())
        peer.shutdown(socket.SHUT_WR)

  def _tell(self, index: int, fault: str) -> None:
    line = f'{_GONE} {index} {" ".join(fault.split())[:_LINE_BYTES]}\n'
    for peer in self._peers.values():
      with contextlib.suppress(OSError):
        peer.sendall(line.encode())

  def _run(self) -> None:
    selector = selectors.DefaultSelector()
    for index, peer in self._peers.items():
      peer.settimeout(None)
      peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
      selector.register(peer, selectors.EVENT_READ, index)
    while selector.get_map():
      for key, _ in selector.select():
        try:
          words = key.fileobj.recv(2 * _LINE_BYTES).decode().split()
        except OSError:
          words = []
        if words[:1] == [_BYE]:
          selector.unregister(key.fileobj)
          continue
        gone, said = key.data, []
        if words[:1] == [_GONE]:
          gone, said = int(words[1]), [w for w in words[2:] if w != _BYE]
        fault = ' '.join(said) or 'killed, or its host is lost'
        if jax.process_index() == 0:
          self._tell(gone, fault)
        # What went wrong there may be going wrong here: that says it better.
        if not self._closed.wait(_GRACE_S):
          _end_with(f'process {gone} has ended ({fault})')
        return


def _missing(missing: Sequence[int], count: int, wait_s: float) -> str:
  names = ', '.join(str(index) for index in missing)
  return (
    f'of {count} processes, number {names} did not join within'
    f' hosts.wait_s={wait_s} seconds'
  )


def _call_the_roll(
  port: int, count: int, wait_s: float
) -> dict[int, socket.socket]:
  """Waits for processes 1 to count - 1 and tells each how it went."""
  deadline = time.monotonic() + wait_s
  callers: dict[int, socket.socket] = {}
  fault = ''
  try:
    door = socket.create_server(('', port))
  except OSError as e:
    raise errors.UserError(
      f'hosts.coordinator: port {port} cannot be opened: {e.strerror}'
    ) from e
  with door:
    while len(callers) < count - 1 and not fault:
      door.settimeout(max(0.01, deadline - time.monotonic()))
      try:
        caller, _ = door.accept()
      except TimeoutError:
        missing = sorted({*range(1, count)} - {*callers})
        fault = _missing(missing, count, wait_s)
        break
      caller.settimeout(_RETRY_S)
      index, fault = _read_call(caller, count, callers)
      if index is None:
        caller.close()
      else:
        callers[index] = caller
  for caller in callers.values():
    with contextlib.suppress(OSError):
      caller.sendall(f'{fault or _GO}\n'.encode())
  if fault:
    raise errors.UserError(fault)
  return callers


def _read_call(
  caller: socket.socket, count: int, known: dict[int, socket.socket]
) -> tuple[int | None, str]:
  """The caller's number, None for a stranger; and what is wrong with it."""
  try:
    words = caller.recv(_LINE_BYTES).decode().split()
    name, index, its_count = words[0], int(words[1]), int(words[2])
  except (OSError, ValueError, IndexError):
    return None, ''
  if name != _CALL:
    return None, ''
  if its_count != count:
    return index, f'hosts.count={its_count} in process {index}, {count} in 0'
  if index in known:
    return None, f'two processes have hosts.index={index}'
  return index, ''


def _answer_the_roll(
  host: str, port: int, count: int, index: int, wait_s: float
) -> dict[int, socket.socket]:
  deadline = time.monotonic() + wait_s
  while True:
    try:
      connection = socket.create_connection((host, port), timeout=1)
      connection.sendall(f'{_CALL} {index} {count}\n'.encode())
      # Process 0, which may have come later, waits as long from then on.
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
  """Whether this process writes what there is one of."""
  return jax.process_index() == 0


def gather(value: T) -> list[T]:
  """Every process's value, in their order; all call it, and get the same."""
  if jax.process_count() == 1:
    return [value]
  data = np.frombuffer(zlib.compress(pickle.dumps(value), 1), np.uint8)
  lens = multihost_utils.process_allgather(np.int32(len(data)))
  rows = multihost_utils.process_allgather(
    np.pad(data, (0, max(lens) - len(data)))
  )
  return [
    pickle.loads(zlib.decompress(row[:n].tobytes()))
    for row, n in zip(rows, lens, strict=True)
  ]


def together(function: Callable[[], T]) -> list[T]:
  """What every process's function returns, in their order.

  Raises:
    ServiceError: in all of them, where it was raised in one.
  """
  value, fault = None, ''
  try:
    value = function()
  except errors.ServiceError as error:
    fault = str(error)
  found = gather((value, fault))
  for _, fault in found:
    if fault:
      raise errors.ServiceError(fault)
  return [value for value, _ in found]


class Runner:
  """A sandbox of each process, as one: each runs its share of the programs."""

  def __init__(self, own: api.Runner):
    self.own = own

  def run(self, programs: Sequence[api.Program]) -> list[api.Execution]:
    """As the sandbox's; every process asks the same and gets the same."""
    count, index = jax.process_count(), jax.process_index()
    shares = together(lambda: self.own.run(list(programs)[index::count]))
    found: list[Any] = [None] * len(programs)
    for i, share in enumerate(shares):
      found[i::count] = share
    return found


def whole(array: jax.Array) -> np.ndarray:
  """All of an array, on every process."""
  if array.is_fully_addressable or array.is_fully_replicated:
    return np.asarray(array)
  return multihost_utils.process_allgather(array, tiled=True)


def own_parts(array: jax.Array) -> list[np.ndarray]:
  """The parts [n, ...] of the rows that this process answers for, in order."""
  return [np.asarray(shard.data) for _, shard in _own_shards(array)]


def own_rows(array: jax.Array) -> np.ndarray:
  """These parts as one array; of all processes together, every row once."""
  none = np.zeros((0, *array.shape[1:]), array.dtype)
  return np.concatenate([*own_parts(array), none])


def own_indices(array: jax.Array) -> np.ndarray:
  """Where the rows of `own_rows` lie in the whole."""
  rows = np.arange(array.shape[0])
  parts = [rows[shard.index[0]] for _, shard in _own_shards(array)]
  return np.concatenate([*parts, rows[:0]])


def _own_shards(array: jax.Array):
  shards = [s for s in array.addressable_shards if s.replica_id == 0]
  starts = [s.index[0].start or 0 for s in shards]
  return sorted(zip(starts, shards, strict=True), key=lambda pair: pair[0])
