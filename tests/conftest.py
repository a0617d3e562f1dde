"""A small finished run, as the files that training leaves in a workdir."""

import json
import pathlib
import sys

import numpy as np
import pytest

# TensorFlow exports its symbols, its own LLVM among them, to every library that
# is loaded after it, and Mesa's OpenGL and Mitsuba then crash. TensorFlow keeps
# the symbols private if this module is missing. One process runs tests of both.
sys.modules.setdefault('tensorflow.python.pywrap_dlopen_global_flags', None)

# Adds only the positive numbers: right on some tests, wrong on others.
PROGRAM = """\
def solve(numbers):
  total = 0
  for number in numbers:
    if number > 0:
      total += number
  return total

count = int(input())
numbers = [int(x) for x in input().split()]
print(solve(numbers))"""
STDIN = '3\n4 -1 2\n'
VALUES = {
  'count': ('3', 8),
  'numbers': ('[4, -1, 2]', 9),
  'solve.number': ('2', 3),
  'solve.total': ('6', 5),
}
TRAJECTORY = (
  (8, 'count', '3'),
  (9, 'numbers', '[4, -1, 2]'),
  (2, 'solve.total', '0'),
  (3, 'solve.number', '4'),
  (5, 'solve.total', '4'),
  (3, 'solve.number', '-1'),
  (3, 'solve.number', '2'),
  (5, 'solve.total', '6'),
)
CONFIG = {
  'seed': 0,
  'model': {'preset': 'tiny'},
  'algorithm': {'name': 'grpo'},
  'optimizer': {'learning_rate': 3e-4},
}
TASKS = ('pass@1', 'code reasoning', 'test output', 'variable inference')


@pytest.fixture
def workdir(tmp_path: pathlib.Path) -> pathlib.Path:
  rng = np.random.default_rng(0)
  root = tmp_path / 'tiny'
  root.mkdir()
  (root / 'config.json').write_text(json.dumps(CONFIG))
  (root / 'results.json').write_text(json.dumps(_results(rng)))
  _write_rows(root / 'metrics.jsonl', [_metrics(i, rng) for i in range(1, 61)])
  _write_rows(root / 'rollouts.jsonl', _rollouts())
  return root


def _write_rows(path, rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def _results(rng):
  def evaluate(low):
    return {
      task: {'accuracy': p, 'low': p - 0.05, 'high': p + 0.05, 'n': 400}
      for task, p in zip(TASKS, rng.uniform(low, low + 0.2, 4), strict=True)
    }

  before, after = evaluate(0.2), evaluate(0.5)
  gains = {t: after[t]['accuracy'] - before[t]['accuracy'] for t in TASKS}
  return {
    'steps': 60,
    'seconds': 321.5,
    'evaluations': {'before': before, 'after': after},
    'difference': {
      task: {'difference': d, 'low': d - 0.06, 'high': d + 0.06}
      for task, d in gains.items()
    },
    'settings': CONFIG,
  }


def _metrics(step, rng):
  rise = 1 - np.exp(-step / 20)
  row = {
    'step': step,
    'generate/reward': 0.3 + 0.3 * rise + rng.normal(0, 0.05),
    'generate/passed': 0.3 + 0.3 * rise + rng.normal(0, 0.05),
    'entropy': 0.8 - 0.3 * rise + rng.normal(0, 0.02),
    'kl_old': abs(rng.normal(0, 1e-3)),
    'response_len_tokens': 70 + rng.normal(0, 4),
    'tokens_per_s': 2100 + rng.normal(0, 100),
  }
  if step > 1:  # The first batch has no failures to ask about yet.
    row['align/reward'] = 0.2 + 0.5 * rise + rng.normal(0, 0.05)
    row['align/variables'] = 0.1 + 0.5 * rise + rng.normal(0, 0.05)
  return row


def _rollouts():
  return [
    _generate(0, PROGRAM, passed=False),
    _generate(0, PROGRAM.replace('if number > 0', 'if True'), passed=True),
    _align(1, {'solve.number': 2, 'solve.total': 5}),
    _generate(59, PROGRAM.replace('if number > 0', 'if True'), passed=True),
    _generate(59, PROGRAM, passed=False),
    _align(59, {'solve.number': 2, 'solve.total': 6}),
  ]


def _generate(step, program, *, passed):
  ran = {
    'stdin': STDIN,
    'call': None,
    'expected': '5\n',
    'stdout': '5\n' if passed else '6\n',
    'value': None,
    'status': 'passed' if passed else 'wrong_answer',
    'error': '',
  }
  return {
    'step': step,
    'kind': 'generate',
    'problem': 'sum/1',
    'prompt': 'Write a program.\nRead n and n integers. Print their sum.',
    'response': f'```python\n{program}\n```',
    'reward': float(passed),
    'scores': {'passed': float(passed), 'has_program': 1.0},
    'targets': [],
    'executions': [ran],
    'trace': None if passed else _trace(),
  }


def _align(step, answers):
  right = answers['solve.total'] == 6
  variables = ', '.join(answers)
  answer = {'final_output': '6\n', 'variables': answers}
  return {
    'step': step,
    'kind': 'align',
    'problem': 'sum/1',
    'prompt': (
      f'Trace the program.\n```python\n{PROGRAM}\n```\n'
      f'Input:\n{STDIN}Variables: {variables}'
    ),
    'response': json.dumps(answer),
    'reward': 1.0 if right else 0.5,
    'scores': {
      'form': 1.0,
      'output': 1.0,
      'variables': 1.0 if right else 0.5,
    },
    'targets': [{'name': name, 'value': VALUES[name][0]} for name in answers],
    'executions': [],
    'trace': _trace(),
  }


def _trace():
  return {
    'stdin': STDIN,
    'program': PROGRAM,
    'stdout': '6\n',
    'variables': [
      {'name': name, 'value': value, 'line': line}
      for name, (value, line) in VALUES.items()
    ],
    'trajectory': [
      {'line': line, 'name': name, 'value': value}
      for line, name, value in TRAJECTORY
    ],
  }
