"""What is sent arrives as it was; what is not of the form is named."""

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.execution import interface, wire

# Lone surrogates as well: a program's text need not be Unicode.
_TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
_NUMBERS = st.integers(0) | st.floats(0, 1e9)
_SECONDS = st.integers(1) | st.floats(0.01, 1e9)
_VARIABLES = st.builds(
  interface.Variable, _TEXTS, _TEXTS, _TEXTS, st.integers(), st.booleans()
)
_EVENTS = st.builds(interface.Event, st.integers(), _TEXTS, _TEXTS)
_LIMITS = st.builds(
  interface.Limits,
  cpu_s=_SECONDS,
  wall_s=_SECONDS,
  memory_mb=st.integers(64),
  processes=st.integers(0),
)
_VALUES = {
  interface.Program: st.builds(
    interface.Program,
    source=_TEXTS,
    stdin=_TEXTS,
    call=st.none() | _TEXTS,
    checker=st.none() | _TEXTS,
    entry_point=st.none() | _TEXTS,
    trace=st.booleans(),
  ),
  interface.Execution: st.builds(
    interface.Execution,
    status=st.sampled_from(interface.Status),
    stdout=_TEXTS,
    stderr=_TEXTS,
    error=_TEXTS,
    value=st.none() | _TEXTS,
    wall_s=_NUMBERS,
    cpu_s=_NUMBERS,
    variables=st.lists(_VARIABLES, max_size=2).map(tuple),
    trajectory=st.lists(_EVENTS, max_size=2).map(tuple),
  ),
  interface.Limits: _LIMITS,
  wire.Service: st.builds(
    wire.Service,
    limits=_LIMITS,
    layers=st.dictionaries(st.text(max_size=4), st.text(max_size=4)),
    workers=st.integers(1),
    max_body_bytes=st.integers(1),
  ),
}


@hypothesis.given(st.one_of(*_VALUES.values()))
@hypothesis.example(interface.Program('\ud83d\ude00', '\ud83d'))
def test_what_is_sent_arrives_as_it_was(value):
  data = wire.loads(wire.dumps(wire.encode(value)))
  assert wire.decode(type(value), data, 'it') == value


_WHOLE = _VALUES[interface.Program].filter(
  lambda program: program.checker is None or program.entry_point is not None
)


@hypothesis.given(
  st.lists(_WHOLE, max_size=3),
  _LIMITS,
  st.lists(_VALUES[interface.Execution], max_size=3),
)
def test_requests_and_answers_arrive_as_they_were(programs, limits, executions):
  texts = [wire.dumps(wire.encode(program)) for program in programs]
  request = wire.loads(wire.encode_request(texts, limits))
  assert wire.decode_request(request) == (programs, limits)
  answer = wire.loads(wire.encode_executions(executions))
  assert wire.decode_executions(answer, len(executions)) == executions


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: (
    st.lists(inner) | st.dictionaries(st.text() | st.just('source'), inner)
  ),
  max_leaves=8,
)


@hypothesis.given(st.sampled_from(list(_VALUES)), _JSON)
def test_anything_else_is_one_line(kind, data):
  try:
    wire.decode(kind, data, 'it')
  except ValueError as error:
    assert str(error).splitlines() == [str(error)]


@pytest.mark.parametrize(
  ('row', 'message'),
  [
    ([], r'programs\[1\]: must be an object, is \[\]'),
    ({}, r'programs\[1\]\.source is missing'),
    ({'source': 1}, r'programs\[1\]\.source: must be a text, is 1'),
    ({'source': [0x110000]}, r'programs\[1\]\.source: must be a text'),
    ({'source': '', 'stdin': None}, r'\.stdin: must be a text, is None'),
    ({'source': '', 'trace': 1}, r'\.trace: must be true or false, is 1'),
    ({'source': '', 'code': 1}, r"no field 'code'; it has source, stdin"),
    ({'source': '', 'checker': ''}, r'programs\[1\]\.entry_point: a checker'),
  ],
)
def test_a_bad_program_is_named(row, message):
  with pytest.raises(ValueError, match=message):
    wire.decode_request({'programs': [{'source': ''}, row]})


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'status': 'passd'}, 'status: must be one of finished, passed, .*passd'),
    ({'wall_s': float('nan')}, 'wall_s: must be a finite number, is nan'),
    ({'cpu_s': True}, 'cpu_s: must be a finite number, is True'),
    ({'trajectory': [[1, 'x']]}, r'trajectory\[0\]: must be a list of 3'),
    ({'variables': [['', 'x', '1', '2', True]]}, r'\[0\]\.line: .* whole'),
  ],
)
def test_a_bad_execution_is_named(fields, message):
  with pytest.raises(ValueError, match=message):
    wire.decode_executions({'executions': [{'status': 'passed'} | fields]}, 1)


@pytest.mark.parametrize(
  ('request_', 'message'),
  [
    ({'programs': []} | {'limit': {}}, "no field 'limit'; it has limits"),
    ({'programs': [], 'limits': {'cpu_s': '1'}}, r'limits\.cpu_s: must be a f'),
    ({'programs': [], 'limits': {'cpu_s': 0}}, r'limit cpu_s=0: must be'),
    (
      {'programs': [], 'limits': {'memory_mb': 64.0}},
      r'memory_mb: must be a w',
    ),
    ({}, 'programs: must be a list of at most 64'),
    (
      {'programs': [{'source': ''}] * 65},
      'programs: must be a list of at most',
    ),
    (None, 'request: must be an object, is None'),
  ],
)
def test_a_bad_request_is_named(request_, message):
  with pytest.raises(ValueError, match=message):
    wire.decode_request(request_)


@pytest.mark.parametrize(
  'data', [b'', b'{', b'\xff', b'[' * 10**5, b'9' * 5000]
)
def test_what_is_not_json_is_one_line(data):
  with pytest.raises(ValueError, match=r'^not JSON: .*$'):
    wire.loads(data)


def test_an_answer_holds_as_many_executions_as_were_asked_for():
  with pytest.raises(ValueError, match='executions: must be a list of 2'):
    wire.decode_executions({'executions': [{'status': 'passed'}]}, 2)
