"""Programs, limits and executions as JSON, both ways.

The form of `serve.py` and `remote.py`: an object for each dataclass, a list of
its fields for each row of a trace. A text that is not Unicode (a program may
hold lone surrogates) is the list of its code points: JSON's own escapes would
join two of them into one character.
"""

from collections.abc import Callable, Sequence
import dataclasses
import enum
import json
import math
import reprlib
import sys

from coderl.sandbox import api

PROTOCOL = 1
SERVICE_PATH, RUN_PATH = '/v1/sandbox', '/v1/run'
# Of one request; the answer is held in memory on both sides.
MAX_PROGRAMS = 64


@dataclasses.dataclass(frozen=True)
class Service:
  """What a server says of itself.

  limits: the most that a request may ask for. layers: of Sandbox.layers.
  workers: programs at a time. max_body_bytes: of one request.
  """

  limits: api.Limits
  layers: dict[str, str]
  workers: int
  max_body_bytes: int
  protocol: int = PROTOCOL


def loads(data: bytes):
  """The JSON value. Raises: ValueError, in one line, where it is none."""
  try:
    return json.loads(data)
  except RecursionError:
    raise ValueError('not JSON: nested too deep') from None
  except ValueError as error:
    raise ValueError(f'not JSON: {error}') from None


def encode(value) -> dict:
  """The JSON object of a Program, an Execution, Limits or a Service."""
  return {
    field.name: _encoded(getattr(value, field.name))
    for field in dataclasses.fields(value)
  }


def decode(kind: type, data, where: str):
  """The `kind` whose JSON object this is.

  where: what `data` is, for the message.

  Raises: ValueError naming the field, what it must be and what it is.
  """
  fields = {field.name: field for field in dataclasses.fields(kind)}
  check_object(data, fields, where)
  for name, field in fields.items():
    required = field.default is dataclasses.MISSING
    if required and name not in data:
      raise ValueError(f'{where}.{name} is missing')
  return kind(
    **{
      name: _decoded(fields[name].type, value, f'{where}.{name}')
      for name, value in data.items()
    }
  )


def check_object(data, names: Sequence[str], where: str) -> None:
  """Raises ValueError unless `data` is an object of some of these fields."""
  if type(data) is not dict:
    raise _wrong(where, 'an object', data)
  for name in data:
    if name not in names:
      raise ValueError(
        f'{where} has no field {reprlib.repr(name)}; it has {", ".join(names)}'
      )


def encode_request(programs: Sequence[bytes], limits: api.Limits) -> bytes:
  """The body that asks for programs to be run; each is the JSON of `encode`."""
  head = b'{"limits": %b, "programs": [' % dumps(encode(limits))
  return head + b', '.join(programs) + b']}'


def decode_request(
  data,
) -> tuple[list[api.Program], api.Limits]:
  """The programs and limits of a request's JSON value.

  Raises: ValueError, naming the field.
  """
  check_object(data, ('limits', 'programs'), 'request')
  limits = decode(api.Limits, data.get('limits', {}), 'limits')
  rows = data.get('programs')
  if type(rows) is not list or len(rows) > MAX_PROGRAMS:
    raise ValueError(f'programs: must be a list of at most {MAX_PROGRAMS}')
  programs = [
    decode(api.Program, row, f'programs[{index}]')
    for index, row in enumerate(rows)
  ]
  for index, program in enumerate(programs):
    if program.checker is not None and program.entry_point is None:
      raise ValueError(f'programs[{index}].entry_point: a checker needs it')
  return programs, limits


def encode_executions(executions: Sequence[api.Execution]) -> bytes:
  """The body that answers a request."""
  return dumps({'executions': [encode(ran) for ran in executions]})


def decode_executions(data, count: int) -> list[api.Execution]:
  """The `count` executions of an answer's JSON value.

  Raises: ValueError, naming the field.
  """
  check_object(data, ('executions',), 'answer')
  rows = data.get('executions')
  if type(rows) is not list or len(rows) != count:
    raise ValueError(f'executions: must be a list of {count}')
  return [
    decode(api.Execution, row, f'executions[{index}]')
    for index, row in enumerate(rows)
  ]


def dumps(value) -> bytes:
  return json.dumps(value, ensure_ascii=False).encode()


def _encoded(value):
  if isinstance(value, enum.Enum):
    return value.value
  if isinstance(value, str):
    return value if _is_unicode(value) else [*map(ord, value)]
  if isinstance(value, tuple):
    return [_row(row) for row in value]
  return encode(value) if dataclasses.is_dataclass(value) else value


def _row(row) -> list:
  return [_encoded(item) for item in vars(row).values()]


def _is_unicode(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def _wrong(where: str, what: str, value) -> ValueError:
  return ValueError(f'{where}: must be {what}, is {reprlib.repr(value)}')


def _decoded(kind, value, where: str):
  return _DECODERS[kind](value, where)


def _text(value, where: str) -> str:
  if type(value) is str:
    return value
  if type(value) is list and all(map(_is_code_point, value)):
    return ''.join(map(chr, value))
  raise _wrong(where, 'a text', value)


def _is_code_point(value) -> bool:
  return type(value) is int and 0 <= value <= sys.maxunicode


def _text_or_none(value, where: str) -> str | None:
  return None if value is None else _text(value, where)


def _exactly(kind: type, what: str) -> Callable:
  def read(value, where: str):
    if type(value) is not kind:
      raise _wrong(where, what, value)
    return value

  return read


def _number(value, where: str) -> float:
  if type(value) is not int and not (
    type(value) is float and math.isfinite(value)
  ):
    raise _wrong(where, 'a finite number', value)
  return value


def _status(value, where: str) -> api.Status:
  try:
    return api.Status(value)
  except ValueError:
    choices = ', '.join(api.Status)
    raise _wrong(where, f'one of {choices}', value) from None


def _rows(kind: type) -> Callable:
  """Of a list of rows, each the list of the fields of `kind`."""
  fields = dataclasses.fields(kind)

  def read(value, where: str) -> tuple:
    if type(value) is not list:
      raise _wrong(where, 'a list', value)
    return tuple(row(item, f'{where}[{i}]') for i, item in enumerate(value))

  def row(value, where: str):
    if type(value) is not list or len(value) != len(fields):
      raise _wrong(where, f'a list of {len(fields)}', value)
    return kind(
      *(
        _decoded(field.type, item, f'{where}.{field.name}')
        for field, item in zip(fields, value, strict=True)
      )
    )

  return read


def _texts(value, where: str) -> dict[str, str]:
  if type(value) is not dict:
    raise _wrong(where, 'an object', value)
  return {name: _text(text, f'{where}.{name}') for name, text in value.items()}


# By the annotation of a field.
_DECODERS: dict[object, Callable] = {
  str: _text,
  str | None: _text_or_none,
  bool: _exactly(bool, 'true or false'),
  int: _exactly(int, 'a whole number'),
  float: _number,
  api.Status: _status,
  tuple[api.Variable, ...]: _rows(api.Variable),
  tuple[api.Event, ...]: _rows(api.Event),
  api.Limits: lambda value, where: decode(api.Limits, value, where),
  dict[str, str]: _texts,
}
