"""The values that a program's variables took: final ones, and the trajectory.

`Tracer` watches a run by line events: the value of each variable at its last
definition, in every scope, and the definitions in order up to a bound.
"""

import collections
import dis
import inspect
import sys
import threading
import types

from coderl.execution import tracing

PROGRAM = '<program>'  # The file name that traced code is compiled with.
# Lines looked at and returns written per function, for each event of the
# trajectory; beyond them only what is cheap is done.
_LINES_PER_EVENT = 16
_RETURNS = 1000
_MAX_VARIABLES = 256
# Their lines are come back to, without a store, when their block is left.
_REVISITED = ('FOR_ITER', 'BEFORE_WITH', 'BEFORE_ASYNC_WITH')
_SKIPPED = (
  types.ModuleType,
  types.FunctionType,
  types.BuiltinFunctionType,
  types.MethodType,
  type,
)


def _skipped(value) -> bool:
  return issubclass(type(value), _SKIPPED)


class _Code:
  """What a code object defines, read from its instructions.

  lines: name -> the last line that stores it. globals: the same of `global`
  names. stores: line -> names stored whenever the line runs.
  """

  def __init__(self, code: types.CodeType):
    self.scope = '' if code.co_name == '<module>' else code.co_qualname
    self.scope = self.scope.replace('.<locals>', '')
    arguments = code.co_argcount + code.co_kwonlyargcount
    arguments += bool(code.co_flags & inspect.CO_VARARGS)
    arguments += bool(code.co_flags & inspect.CO_VARKEYWORDS)
    self.first_line = code.co_firstlineno
    names = code.co_varnames[:arguments]
    self.lines = dict.fromkeys(names, self.first_line)
    self.globals: dict[str, int] = {}
    self.stores = collections.defaultdict(set)
    self._read(code)
    self.returns = 0

  def _read(self, code: types.CodeType) -> None:
    line, previous, loops = self.first_line, '', set()
    for instruction in dis.get_instructions(code):
      line = instruction.positions.lineno or line
      name, operation = instruction.argval, instruction.opname
      if operation in _REVISITED:
        loops.add(line)
      if operation.startswith('STORE_') and type(name) is str:
        self._store(code, operation, name, line, previous)
      previous = operation
    for line in loops:
      self.stores.pop(line, None)

  def _store(self, code, operation, name, line, previous) -> None:
    imported = previous in ('IMPORT_NAME', 'IMPORT_FROM')
    if imported or name.startswith('__') or operation == 'STORE_ATTR':
      return
    if operation == 'STORE_GLOBAL':
      self.globals[name] = line
    elif operation != 'STORE_DEREF' or name in code.co_cellvars:
      self.lines[name] = line
      self.stores[line].add(name)


class _Scope:
  """Watches one frame: `follow` is its local trace function."""

  def __init__(self, tracer: 'Tracer', frame: types.FrameType, code: _Code):
    self._tracer = tracer
    self._code = code
    self._line = code.first_line
    self._seen: dict = {}

  def follow(self, frame: types.FrameType, event: str, argument):
    if event == 'line':
      self._update(frame)
      self._line = frame.f_lineno
      if not self._tracer.spend_line():
        frame.f_trace_lines = False
    elif event == 'return':
      self._leave(frame)
    return self.follow

  def _leave(self, frame: types.FrameType) -> None:
    if frame.f_trace_lines:
      self._update(frame)
      return
    self._code.returns += 1
    if self._code.returns > _RETURNS:
      self._tracer.hold(self._code, frame)
    else:
      self._tracer.forget(self._code)
      self._final(frame)

  def _update(self, frame: types.FrameType) -> None:
    """Records what the line that just ended has defined."""
    variables = frame.f_locals
    stored = self._code.stores.get(self._line, ())
    for name in self._code.lines:
      if name in variables:
        self._compare(self._code.scope, name, variables[name], name in stored)
    for name in self._code.globals:
      if name in frame.f_globals:
        self._compare('', name, frame.f_globals[name], False)

  def _compare(self, scope: str, name: str, value, stored: bool) -> None:
    if _skipped(value):
      return
    old = self._seen.get((scope, name))
    if (
      old
      and not stored
      and value is old[0]
      and type(value) in tracing.IMMUTABLE
    ):
      return
    text = tracing.canonical(value)
    if old and text == old[1] and not stored:
      return
    self._seen[scope, name] = (value, text)
    self._tracer.define(scope, name, text, self._line)

  def _final(self, frame: types.FrameType) -> None:
    """Records values at the end of a scope whose lines were not watched."""
    found = _named(self._code, frame.f_locals, frame.f_globals)
    for line, scope, name, variables in found:
      text = tracing.canonical(variables[name])
      old = self._seen.get((scope, name))
      if not old or old[1] != text:
        self._tracer.define(scope, name, text, line)


def _named(code: _Code, own: dict, outer: dict) -> list[tuple]:
  """(line, scope, name, where it is) of what a scope defined, by line."""
  rows = [(line, code.scope, name, own) for name, line in code.lines.items()]
  rows += [(line, '', name, outer) for name, line in code.globals.items()]
  rows.sort(key=lambda row: row[0])
  return [
    row for row in rows if row[2] in row[3] and not _skipped(row[3][row[2]])
  ]


class Tracer:
  """Records the variables of code compiled with the file name `PROGRAM`.

  Comprehensions, lambdas and class bodies are not scopes. A variable counts
  as defined where it is bound and where its value has changed in place. Once
  `max_events` * 16 lines have been looked at, lines are no longer watched:
  values are then taken as their scope is left, with the last line that binds
  them. Past 1000 further calls of one function its last call's values are
  read at the end, and those that could have changed since are not complete.

  Use: `with tracer: exec(code, namespace)`; then `variables`, `trajectory`.
  """

  def __init__(self, max_events: int):
    self._max_events = max_events
    self._lines_left = max_events * _LINES_PER_EVENT
    self._codes: dict[types.CodeType, _Code | None] = {}
    self._last: dict[tuple[str, str], tuple[str, bool, int]] = {}
    self._held: dict[_Code, tuple[dict, dict]] = {}
    self.trajectory: list[tuple[int, str, str]] = []

  def __enter__(self):
    threading.settrace(self._enter_frame)
    sys.settrace(self._enter_frame)
    return self

  def __exit__(self, *exception):
    sys.settrace(None)
    threading.settrace(None)
    self._settle()

  def _enter_frame(self, frame: types.FrameType, event: str, argument):
    if frame.f_code.co_filename != PROGRAM:
      return None
    code = self._code(frame.f_code)
    if code is None:
      return None
    previous = getattr(frame.f_trace, '__self__', None)
    if type(previous) is _Scope:  # A generator goes on.
      return previous.follow
    if self._lines_left <= 0:
      frame.f_trace_lines = False
    return _Scope(self, frame, code).follow

  def _code(self, code: types.CodeType) -> _Code | None:
    if code not in self._codes:
      function = code.co_flags & inspect.CO_OPTIMIZED
      scope = code.co_name == '<module>' or (
        function and not code.co_name.startswith('<')
      )
      self._codes[code] = _Code(code) if scope else None
    return self._codes[code]

  def spend_line(self) -> bool:
    self._lines_left -= 1
    return self._lines_left > 0

  def define(self, scope: str, name: str, text: tuple, line: int) -> None:
    self._last.pop((scope, name), None)  # So that the newest stands last.
    self._last[scope, name] = (*text, line)
    if len(self.trajectory) < self._max_events and self._lines_left > 0:
      qualified = f'{scope}.{name}' if scope else name
      self.trajectory.append((line, qualified, text[0]))

  def hold(self, code: _Code, frame: types.FrameType) -> None:
    """Keeps the values of a scope left so often that writing them is dear."""
    self._held[code] = (dict(frame.f_locals), frame.f_globals)

  def forget(self, code: _Code) -> None:
    self._held.pop(code, None)

  def _settle(self) -> None:
    for code, held in self._held.items():
      for line, scope, name, variables in _named(code, *held):
        text, complete = tracing.canonical(variables[name])
        complete = complete and type(variables[name]) in tracing.IMMUTABLE
        self.define(scope, name, (text, complete), line)
    self._held.clear()

  @property
  def variables(self) -> list[tuple[str, str, str, int, bool]]:
    """(scope, name, value, line, complete), oldest definition first."""
    return [
      (scope, name, text, line, complete)
      for (scope, name), (text, complete, line) in self._last.items()
    ][-_MAX_VARIABLES:]
