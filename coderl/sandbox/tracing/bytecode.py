"""Finds the names that a code object binds, by reading its instructions.

`ScopeCode` lists the names that a scope binds, with the last line that binds
each of them. It also finds which names are bound on every path through the
instructions of one line. It decodes the instructions itself, because `dis`
takes longer than most programs run. Supports Python 3.11 to 3.13.
"""

import inspect
import opcode
import types

_COMPREHENSIONS = ('<listcomp>', '<setcomp>', '<dictcomp>', '<genexpr>')
_MAP = opcode.opmap
_CACHE = b'\0'


def _operations(*names: str) -> frozenset[int]:
  """Returns the numbers of those operations that this Python version has."""
  return frozenset(_MAP[name] for name in names if name in _MAP)


_EXTENDED = _MAP['EXTENDED_ARG']
_FOR_ITER = _MAP['FOR_ITER']
_RERAISE = _MAP['RERAISE']
_HANDLER = -1  # The end of a path that continues in an exception handler.
_TWO_STORES = _operations('STORE_FAST_STORE_FAST')
_STORE_AND_LOAD = _operations('STORE_FAST_LOAD_FAST')
_GLOBAL = _operations('STORE_GLOBAL', 'DELETE_GLOBAL')
_BY_NAME = _GLOBAL | _operations('STORE_NAME', 'DELETE_NAME')
_STORES = _operations('STORE_FAST', 'STORE_DEREF', 'STORE_NAME', 'STORE_GLOBAL')
_STORES |= _TWO_STORES | _STORE_AND_LOAD
_DELETES = _operations(
  'DELETE_FAST', 'DELETE_DEREF', 'DELETE_NAME', 'DELETE_GLOBAL'
)
# Saves a variable's value while an inlined comprehension uses its name.
_CLEARS = _operations('LOAD_FAST_AND_CLEAR')
_EXPECTS_STOP = _operations('FOR_ITER', 'SEND')
_BACKWARD = frozenset(_MAP[name] for name in _MAP if 'BACKWARD' in name)
_JUMPS = frozenset(_MAP[name] for name in _MAP if 'JUMP' in name)
_JUMPS |= _EXPECTS_STOP
_ALWAYS_JUMPS = _operations(
  'JUMP_FORWARD', 'JUMP_BACKWARD', 'JUMP_BACKWARD_NO_INTERRUPT'
)
_LEAVES = _operations(
  'RETURN_VALUE', 'RETURN_CONST', 'YIELD_VALUE', 'RAISE_VARARGS', 'RERAISE'
)
# A name stored directly after one of these is that of a module or function.
_DEFINES = _operations(
  'IMPORT_NAME', 'IMPORT_FROM', 'MAKE_FUNCTION', 'SET_FUNCTION_ATTRIBUTE'
)


class ScopeCode:
  """The names that a scope binds. Instructions are counted from 0.

  Attributes:
    scope: dotted name of the scope, '' for the module.
    first_line: line on which the scope starts.
    last_lines: local name -> the last line that binds it, sorted by line.
    global_lines: the same for names that are declared global.
    nonlocal_lines: the same for names that are declared nonlocal.
    inlined: the instructions that lie inside inlined comprehensions.
  """

  def __init__(self, code: types.CodeType):
    self.scope = '' if code.co_name == '<module>' else code.co_qualname
    self.scope = self.scope.replace('.<locals>', '')
    self.first_line = code.co_firstlineno
    self._code = code
    self._bytes = code.co_code
    self._operations = self._bytes[::2]
    self._lines = [
      line for start, end, line in code.co_lines() for _ in range(start, end, 2)
    ]
    self._slots = _slots(code)
    self._high = self._high_bits()
    self._bound: dict[int, dict[int, frozenset[str]]] = {}
    self.inlined: set[int] = set()
    # First instruction of an inlined comprehension -> the one after its loop.
    self._loop_ends: dict[int, int] = {}
    # Names that comprehensions use, and (instruction, name) of the stores that
    # give such a name its saved value back.
    self._cleared: set[str] = set()
    self._restored: set[tuple[int, str]] = set()
    if any(operation in self._operations for operation in _CLEARS):
      self._find_inlined()
    self.last_lines = dict.fromkeys(_arguments(code), self.first_line)
    self.global_lines: dict[str, int] = {}
    self.nonlocal_lines: dict[str, int] = {}
    self._find_names()
    self.last_lines = _sorted_by_line(self.last_lines)
    self.global_lines = _sorted_by_line(self.global_lines)

  def always_bound(self, start: int, end: int) -> frozenset[str]:
    """Returns the names that every path from `start` to `end` binds.

    Args:
      start: instruction at which a line begins or is resumed.
      end: the first instruction after the line, or the one that returns.
    """
    bound = self._bound.get(start)
    if bound is None:
      bound = self._bound[start] = self._bound_from(start)
    return bound[end] if end in bound else bound.get(_HANDLER, frozenset())

  def expects_stop(self, instruction: int) -> bool:
    """Returns whether StopIteration at the instruction is not an error."""
    return self._operations[instruction] in _EXPECTS_STOP

  def _high_bits(self) -> dict[int, int]:
    """Returns instruction -> the high bits of its argument (EXTENDED_ARG)."""
    high: dict[int, int] = {}
    if _EXTENDED in self._operations:
      for instruction, operation in enumerate(self._operations):
        if operation == _EXTENDED:
          high[instruction + 1] = self._argument(instruction, high) << 8
    return high

  def _argument(self, instruction: int, high: dict[int, int]) -> int:
    return self._bytes[2 * instruction + 1] | high.get(instruction, 0)

  def _names(self, instruction: int) -> tuple[str, ...]:
    """Returns the names that the instruction stores, deletes or clears."""
    operation = self._operations[instruction]
    argument = self._argument(instruction, self._high)
    if operation in _BY_NAME:
      return (self._code.co_names[argument],)
    if operation in _TWO_STORES:
      return self._slots[argument >> 4], self._slots[argument & 15]
    if operation in _STORE_AND_LOAD:
      return (self._slots[argument >> 4],)
    return (self._slots[argument],)

  def _stored(self, instruction: int) -> list[str]:
    """Returns the names that the instruction stores, but not restores."""
    return [
      name
      for name in self._names(instruction)
      if (instruction, name) not in self._restored
    ]

  def _target(self, instruction: int) -> int:
    operation, after = self._operations[instruction], instruction + 1
    while self._operations[after : after + 1] == _CACHE:
      after += 1
    argument = self._argument(instruction, self._high)
    return after + (-argument if operation in _BACKWARD else argument)

  def _find_inlined(self) -> None:
    """Finds the comprehensions that run in this frame (from Python 3.12 on)."""
    for start, operation in enumerate(self._operations):
      if operation not in _CLEARS or start in self.inlined:
        continue
      loop = self._operations.find(_FOR_ITER, start)
      names = {
        name
        for instruction in range(start, loop)
        if self._operations[instruction] in _CLEARS
        for name in self._names(instruction)
      }
      self._cleared |= names
      self._loop_ends[start] = end = self._target(loop)
      self.inlined.update(range(start + 1, end))
      while names:
        if self._operations[end] in _STORES:
          restored = names.intersection(self._names(end))
          self._restored.update((end, name) for name in restored)
          names -= restored
        self.inlined.add(end)
        # Within an exception handler the code jumps over the handler of the
        # comprehension itself.
        jumps = self._operations[end] in _ALWAYS_JUMPS
        end = self._target(end) if jumps else end + 1

  def _find_names(self) -> None:
    """Finds the names that are bound, and the last line that binds each."""
    previous = 0
    for instruction, operation in enumerate(self._operations):
      if operation in _STORES and previous not in _DEFINES:
        is_global = operation in _GLOBAL
        for name in self._stored(instruction):
          if (
            is_global
            or name not in self._cleared
            or self._is_outside_comprehensions(instruction)
          ):
            self._add(name, is_global, self._lines[instruction])
      if operation not in (0, _EXTENDED):
        previous = operation
    for constant in self._code.co_consts:
      if getattr(constant, 'co_name', '') in _COMPREHENSIONS:
        self._add_bound_inside(constant)

  def _is_outside_comprehensions(self, instruction: int) -> bool:
    """Returns whether a name that comprehensions use is stored outside them."""
    loops = self._loop_ends.items()
    if any(start <= instruction < end for start, end in loops):
      return False
    while self._operations[instruction] in _STORES:
      instruction += 1
    # After an exception in a comprehension the saved values are restored, then
    # the exception is raised again.
    return self._operations[instruction] != _RERAISE

  def _add(self, name: str, is_global: bool, line: int | None) -> None:
    if name.startswith('__') or line is None:
      return
    if name in self._code.co_freevars:
      lines = self.nonlocal_lines
    else:
      lines = self.global_lines if is_global and self.scope else self.last_lines
    lines[name] = max(line, lines.get(name, 0))

  def _add_bound_inside(self, code: types.CodeType) -> None:
    """Adds the names of this scope that a comprehension binds by `:=`."""
    inner = ScopeCode(code)
    for name, line in inner.nonlocal_lines.items():
      self._add(name, False, line)
    for name, line in inner.global_lines.items():
      self._add(name, True, line)

  def _bound_from(self, start: int) -> dict[int, frozenset[str]]:
    """Returns end of the line -> the names bound on every path to that end."""
    ends: dict[int, frozenset[str]] = {}
    # All jumps within a line go forward. The smallest pending instruction can
    # therefore be finished first: no later path comes back to it.
    pending = {start: frozenset()}
    while pending:
      instruction = min(pending)
      bound = pending.pop(instruction)
      self._follow(instruction, bound, self._lines[start], pending, ends)
    return ends

  def _is_on_line(self, line: int | None, instruction: int) -> bool:
    return (
      self._lines[instruction] in (line, None) or instruction in self.inlined
    )

  def _follow(
    self,
    instruction: int,
    bound: frozenset[str],
    line: int | None,
    pending: dict[int, frozenset[str]],
    ends: dict[int, frozenset[str]],
  ) -> None:
    """Follows one path to the end of the line, or to where paths meet.

    Args:
      instruction: where the path starts.
      bound: names bound so far on every path to `instruction`.
      line: the line to follow.
      pending: instruction -> names bound there; gets the jump targets.
      ends: the same for the ends of the line.
    """
    while instruction not in pending and self._is_on_line(line, instruction):
      operation = self._operations[instruction]
      if operation in _STORES:
        bound = bound.union(self._stored(instruction))
      elif operation in _DELETES:
        bound = bound.difference(self._names(instruction))
      elif operation in _JUMPS:
        target = self._target(instruction)
        _merge(pending if target > instruction else ends, target, bound)
        if operation in _ALWAYS_JUMPS:
          return
      elif operation in _LEAVES:
        end = _HANDLER if operation == _RERAISE else instruction
        _merge(ends, end, bound)
        return
      # The body of a comprehension is skipped, for it may run zero times.
      instruction = self._loop_ends.get(instruction, instruction + 1)
    _merge(pending if instruction in pending else ends, instruction, bound)


def _sorted_by_line(lines: dict[str, int]) -> dict[str, int]:
  return dict(sorted(lines.items(), key=lambda item: item[1]))


def _merge(
  paths: dict[int, frozenset[str]], instruction: int, bound: frozenset[str]
) -> None:
  paths[instruction] = paths.get(instruction, bound) & bound


def _arguments(code: types.CodeType) -> tuple[str, ...]:
  count = code.co_argcount + code.co_kwonlyargcount
  count += bool(code.co_flags & inspect.CO_VARARGS)
  count += bool(code.co_flags & inspect.CO_VARKEYWORDS)
  return code.co_varnames[:count]


def _slots(code: types.CodeType) -> tuple[str, ...]:
  """Returns the names of locals and cells in the order of their numbers."""
  local = code.co_varnames
  cells = tuple(name for name in code.co_cellvars if name not in local)
  return local + cells + code.co_freevars
