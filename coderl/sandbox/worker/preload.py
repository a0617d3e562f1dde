"""A warm interpreter: what a worker does once so that each program need not.

Modules are loaded, the heap is frozen, and the hooks that modules run after a
fork are kept back: in a child that is to run a program they would find nothing
to do and take a quarter of its time. The child registers them, for the forks of
the program itself.
"""

import builtins
import contextlib
import gc
import os
import signal
import sys

# What many programs import; a child shares the pages. More would slow every
# fork, by the pages that it maps.
PRELOADED = (
  'array', 'bisect', 'cmath', 'collections.abc', 'copy', 'dataclasses', 'enum',
  'functools', 'heapq', 'io', 'itertools', 'math', 'operator', 'os', 'queue',
  'random', 're', 'string', 'struct', 'time', 'typing',
)  # fmt: skip
_hooks: list[dict] = []


@contextlib.contextmanager
def without_fork_hooks():
  """Keeps back the hooks that modules imported within register."""
  register = os.register_at_fork
  os.register_at_fork = lambda **hooks: _hooks.append(hooks)
  try:
    yield
  finally:
    os.register_at_fork = register


def register_fork_hooks() -> None:
  for hooks in _hooks:
    os.register_at_fork(**hooks)


def preload() -> None:
  """Makes this the interpreter that programs are to find."""
  sys.set_int_max_str_digits(0)
  builtins.exit = builtins.quit = sys.exit
  signal.signal(signal.SIGINT, signal.default_int_handler)
  with without_fork_hooks():
    for name in PRELOADED:
      with contextlib.suppress(ImportError):  # Some builds lack some.
        __import__(name)
  for name in [name for name in sys.modules if name.startswith('coderl')]:
    del sys.modules[name]
  os.environ.clear()
  sys.orig_argv = ['python']
  gc.collect()
  gc.freeze()
