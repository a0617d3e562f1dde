"""The values that a program's variables took: final ones, and the trajectory.

`Tracer` watches a run by line events: the value of each variable at its last
definition, in every scope, and the definitions in order up to a bound.
"""

import inspect
import sys
import threading
import types
from typing import NamedTuple

from coderl.sandbox.tracing import bytecode, value_copies, values

PROGRAM = '<program>'  # The file name that traced code is compiled with.
# What lines may cost in all, for each event of the trajectory. A line costs
# one, and the characters of the texts that it makes necessary. Twice as much
# fills the trajectories of two more of a thousand reference solutions.
_COST_PER_EVENT = 8
_CHARS = 32
# What the values of scopes that are left may cost beyond that.
_LEAVING_COST = 1 << 14
_MAX_VARIABLES = 256
_SKIPPED = (
  types.ModuleType,
  types.FunctionType,
  types.BuiltinFunctionType,
  types.MethodType,
  type,
)
_ABSENT = object()
# A program may take these names away, or put others in their place.
_SETTRACE, _GETTRACE = sys.settrace, sys.gettrace
_SETTRACE_OF_THREADS = threading.settrace
_ERROR = Exception


class _Seen(NamedTuple):
  """A value as it was when it was looked at.

  copy: of a plain value, else NO_COPY. text: its canonical text, and whether
  that is complete; None where it is yet to be written.
  """

  copy: object
  text: tuple[str, bool] | None

  def written(self) -> tuple[str, bool]:
    return self.text or values.canonical(self.copy)


class _Scope:
  """Watches one frame: `follow` is its local trace function."""

  def __init__(self, tracer: 'Tracer', code: bytecode.Code, point: int):
    self._tracer = tracer
    self._code = code
    self._line = code.first_line
    self._point = point  # Where the line was begun or gone on with.
    self._failed = False  # An exception has cut the line short.
    # Variables of the module are seen from every scope.
    self._seen = {} if code.scope else tracer.module

  def resume(self, frame: types.FrameType) -> None:
    """Goes on after a yield, on the line of it."""
    self._point = frame.f_lasti // 2
    self._failed = False

  def follow(self, frame: types.FrameType, event: str, argument):
    try:
      self._follow(frame, event, argument)
    except _ERROR:
      # The program is in the way, as by having no memory or no builtins left.
      # Raised from here, it would change the program's run.
      self._tracer.stop()
    return self.follow

  def _follow(self, frame: types.FrameType, event: str, argument) -> None:
    point = frame.f_lasti // 2
    if event == 'line':
      if point not in self._code.inlined:
        self._update(frame, point)
        self._line = frame.f_lineno
        self._point = point
        self._failed = False
        if not self._tracer.spend(1):
          frame.f_trace_lines = False
    elif event == 'return':
      self._tracer.exit_frame(self._code, frame)
      if frame.f_trace_lines:
        self._update(frame, point)
      else:
        self.settle(frame)
    elif event == 'exception':
      ended = argument[0] is StopIteration and self._code.sends(point)
      self._failed = self._failed or not ended

  def _variables(self, frame: types.FrameType):
    # The f_locals of a module may be a copy that comprehensions have made.
    return frame.f_locals if self._code.scope else frame.f_globals

  def _update(self, frame: types.FrameType, point: int) -> None:
    """Records what the line that ends at a point has defined."""
    code, bound = self._code, ()
    if not self._failed:
      bound = code.bound(self._point, point)
    variables = self._variables(frame)
    self._compare(code.scope, code.lines, variables, self._seen, bound)
    if code.globals:
      module = self._tracer.module
      self._compare('', code.globals, frame.f_globals, module, bound)

  def _compare(self, scope, names, variables, seen, bound) -> None:
    for name in names:
      value = variables.get(name, _ABSENT)
      old = seen.get(name)
      if old is None:
        if value is not _ABSENT:
          self._look(scope, name, value, seen, True)
      elif value is not old.copy or name in bound:
        self._look(scope, name, value, seen, name in bound)

  def _look(self, scope, name, value, seen, bound) -> None:
    """Records a variable that is not the very same immutable value."""
    if value is _ABSENT or issubclass(type(value), _SKIPPED):
      seen.pop(name, None)
      return
    old = seen.get(name)
    if old and not bound and value_copies.same(old.copy, value):
      return
    new = self._tracer.look(value)
    seen[name] = new
    if bound or not old or old.written() != new.text:
      self._tracer.define(scope, name, new, self._line)

  def settle(self, frame: types.FrameType) -> None:
    """Records what a scope whose lines are not watched has defined so far."""
    code, module = self._code, self._tracer.module
    self._settle(code.scope, code.lines, self._variables(frame), self._seen)
    if code.globals:
      self._settle('', code.globals, frame.f_globals, module)

  def _settle(self, scope, lines, variables, seen) -> None:
    for name, line in lines.items():
      value = variables.get(name, _ABSENT)
      old = seen.get(name)
      if value is _ABSENT or (old and value is old.copy):
        continue
      if issubclass(type(value), _SKIPPED):
        continue
      if old and value_copies.same(old.copy, value):
        continue
      seen[name] = new = self._tracer.keep(value)
      if not old or not new.text or old.written() != new.text:
        self._tracer.define(scope, name, new, line)


class Tracer:
  """Records the variables of code compiled with the file name `PROGRAM`.

  Comprehensions, lambdas and class bodies are not scopes. A variable counts
  as defined where it is bound and where its value has changed in place; on a
  line that need not bind it, or that an exception cut short, where its value
  has changed. Once lines have cost `max_events` * 8, they are no longer
  watched: values are then taken as their scope is left, or calls itself, with
  the last line that binds them; what was deleted before is not seen. Should
  that cost too much as well, containers are '...'.

  A program that takes away its tracer, or what that needs, has no trace.

  Use: `with tracer: exec(code, namespace)`.

  variables: (scope, name, value, line, complete), oldest definition first.
  trajectory: (line, qualified name, value) of the definitions, in order.
  """

  def __init__(self, max_events: int):
    self._max_events = max_events
    self._left = max_events * _COST_PER_EVENT
    self._leaving_left = _LEAVING_COST
    self._codes: dict[types.CodeType, bytecode.Code | None] = {}
    self._last: dict[tuple[str, str], tuple[_Seen, int]] = {}
    self._running: dict[bytecode.Code, list] = {}
    self.module: dict[str, _Seen] = {}
    self.variables: list[tuple[str, str, str, int, bool]] = []
    self.trajectory: list[tuple[int, str, str]] = []

  def __enter__(self):
    self._hook = self._enter_frame
    _SETTRACE_OF_THREADS(self._hook)
    _SETTRACE(self._hook)
    return self

  def __exit__(self, *exception):
    try:
      # Where it was stopped, what was seen last need not be what was last.
      whole = _GETTRACE() is self._hook and not self._lost()
      self.variables = self._rows() if whole else []
    except _ERROR:
      whole = False
    if not whole:
      self.trajectory = []
    self.stop()
    self._running.clear()  # No frame is kept alive.

  def _lost(self) -> bool:
    """Whether a frame that goes on, or ended unseen, is no longer watched."""
    return any(
      frame.f_trace is None
      for running in self._running.values()
      for frame, _ in running
    )

  def stop(self) -> None:
    _SETTRACE(None)
    _SETTRACE_OF_THREADS(None)

  def _enter_frame(self, frame: types.FrameType, event: str, argument):
    try:
      scope = self._scope(frame)
    except _ERROR:
      self.stop()  # As in `_Scope.follow`.
      return None
    return scope and scope.follow

  def _scope(self, frame: types.FrameType) -> _Scope | None:
    """Who watches a frame that is entered, or gone on with."""
    if frame.f_code.co_filename != PROGRAM:
      return None
    code = self._code(frame.f_code)
    if code is None:
      return None
    scope = getattr(frame.f_trace, '__self__', None)
    if type(scope) is _Scope:
      scope.resume(frame)
    else:
      scope = _Scope(self, code, frame.f_lasti // 2)
    running = self._running.setdefault(code, [])
    if self._left <= 0:
      frame.f_trace_lines = False
      if running:
        # What the caller has defined is older than what this call will.
        running[-1][1].settle(running[-1][0])
    running.append((frame, scope))
    return scope

  def exit_frame(self, code: bytecode.Code, frame: types.FrameType) -> None:
    running = self._running[code]
    if running and running[-1][0] is frame:
      running.pop()
    else:  # A generator, or another thread.
      running[:] = [row for row in running if row[0] is not frame]

  def _code(self, code: types.CodeType) -> bytecode.Code | None:
    if code not in self._codes:
      function = code.co_flags & inspect.CO_OPTIMIZED
      scope = code.co_name == '<module>' or (
        function and not code.co_name.startswith('<')
      )
      self._codes[code] = bytecode.Code(code) if scope else None
    return self._codes[code]

  def spend(self, cost: int) -> bool:
    """Whether lines are still to be watched."""
    self._left -= cost
    return self._left > 0

  def define(self, scope: str, name: str, value: _Seen, line: int) -> None:
    self._last.pop((scope, name), None)  # So that the newest stands last.
    self._last[scope, name] = (value, line)
    if len(self.trajectory) < self._max_events and self._left > 0:
      qualified = f'{scope}.{name}' if scope else name
      self.trajectory.append((line, qualified, value.written()[0]))

  def look(self, value) -> _Seen:
    """A value with its text, at the cost of lines."""
    text = values.canonical(value)
    copy, items = value_copies.take(value)
    self.spend((len(text[0]) + items) // _CHARS)
    return _Seen(copy, text)

  def keep(self, value) -> _Seen:
    """A value of a scope that is left, which the next may replace."""
    if id(type(value)) in values.IMMUTABLE:
      return _Seen(value, None)
    if self._leaving_left <= 0:
      return _Seen(value_copies.NO_COPY, values.canonical(value, max_len=0))
    copy, cost = value_copies.take(value)
    text = None
    if copy is value_copies.NO_COPY:
      text = values.canonical(value)
      cost += len(text[0])
    self._leaving_left -= cost // _CHARS
    return _Seen(copy, text)

  def _rows(self) -> list[tuple[str, str, str, int, bool]]:
    rows = []
    for (scope, name), (value, line) in [*self._last.items()][-_MAX_VARIABLES:]:
      text, complete = value.written()
      rows.append((scope, name, text, line, complete))
    return rows
