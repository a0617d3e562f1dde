"""What a run writes down: metrics of a step, sample rollouts, JSON lines."""

from collections.abc import Iterable, Sequence
import dataclasses
import itertools
import json
import pathlib

import numpy as np

from coderl import types
from coderl.alignment import tasks
from coderl.rl import algorithms
from coderl.sandbox import api
from coderl.text import replies


def rollout_metrics(
  code: Sequence[types.Rollout], trained: Sequence[types.Rollout]
) -> dict[str, float]:
  """Means over a step's rollouts.

  Args:
    code: every program that was sampled.
    trained: what was trained on; its alignment answers are reported.
  """

  def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

  found = {
    'response_len_tokens': mean(len(r.tokens) for r in trained),
    'finished': mean(r.finished for r in trained),
    'masked': mean(r.masked for r in trained),
  }
  aligned = [r for r in trained if r.prompt.kind == types.ALIGN]
  for kind, rows in ((types.GENERATE, code), (types.ALIGN, aligned)):
    if rows:
      found[f'{kind}/reward'] = mean(r.reward for r in rows)
      for name in rows[0].scores:
        found[f'{kind}/{name}'] = mean(r.scores[name] for r in rows)
  return found


def importance_metrics(
  batch: types.RolloutBatch, algorithm: algorithms.Algorithm
) -> dict[str, float]:
  """How far the policy was from what drew the batch, over its tokens."""
  ratio = np.exp((batch.logprobs_BR - batch.drawn_logprobs_BR)[batch.mask_BR])
  if not ratio.size:
    return {'importance': 1.0, 'importance_truncated': 0.0}
  return {
    'importance': float(np.mean(ratio)),
    'importance_truncated': float(np.mean(ratio > algorithm.importance_cap)),
  }


def samples(
  rollouts: Sequence[types.Rollout],
  box: api.Runner,
  step: int,
  count: int,
) -> list[dict]:
  """A few rollouts for the report: failed, passed and alignment in turn."""
  kinds = [
    [r for r in rollouts if r.prompt.kind == types.GENERATE and r.reward < 1],
    [r for r in rollouts if r.prompt.kind == types.GENERATE and r.reward == 1],
    [r for r in rollouts if r.prompt.kind == types.ALIGN],
  ]
  turns = itertools.chain(*itertools.zip_longest(*kinds))
  chosen = [r for r in turns if r is not None][:count]
  return [sample_record(r, box, step) for r in chosen]


def sample_record(r: types.Rollout, box: api.Runner, step: int) -> dict:
  """A rollout as the report and the notebook read it, with its trace."""
  problem = r.prompt.problem
  if r.prompt.kind == types.GENERATE:
    found = tasks.candidates(
      [dataclasses.replace(r, reward=0.0)], np.random.default_rng(0)
    )
    run = (found[0].program, found[0].stdin) if found else None
  else:
    run = (r.prompt.program, r.prompt.stdin)
  trace = None
  if run:
    execution = box.run([api.Program(*run, trace=True)])[0]
    trace = {
      'program': run[0],
      'stdin': run[1],
      'stdout': execution.stdout,
      'variables': [
        {'name': v.qualified_name, 'value': v.value, 'line': v.line}
        for v in execution.variables
      ],
      'trajectory': [dataclasses.asdict(e) for e in execution.trajectory],
    }
  executions = [
    {
      'stdin': test.stdin,
      'call': test.call,
      'expected': test.expected,
      'stdout': execution.stdout,
      'value': execution.value,
      'status': execution.status.value,
      'error': execution.error,
    }
    for test, execution in zip(problem.tests, r.executions, strict=False)
  ]
  record = {
    'step': step,
    'kind': r.prompt.kind,
    'problem': problem.id,
    'prompt': r.prompt.text,
    'response': r.text,
    'reward': r.reward,
    'scores': r.scores,
    'targets': [dataclasses.asdict(t) for t in r.prompt.targets],
    'executions': executions,
    'trace': trace,
  }
  if r.prompt.completion:  # By itself the response is half a program.
    record['reply'] = replies.read(r.prompt, r.text)
  return record


def write_lines(path: pathlib.Path, rows: Sequence[dict]) -> None:
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
