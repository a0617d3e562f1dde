"""Canonical text of values.

`canonical` writes a value as a Python literal that depends on neither hash
seeds nor addresses, and runs none of the program's code. `parse` reads the text
back, and `equal_text` compares two texts by the values that they stand for.
"""

import ast
import collections
import decimal
import fractions
import math

# The default limits of `canonical`: characters of the text, items of each
# container, levels of nesting.
MAX_LEN = 2000
MAX_ITEMS = 64
MAX_DEPTH = 8
# The limits for values of calls, which must not be truncated to be compared.
CALL_LIMITS = {'max_len': 1 << 18, 'max_items': 1 << 16, 'max_depth': 64}

_ELLIPSIS = '...'
_MAX_DECIMAL_BITS = 4096
_BRACKETS = {list: '[]', set: '{}', tuple: '()', dict: '{}'}


class _Writer:
  """Writes one value within the limits.

  Attributes:
    chars_left: characters that may still be written, approximately.
    complete: whether nothing has been truncated or left out so far.
  """

  def __init__(self, max_len: int, max_items: int, max_depth: int):
    self.chars_left = max_len
    self._max_items = max_items
    self._max_depth = max_depth
    # Identities of the containers that are being written, to detect cycles.
    self._open: set[int] = set()
    self.complete = True

  def write(self, value) -> str:
    kind = id(type(value))
    scalar = _SCALARS.get(kind)
    if scalar:
      return self._spend(scalar(self, value))
    container = _CONTAINERS.get(kind)
    if container is None:
      return self.incomplete(f'<{_type_name(value)}>')
    if id(value) in self._open:
      return self.incomplete('<cycle>')
    if len(self._open) >= self._max_depth or self.chars_left <= 0:
      return self.incomplete()
    self.chars_left -= 2  # A list of many empty containers has an end, too.
    self._open.add(id(value))
    try:
      return container(self, value)
    finally:
      self._open.discard(id(value))

  def incomplete(self, text: str = _ELLIPSIS) -> str:
    """Returns the text that stands for what is not written."""
    self.complete = False
    return text

  def _spend(self, text: str) -> str:
    self.chars_left -= len(text) + 2
    return text

  def string(self, value) -> str:
    max_len = max(self.chars_left, 0)
    if len(value) <= max_len:
      return repr(value)
    return self.incomplete(repr(value[:max_len]) + _ELLIPSIS)

  def integer(self, value: int) -> str:
    bits = value.bit_length()
    if bits <= _MAX_DECIMAL_BITS:
      return str(value)
    # Decimal digits take quadratic time, hexadecimal digits linear time.
    if bits <= 4 * self.chars_left:
      return hex(value)
    return self.incomplete(f'<int of {bits} bits>')

  def items(self, values) -> list[str]:
    values = list(values)
    texts = []
    for value in values[: self._max_items]:
      if self.chars_left <= 0:
        break
      texts.append(self.write(value))
    if len(texts) < len(values):
      texts.append(self.incomplete())
    return texts

  def sequence(self, value) -> str:
    texts = self.items(value)
    if type(value) is tuple and len(value) == 1:
      texts.append('')
    left, right = _BRACKETS[type(value)]
    return left + ', '.join(texts).rstrip(' ') + right

  def mapping(self, value) -> str:
    if type(value) is collections.OrderedDict:
      pairs = list(collections.OrderedDict.items(value))
    else:
      pairs = list(dict.items(value))
    texts = []
    for key, item in pairs[: self._max_items]:
      if self.chars_left <= 0:
        break
      texts.append(f'{self.write(key)}: {self.write(item)}')
    if len(texts) < len(pairs):
      texts.append(self.incomplete())
    return '{' + ', '.join(texts) + '}'

  def unordered(self, value) -> str:
    # All items must be written to find the smallest ones, so that large sets
    # are not written at all.
    if len(value) > 16 * self._max_items:
      return self.incomplete(f'<{_type_name(value)} of {len(value)} items>')
    if all(type(item) is int for item in value):
      texts = self.items(sorted(value))
    else:
      texts = sorted(self._item(item) for item in value)
      if len(texts) > self._max_items:
        texts[self._max_items :] = [self.incomplete()]
    return '{' + ', '.join(texts) + '}' if texts else ''

  def _item(self, value) -> str:
    # Every item of a set may use all remaining characters. Otherwise the order
    # of iteration, which is arbitrary, would decide which item is truncated.
    chars_left = self.chars_left
    text = self.write(value)
    self.chars_left = chars_left
    return text


def _type_name(value) -> str:
  """Returns the name of a value's type without running its metaclass."""
  return type.__dict__['__name__'].__get__(type(value))


def _as_call(name: str, write):
  return lambda writer, value: f'{name}({write(writer, value)})'


def _set(writer: _Writer, value: set) -> str:
  return writer.unordered(value) or 'set()'


def _complex(writer: _Writer, value: complex) -> str:
  return f'complex({value.real!r}, {value.imag!r})'


def _range(writer: _Writer, value: range) -> str:
  parts = [value.start, value.stop, value.step]
  if value.step == 1:
    parts.pop()
  return f'range({", ".join(map(writer.integer, parts))})'


def _fraction(writer: _Writer, value: fractions.Fraction) -> str:
  parts = (value._numerator, value._denominator)
  return f'Fraction({", ".join(map(writer.integer, parts))})'


def _decimal(writer: _Writer, value: decimal.Decimal) -> str:
  return f'Decimal({decimal.Decimal.__str__(value)!r})'


def _deque(writer: _Writer, value: collections.deque) -> str:
  return f'[{", ".join(writer.items(value))}]'


def _plain(writer: _Writer, value) -> str:
  return repr(value)


def _by_id(table: dict[type, object]) -> dict[int, object]:
  """Returns the table with the identities of the types as keys.

  A lookup of a type itself may run the __hash__ and __eq__ of its metaclass.
  """
  return {id(kind): write for kind, write in table.items()}


_SCALARS = _by_id(
  {
    type(None): _plain,
    bool: _plain,
    float: _plain,
    int: _Writer.integer,
    str: _Writer.string,
    bytes: _Writer.string,
    bytearray: lambda writer, value: (
      f'bytearray({writer.string(bytes(value[: writer.chars_left + 1]))})'
    ),
    complex: _complex,
    range: _range,
    fractions.Fraction: _fraction,
    decimal.Decimal: _decimal,
  }
)
_CONTAINERS = _by_id(
  {
    list: _Writer.sequence,
    tuple: _Writer.sequence,
    dict: _Writer.mapping,
    set: _set,
    frozenset: _as_call('frozenset', _Writer.unordered),
    collections.deque: _as_call('deque', _deque),
    collections.Counter: _as_call('Counter', _Writer.mapping),
    collections.defaultdict: _as_call('defaultdict', _Writer.mapping),
    collections.OrderedDict: _as_call('OrderedDict', _Writer.mapping),
  }
)
# Identities of the types whose values cannot change.
IMMUTABLE = frozenset(_SCALARS) - {id(bytearray)}


def canonical(
  value,
  max_len: int = MAX_LEN,
  max_items: int = MAX_ITEMS,
  max_depth: int = MAX_DEPTH,
) -> tuple[str, bool]:
  """Writes a value as text that is the same in every run.

  Only values of exact built-in types are written, so that no method of the
  program's classes runs. Sets are sorted, integers beyond 4096 bits are
  hexadecimal, nan and inf are names, and the factory of a defaultdict is left
  out. Any other object is written as '<TypeName>', a cycle as '<cycle>', and
  what is truncated as '...'.

  Args:
    value: any object.
    max_len: characters of the text, approximately.
    max_items: items of each container.
    max_depth: levels of nesting.

  Returns:
    The text, and whether `parse` gives back an equal value.
  """
  writer = _Writer(max_len, max_items, max_depth)
  text = writer.write(value)
  if len(text) > 2 * max_len:  # Escapes and brackets are not counted exactly.
    return writer.incomplete(text[:max_len] + _ELLIPSIS), False
  return text, writer.complete


_CONSTANTS = {'nan': math.nan, 'inf': math.inf}
# Name -> the constructor, and the types of the arguments that `canonical`
# writes. Other arguments could make a value that is much larger than its text,
# as Fraction('1e99999999') does.
_CONSTRUCTORS = {
  'set': (set, [()]),
  'frozenset': (frozenset, [(), (set,)]),
  'bytearray': (bytearray, [(bytes,)]),
  'complex': (complex, [(float, float)]),
  'range': (range, [(int, int), (int, int, int)]),
  'deque': (collections.deque, [(list,)]),
  'Counter': (collections.Counter, [(dict,)]),
  'defaultdict': (
    lambda pairs: collections.defaultdict(None, pairs),
    [(dict,)],
  ),
  'OrderedDict': (collections.OrderedDict, [(dict,)]),
  'Fraction': (fractions.Fraction, [(int, int)]),
  'Decimal': (decimal.Decimal, [(str,)]),
}
# The longest and deepest text that `canonical` writes within CALL_LIMITS. Each
# level of nesting is a call and its argument, and the innermost value a call
# whose argument is a negated number.
_MAX_PARSED_LEN = 2 * CALL_LIMITS['max_len']
_MAX_PARSED_DEPTH = 2 * CALL_LIMITS['max_depth'] + 3


def parse(text: str):
  """Returns the value that a canonical text stands for.

  It is safe for any text: it creates only plain data, whose size is
  proportional to the length of the text.

  Raises:
    ValueError: the text is not canonical, or it is longer or deeper than any
      text that `canonical` writes.
  """
  try:
    if len(text) > _MAX_PARSED_LEN:
      raise ValueError('too long')
    return _value(ast.parse(text.strip(), mode='eval').body, _MAX_PARSED_DEPTH)
  except (
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
  ) as error:
    message = f'not a plain value: {text[:80]!r} ({type(error).__name__})'
    raise ValueError(message) from None


def _value(node: ast.expr, depth: int):
  if not depth:
    raise ValueError('too deep')
  depth -= 1
  match node:
    case ast.Constant(value=value) if value is not ...:
      return value
    case ast.Name(id=name) if name in _CONSTANTS:
      return _CONSTANTS[name]
    case ast.UnaryOp(op=ast.USub(), operand=operand):
      return -_number(_value(operand, depth))
    case ast.List(elts=items):
      return [_value(item, depth) for item in items]
    case ast.Tuple(elts=items):
      return tuple([_value(item, depth) for item in items])
    case ast.Set(elts=items):
      return {_value(item, depth) for item in items}
    case ast.Dict(keys=keys, values=values) if None not in keys:
      pairs = zip(keys, values, strict=True)
      return {_value(key, depth): _value(item, depth) for key, item in pairs}
    case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
      return _construct(name, [_value(arg, depth) for arg in args])
  raise ValueError('not a literal')


def _number(value):
  if type(value) not in (int, float):
    raise ValueError('not a number')
  return value


def _construct(name: str, args: list):
  constructor, signatures = _CONSTRUCTORS.get(name, (None, []))
  if tuple(map(type, args)) not in signatures:
    raise ValueError('not a call that canonical text has')
  return constructor(*args)


def equal_text(left: str, right: str) -> bool:
  """Returns whether two canonical texts stand for equal values in Python."""
  if left == right:
    return True
  try:
    return bool(parse(left) == parse(right))
  except (ValueError, ArithmeticError, RecursionError):
    return False  # A signalling nan raises when it is compared.
