"""What is written down of a rollout."""

import pytest

from coderl import types
from coderl.sandbox import sandbox
from coderl.training import metrics

PROBLEM = types.Problem(
  'f', 'Add.', (types.Test(expected='3', call='add(1, 2)'),), entry_point='add'
)


@pytest.fixture(scope='module')
def box():
  with sandbox.Sandbox(workers=1) as box:
    yield box


def record(box, text, **fields):
  prompt = types.Prompt(types.GENERATE, '', (), PROBLEM, **fields)
  rollout = types.Rollout(prompt, (), (), (), text, True)
  return metrics.sample_record(rollout, box, 1)


def test_a_chat_is_read_by_whoever_reads_the_record(box):
  found = record(box, '```python\ndef add(a, b):\n  return a - b\n```')
  assert 'reply' not in found
  assert found['trace']['stdout'] == '-1\n'


def test_a_completion_is_written_with_its_opening(box):
  source = {'opening': 'def add(a, b):\n', 'completion': True}
  found = record(box, '  return a - b\nx', **source)
  assert found['response'] == '  return a - b\nx'
  assert found['reply'] == 'def add(a, b):\n  return a - b'
  assert found['trace']['stdout'] == '-1\n'
  empty = record(box, '\nx', **source)
  assert empty['reply'] is None and empty['trace'] is None
