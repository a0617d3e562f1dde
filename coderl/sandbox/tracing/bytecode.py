"""What a code object binds, read from its instructions.

`Code` tells which names a scope binds, on which line last, and which of them
are bound whatever way is taken from one point of a line to its end. It decodes
instructions itself, as `dis` takes longer than most programs run.
"""

import inspect
import opcode
import types

_COMPREHENSIONS = ('<listcomp>', '<setcomp>', '<dictcomp>', '<genexpr>')
_MAP = opcode.opmap
_CACHE = b'\0'


def _operations(*names: str) -> frozenset[int]:
  """Those of these operations that this version of Python has."""
  return frozenset(_MAP[name] for name in names if name in _MAP)


_EXTENDED = _MAP['EXTENDED_ARG']
_FOR_ITER = _MAP['FOR_ITER']
_RERAISE = _MAP['RERAISE']
_HANDLER = -1  # The end of a way that goes on in a handler of exceptions.
_TWO_STORES = _operations('STORE_FAST_STORE_FAST')
_STORE_AND_LOAD = _operations('STORE_FAST_LOAD_FAST')
_GLOBAL = _operations('STORE_GLOBAL', 'DELETE_GLOBAL')
_BY_NAME = _GLOBAL | _operations('STORE_NAME', 'DELETE_NAME')
_STORES = _operations('STORE_FAST', 'STORE_DEREF', 'STORE_NAME', 'STORE_GLOBAL')
_STORES |= _TWO_STORES | _STORE_AND_LOAD
_DELETES = _operations(
  'DELETE_FAST', 'DELETE_DEREF', 'DELETE_NAME', 'DELETE_GLOBAL'
)
# A name's own value makes room for that of an inlined comprehension's.
_CLEARS = _operations('LOAD_FAST_AND_CLEAR')
_SENDING = _operations('FOR_ITER', 'SEND')
_BACKWARD = frozenset(_MAP[name] for name in _MAP if 'BACKWARD' in name)
_JUMPS = frozenset(_MAP[name] for name in _MAP if 'JUMP' in name) | _SENDING
_ALWAYS_JUMPS = _operations(
  'JUMP_FORWARD', 'JUMP_BACKWARD', 'JUMP_BACKWARD_NO_INTERRUPT'
)
_LEAVES = _operations(
  'RETURN_VALUE', 'RETURN_CONST', 'YIELD_VALUE', 'RAISE_VARARGS', 'RERAISE'
)
# A name stored right after them is that of a module or a function.
_DEFINE = _operations(
  'IMPORT_NAME', 'IMPORT_FROM', 'MAKE_FUNCTION', 'SET_FUNCTION_ATTRIBUTE'
)


class Code:
  """The names that a scope binds. A point is the index of an instruction.

  scope: its dotted name. first_line: where it starts.
  lines: own name -> the last line that binds it, by line; globals, nonlocals:
  the same of names declared so. inlined: the points inside of comprehensions.
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
    self._ends: dict[int, dict[int, frozenset[str]]] = {}
    self.inlined: set[int] = set()
    self._hops: dict[int, int] = {}
    self._cleared: set[str] = set()
    self._restored: set[tuple[int, str]] = set()
    if any(operation in self._operations for operation in _CLEARS):
      self._find_inlined()
    self.lines = dict.fromkeys(_arguments(code), self.first_line)
    self.globals: dict[str, int] = {}
    self.nonlocals: dict[str, int] = {}
    self._read()
    self.lines = _by_line(self.lines)
    self.globals = _by_line(self.globals)

  def bound(self, start: int, end: int) -> frozenset[str]:
    """The names bound on every way from `start` to `end` within a line."""
    ends = self._ends.get(start)
    if ends is None:
      ends = self._ends[start] = self._ends_of(start)
    return ends[end] if end in ends else ends.get(_HANDLER, frozenset())

  def sends(self, point: int) -> bool:
    """Whether StopIteration is no error there."""
    return self._operations[point] in _SENDING

  def _high_bits(self) -> dict[int, int]:
    """Point -> what the instructions before it add to its argument."""
    found: dict[int, int] = {}
    if _EXTENDED in self._operations:
      for point, operation in enumerate(self._operations):
        if operation == _EXTENDED:
          found[point + 1] = self._argument(point, found) << 8
    return found

  def _argument(self, point: int, high: dict[int, int]) -> int:
    return self._bytes[2 * point + 1] | high.get(point, 0)

  def _names(self, point: int) -> tuple[str, ...]:
    """What the instruction stores, deletes or clears, a local or not."""
    operation = self._operations[point]
    argument = self._argument(point, self._high)
    if operation in _BY_NAME:
      return (self._code.co_names[argument],)
    if operation in _TWO_STORES:
      return self._slots[argument >> 4], self._slots[argument & 15]
    if operation in _STORE_AND_LOAD:
      return (self._slots[argument >> 4],)
    return (self._slots[argument],)

  def _stored(self, point: int) -> list[str]:
    """The same, less names that get their own value back."""
    return [
      name for name in self._names(point) if (point, name) not in self._restored
    ]

  def _target(self, point: int) -> int:
    operation, after = self._operations[point], point + 1
    while self._operations[after : after + 1] == _CACHE:
      after += 1
    argument = self._argument(point, self._high)
    return after + (-argument if operation in _BACKWARD else argument)

  def _find_inlined(self) -> None:
    """Finds the comprehensions that run in this frame (3.12 and later)."""
    for start, operation in enumerate(self._operations):
      if operation not in _CLEARS or start in self.inlined:
        continue
      loop = self._operations.find(_FOR_ITER, start)
      names = {
        name
        for point in range(start, loop)
        if self._operations[point] in _CLEARS
        for name in self._names(point)
      }
      self._cleared |= names
      self._hops[start] = end = self._target(loop)
      self.inlined.update(range(start + 1, end))
      while names:
        if self._operations[end] in _STORES:
          again = names.intersection(self._names(end))
          self._restored.update((end, name) for name in again)
          names -= again
        self.inlined.add(end)
        # Inside a handler the way leads past the handler of its own.
        jumps = self._operations[end] in _ALWAYS_JUMPS
        end = self._target(end) if jumps else end + 1

  def _read(self) -> None:
    """Finds the names and the last lines that bind them."""
    previous = 0
    for point, operation in enumerate(self._operations):
      if operation in _STORES and previous not in _DEFINE:
        outer = operation in _GLOBAL
        for name in self._stored(point):
          if outer or name not in self._cleared or self._is_own(point):
            self._add(name, outer, self._lines[point])
      if operation not in (0, _EXTENDED):
        previous = operation
    for constant in self._code.co_consts:
      if getattr(constant, 'co_name', '') in _COMPREHENSIONS:
        self._add_bound_inside(constant)

  def _is_own(self, point: int) -> bool:
    """Whether a name of comprehensions is stored outside them all."""
    if any(start <= point < end for start, end in self._hops.items()):
      return False
    while self._operations[point] in _STORES:
      point += 1
    return self._operations[point] != _RERAISE  # Values given back.

  def _add(self, name: str, outer: bool, line: int | None) -> None:
    if name.startswith('__') or line is None:
      return
    if name in self._code.co_freevars:
      lines = self.nonlocals
    else:
      lines = self.globals if outer and self.scope else self.lines
    lines[name] = max(line, lines.get(name, 0))

  def _add_bound_inside(self, code: types.CodeType) -> None:
    """Adds what a comprehension binds by :=, names of this scope."""
    inner = Code(code)
    for name, line in inner.nonlocals.items():
      self._add(name, False, line)
    for name, line in inner.globals.items():
      self._add(name, True, line)

  def _ends_of(self, start: int) -> dict[int, frozenset[str]]:
    """End -> the names bound on every way to it."""
    ends: dict[int, frozenset[str]] = {}
    # Within a line all jumps are forward, so that a point is left for good
    # once no point before it is to be gone on from.
    pending = {start: frozenset()}
    while pending:
      point = min(pending)
      self._follow(point, pending.pop(point), self._lines[start], pending, ends)
    return ends

  def _is_of(self, line: int | None, point: int) -> bool:
    return self._lines[point] in (line, None) or point in self.inlined

  def _follow(
    self,
    point: int,
    bound: frozenset[str],
    line: int | None,
    pending: dict[int, frozenset[str]],
    ends: dict[int, frozenset[str]],
  ) -> None:
    """Follows the instructions of a line to its end or to where ways meet."""
    while point not in pending and self._is_of(line, point):
      operation = self._operations[point]
      if operation in _STORES:
        bound = bound.union(self._stored(point))
      elif operation in _DELETES:
        bound = bound.difference(self._names(point))
      elif operation in _JUMPS:
        target = self._target(point)
        _merge(pending if target > point else ends, target, bound)
        if operation in _ALWAYS_JUMPS:
          return
      elif operation in _LEAVES:
        _merge(ends, _HANDLER if operation == _RERAISE else point, bound)
        return
      # What runs inside a comprehension may run any number of times.
      point = self._hops.get(point, point + 1)
    _merge(pending if point in pending else ends, point, bound)


def _by_line(lines: dict[str, int]) -> dict[str, int]:
  return dict(sorted(lines.items(), key=lambda item: item[1]))


def _merge(
  ways: dict[int, frozenset[str]], point: int, bound: frozenset[str]
) -> None:
  ways[point] = ways.get(point, bound) & bound


def _arguments(code: types.CodeType) -> tuple[str, ...]:
  count = code.co_argcount + code.co_kwonlyargcount
  count += bool(code.co_flags & inspect.CO_VARARGS)
  count += bool(code.co_flags & inspect.CO_VARKEYWORDS)
  return code.co_varnames[:count]


def _slots(code: types.CodeType) -> tuple[str, ...]:
  """The names by the index that instructions on locals and cells use."""
  local = code.co_varnames
  cells = tuple(name for name in code.co_cellvars if name not in local)
  return local + cells + code.co_freevars
