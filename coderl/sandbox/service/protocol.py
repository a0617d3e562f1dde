"""Programs, limits and executions as JSON, in both directions.

The server (serve.py) and its client (remote.py) send a JSON object for each
dataclass, and a list of its fields for each record of a trace. A program may
hold lone surrogates, which are not Unicode text. Such a text is sent as the
list of its code points, because the escapes of JSON would join two surrogates
into one character.
"""

from collections.abc import Callable, Sequence
import dataclasses
import enum
import json
import math
import reprlib
import sys

from coderl.sandbox import api

VERSION = 1
SERVICE_PATH, RUN_PATH = '/v1/sandbox', '/v1/run'
# In one request. Both sides hold the complete answer in memory.
MAX_PROGRAMS = 64


@dataclasses.dataclass(frozen=True)
class Service:
  """What a server tells about itself.

  Attributes:
    limits: the most that a request may ask for.
    layers: see Sandbox.layers.
    workers: programs that run at a time.
    max_body_bytes: size of one request.
    protocol: version of the protocol.
  """

  limits: api.Limits
  layers: dict[str, str]
  workers: int
  max_body_bytes: int
  protocol: int = VERSION


def loads(data: bytes):
  """Returns the value of a JSON text; raises ValueError of one line."""
  try:
    return json.loads(data)
  except RecursionError:
    raise ValueError('not JSON: nested too deep') from None
  except ValueError as error:
    raise ValueError(f'not JSON: {error}') from None


def dumps(value) -> bytes:
  return json.dumps(value, ensure_ascii=False).encode()


def encode(value) -> dict:
  """Returns the JSON object of a Program, an Execution, Limits or a Service."""
  return {
    field.name: _encode_field(getattr(value, field.name))
    for field in dataclasses.fields(value)
  }


def decode(kind: type, data, path: str):
  """Returns the `kind` that a JSON object stands for.

  Args:
    kind: one of the dataclasses that `encode` takes.
    data: a JSON value.
    path: where `data` stands in the message, for errors.

  Raises:
    ValueError: a field is missing, unknown or wrong; names its path, what it
      must be and what it is.
  """
  fields = {field.name: field for field in dataclasses.fields(kind)}
  check_object(data, fields, path)
  for name, field in fields.items():
    required = field.default is dataclasses.MISSING
    if required and name not in data:
      raise ValueError(f'{path}.{name} is missing')
  return kind(
    **{
      name: _decode_field(fields[name].type, value, f'{path}.{name}')
      for name, value in data.items()
    }
  )


def check_object(data, names: Sequence[str], path: str) -> None:
  """Raises ValueError unless `data` is an object with only these fields."""
  if type(data) is not dict:
    raise _type_error(path, 'an object', data)
  for name in data:
    if name not in names:
      raise ValueError(
        f'{path} has no field {reprlib.repr(name)}; it has {", ".join(names)}'
      )


def encode_request(programs: Sequence[bytes], limits: api.Limits) -> bytes:
  """Returns the body of a request to run programs, each given as its JSON."""
  head = b'{"limits": %b, "programs": [' % dumps(encode(limits))
  return head + b', '.join(programs) + b']}'


def decode_request(
  data,
) -> tuple[list[api.Program], api.Limits]:
  """Returns the programs and limits of a request's JSON value.

  Raises:
    ValueError: names the wrong field.
  """
  check_object(data, ('limits', 'programs'), 'request')
  limits = decode(api.Limits, data.get('limits', {}), 'limits')
  objects = data.get('programs')
  if type(objects) is not list or len(objects) > MAX_PROGRAMS:
    raise ValueError(f'programs: must be a list of at most {MAX_PROGRAMS}')
  programs = [
    decode(api.Program, item, f'programs[{index}]')
    for index, item in enumerate(objects)
  ]
  for index, program in enumerate(programs):
    if program.checker is not None and program.entry_point is None:
      raise ValueError(f'programs[{index}].entry_point: a checker needs it')
  return programs, limits


def encode_executions(executions: Sequence[api.Execution]) -> bytes:
  """Returns the body that answers a request."""
  return dumps({'executions': [encode(execution) for execution in executions]})


def decode_executions(data, count: int) -> list[api.Execution]:
  """Returns the `count` executions of an answer's JSON value.

  Raises:
    ValueError: names the wrong field.
  """
  check_object(data, ('executions',), 'answer')
  objects = data.get('executions')
  if type(objects) is not list or len(objects) != count:
    raise ValueError(f'executions: must be a list of {count}')
  return [
    decode(api.Execution, item, f'executions[{index}]')
    for index, item in enumerate(objects)
  ]


def _encode_field(value):
  if isinstance(value, enum.Enum):
    return value.value
  if isinstance(value, str):
    return value if _is_unicode(value) else [*map(ord, value)]
  if isinstance(value, tuple):
    return [_encode_record(record) for record in value]
  return encode(value) if dataclasses.is_dataclass(value) else value


def _encode_record(record) -> list:
  return [_encode_field(value) for value in vars(record).values()]


def _is_unicode(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def _type_error(path: str, expected: str, value) -> ValueError:
  return ValueError(f'{path}: must be {expected}, is {reprlib.repr(value)}')


def _decode_field(kind, value, path: str):
  return _DECODERS[kind](value, path)


def _decode_text(value, path: str) -> str:
  if type(value) is str:
    return value
  if type(value) is list and all(map(_is_code_point, value)):
    return ''.join(map(chr, value))
  raise _type_error(path, 'a text', value)


def _is_code_point(value) -> bool:
  return type(value) is int and 0 <= value <= sys.maxunicode


def _decode_optional_text(value, path: str) -> str | None:
  return None if value is None else _decode_text(value, path)


def _exact_decoder(kind: type, expected: str) -> Callable:
  """Returns a decoder of values of exactly this type."""

  def decode_value(value, path: str):
    if type(value) is not kind:
      raise _type_error(path, expected, value)
    return value

  return decode_value


def _decode_number(value, path: str) -> float:
  if type(value) is not int and not (
    type(value) is float and math.isfinite(value)
  ):
    raise _type_error(path, 'a finite number', value)
  return value


def _decode_status(value, path: str) -> api.Status:
  try:
    return api.Status(value)
  except ValueError:
    choices = ', '.join(api.Status)
    raise _type_error(path, f'one of {choices}', value) from None


def _records_decoder(kind: type) -> Callable:
  """Returns a decoder of a list of `kind`, each the list of its fields."""
  fields = dataclasses.fields(kind)

  def decode_records(value, path: str) -> tuple:
    if type(value) is not list:
      raise _type_error(path, 'a list', value)
    return tuple(
      decode_record(item, f'{path}[{index}]')
      for index, item in enumerate(value)
    )

  def decode_record(value, path: str):
    if type(value) is not list or len(value) != len(fields):
      raise _type_error(path, f'a list of {len(fields)}', value)
    return kind(
      *(
        _decode_field(field.type, item, f'{path}.{field.name}')
        for field, item in zip(fields, value, strict=True)
      )
    )

  return decode_records


def _decode_texts(value, path: str) -> dict[str, str]:
  if type(value) is not dict:
    raise _type_error(path, 'an object', value)
  return {
    name: _decode_text(text, f'{path}.{name}') for name, text in value.items()
  }


# Annotation of a field -> its decoder.
_DECODERS: dict[object, Callable] = {
  str: _decode_text,
  str | None: _decode_optional_text,
  bool: _exact_decoder(bool, 'true or false'),
  int: _exact_decoder(int, 'a whole number'),
  float: _decode_number,
  api.Status: _decode_status,
  tuple[api.Variable, ...]: _records_decoder(api.Variable),
  tuple[api.Event, ...]: _records_decoder(api.Event),
  api.Limits: lambda value, path: decode(api.Limits, value, path),
  dict[str, str]: _decode_texts,
}
