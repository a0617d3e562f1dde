"""A reinforcement-learning step beside google-tunix's and TRL's, on CPU.

  python benchmarks/rl_step.py --json rl_step.json

The peers are installed once, each in an environment of its own (2 GB). All do
the same work (rl_step_work.Work): GRPO on a Qwen 2 shape of random weights in
float32, by default for 8 prompts x 8 rollouts of 64 + 64 tokens, for a large
and a small vocabulary, with KL to a reference policy and without. They run in
turn, each time in a new process; half an hour on two cores. The figures are
medians of the steps after the first, which compiles.

  rollout tokens/s   generated, by the time of generation
  train tokens/s     prompts and responses, by the rest of the step: reward,
                     reference, gradient, optimiser
  s, CPU-s           of a step, from one reward to the next
  x floor            these by the time of the step's arithmetic alone
                     (rl_step_work.flops) at this host's best matmul rate
  ours is x          how many times as fast ours is

Checked, and the exit status is 1 if it does not hold: all generate as many
tokens, every weight stays finite, and in float32 our log-probabilities of
sampling are those of training to 1e-4. By how much they differ in bfloat16 is
printed.
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
# What each peer's environment holds; pip resolves the rest.
PEERS = {
  'tunix': ('google-tunix==0.1.7',),
  'trl': ('torch==2.13.0', 'trl==1.16.0', 'transformers==5.23.0'),
}
SYSTEMS = (_OURS, *PEERS)
_MAX_GAP = 1e-4
# Of a step; then what is derived.
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
  parser.add_argument('--json', type=pathlib.Path, help='results go here too')
  parser.add_argument(
    '--workdir',
    type=pathlib.Path,
    default=pathlib.Path(cache, 'coderl', 'benchmarks'),
    help='of the environments (%(default)s)',
  )
  parser.add_argument('--rounds', type=int, default=2, help='of all systems')
  parser.add_argument(
    '--steps', type=int, default=2, help='measured of a system in a round'
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
    args.systems.insert(0, _OURS)  # What the others are compared with.
  if args.all:
    args.prompts = sorted({*args.prompts, 4, 8}, reverse=True)
  return args


def environment(name: str, folder: pathlib.Path) -> pathlib.Path:
  """The interpreter of a peer's environment, which is made if it is absent."""
  python = folder / name / 'bin' / 'python'
  pins = dict(pin.split('==') for pin in PEERS[name])
  program = (
    'import importlib.metadata as m, sys;'
    ' print(*(m.version(name) for name in sys.argv[1:]))'
  )
  if python.exists():
    found = subprocess.run(
      [python, '-c', program, *pins], capture_output=True, text=True
    )
    # torch says which build it is: 2.13.0+cpu.
    versions = [word.partition('+')[0] for word in found.stdout.split()]
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
  """What a system's script prints of a work."""
  command = [
    python,
    _HERE / f'rl_step_{system}.py',
    json.dumps(dataclasses.asdict(work)),
    *more,
  ]
  ran = subprocess.run(command, capture_output=True, text=True)
  if ran.returncode:
    raise RuntimeError(f'{system} failed:\n{ran.stderr[-4000:]}')
  # Libraries print too, but no JSON.
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
  """(work, system) -> measured steps; matmul -> best rates; what is wrong."""
  steps: dict = {(w, s): [] for w in works for s in args.systems}
  rates: dict = {}
  wrong = []
  for number, work in itertools.product(range(args.rounds), works):
    (found,) = lines(pythons[_OURS], _OURS, work, 'rates')
    for matmul, rate in found.items():
      old = rates.setdefault(matmul, rate)
      rates[matmul] = {key: max(rate[key], old[key]) for key in rate}
    for system in args.systems:
      more = ['steps'] if system == _OURS else []
      *measured, last = lines(pythons[system], system, work, *more)
      said = f'round {number + 1}, {title(work)}, {system}'
      tokens = {step['tokens'] for step in measured}
      if tokens != {work.tokens}:
        wrong.append(f'{said}: {tokens} tokens and not {work.tokens}')
      if not last['finite']:
        wrong.append(f'{said}: not finite')
      measured = measured[rl_step_work.COMPILING :]
      steps[work, system] += measured
      seconds = statistics.median(step['seconds'] for step in measured)
      print(f'{said}: {seconds:.2f} s a step', flush=True)
  return steps, rates, wrong


def gaps(
  works: Sequence[rl_step_work.Work], wrong: list[str]
) -> dict[int, dict]:
  """Vocabulary -> how far sampling and training are apart, by dtype."""
  found = {}
  for work in works:
    if work.vocab in found:
      continue
    (found[work.vocab],) = lines(sys.executable, _OURS, work, 'gap')
    most = found[work.vocab]['float32']['max']
    if not most <= _MAX_GAP:
      wrong.append(f'vocab {work.vocab}: log-probabilities {most} apart')
  return found


def title(work: rl_step_work.Work) -> str:
  return (
    f'vocab {work.vocab}, {work.prompts} x {work.group}, KL {work.kl_weight:g}'
  )


def summary(
  steps: dict, rates: dict, works: Sequence[rl_step_work.Work]
) -> dict:
  """(work, system) -> column, with 'floor' among the systems."""
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
  said, last = [], None
  for (work, system), row in rows.items():
    if work != last:
      head = ''.join(f'{head:>14}' for head in _HEADS)
      said += [f'\n{title(work)}', f'{"":8}{head}']
      last = work
    cells = []
    for column in _COLUMNS:
      value = row.get(column, math.nan)
      digits = 0 if value >= 1000 else 2
      cells.append(f'{"":14}' if math.isnan(value) else f'{value:14.{digits}f}')
    said.append(f'{system:8}{"".join(cells)}')
  return '\n'.join(said)


def main(argv: Sequence[str]) -> int:
  args = parse_args(argv)
  # One interval between two rewards fewer than steps.
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
  apart = gaps(works, wrong)
  rows = summary(measured, rates, works)
  print(table(rows))
  print('\nmatmul, GFLOP/s of the host, and per CPU-s')
  for matmul, rate in rates.items():
    print(f'  {matmul:28}', *(f'{r / 1e9:8.0f}' for r in rate.values()))
  print('\nlog-probabilities of sampling and of training, how far apart')
  for vocab, by_dtype in apart.items():
    for dtype, row in by_dtype.items():
      print(
        f'  vocab {vocab:6} {dtype:9} mean {row["mean"]:.1e},'
        f' most {row["max"]:.1e}'
      )
  for error in wrong:
    print(f'WRONG: {error}')
  if args.json:
    found = {
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
      'gap': apart,
      'wrong': wrong,
    }
    args.json.write_text(json.dumps(found, indent=2) + '\n')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
