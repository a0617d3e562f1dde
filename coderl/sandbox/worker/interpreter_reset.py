"""Resets the interpreter between runs of a program on several inputs.

`InterpreterState` records, before the first run, what a run may change. After
each run it restores what can be restored, and detects whether a new process is
needed instead. It is made for honest programs. A program that evades it can
only deceive its own later runs, whose outputs are verified outside the process.
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

# A program that uses one of these names may leave changes that are not visible
# here.
_NOT_RESETTABLE = frozenset((
  'ctypes', 'faulthandler', 'locale', 'process_time', 'process_time_ns',
  'resource', 'thread_time', 'thread_time_ns', 'times', 'tracemalloc',
))  # fmt: skip
# With these names a program can reach modules that it does not name.
_INDIRECT = frozenset(
  ('__import__', 'eval', 'exec', 'gc', 'importlib', 'import_module', 'modules')
)
# Attributes of `sys` that are set again for every run.
_STREAMS = ('stdin', 'stdout', 'stderr')
_SET_EACH_RUN = ('argv', *_STREAMS, *(f'__{name}__' for name in _STREAMS))
_SIGNALS = range(1, _signal.NSIG)
_TIMERS = (
  _signal.ITIMER_REAL,
  _signal.ITIMER_VIRTUAL,
  _signal.ITIMER_PROF,
)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the type's attributes can be set.


class InterpreterState:
  """The state of the interpreter before the first run of a program.

  Args:
    code: the program. Only modules that it can name are recorded.
    max_descriptors: the program's descriptors are below this number.
  """

  def __init__(self, code: types.CodeType, max_descriptors: int):
    names = _names(code)
    self._is_resettable = names.isdisjoint(_NOT_RESETTABLE)
    self._max_descriptors = max_descriptors
    self._modules = dict(sys.modules)
    self._paths = [*map(list, _paths())]
    self._watched = [builtins, sys, *self._reachable(names)]
    self._attributes = [*map(_attributes, self._watched)]
    self._process_state = _process_state()
    self._recursion_limit = sys.getrecursionlimit()
    self._gc_threshold = gc.get_threshold()
    self._streams = [
      (stream.encoding, stream.errors)
      for stream in (sys.stdin, sys.stdout, sys.stderr)
    ]

  def _reachable(self, names: set[str]) -> list[types.ModuleType]:
    """Returns the modules that a program can change, and their classes."""
    reaches_all = not names.isdisjoint(_INDIRECT)
    modules = [
      module
      for name, module in self._modules.items()
      if reaches_all or not names.isdisjoint(name.split('.'))
    ]
    classes = [
      value
      for module in modules
      for value in vars(module).values()
      if type(value) is type and value.__flags__ & _HEAP_TYPE
    ]
    return modules + classes

  def restore(self) -> bool:
    """Restores the state; returns False if a change cannot be undone."""
    if not self._is_resettable or _has_threads_or_children():
      return False
    for name in _STREAMS:
      # What objects print when they are collected is lost, as it is at the end
      # of a process.
      setattr(sys, name, None)
      setattr(sys, f'__{name}__', None)
    for name in sys.modules.keys() - self._modules.keys():
      del sys.modules[name]
    sys.modules['__main__'] = self._modules['__main__']
    for path, kept in zip(_paths(), self._paths, strict=True):
      path[:] = kept
    sys.setrecursionlimit(self._recursion_limit)
    sys.set_int_max_str_digits(0)
    threading.stack_size(0)
    random.seed(0)  # As in a warm interpreter (zygote.py).
    os.environ.clear()
    gc.enable()
    gc.set_threshold(*self._gc_threshold)
    gc.collect()
    os.closerange(3, self._max_descriptors)
    return (
      sys.modules == self._modules
      and self._process_state == _process_state()
      and self._attributes == [*map(_attributes, self._watched)]
    )

  def open_streams(self) -> None:
    """Opens the standard streams as the interpreter does at its start."""
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
  """Returns whether threads run, or functions wait for the main one to end."""
  return bool(_thread._count() or threading._threading_atexits)


def _names(code: types.CodeType) -> set[str]:
  """Returns the names in a program, dotted ones split at the dots."""
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
    for name in _SET_EACH_RUN:
      attributes.pop(name, None)
  return attributes


def _process_state() -> tuple:
  """Returns the process's state in the kernel and in the interpreter."""
  return (
    os.getcwd(),
    [_signal.getsignal(number) for number in _SIGNALS],
    [_signal.getitimer(timer)[0] for timer in _TIMERS],
    sys.gettrace(),
    sys.getprofile(),
  )


def _has_threads_or_children() -> bool:
  """Returns whether threads or processes of the program are left."""
  if has_threads() or not threading.main_thread().is_alive():
    return True
  try:
    os.waitpid(-1, os.WNOHANG)
  except ChildProcessError:
    return False
  return True
