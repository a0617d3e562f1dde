"""Laws of metrics, of sample records and of the writers."""

import json
import pathlib

import numpy as np
import pytest

from coderl import types
from coderl.rl import algorithms
from coderl.sandbox import sandbox as sandbox_lib
from coderl.training import metrics

PROBLEM = types.Problem(
  'f', 'Add.', (types.Test(expected='3', call='add(1, 2)'),), entry_point='add'
)
PROGRAM = '```python\ndef add(a, b):\n  return a - b\n```'


@pytest.fixture(scope='module')
def sandbox():
  with sandbox_lib.Sandbox(workers=1) as opened:
    yield opened


def make_rollout(text=PROGRAM, kind=types.GENERATE, length=1, **fields):
  prompt = types.Prompt(kind, '', (), PROBLEM, program='print(1)')
  return types.Rollout(prompt, (0,) * length, (), (), text, True, **fields)


def record(sandbox, text, **fields):
  prompt = types.Prompt(types.GENERATE, '', (), PROBLEM, **fields)
  rollout = types.Rollout(prompt, (), (), (), text, True)
  return metrics.sample_record(rollout, sandbox, 1)


def test_a_chat_reply_is_parsed_by_the_reader_of_the_record(sandbox):
  chat = record(sandbox, PROGRAM)
  assert 'reply' not in chat
  assert chat['trace']['stdout'] == '-1\n'


def test_a_completion_is_recorded_with_its_opening(sandbox):
  opening = {'opening': 'def add(a, b):\n', 'completion': True}
  completion = record(sandbox, '  return a - b\nx', **opening)
  assert completion['response'] == '  return a - b\nx'
  assert completion['reply'] == 'def add(a, b):\n  return a - b'
  assert completion['trace']['stdout'] == '-1\n'
  empty = record(sandbox, '\nx', **opening)
  assert empty['reply'] is None and empty['trace'] is None


def test_samples_alternate_by_the_verdict_and_not_by_the_reward(sandbox):
  rollouts = [
    make_rollout(reward=0.5, passed=True),
    make_rollout(reward=1.0, passed=False),
    make_rollout(kind=types.ALIGN, reward=0.25),
    make_rollout(reward=0.75, passed=False),
  ]
  records = metrics.samples(rollouts, sandbox, step=7, count=3)
  assert [r['reward'] for r in records] == [1.0, 0.5, 0.25]
  assert {r['step'] for r in records} == {7}
  # Programs that passed are traced as well.
  assert [r['trace']['stdout'] for r in records] == ['-1\n', '-1\n', '1\n']


def test_rollout_metrics_are_worked_out_by_hand():
  code = [
    make_rollout(length=2, reward=1.0, scores={'passed': 1.0}),
    make_rollout(length=4, reward=0.0, scores={'passed': 0.0}),
  ]
  align = make_rollout(
    kind=types.ALIGN, reward=0.5, scores={'form': 1.0}, masked=True
  )
  assert metrics.rollout_metrics(code, [code[1], align]) == {
    'response_len_tokens': 2.5,
    'finished': 1.0,
    'masked': 0.5,
    'generate/reward': 0.5,
    'generate/passed': 0.5,
    'align/reward': 0.5,
    'align/form': 1.0,
  }


def test_importance_metrics_are_worked_out_by_hand():
  # Ratios 1/2 and 4; the third token is masked.
  batch = types.RolloutBatch(*[None] * 12)._replace(
    logprobs_BR=np.log(np.array([[0.5, 4.0, 9.0]])),
    drawn_logprobs_BR=np.zeros((1, 3)),
    mask_BR=np.array([[True, True, False]]),
  )
  algorithm = algorithms.make('grpo', importance_cap=2.0)
  figures = metrics.importance_metrics(batch, algorithm)
  assert figures == pytest.approx(
    {'importance': 2.25, 'importance_truncated': 0.5}
  )
  masked = batch._replace(mask_BR=np.zeros((1, 3), bool))
  assert metrics.importance_metrics(masked, algorithm) == {
    'importance': 1.0,
    'importance_truncated': 0.0,
  }


STEP = {
  'step': 3,
  'generate/reward': 0.25,
  'generate/passed': 0.5,
  'tokens_per_s': 1000.4,
}


def test_the_writer_continues_the_history_of_a_run(
  tmp_path: pathlib.Path, capsys
):
  history = [STEP | {'step': 1}, STEP | {'step': 2}]
  lines = tmp_path / 'metrics.jsonl'
  lines.write_text('{"step": 99}\n')  # Steps after the last checkpoint.
  writer = metrics.make_writer(tmp_path, history, steps=4)
  writer.write_scalars(3, STEP)
  # Every line is written before the writer is closed.
  written = [json.loads(line) for line in lines.read_text().splitlines()]
  assert written == [*history, STEP]
  writer.close()
  assert list((tmp_path / 'tensorboard').iterdir())
  bar = capsys.readouterr().err
  assert '3/4' in bar and 'reward 0.25 pass 0.50 1000 tok/s' in bar


def test_several_writers_get_the_same_metrics():
  class Recorder:
    def __init__(self):
      self.records, self.closed = [], False

    def write_scalars(self, step, scalars):
      self.records.append((step, scalars))

    def close(self):
      self.closed = True

  recorders = [Recorder(), Recorder()]
  writer = metrics.MultiWriter(recorders)
  writer.write_scalars(1, {'loss': 2.0})
  writer.close()
  for recorder in recorders:
    assert recorder.records == [(1, {'loss': 2.0})] and recorder.closed
