"""Prepares the warm interpreter of a worker, before it forks programs.

It loads modules and freezes the heap. It also delays the hooks that modules
register for after a fork: in a fresh child there is nothing for them to do, and
they would take a quarter of its time. The child registers them later
(`register_fork_hooks`), for the forks of the program itself.
"""

import builtins
import contextlib
import gc
import os
import signal
import sys

# Modules that many programs import; children share their pages. Every further
# module makes each fork slower, by the pages that it maps.
PRELOADED = (
  'array', 'bisect', 'cmath', 'collections.abc', 'copy', 'dataclasses', 'enum',
  'functools', 'heapq', 'io', 'itertools', 'math', 'operator', 'os', 'queue',
  'random', 're', 'string', 'struct', 'time', 'typing',
)  # fmt: skip
_hooks: list[dict] = []


@contextlib.contextmanager
def without_fork_hooks():
  """Keeps the hooks of modules imported inside, without registering them."""
  register = os.register_at_fork
  os.register_at_fork = lambda **hooks: _hooks.append(hooks)
  try:
    yield
  finally:
    os.register_at_fork = register


def register_fork_hooks() -> None:
  """Registers the hooks that were kept."""
  for hooks in _hooks:
    os.register_at_fork(**hooks)


def preload() -> None:
  """Turns this process into the interpreter that programs will find."""
  sys.set_int_max_str_digits(0)
  builtins.exit = builtins.quit = sys.exit
  signal.signal(signal.SIGINT, signal.default_int_handler)
  with without_fork_hooks():
    for name in PRELOADED:
      with contextlib.suppress(ImportError):  # Some builds lack some modules.
        __import__(name)
  for name in [name for name in sys.modules if name.startswith('coderl')]:
    del sys.modules[name]
  os.environ.clear()
  sys.orig_argv = ['python']
  gc.collect()
  gc.freeze()
