"""Answers are parsed strictly and compared with their types."""

import collections
import decimal
import fractions
import json

import pytest

from coderl import types
from coderl.alignment import answers
from coderl.sandbox.tracing import values as tracing_values


def targets(**variables):
  return tuple(
    types.Target(name, tracing_values.canonical(value)[0])
    for name, value in variables.items()
  )


def reply(output, variables):
  return json.dumps({'final_output': output, 'variables': variables})


VALUES = {
  'none': None,
  'yes': True,
  'one': 1,
  'big': 10**30,
  'half': 0.5,
  'whole': 1.0,
  'inf': float('inf'),
  'nan': float('nan'),
  'text': 'a\n"b"',
  'digits': '1',
  'list': [1, [2.5, 'x', None]],
  'pair': (1, 'a'),
  'pairs': [(1, 2), (3, 4)],
  'set': {3, 1, 2},
  'empty': set(),
  'counts': {1: 2},
  'names': {'b': 1, 'a': [True]},
  'raw': b'x',
  'bytes': {'k': bytearray(b'x')},
  'queue': {'k': collections.deque([1, 2])},
  'count': collections.Counter('aab'),
  'exact': decimal.Decimal('sNaN'),
  'third': fractions.Fraction(1, 3),
}


def test_the_right_answer_scores_everything():
  variables = targets(**VALUES)
  line = answers.answer_json('3\n', variables)
  assert '\n' not in line
  expected = answers.Scores(True, True, len(VALUES), len(VALUES))
  for text in (line, f'It prints 3.\n{line}\n', f'```json\n{line}\n```'):
    assert answers.score_answer(text, '3\n', variables) == expected


def test_the_right_answer_is_natural_json():
  line = answers.answer_json('3', targets(a=[1, None], b=(1, 2), c={1: 2}))
  assert json.loads(line)['variables'] == {
    'a': [1, None],
    'b': '(1, 2)',
    'c': '{1: 2}',
  }


@pytest.mark.parametrize(
  ('value', 'answer', 'right'),
  [
    (1, 1, True),
    (1, True, False),
    (1, 1.0, False),
    (1, '1', False),
    (True, 1, False),
    ('1', 1, False),
    ('1', '1', True),
    (None, 'None', False),
    ([1, 2], [1, 2], True),
    ([1, 2], [2, 1], False),
    ([1, 1], [1, True], False),
    ((1,), '(True,)', False),
    ([1, 2], '[1, 2]', False),
    ((1, 2), '(1,2)', True),
    ((1, 2), [1, 2], False),
    ((1, 2), '[1, 2]', False),
    ({1, 2}, '{2, 1}', True),
    ({1: 'a'}, "{1: 'a'}", True),
    ({1: 'a'}, {'1': 'a'}, False),
    ({'a': 1, 'b': 2}, {'b': 2, 'a': 1}, True),
    ((1, 2), '__import__("os")', False),
    ((1, 2), '(1, 2', False),
    ((1, 2), None, False),
    (collections.deque([1]), ' deque([1])', True),
    (collections.deque([1]), 'deque(range(1000000000000))', False),
    (fractions.Fraction(1, 3), 'Fraction("1e999999999")', False),
  ],
)
def test_values_compare_with_their_types(value, answer, right):
  scores = answers.score_answer(reply('', {'v': answer}), '', targets(v=value))
  assert scores == answers.Scores(True, True, int(right), 1)


@pytest.mark.parametrize(
  'text',
  [
    '',
    'no answer',
    '{"final_output": "3"}',
    '{"final_output": 3, "variables": {"a": 1}}',
    '{"final_output": "3", "variables": [1]}',
    '{"final_output": "3", "variables": {"a": 1}, "more": 1}',
    '{"final_output": "3", "variables": {"a": 1, "a": 1}}',
    '{"final_output": "3", "variables": {"a": NaN}}',
    '{"final_output": "3", "variables": {"a": 1e400}}',
    '{"final_output": "3",\n"variables": {"a": 1}}',
    '{"final_output": "3", "variables": {"a": 1}} done',
    '{"final_output": "3", "variables": {"a": 1}}\ndone',
    '[' * 100000,
    '1' * 100000,
  ],
)
def test_an_answer_that_is_not_strict_is_invalid(text):
  assert answers.parse_answer(text) is None
  scores = answers.score_answer(text, '3', targets(a=1))
  assert scores == answers.Scores(False, False, 0, 1)


def test_a_valid_form_has_every_variable():
  variables = targets(a=1, b=2)
  for incomplete in ({}, {'a': 1}):
    text = reply('3', incomplete)
    assert not answers.score_answer(text, '3', variables).form
  more = reply('3', {'a': 1, 'b': 0, 'c': 1})
  assert answers.score_answer(more, '3', variables) == (True, True, 1, 2)


def test_outputs_compare_without_trailing_space():
  variables = targets(a=1)

  def right(output, expected):
    text = reply(output, {'a': 1})
    return answers.score_answer(text, expected, variables).output_right

  assert right('3\n6', '3 \n6\n\n')
  assert not right('3 6', '3\n6')
  assert not right(' 3', '3')


def test_an_answer_in_pythons_notation_is_converted_to_json():
  answer = {'final_output': "it's\n", 'variables': {'a': [1, None, True]}}
  target = types.Target('a', '[1, None, True]')
  reply = f'a = [1]\n{answer!r}\n'
  assert not answers.score_answer(reply, "it's\n", [target]).form
  scores = answers.score_answer(answers.as_json(reply), "it's\n", [target])
  assert scores == answers.Scores(True, True, 1, 1)
  for other in (json.dumps(answer), '', 'no answer', '{1: 2}', '[' * 9000):
    assert answers.as_json(other) == other
