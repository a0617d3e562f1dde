"""Compares a reinforcement-learning step with google-tunix and TRL, on CPU.

  python benchmarks/rl_step.py --json rl_step.json

The other systems are installed once, in separate environments (2 GB). All do
the same work (rl_step_work.Work): GRPO on a Qwen 2 shape of random weights in
float32, by default for 8 prompts x 8 rollouts of 64 + 64 tokens, for a large
and a small vocabulary, with KL to a reference policy and without. They run one
after the other, each time in a new process; this takes half an hour on two
cores. The figures are medians over the steps after the first, which compiles.

  rollout tokens/s   generated tokens / time of generation
  train tokens/s     tokens of prompts and responses / time of the rest of the
                     step: reward, reference, gradient, optimizer
  s, CPU-s           time of a step, from one reward to the next
  x floor            the same / time of the step's arithmetic alone
                     (rl_step_work.flops) at this host's best matmul rate
  ours is x          time of the other system / time of this project

The exit status is 1 unless all systems generate the same number of tokens,
every weight stays finite, and this project's float32 log-probabilities of
sampling equal those of training to 1e-4. The difference in bfloat16 is printed.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

import rl_step_work

_HERE = pathlib.Path(__file__).parent
_OURS = 'ours'
# The pinned packages of each environment; pip resolves the rest.
PEERS = {
  'tunix': ('google-tunix==0.1.7',),
  'trl': ('torch==2.13.0', 'trl==1.16.0', 'transformers==5.23.0'),
}
SYSTEMS = (_OURS, *PEERS)
_MAX_GAP = 1e-4
# Measured figures of a step, then derived ones.
_COLUMNS = (
  'rollout_tokens_per_s',
  'train_tokens_per_s',
  'seconds',
  'cpu_s',
  'rollout_cpu_s',
  'peak_mb',
  'x_floor',
  'x_floor_cpu',
  'ours_is_x',
  'ours_is_x_cpu',
)
_HEADS = (
  'rollout tok/s',
  'train tok/s',
  's',
  'CPU-s',
  'of rollout',
  'peak MiB',
  'x floor',
  'by CPU-s',
  'ours is x',
  'by CPU-s',
)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--json', type=pathlib.Path, help='also write the results here'
  )
  parser.add_argument(
    '--workdir',
    type=pathlib.Path,
    default=pathlib.Path(cache, 'coderl', 'benchmarks'),
    help='where the environments are (%(default)s)',
  )
  parser.add_argument(
    '--rounds', type=int, default=2, help='repetitions of all systems'
  )
  parser.add_argument(
    '--steps', type=int, default=2, help='measured steps of a system per round'
  )
  parser.add_argument('--vocab', type=int, nargs='+', default=[32768, 1024])
  parser.add_argument('--prompts', type=int, nargs='+', default=[8])
  parser.add_argument('--kl', type=float, nargs='+', default=[0.04, 0.0])
  parser.add_argument(
    '--systems', nargs='+', choices=SYSTEMS, default=list(SYSTEMS)
  )
  parser.add_argument(
    '--all', action='store_true', help='4 prompts as well as 8'
  )
  args = parser.parse_args(argv)
  if min(args.rounds, args.steps, *args.vocab, *args.prompts) < 1:
    parser.error('--rounds, --steps, --vocab and --prompts: must be 1 or more')
  if _OURS not in args.systems:
    args.systems.insert(0, _OURS)  # The others are compared with it.
  if args.all:
    args.prompts = sorted({*args.prompts, 4, 8}, reverse=True)
  return args


def environment(name: str, folder: pathlib.Path) -> pathlib.Path:
  """Returns the interpreter of a system's environment; makes it if absent."""
  python = folder / name / 'bin' / 'python'
  pins = dict(pin.split('==') for pin in PEERS[name])
  program = (
    'import importlib.metadata as m, sys;'
    ' print(*(m.version(name) for name in sys.argv[1:]))'
  )
  if python.exists():
    installed = subprocess.run(
      [python, '-c', program, *pins], capture_output=True, text=True
    )
    # torch's version names its build: 2.13.0+cpu.
    versions = [word.partition('+')[0] for word in installed.stdout.split()]
    if versions == [*pins.values()]:
      return python
  print(f'Installing {", ".join(PEERS[name])} into {folder / name}', flush=True)
  venv = [sys.executable, '-m', 'venv', '--clear', folder / name]
  subprocess.run(venv, check=True)
  for pin in PEERS[name]:
    subprocess.run([python, '-m', 'pip', 'install', pin], check=True)
  return python


def lines(
  python: pathlib.Path | str,
  system: str,
  work: rl_step_work.Work,
  *more: str,
) -> list[dict]:
  """Runs a system's script; returns the JSON lines that it prints."""
  command = [
    python,
    _HERE / f'rl_step_{system}.py',
    json.dumps(dataclasses.asdict(work)),
    *more,
  ]
  ran = subprocess.run(command, capture_output=True, text=True)
  if ran.returncode:
    raise RuntimeError(f'{system} failed:\n{ran.stderr[-4000:]}')
  # Libraries print other lines too.
  return [
    json.loads(line)
    for line in ran.stdout.splitlines()
    if line.startswith('{"')
  ]


def run(
  args: argparse.Namespace,
  works: Sequence[rl_step_work.Work],
  pythons: dict[str, pathlib.Path | str],
) -> tuple[dict, dict, list[str]]:
  """Measures all systems.

  Returns:
    (work, system) -> measured steps; matmul -> best rates; failed checks.
  """
  steps: dict = {(w, s): [] for w in works for s in args.systems}
  rates: dict = {}
  wrong = []
  for number, work in itertools.product(range(args.rounds), works):
    (measured_rates,) = lines(pythons[_OURS], _OURS, work, 'rates')
    for matmul, rate in measured_rates.items():
      old = rates.setdefault(matmul, rate)
      rates[matmul] = {key: max(rate[key], old[key]) for key in rate}
    for system in args.systems:
      more = ['steps'] if system == _OURS else []
      *measured, last = lines(pythons[system], system, work, *more)
      label = f'round {number + 1}, {title(work)}, {system}'
      tokens = {step['tokens'] for step in measured}
      if tokens != {work.tokens}:
        wrong.append(f'{label}: {tokens} tokens instead of {work.tokens}')
      if not last['finite']:
        wrong.append(f'{label}: not finite')
      measured = measured[rl_step_work.COMPILING :]
      steps[work, system] += measured
      seconds = statistics.median(step['seconds'] for step in measured)
      print(f'{label}: {seconds:.2f} s a step', flush=True)
  return steps, rates, wrong


def gaps(
  works: Sequence[rl_step_work.Work], wrong: list[str]
) -> dict[int, dict]:
  """Returns vocabulary -> dtype -> gap between sampling and training."""
  by_vocab = {}
  for work in works:
    if work.vocab in by_vocab:
      continue
    (by_vocab[work.vocab],) = lines(sys.executable, _OURS, work, 'gap')
    most = by_vocab[work.vocab]['float32']['max']
    if not most <= _MAX_GAP:
      wrong.append(f'vocab {work.vocab}: log-probabilities differ by {most}')
  return by_vocab


def title(work: rl_step_work.Work) -> str:
  return (
    f'vocab {work.vocab}, {work.prompts} x {work.group}, KL {work.kl_weight:g}'
  )


def summary(
  steps: dict, rates: dict, works: Sequence[rl_step_work.Work]
) -> dict:
  """Returns (work, system) -> columns; one system is 'floor'."""
  best = {
    key: max(rate[key] for rate in rates.values())
    for key in ('per_s', 'per_cpu_s')
  }
  rows = {}
  for work in works:
    parts = rl_step_work.flops(work)
    floor = {
      'seconds': sum(parts.values()) / best['per_s'],
      'cpu_s': sum(parts.values()) / best['per_cpu_s'],
      'rollout_cpu_s': parts['rollout'] / best['per_cpu_s'],
    }
    floor |= speeds(
      work, parts['rollout'] / best['per_s'], parts['train'] / best['per_s']
    )
    systems = [s for w, s in steps if w == work]
    medians = {
      system: {
        key: statistics.median(step[key] for step in steps[work, system])
        for key in steps[work, system][0]
      }
      for system in systems
    }
    for system in systems:
      row = medians[system]
      row |= speeds(work, row['rollout_s'], row['seconds'] - row['rollout_s'])
      row |= {
        f'{name}{suffix}': row[key] / other[key]
        for key, suffix in (('seconds', ''), ('cpu_s', '_cpu'))
        for name, other in (('x_floor', floor), ('ours_is_x', medians[_OURS]))
      }
      rows[work, system] = row
    rows[work, 'floor'] = floor
  return rows


def speeds(
  work: rl_step_work.Work, rollout_s: float, train_s: float
) -> dict[str, float]:
  tokens = work.rows * (work.prompt_len + work.response_len)
  return {
    'rollout_tokens_per_s': work.tokens / rollout_s,
    'train_tokens_per_s': tokens / train_s,
  }


def table(rows: dict) -> str:
  text, last = [], None
  for (work, system), row in rows.items():
    if work != last:
      head = ''.join(f'{head:>14}' for head in _HEADS)
      text += [f'\n{title(work)}', f'{"":8}{head}']
      last = work
    cells = []
    for column in _COLUMNS:
      value = row.get(column, math.nan)
      digits = 0 if value >= 1000 else 2
      cells.append(f'{"":14}' if math.isnan(value) else f'{value:14.{digits}f}')
    text.append(f'{system:8}{"".join(cells)}')
  return '\n'.join(text)


def main(argv: Sequence[str]) -> int:
  args = parse_args(argv)
  # There is one interval between rewards fewer than there are steps.
  steps = args.steps + rl_step_work.COMPILING + 1
  works = [
    rl_step_work.Work(vocab, prompts, kl, steps)
    for vocab, prompts, kl in itertools.product(
      args.vocab, args.prompts, args.kl
    )
  ]
  args.workdir.mkdir(parents=True, exist_ok=True)
  pythons: dict[str, pathlib.Path | str] = {_OURS: sys.executable}
  pythons |= {
    name: environment(name, args.workdir)
    for name in args.systems
    if name in PEERS
  }
  measured, rates, wrong = run(args, works, pythons)
  gap_by_vocab = gaps(works, wrong)
  rows = summary(measured, rates, works)
  print(table(rows))
  print('\nmatmul, GFLOP/s of the host, and per CPU-s')
  for matmul, rate in rates.items():
    print(f'  {matmul:28}', *(f'{r / 1e9:8.0f}' for r in rate.values()))
  print('\ndifference between log-probabilities of sampling and of training')
  for vocab, by_dtype in gap_by_vocab.items():
    for dtype, row in by_dtype.items():
      print(
        f'  vocab {vocab:6} {dtype:9} mean {row["mean"]:.1e},'
        f' most {row["max"]:.1e}'
      )
  for error in wrong:
    print(f'WRONG: {error}')
  if args.json:
    results = {
      'pins': PEERS,
      'cpus': os.cpu_count(),
      'rounds': args.rounds,
      'results': [
        {'work': dataclasses.asdict(work), 'system': system} | row
        for (work, system), row in rows.items()
      ],
      'steps': [
        {'work': dataclasses.asdict(work), 'system': system, 'steps': every}
        for (work, system), every in measured.items()
      ],
      'flops_per_s': rates,
      'gap': gap_by_vocab,
      'wrong': wrong,
    }
    args.json.write_text(json.dumps(results, indent=2) + '\n')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
