"""An interpreter that serves one input after another, each as if the first.

`Pristine` remembers what a run of a program may change, takes back what can be
taken back, and tells where a new process is needed instead. It serves honest
programs; one that evades it deceives only its own later runs, whose outputs
are compared elsewhere.
"""

import _signal
import _thread
import builtins
import gc
import io
import os
import random
import sys
import threading
import types

# Programs that name these may leave what is out of reach from here.
_LASTING = frozenset((
  'ctypes', 'faulthandler', 'locale', 'process_time', 'process_time_ns',
  'resource', 'thread_time', 'thread_time_ns', 'times', 'tracemalloc',
))  # fmt: skip
# With these a program reaches modules that it does not name.
_INDIRECT = frozenset(
  ('__import__', 'eval', 'exec', 'gc', 'importlib', 'import_module', 'modules')
)
# Set anew for every run.
_STREAMS = ('stdin', 'stdout', 'stderr')
_OWN = ('argv', *_STREAMS, *(f'__{name}__' for name in _STREAMS))
_SIGNALS = range(1, _signal.NSIG)
_TIMERS = (
  _signal.ITIMER_REAL,
  _signal.ITIMER_VIRTUAL,
  _signal.ITIMER_PROF,
)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: its attributes can be set.


class Pristine:
  """The state before the first run of a program.

  code: the program's; only modules that it can name are remembered.
  descriptors: those below it are the program's own.
  """

  def __init__(self, code: types.CodeType, descriptors: int):
    names = _names(code)
    self._lasting = not names.isdisjoint(_LASTING)
    self._descriptors = descriptors
    self._modules = dict(sys.modules)
    self._paths = [*map(list, _paths())]
    self._watched = [builtins, sys, *self._named(names)]
    self._attributes = [*map(_attributes, self._watched)]
    self._process = _process()
    self._recursion = sys.getrecursionlimit()
    self._threshold = gc.get_threshold()
    self._streams = [
      (stream.encoding, stream.errors)
      for stream in (sys.stdin, sys.stdout, sys.stderr)
    ]

  def _named(self, names: set[str]) -> list[types.ModuleType]:
    """Modules, and the classes in them, that can be changed by their names."""
    everywhere = not names.isdisjoint(_INDIRECT)
    modules = [
      module
      for name, module in self._modules.items()
      if everywhere or not names.isdisjoint(name.split('.'))
    ]
    classes = [
      value
      for module in modules
      for value in vars(module).values()
      if type(value) is type and value.__flags__ & _HEAP_TYPE
    ]
    return modules + classes

  def restore(self) -> bool:
    """Takes back what a run left; False where not all can be taken back."""
    if self._lasting or _has_company():
      return False
    for name in _STREAMS:
      # Unreachable objects are not heard, as at the end of a process.
      setattr(sys, name, None)
      setattr(sys, f'__{name}__', None)
    for name in sys.modules.keys() - self._modules.keys():
      del sys.modules[name]
    sys.modules['__main__'] = self._modules['__main__']
    for path, kept in zip(_paths(), self._paths, strict=True):
      path[:] = kept
    sys.setrecursionlimit(self._recursion)
    sys.set_int_max_str_digits(0)
    threading.stack_size(0)
    random.seed(0)  # As it stands in a warm interpreter.
    os.environ.clear()
    gc.enable()
    gc.set_threshold(*self._threshold)
    gc.collect()
    os.closerange(3, self._descriptors)
    return (
      sys.modules == self._modules
      and self._process == _process()
      and self._attributes == [*map(_attributes, self._watched)]
    )

  def open_streams(self) -> None:
    """Gives the interpreter its standard streams, as it opens them itself."""
    for index, (encoding, errors) in enumerate(self._streams):
      name = _STREAMS[index]
      raw = io.FileIO(index, 'w' if index else 'r', closefd=False)
      raw.name = f'<{name}>'
      stream = io.TextIOWrapper(
        io.BufferedWriter(raw) if index else io.BufferedReader(raw),
        encoding,
        errors,
        newline='\n',
        line_buffering=name == 'stderr',
      )
      stream.mode = 'w' if index else 'r'
      setattr(sys, name, stream)
      setattr(sys, f'__{name}__', stream)


def has_threads() -> bool:
  """Whether threads are left, or what waits for the end of the main one."""
  return bool(_thread._count() or threading._threading_atexits)


def _names(code: types.CodeType) -> set[str]:
  """The names in a program, and the parts of dotted ones."""
  names, codes = set(), [code]
  while codes:
    code = codes.pop()
    for name in code.co_names:
      names.update(name.split('.'))
    codes += [item for item in code.co_consts if type(item) is types.CodeType]
  return names


def _paths() -> tuple[list, ...]:
  return sys.path, sys.meta_path, sys.path_hooks


def _attributes(owner: types.ModuleType | type) -> dict:
  attributes = dict(vars(owner))
  if owner is sys:
    for name in _OWN:
      attributes.pop(name, None)
  return attributes


def _process() -> tuple:
  """What the kernel and the interpreter hold for the process."""
  return (
    os.getcwd(),
    [_signal.getsignal(number) for number in _SIGNALS],
    [_signal.getitimer(timer)[0] for timer in _TIMERS],
    sys.gettrace(),
    sys.getprofile(),
  )


def _has_company() -> bool:
  """Whether threads or processes of the program are left."""
  if has_threads() or not threading.main_thread().is_alive():
    return True
  try:
    os.waitpid(-1, os.WNOHANG)
  except ChildProcessError:
    return False
  return True
