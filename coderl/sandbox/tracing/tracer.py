"""Records the values of a program's variables while it runs.

`Tracer` is a trace function for line events. It records the value of each
variable at its last definition, in every scope, and the definitions in order up
to a limit. The steps:

1. At the first call of a function, `bytecode.ScopeCode` lists the names that it
   binds.
2. At every line event, a `_ScopeWatcher` compares the variables of its frame
   with their last snapshots (value_copies), and records those that the finished
   line has defined.
3. Once lines have used up their budget, line events are switched off. Values
   are then read when a scope returns or calls itself again.
"""

import inspect
import sys
import threading
import types
from typing import NamedTuple

from coderl.sandbox.tracing import bytecode, value_copies, values

PROGRAM_FILE_NAME = '<program>'  # Traced code is compiled with this file name.
# The budget for lines, per event of the trajectory. A line costs 1, and 1 more
# for every 32 characters of the texts that it makes necessary. A budget twice
# as large completes the trajectories of two more in a thousand reference
# solutions.
_COST_PER_EVENT = 8
_CHARS_PER_COST = 32
# The budget, beyond that, for the values of scopes that return.
_EXIT_BUDGET = 1 << 14
_MAX_VARIABLES = 256
_SKIPPED_TYPES = (
  types.ModuleType,
  types.FunctionType,
  types.BuiltinFunctionType,
  types.MethodType,
  type,
)
_ABSENT = object()
# A program may delete or replace these names in their modules.
_SETTRACE, _GETTRACE = sys.settrace, sys.gettrace
_SETTRACE_OF_THREADS = threading.settrace
_ERROR = Exception


class _Snapshot(NamedTuple):
  """A value at the time at which it was read.

  Attributes:
    copy: copy of a plain value, else NO_COPY.
    text: canonical text, and whether it is complete. None if the text has not
      been written yet; the copy is then available.
  """

  copy: object
  text: tuple[str, bool] | None

  def canonical(self) -> tuple[str, bool]:
    return self.text or values.canonical(self.copy)


class _ScopeWatcher:
  """Watches the variables of one frame; `trace` is its local trace function."""

  def __init__(
    self, tracer: 'Tracer', code: bytecode.ScopeCode, instruction: int
  ):
    self._tracer = tracer
    self._code = code
    self._line = code.first_line
    # The instruction at which the current line began or was resumed.
    self._instruction = instruction
    self._raised = False  # Whether an exception ended the line early.
    # Every scope can change the module's variables, so that these are shared.
    self._snapshots = {} if code.scope else tracer.module_snapshots

  def resume(self, frame: types.FrameType) -> None:
    """Continues on the line of a `yield`."""
    self._instruction = frame.f_lasti // 2
    self._raised = False

  def trace(self, frame: types.FrameType, event: str, argument):
    try:
      self._trace(frame, event, argument)
    except _ERROR:
      # The program interferes, for example by using all memory or by deleting
      # builtins. An exception raised from here would change its run.
      self._tracer.stop()
    return self.trace

  def _trace(self, frame: types.FrameType, event: str, argument) -> None:
    instruction = frame.f_lasti // 2
    if event == 'line':
      if instruction not in self._code.inlined:
        self._record_line(frame, instruction)
        self._line = frame.f_lineno
        self._instruction = instruction
        self._raised = False
        if not self._tracer.spend(1):
          frame.f_trace_lines = False
    elif event == 'return':
      self._tracer.exit_frame(self._code, frame)
      if frame.f_trace_lines:
        self._record_line(frame, instruction)
      else:
        self.record_unwatched(frame)
    elif event == 'exception':
      is_exhausted = argument[0] is StopIteration
      is_expected = is_exhausted and self._code.expects_stop(instruction)
      self._raised = self._raised or not is_expected

  def _variables(self, frame: types.FrameType):
    # Comprehensions may make f_locals of a module a copy.
    return frame.f_locals if self._code.scope else frame.f_globals

  def _record_line(self, frame: types.FrameType, end: int) -> None:
    """Records what the line that ends before instruction `end` has defined."""
    code, bound = self._code, ()
    if not self._raised:
      bound = code.always_bound(self._instruction, end)
    variables = self._variables(frame)
    self._compare(
      code.scope, code.last_lines, variables, self._snapshots, bound
    )
    if code.global_lines:
      snapshots = self._tracer.module_snapshots
      self._compare('', code.global_lines, frame.f_globals, snapshots, bound)

  def _compare(self, scope, names, variables, snapshots, bound) -> None:
    for name in names:
      value = variables.get(name, _ABSENT)
      old = snapshots.get(name)
      if old is None:
        if value is not _ABSENT:
          self._record_if_defined(scope, name, value, snapshots, True)
      elif value is not old.copy or name in bound:
        self._record_if_defined(scope, name, value, snapshots, name in bound)

  def _record_if_defined(self, scope, name, value, snapshots, is_bound) -> None:
    """Records a variable unless it has the same value and was not bound."""
    if value is _ABSENT or issubclass(type(value), _SKIPPED_TYPES):
      snapshots.pop(name, None)
      return
    old = snapshots.get(name)
    if old and not is_bound and value_copies.is_unchanged(old.copy, value):
      return
    new = self._tracer.snapshot(value)
    snapshots[name] = new
    if is_bound or not old or old.canonical() != new.text:
      self._tracer.define(scope, name, new, self._line)

  def record_unwatched(self, frame: types.FrameType) -> None:
    """Records what a scope without line events has defined so far."""
    code, snapshots = self._code, self._tracer.module_snapshots
    self._record_final(
      code.scope, code.last_lines, self._variables(frame), self._snapshots
    )
    if code.global_lines:
      self._record_final('', code.global_lines, frame.f_globals, snapshots)

  def _record_final(self, scope, lines, variables, snapshots) -> None:
    for name, line in lines.items():
      value = variables.get(name, _ABSENT)
      old = snapshots.get(name)
      if value is _ABSENT or (old and value is old.copy):
        continue
      if issubclass(type(value), _SKIPPED_TYPES):
        continue
      if old and value_copies.is_unchanged(old.copy, value):
        continue
      snapshots[name] = new = self._tracer.exit_snapshot(value)
      if not old or not new.text or old.canonical() != new.text:
        self._tracer.define(scope, name, new, line)


class Tracer:
  """Records the variables of code compiled with `PROGRAM_FILE_NAME`.

  Modules and functions are scopes; comprehensions, lambdas and class bodies are
  not. A variable is defined where it is bound, and where its value changes in
  place. On a line that binds it only on some paths, or that an exception ended
  early, it counts as defined only if its value has changed.

  Lines have a budget of 8 * `max_events`. Beyond it, values are read when their
  scope returns or calls itself again, and get the last line that binds them;
  what was deleted before is missed. Beyond the second budget, for these values,
  containers are written as '...'.

  A program that removes its tracer, or what the tracer needs, has no trace.

  Use: `with tracer: exec(code, namespace)`.

  Attributes:
    variables: (scope, name, text, line, complete), oldest definition first.
    trajectory: (line, qualified name, text) of the definitions, in order.
    module_snapshots: name -> last snapshot, of the module's variables.
  """

  def __init__(self, max_events: int):
    self._max_events = max_events
    self._budget = max_events * _COST_PER_EVENT
    self._exit_budget = _EXIT_BUDGET
    self._codes: dict[types.CodeType, bytecode.ScopeCode | None] = {}
    # (scope, name) -> value and line of the last definition, oldest first.
    self._last: dict[tuple[str, str], tuple[_Snapshot, int]] = {}
    self._running: dict[bytecode.ScopeCode, list] = {}
    self.module_snapshots: dict[str, _Snapshot] = {}
    self.variables: list[tuple[str, str, str, int, bool]] = []
    self.trajectory: list[tuple[int, str, str]] = []

  def __enter__(self):
    self._hook = self._enter_frame
    _SETTRACE_OF_THREADS(self._hook)
    _SETTRACE(self._hook)
    return self

  def __exit__(self, *exception):
    try:
      # After a stop, the last recorded value may not be the last value.
      is_complete = _GETTRACE() is self._hook and not self._has_lost_frame()
      self.variables = self._last_definitions() if is_complete else []
    except _ERROR:
      is_complete = False
    if not is_complete:
      self.trajectory = []
    self.stop()
    self._running.clear()  # A reference would keep the frames alive.

  def _has_lost_frame(self) -> bool:
    """Returns whether a frame that runs, or ended unnoticed, is not traced."""
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
      watcher = self._watcher(frame)
    except _ERROR:
      self.stop()  # See `_ScopeWatcher.trace`.
      return None
    return watcher and watcher.trace

  def _watcher(self, frame: types.FrameType) -> _ScopeWatcher | None:
    """Returns the watcher of a frame that is entered or resumed."""
    if frame.f_code.co_filename != PROGRAM_FILE_NAME:
      return None
    code = self._scope_code(frame.f_code)
    if code is None:
      return None
    watcher = getattr(frame.f_trace, '__self__', None)
    if type(watcher) is _ScopeWatcher:
      watcher.resume(frame)
    else:
      watcher = _ScopeWatcher(self, code, frame.f_lasti // 2)
    running = self._running.setdefault(code, [])
    if self._budget <= 0:
      frame.f_trace_lines = False
      if running:
        # The caller's definitions are older than those of this call.
        caller_frame, caller = running[-1]
        caller.record_unwatched(caller_frame)
    running.append((frame, watcher))
    return watcher

  def exit_frame(
    self, code: bytecode.ScopeCode, frame: types.FrameType
  ) -> None:
    running = self._running[code]
    if running and running[-1][0] is frame:
      running.pop()
    else:  # Generators and threads do not return in the reverse order of calls.
      running[:] = [entry for entry in running if entry[0] is not frame]

  def _scope_code(self, code: types.CodeType) -> bytecode.ScopeCode | None:
    if code not in self._codes:
      is_function = code.co_flags & inspect.CO_OPTIMIZED
      is_scope = code.co_name == '<module>' or (
        is_function and not code.co_name.startswith('<')
      )
      self._codes[code] = bytecode.ScopeCode(code) if is_scope else None
    return self._codes[code]

  def spend(self, cost: int) -> bool:
    """Charges the budget; returns whether lines are still watched."""
    self._budget -= cost
    return self._budget > 0

  def define(self, scope: str, name: str, value: _Snapshot, line: int) -> None:
    self._last.pop((scope, name), None)  # The newest definition is the last.
    self._last[scope, name] = (value, line)
    if len(self.trajectory) < self._max_events and self._budget > 0:
      qualified_name = f'{scope}.{name}' if scope else name
      self.trajectory.append((line, qualified_name, value.canonical()[0]))

  def snapshot(self, value) -> _Snapshot:
    """Returns a value with its text, and charges the budget of lines."""
    text = values.canonical(value)
    copy, items = value_copies.copy_value(value)
    self.spend((len(text[0]) + items) // _CHARS_PER_COST)
    return _Snapshot(copy, text)

  def exit_snapshot(self, value) -> _Snapshot:
    """Returns a value of a scope that returns, without its text if possible.

    The next call of the same function may replace it before it is written.
    """
    if id(type(value)) in values.IMMUTABLE:
      return _Snapshot(value, None)
    if self._exit_budget <= 0:
      return _Snapshot(value_copies.NO_COPY, values.canonical(value, max_len=0))
    copy, cost = value_copies.copy_value(value)
    text = None
    if copy is value_copies.NO_COPY:
      text = values.canonical(value)
      cost += len(text[0])
    self._exit_budget -= cost // _CHARS_PER_COST
    return _Snapshot(copy, text)

  def _last_definitions(self) -> list[tuple[str, str, str, int, bool]]:
    definitions = []
    for (scope, name), (value, line) in [*self._last.items()][-_MAX_VARIABLES:]:
      text, complete = value.canonical()
      definitions.append((scope, name, text, line, complete))
    return definitions
