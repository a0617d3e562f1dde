"""Compares GRPO with and without execution-semantics alignment, at small scale.

  python benchmarks/semantics_study.py --workdir=runs/study --json study.json

Three arms start from the same policy and train on the same number of tokens:

  grpo        code prompts only
  coderl+     with a share of alignment prompts on the policy's failed programs
  coderl+head also with the auxiliary head that predicts trajectories

Each seed of an arm is one run of `python -m main` with its own workdir, so that
an interrupted study resumes with the runs that are missing. For each held-out
evaluation the table gives the mean over seeds with its 95 % interval (Student's
t over seeds), and for the last two arms the difference to grpo, paired by seed.
The last two columns show how much of variable inference is notation.
"""

import argparse
from collections.abc import Sequence
import concurrent.futures
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
from scipy import stats

_ROOT = pathlib.Path(__file__).resolve().parents[1]

ARMS = {
  'grpo': ('--config.alignment.ratio=0.0', '--config.trajectory.weight=0.0'),
  'coderl+': ('--config.trajectory.weight=0.0',),
  'coderl+head': (),
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  parser.add_argument(
    '--json', type=pathlib.Path, help='also write the results to this file'
  )
  parser.add_argument('--seeds', type=int, default=3, help='2 or more')
  parser.add_argument(
    '--tokens', type=int, default=400_000, help='response tokens to train on'
  )
  parser.add_argument('--jobs', type=int, default=1, help='parallel runs')
  parser.add_argument(
    '--config', default='configs/coderl_train.py', help='config file'
  )
  parser.add_argument(
    'override', nargs='*', help='after --: --config.x.y=... for all runs'
  )
  args = parser.parse_args(argv)
  if args.seeds < 2:
    parser.error(f'--seeds={args.seeds}: an interval needs 2 or more')
  args.workdir = args.workdir.resolve()
  return args


def run(
  args: argparse.Namespace, arm: str, seed: int, threads: int
) -> dict[str, dict]:
  """Returns the results of one run, which is started unless they exist."""
  workdir = args.workdir / arm / str(seed)
  results = workdir / 'results.json'
  if not results.exists():
    workdir.mkdir(parents=True, exist_ok=True)
    separator = ',' if ':' in args.config else ':'
    flags = f'--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}'
    with (workdir / 'log.txt').open('a') as log:
      subprocess.run(
        [
          *(sys.executable, '-m', 'main'),
          f'--config={args.config}{separator}seed={seed}',
          f'--workdir={workdir}',
          f'--config.train.max_tokens={args.tokens}',
          '--config.train.steps=1000000',
          *ARMS[arm],
          *args.override,
        ],
        cwd=_ROOT,
        env=os.environ
        | {'XLA_FLAGS': f'{os.environ.get("XLA_FLAGS", "")} {flags}'},
        stdout=log,
        stderr=subprocess.STDOUT,
        check=True,
      )
  return json.loads(results.read_text())


def interval(values: Sequence[float]) -> dict[str, float]:
  """Returns the mean over seeds and its 95 % interval by Student's t."""
  n = len(values)
  mean = float(np.mean(values))
  half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
  return {
    'mean': mean,
    'low': mean - float(half),
    'high': mean + float(half),
    'seeds': n,
  }


def summarise(results: dict[str, list[dict]]) -> dict[str, dict[str, dict]]:
  """Returns evaluation -> row -> mean and interval."""

  def after(arm, name):
    runs = results[arm]
    return [r['evaluations']['after'][name]['accuracy'] for r in runs]

  start = results['grpo'][0]['evaluations']['before']
  summary = {}
  for name, before in start.items():
    rows = {'start': {'mean': before['accuracy']} | before}
    for arm in ARMS:
      rows[arm] = interval(after(arm, name))
    for arm in list(ARMS)[1:]:
      paired = np.subtract(after(arm, name), after('grpo', name))
      rows[f'{arm} - grpo'] = interval(paired.tolist())
    summary[name] = rows
  return summary


def table(summary: dict[str, dict[str, dict]]) -> str:
  """Formats a summary with a row per arm or difference."""
  rows = list(next(iter(summary.values())))
  lines = [f'{"":20}' + ''.join(f'{name:>26}' for name in summary)]
  for row in rows:
    cells = (summary[name][row] for name in summary)
    lines.append(
      f'{row:20}'
      + ''.join(
        f'{c["mean"]:+12.3f} [{c["low"]:+.3f},{c["high"]:+.3f}]'.rjust(26)
        for c in cells
      )
    )
  return '\n'.join(lines)


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  threads = max(1, (os.cpu_count() or 1) // args.jobs)
  jobs = [(arm, seed) for seed in range(args.seeds) for arm in ARMS]
  with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
    finished = list(pool.map(lambda job: run(args, *job, threads), jobs))
  results = {arm: [] for arm in ARMS}
  for (arm, _), result in zip(jobs, finished, strict=True):
    results[arm].append(result)
  for arm, runs in results.items():
    print(arm, *(f'{r["tokens"]} tokens in {r["steps"]} steps' for r in runs))
    for r in runs:
      start = results['grpo'][0]['evaluations']['before']
      if r['evaluations']['before'] != start:
        print(f'warning: a run of {arm} started from other scores')
  summary = summarise(results)
  print(table(summary))
  if args.json:
    args.json.write_text(json.dumps(summary, indent=2) + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
