"""Decoding inverts encoding, and names the wrong field of anything else."""

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.sandbox import api
from coderl.sandbox.service import protocol

# Lone surrogates are included: a program's text need not be Unicode.
_TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
_NUMBERS = st.integers(0) | st.floats(0, 1e9)
_SECONDS = st.integers(1) | st.floats(0.01, 1e9)
_VARIABLES = st.builds(
  api.Variable, _TEXTS, _TEXTS, _TEXTS, st.integers(), st.booleans()
)
_EVENTS = st.builds(api.Event, st.integers(), _TEXTS, _TEXTS)
_LIMITS = st.builds(
  api.Limits,
  cpu_s=_SECONDS,
  wall_s=_SECONDS,
  memory_mb=st.integers(64),
  processes=st.integers(0),
)
_VALUES = {
  api.Program: st.builds(
    api.Program,
    source=_TEXTS,
    stdin=_TEXTS,
    call=st.none() | _TEXTS,
    checker=st.none() | _TEXTS,
    entry_point=st.none() | _TEXTS,
    trace=st.booleans(),
  ),
  api.Execution: st.builds(
    api.Execution,
    status=st.sampled_from(api.Status),
    stdout=_TEXTS,
    stderr=_TEXTS,
    error=_TEXTS,
    value=st.none() | _TEXTS,
    wall_s=_NUMBERS,
    cpu_s=_NUMBERS,
    variables=st.lists(_VARIABLES, max_size=2).map(tuple),
    trajectory=st.lists(_EVENTS, max_size=2).map(tuple),
  ),
  api.Limits: _LIMITS,
  protocol.Service: st.builds(
    protocol.Service,
    limits=_LIMITS,
    layers=st.dictionaries(st.text(max_size=4), st.text(max_size=4)),
    workers=st.integers(1),
    max_body_bytes=st.integers(1),
  ),
}


@hypothesis.given(st.one_of(*_VALUES.values()))
@hypothesis.example(api.Program('\ud83d\ude00', '\ud83d'))
def test_decode_inverts_encode(value):
  data = protocol.loads(protocol.dumps(protocol.encode(value)))
  assert protocol.decode(type(value), data, 'value') == value


_VALID_PROGRAMS = _VALUES[api.Program].filter(
  lambda program: program.checker is None or program.entry_point is not None
)


@hypothesis.given(
  st.lists(_VALID_PROGRAMS, max_size=3),
  _LIMITS,
  st.lists(_VALUES[api.Execution], max_size=3),
)
def test_requests_and_answers_are_decoded(programs, limits, executions):
  texts = [protocol.dumps(protocol.encode(program)) for program in programs]
  request = protocol.loads(protocol.encode_request(texts, limits))
  assert protocol.decode_request(request) == (programs, limits)
  answer = protocol.loads(protocol.encode_executions(executions))
  assert protocol.decode_executions(answer, len(executions)) == executions


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: (
    st.lists(inner) | st.dictionaries(st.text() | st.just('source'), inner)
  ),
  max_leaves=8,
)


@hypothesis.given(st.sampled_from(list(_VALUES)), _JSON)
def test_any_other_value_is_an_error_of_one_line(kind, data):
  try:
    protocol.decode(kind, data, 'value')
  except ValueError as error:
    assert str(error).splitlines() == [str(error)]


@pytest.mark.parametrize(
  ('program', 'message'),
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
def test_the_wrong_field_of_a_program_is_named(program, message):
  with pytest.raises(ValueError, match=message):
    protocol.decode_request({'programs': [{'source': ''}, program]})


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
def test_the_wrong_field_of_an_execution_is_named(fields, message):
  with pytest.raises(ValueError, match=message):
    protocol.decode_executions(
      {'executions': [{'status': 'passed'} | fields]}, 1
    )


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
def test_the_wrong_field_of_a_request_is_named(request_, message):
  with pytest.raises(ValueError, match=message):
    protocol.decode_request(request_)


@pytest.mark.parametrize(
  'data', [b'', b'{', b'\xff', b'[' * 10**5, b'9' * 5000]
)
def test_invalid_json_is_an_error_of_one_line(data):
  with pytest.raises(ValueError, match=r'^not JSON: .*$'):
    protocol.loads(data)


def test_an_answer_must_have_one_execution_per_program():
  with pytest.raises(ValueError, match='executions: must be a list of 2'):
    protocol.decode_executions({'executions': [{'status': 'passed'}]}, 2)
