"""Metrics of a step, sample rollouts, and the writers that record them."""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import itertools
import json
import pathlib
from typing import Protocol

import numpy as np
import tensorboardX
import tqdm

from coderl import types
from coderl.alignment import tasks
from coderl.distributed import processes
from coderl.rl import algorithms
from coderl.sandbox import api
from coderl.text import replies
from commons import files


def rollout_metrics(
  code: Sequence[types.Rollout], trained: Sequence[types.Rollout]
) -> dict[str, float]:
  """Returns means over a step's rollouts.

  Args:
    code: all code rollouts that were sampled.
    trained: the rollouts trained on; only their alignment answers are read for
      the figures of answers.
  """

  def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

  means = {
    'response_len_tokens': mean(len(r.tokens) for r in trained),
    'finished': mean(r.finished for r in trained),
    'masked': mean(r.masked for r in trained),
  }
  align = [r for r in trained if r.prompt.kind == types.ALIGN]
  for kind, rollouts in ((types.GENERATE, code), (types.ALIGN, align)):
    if rollouts:
      means[f'{kind}/reward'] = mean(r.reward for r in rollouts)
      for name in rollouts[0].scores:
        means[f'{kind}/{name}'] = mean(r.scores[name] for r in rollouts)
  return means


def importance_metrics(
  batch: types.RolloutBatch, algorithm: algorithms.Algorithm
) -> dict[str, float]:
  """Returns the mean importance ratio and the share of ratios above the cap."""
  ratio = np.exp((batch.logprobs_BR - batch.drawn_logprobs_BR)[batch.mask_BR])
  if not ratio.size:
    return {'importance': 1.0, 'importance_truncated': 0.0}
  return {
    'importance': float(np.mean(ratio)),
    'importance_truncated': float(np.mean(ratio > algorithm.importance_cap)),
  }


def samples(
  rollouts: Sequence[types.Rollout],
  sandbox: api.Runner,
  step: int,
  count: int,
) -> list[dict]:
  """Returns records of a few rollouts for the report.

  They alternate between failed programs, passed programs and answers.

  Args:
    rollouts: the step's rollouts.
    sandbox: traces the programs of the records.
    step: the training step.
    count: how many records.
  """
  code = [r for r in rollouts if r.prompt.kind == types.GENERATE]
  kinds = [
    [r for r in code if not r.passed],
    [r for r in code if r.passed],
    [r for r in rollouts if r.prompt.kind == types.ALIGN],
  ]
  alternating = itertools.chain(*itertools.zip_longest(*kinds))
  chosen = [r for r in alternating if r is not None][:count]
  return [sample_record(r, sandbox, step) for r in chosen]


def sample_record(r: types.Rollout, sandbox: api.Runner, step: int) -> dict:
  """Returns a rollout as the report and the notebook read it, with a trace."""
  problem = r.prompt.problem
  record = {
    'step': step,
    'kind': r.prompt.kind,
    'problem': problem.id,
    'prompt': r.prompt.text,
    'response': r.text,
    'reward': r.reward,
    'scores': r.scores,
    'targets': [dataclasses.asdict(t) for t in r.prompt.targets],
    'executions': [
      _execution_record(test, execution)
      for test, execution in zip(problem.tests, r.executions, strict=False)
    ],
    'trace': _trace_record(r, sandbox),
  }
  if r.prompt.completion:  # The response alone is only part of the program.
    record['reply'] = replies.read(r.prompt, r.text)
  return record


def _execution_record(test: types.Test, execution: api.Execution) -> dict:
  return {
    'stdin': test.stdin,
    'call': test.call,
    'expected': test.expected,
    'stdout': execution.stdout,
    'value': execution.value,
    'status': execution.status.value,
    'error': execution.error,
  }


def _trace_record(r: types.Rollout, sandbox: api.Runner) -> dict | None:
  """Traces the program of a rollout; None where none of its tests prints."""
  if r.prompt.kind == types.GENERATE:
    # Programs that passed are traced as well.
    candidates = tasks.candidates(
      [dataclasses.replace(r, passed=False)], np.random.default_rng(0)
    )
    if not candidates:
      return None
    program, stdin = candidates[0].program, candidates[0].stdin
  else:
    program, stdin = r.prompt.program, r.prompt.stdin
  execution = sandbox.run([api.Program(program, stdin, trace=True)])[0]
  return {
    'program': program,
    'stdin': stdin,
    'stdout': execution.stdout,
    'variables': [
      {'name': v.qualified_name, 'value': v.value, 'line': v.line}
      for v in execution.variables
    ],
    'trajectory': [dataclasses.asdict(e) for e in execution.trajectory],
  }


def write_lines(path: pathlib.Path, rows: Sequence[dict]) -> None:
  """Writes one JSON object per line."""
  files.write_text(path, ''.join(json.dumps(row) + '\n' for row in rows))


# The interface is that of clu.metric_writers. That package is not used, because
# its import loads TensorFlow and requires TensorBoard.


class MetricWriter(Protocol):
  """Records the metrics of a step."""

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Records scalars by name; `step` counts from 1."""

  def close(self) -> None:
    """Finishes writing."""


class JsonLinesWriter:
  """Writes metrics.jsonl: one line per step, readable while training runs."""

  def __init__(self, path: pathlib.Path, history: Sequence[dict]):
    self._path = path
    # Lines of steps after the last checkpoint are dropped; they run again.
    write_lines(path, history)

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    del step  # The scalars hold it.
    with self._path.open('a', encoding='utf-8') as f:
      f.write(json.dumps(dict(scalars)) + '\n')

  def close(self) -> None:
    """Does nothing, because every line is written at once."""


class TensorBoardWriter:
  """Writes TensorBoard event files; needs no TensorFlow."""

  def __init__(self, folder: pathlib.Path, first_step: int):
    self._writer = tensorboardX.SummaryWriter(
      str(folder), purge_step=first_step
    )

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    for name, value in scalars.items():
      self._writer.add_scalar(name, value, step)

  def close(self) -> None:
    self._writer.close()


class ProgressBar:
  """Shows the main figures of the last step beside a progress bar."""

  def __init__(self, steps: int, initial: int):
    self._bar = tqdm.tqdm(total=steps, initial=initial, unit='step')

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    del step
    self._bar.set_postfix_str(summary_line(scalars))
    self._bar.update()

  def close(self) -> None:
    self._bar.close()


class MultiWriter:
  """Passes metrics on to several writers."""

  def __init__(self, writers: Sequence[MetricWriter]):
    self._writers = writers

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    for writer in self._writers:
      writer.write_scalars(step, scalars)

  def close(self) -> None:
    for writer in self._writers:
      writer.close()


def make_writer(
  folder: pathlib.Path, history: Sequence[dict], steps: int
) -> MetricWriter:
  """Returns the writer of a run; another writer (e.g. W&B) is added here.

  Only the first process writes.

  Args:
    folder: the workdir.
    history: the metrics of the steps done before.
    steps: the number of steps at the end of the run.
  """
  if not processes.is_first():
    return MultiWriter([])
  done = len(history)
  return MultiWriter(
    [
      JsonLinesWriter(folder / 'metrics.jsonl', history),
      TensorBoardWriter(folder / 'tensorboard', first_step=done + 1),
      ProgressBar(steps, initial=done),
    ]
  )


def summary_line(scalars: Mapping[str, float]) -> str:
  """Returns the main figures of a step as the progress bar shows them."""
  text = f'reward {scalars["generate/reward"]:.2f}'
  text += f' pass {scalars["generate/passed"]:.2f}'
  if 'align/reward' in scalars:
    text += f' align {scalars["align/reward"]:.2f}'
    text += f' variables {scalars["align/variables"]:.2f}'
  return f'{text} {scalars["tokens_per_s"]:.0f} tok/s'
