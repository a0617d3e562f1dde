"""The parts of the host that attacks try to reach, and their observation."""

from collections.abc import Iterator
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import platform
import signal
import socket
import sys
import tempfile

from coderl.sandbox import sandbox

# Location -> a secret there that no program may find.
NEEDLES = {
  location: f'needle-{index:016x}'
  for index, location in enumerate(
    ('file', 'environment', 'shared', 'key', 'program', 'input', 'expected'),
    start=0xFEDCBA98765432,
  )
}


@dataclasses.dataclass
class Host:
  """The parts of the host that no program may read or change.

  Attributes:
    folder: a folder that every user may write to.
    shared: a file in shared memory.
    servers: sockets that must not receive anything.
    signals: the signals that this process has received.
  """

  folder: pathlib.Path
  shared: pathlib.Path
  servers: dict[str, socket.socket]
  signals: list[int]

  def facts(self) -> dict:
    servers = {k: s.getsockname() for k, s in self.servers.items()}
    secret, repository = str(self.folder / 'secret'), _repository()
    return {
      'pid': os.getpid(),
      'parent': os.getppid(),
      'workers': sorted(processes() - {os.getpid()}),
      'host': platform.node(),
      'python': sys.executable,
      'secrets': [secret],
      'shared': [str(self.shared), secret],
      'sources': [sandbox.__file__, __file__, str(repository)],
      'packages': [p for p in sys.path if p.endswith('-packages')],
      'writable': [str(self.folder), str(repository)],
      'tcp': servers['tcp'][1],
      'udp': servers['udp'][1],
      'unix': [servers['unix'], _name(servers['abstract'])],
      'datagrams': [servers['datagram'], _name(servers['abstract datagram'])],
      'keyctl': _KEY_CALLS[1],
    }

  def is_untouched(self) -> bool:
    received = [
      name for name, server in self.servers.items() if _has_received(server)
    ]
    return (
      not received
      and not self.signals
      and {path.name for path in self.folder.iterdir()} <= _FILES
      and not (_repository() / 'escaped').exists()
    )


_FILES = {'secret', 'unix', 'datagram'}


# Numbers of add_key and keyctl.
_KEY_CALLS = {'x86_64': (248, 250), 'aarch64': (217, 219)}.get(
  platform.machine(), (-1, -1)
)
_SESSION, _REVOKE = -3, 3


def _keep_key(stack: contextlib.ExitStack) -> None:
  """Puts a secret into the session's keyring, if the kernel has keyrings."""
  call, text = ctypes.CDLL(None).syscall, NEEDLES['key'].encode()
  add, control = _KEY_CALLS
  key = call(add, b'user', b'coderl-test', text, len(text), _SESSION)
  if key > 0:
    stack.callback(call, control, _REVOKE, key)


def _repository() -> pathlib.Path:
  return pathlib.Path(sandbox.__file__).parents[2]


def _name(address: bytes | str) -> str:
  return address.decode() if isinstance(address, bytes) else address


def _has_received(server: socket.socket) -> bool:
  try:
    server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()
  except BlockingIOError:
    return False
  return True


def _open_servers(folder: pathlib.Path) -> dict[str, socket.socket]:
  """Opens sockets that any local process can reach if nothing prevents it."""
  stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
  local, internet = socket.AF_UNIX, socket.AF_INET
  abstract = f'\0attacks-{os.getpid()}'
  sockets = {
    'tcp': (internet, stream, ('127.0.0.1', 0)),
    'udp': (internet, datagram, ('127.0.0.1', 0)),
    'unix': (local, stream, str(folder / 'unix')),
    'abstract': (local, stream, abstract),
    'datagram': (local, datagram, str(folder / 'datagram')),
    'abstract datagram': (local, datagram, abstract + '-datagram'),
  }
  servers = {}
  for name, (family, kind, address) in sockets.items():
    servers[name] = server = socket.socket(family, kind)
    server.bind(address)
    server.setblocking(False)
    if kind == stream:
      server.listen()
  for path in ('unix', 'datagram'):
    (folder / path).chmod(0o777)
  return servers


@contextlib.contextmanager
def prepare() -> Iterator[Host]:
  """Puts secrets into the host, and opens sockets that programs may try."""
  with contextlib.ExitStack() as stack:
    path = stack.enter_context(tempfile.TemporaryDirectory())
    folder = pathlib.Path(path)
    folder.chmod(0o777)  # Programs run as other users.
    (folder / 'secret').write_text(NEEDLES['file'])
    memory = pathlib.Path('/dev/shm')
    shared = (memory if memory.is_dir() else folder) / f'secret-{os.getpid()}'
    shared.write_text(NEEDLES['shared'])
    stack.callback(shared.unlink)
    servers = _open_servers(folder)
    for server in servers.values():
      stack.enter_context(server)
    os.environ['ATTACKS_NEEDLE'] = NEEDLES['environment']
    stack.callback(os.environ.pop, 'ATTACKS_NEEDLE')
    _keep_key(stack)
    signals = []
    before = signal.signal(signal.SIGUSR1, lambda *args: signals.append(args))
    stack.callback(signal.signal, signal.SIGUSR1, before)
    yield Host(folder, shared, servers, signals)


def processes() -> set[int]:
  """Returns this process and its descendants."""
  parents = {}
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      fields = path.read_text().rpartition(')')[2].split()
      parents[int(path.parent.name)] = int(fields[1])
  pids = {os.getpid()}
  for _ in range(8):
    pids |= {pid for pid, parent in parents.items() if parent in pids}
  return pids


def resident_bytes() -> int:
  """Returns the resident memory of this process and its descendants."""
  pages = 0
  for pid in processes():
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      pages += int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE')


def descriptors() -> int:
  """Returns the number of open files of this process."""
  return len(os.listdir('/proc/self/fd'))
