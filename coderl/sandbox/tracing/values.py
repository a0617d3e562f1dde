"""Values as text.

`canonical` writes a value as a Python literal that depends on neither hash
seeds nor addresses and runs none of the program's code; `parse` reads it back.
"""

import ast
import collections
import decimal
import fractions
import math

MAX_LEN = 2000
MAX_ITEMS = 64
MAX_DEPTH = 8
# For the values of calls, which are compared whole.
WHOLE = {'max_len': 1 << 18, 'max_items': 1 << 16, 'max_depth': 64}

_CUT = '...'
_DECIMAL_BITS = 4096
_BRACKETS = {list: '[]', set: '{}', tuple: '()', dict: '{}'}


class _Writer:
  """Writes one value within its bounds."""

  def __init__(self, max_len: int, max_items: int, max_depth: int):
    self.left = max_len
    self._max_items = max_items
    self._max_depth = max_depth
    self._open: set[int] = set()  # Containers being written, against cycles.
    self.complete = True

  def write(self, value) -> str:
    kind = id(type(value))
    scalar = _SCALARS.get(kind)
    if scalar:
      return self._spend(scalar(self, value))
    container = _CONTAINERS.get(kind)
    if container is None:
      return self.cut(f'<{_type_name(value)}>')
    if id(value) in self._open:
      return self.cut('<cycle>')
    if len(self._open) >= self._max_depth or self.left <= 0:
      return self.cut()
    self.left -= 2  # So that many empty ones come to an end as well.
    self._open.add(id(value))
    try:
      return container(self, value)
    finally:
      self._open.discard(id(value))

  def cut(self, text: str = _CUT) -> str:
    self.complete = False
    return text

  def _spend(self, text: str) -> str:
    self.left -= len(text) + 2
    return text

  def string(self, value) -> str:
    most = max(self.left, 0)
    if len(value) <= most:
      return repr(value)
    return self.cut(repr(value[:most]) + _CUT)

  def integer(self, value: int) -> str:
    bits = value.bit_length()
    if bits <= _DECIMAL_BITS:
      return str(value)
    # Decimal digits of huge numbers take quadratic time; hexadecimal do not.
    if bits <= 4 * self.left:
      return hex(value)
    return self.cut(f'<int of {bits} bits>')

  def items(self, values) -> list[str]:
    values = list(values)
    texts = []
    for value in values[: self._max_items]:
      if self.left <= 0:
        break
      texts.append(self.write(value))
    if len(texts) < len(values):
      texts.append(self.cut())
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
      if self.left <= 0:
        break
      texts.append(f'{self.write(key)}: {self.write(item)}')
    if len(texts) < len(pairs):
      texts.append(self.cut())
    return '{' + ', '.join(texts) + '}'

  def unordered(self, value) -> str:
    # The smallest items are not known before all have been written.
    if len(value) > 16 * self._max_items:
      return self.cut(f'<{_type_name(value)} of {len(value)} items>')
    if all(type(item) is int for item in value):
      texts = self.items(sorted(value))
    else:
      texts = sorted(self._item(item) for item in value)
      if len(texts) > self._max_items:
        texts[self._max_items :] = [self.cut()]
    return '{' + ', '.join(texts) + '}' if texts else ''

  def _item(self, value) -> str:
    # Each item gets the whole bound, so that no order decides what is cut.
    left = self.left
    text = self.write(value)
    self.left = left
    return text


def _type_name(value) -> str:
  return type.__dict__['__name__'].__get__(type(value))


def _named(name: str, write):
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
  """The table by the identity of the types.

  To look up a type itself may run code of its metaclass.
  """
  return {id(kind): row for kind, row in table.items()}


_SCALARS = _by_id(
  {
    type(None): _plain,
    bool: _plain,
    float: _plain,
    int: _Writer.integer,
    str: _Writer.string,
    bytes: _Writer.string,
    bytearray: lambda writer, value: (
      f'bytearray({writer.string(bytes(value[: writer.left + 1]))})'
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
    frozenset: _named('frozenset', _Writer.unordered),
    collections.deque: _named('deque', _deque),
    collections.Counter: _named('Counter', _Writer.mapping),
    collections.defaultdict: _named('defaultdict', _Writer.mapping),
    collections.OrderedDict: _named('OrderedDict', _Writer.mapping),
  }
)
# Identities of the types of values that cannot change.
IMMUTABLE = frozenset(_SCALARS) - {id(bytearray)}


def canonical(
  value,
  max_len: int = MAX_LEN,
  max_items: int = MAX_ITEMS,
  max_depth: int = MAX_DEPTH,
) -> tuple[str, bool]:
  """Writes a value as text that is the same on every run.

  Only exact built-in types are looked into, so that no method of the
  program's classes runs. nan and inf stand as such; sets are sorted; integers
  beyond 4096 bits are hexadecimal; a default factory is left out. An opaque
  object is '<TypeName>', a cycle '<cycle>', a cut '...'.

  Args:
    max_len: characters, about; max_items: of each container; max_depth: of
      nesting.

  Returns:
    The text, and whether `parse` gives back an equal value.
  """
  writer = _Writer(max_len, max_items, max_depth)
  text = writer.write(value)
  if len(text) > 2 * max_len:  # Escapes and brackets are not counted exactly.
    return writer.cut(text[:max_len] + _CUT), False
  return text, writer.complete


_NAMES = {'nan': math.nan, 'inf': math.inf}
# What builds a value, and the types of the arguments that `canonical` writes.
# Others may ask for far more than the text is long: Fraction('1e99999999').
_CALLS = {
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
# Of the widest `canonical`: a level is a call and its argument, and the
# innermost value a call of a negated number.
_PARSED_LEN = 2 * WHOLE['max_len']
_PARSED_DEPTH = 2 * WHOLE['max_depth'] + 3


def parse(text: str):
  """The value whose canonical text this is; plain data only.

  Safe on any text: the value takes no more than in proportion to the text.

  Raises: ValueError where the text is not such a literal, or is longer or
    deeper nested than `canonical` writes any.
  """
  try:
    if len(text) > _PARSED_LEN:
      raise ValueError('too long')
    return _value(ast.parse(text.strip(), mode='eval').body, _PARSED_DEPTH)
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
    case ast.Name(id=name) if name in _NAMES:
      return _NAMES[name]
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
  build, accepted = _CALLS.get(name, (None, []))
  if tuple(map(type, args)) not in accepted:
    raise ValueError('not what canonical text calls')
  return build(*args)


def equal_text(left: str, right: str) -> bool:
  """Whether two canonical texts stand for values that Python holds equal."""
  if left == right:
    return True
  try:
    return bool(parse(left) == parse(right))
  except (ValueError, ArithmeticError, RecursionError):
    return False  # Signalling nan compares with nothing.
