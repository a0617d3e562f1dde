"""One GRPO step: ours, google-tunix's and TRL's, on the same work in one run.

  python benchmarks/rl_step.py --json rl_step.json

A random Qwen2 of 4 layers, d = 256, in float32; groups of 8 responses of 64
tokens to prompts of 64; AdamW; KL to a reference or none (rl_step_work.py).
Each system runs in a process and an environment of its own, in turn, round
after round; the peers' environments are made first where they are absent
(about 3 GB, in the user's cache or --environments).

The table gives medians over the steps of all rounds, without the compiling
ones at each start: rollout tokens/s, training tokens/s (all positions, over
what of a step is not rollout), seconds and processor seconds a step, and the
most memory that the process held. `floor` is the time that the least
arithmetic of the step takes at the rate of this host's matrix products,
measured in between; a ratio to it says how far there is to go.

Asserted, unlike times: every system generated every token, and our sampled
log-probabilities are those of the training forward.
"""

import argparse
from collections.abc import Mapping, Sequence
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

import rl_step_work as work_lib

_HERE = pathlib.Path(__file__).parent
_PEERS = {
  'tunix': ('google-tunix==0.1.7',),
  'trl': ('torch==2.13.0', 'trl==1.16.0', 'transformers==5.23.0'),
}
_SYSTEMS = ('ours', *_PEERS)
# Until a system is warm: tunix compiles twice.
_COLD_STEPS = 2
_MOST_GAP = 1e-4
# On the processor, and nothing fetched.
_ENVIRONMENT = {
  'JAX_PLATFORMS': 'cpu',
  'CUDA_VISIBLE_DEVICES': '',
  'HF_HUB_OFFLINE': '1',
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--json', type=pathlib.Path, help='results go here too')
  parser.add_argument('--vocab', type=int, nargs='+', default=[32768, 1024])
  parser.add_argument('--prompts', type=int, nargs='+', default=[8])
  parser.add_argument('--kl_weight', type=float, nargs='+', default=[0.0, 0.04])
  parser.add_argument('--steps', type=int, default=6, help='of a round')
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--systems', nargs='+', default=_SYSTEMS)
  parser.add_argument(
    '--environments',
    type=pathlib.Path,
    default=pathlib.Path(cache) / 'coderl' / 'benchmarks',
    help='where the environments of the peers are, or are made',
  )
  args = parser.parse_args(argv)
  if args.steps <= _COLD_STEPS or args.rounds < 1:
    parser.error(
      f'--steps={args.steps} --rounds={args.rounds}: want more than'
      f' {_COLD_STEPS} steps and at least one round'
    )
  for system in args.systems:
    if system not in _SYSTEMS:
      parser.error(f'--systems={system}: choose among {", ".join(_SYSTEMS)}')
  return args


def environment(system: str, folder: pathlib.Path) -> str:
  """The Python of a system; a peer's is installed where it is absent."""
  if system not in _PEERS:
    return sys.executable
  python = folder / system / 'bin' / 'python'
  if not (folder / system / 'done').exists():
    print(f'Installing {", ".join(_PEERS[system])}.', flush=True)
    subprocess.run([sys.executable, '-m', 'venv', folder / system], check=True)
    for requirement in _PEERS[system]:
      subprocess.run(
        [python, '-m', 'pip', 'install', '-q', requirement], check=True
      )
    (folder / system / 'done').touch()
  return str(python)


def run(
  python: str, system: str, work: work_lib.Work, *mode: str
) -> dict[str, object]:
  """What a system's script reports of the work."""
  fields = vars(work).items()
  done = subprocess.run(
    [
      python,
      _HERE / f'rl_step_{system}.py',
      *mode,
      *(f'--{name}={value}' for name, value in fields),
    ],
    env=os.environ | _ENVIRONMENT,
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    sys.exit(f'{system} failed on {work}:\n{done.stderr[-3000:]}')
  report = json.loads(done.stdout.splitlines()[-1])
  tokens = [step['tokens'] for step in report['steps']]
  assert set(tokens) <= {work.tokens}, (system, work, tokens)
  return report


def matmul_rates(work: work_lib.Work) -> dict[str, float]:
  """FLOP/s of this host's matrix products, best of the shapes of a step."""
  code = f"""
import time, jax, jax.numpy as jnp
def rate(n, k, m):
  x, w = jnp.ones((n, k)), jnp.ones((k, m))
  product = jax.jit(lambda x, w: x @ w)
  jax.block_until_ready(product(x, w))
  best = float('inf')
  for _ in range(20):
    began = time.perf_counter()
    jax.block_until_ready(product(x, w))
    best = min(best, time.perf_counter() - began)
  return 2 * n * k * m / best
d, f, v = {work_lib.D_MODEL}, {work_lib.MLP_DIM}, {work.vocab}
print(rate({work.rows}, d, f), rate({work.rows}, d, v))
print(rate(4096, d, f), rate(1024, d, v))
"""
  done = subprocess.run(
    [sys.executable, '-c', code],
    env=os.environ | _ENVIRONMENT,
    capture_output=True,
    text=True,
    check=True,
  )
  decode, train = (
    max(map(float, line.split())) for line in done.stdout.splitlines()
  )
  return {'rollout': decode, 'train': train, 'reference': train}


def summary(
  work: work_lib.Work, reports: Sequence[Mapping], floor_s: Mapping[str, float]
) -> dict[str, float]:
  steps = [s for report in reports for s in report['steps'][_COLD_STEPS - 1 :]]
  median = lambda values: statistics.median(list(values))
  rollout_s = median(s['rollout_s'] for s in steps)
  train_s = median(s['seconds'] - s['rollout_s'] for s in steps)
  positions = work.rows * (work_lib.PROMPT_LEN + work_lib.RESPONSE_LEN)
  floor_train = floor_s['train'] + floor_s['reference']
  return {
    'rollout_tokens_per_s': work.tokens / rollout_s,
    'train_tokens_per_s': positions / train_s,
    'seconds': median(s['seconds'] for s in steps),
    'cpu_s': median(s['cpu_s'] for s in steps),
    'peak_mb': max(report['peak_mb'] for report in reports),
    'rollout_over_floor': rollout_s / floor_s['rollout'],
    'train_over_floor': train_s / floor_train,
    'steps': len(steps),
  }


def compare(args: argparse.Namespace, pythons: Mapping[str, str]) -> list[dict]:
  """A row for each work: every system's figures, and ours over theirs."""
  rows = []
  for vocab, prompts, kl_weight in itertools.product(
    args.vocab, args.prompts, args.kl_weight
  ):
    work = work_lib.Work(vocab, prompts, kl_weight, args.steps)
    reports = {system: [] for system in args.systems}
    best = {}
    for _ in range(args.rounds):
      for part, rate in matmul_rates(work).items():
        best[part] = max(rate, best.get(part, 0.0))
      for system in args.systems:
        reports[system].append(run(pythons[system], system, work))
    floor_s = {
      part: flops / best[part] for part, flops in work_lib.flops(work).items()
    }
    gaps = run(sys.executable, 'ours', work, 'gap')['gaps']
    assert gaps['float32']['max'] < _MOST_GAP, gaps
    row = {
      'work': vars(work),
      'flops': work_lib.flops(work),
      'flops_per_s': best,
      'floor_s': floor_s,
      'logprob_gap': gaps,
      'systems': {
        system: summary(work, r, floor_s) for system, r in reports.items()
      },
    }
    print(table(row), flush=True)
    rows.append(row)
  return rows


def table(row: Mapping) -> str:
  work, gap = row['work'], row['logprob_gap']
  lines = [
    f'\nvocabulary {work["vocab"]}, {work["prompts"]} x {work_lib.GROUP}'
    f' responses, KL {work["kl_weight"]}; floor: rollout'
    f' {row["floor_s"]["rollout"]:.2f} s, training'
    f' {row["floor_s"]["train"] + row["floor_s"]["reference"]:.2f} s at'
    f' {row["flops_per_s"]["train"] / 1e9:.0f} GFLOP/s',
    f'{"":8}{"rollout":>9}{"training":>10}{"step":>8}{"CPU":>8}{"peak":>8}'
    f'{"rollout":>10}{"training":>10}',
    f'{"":8}{"tok/s":>9}{"tok/s":>10}{"s":>8}{"s":>8}{"MB":>8}'
    f'{"/floor":>10}{"/floor":>10}',
  ]
  ours = row['systems'].get('ours')
  for system, s in row['systems'].items():
    lines.append(
      f'{system:8}{s["rollout_tokens_per_s"]:9.0f}'
      f'{s["train_tokens_per_s"]:10.0f}{s["seconds"]:8.2f}{s["cpu_s"]:8.2f}'
      f'{s["peak_mb"]:8.0f}{s["rollout_over_floor"]:10.2f}'
      f'{s["train_over_floor"]:10.2f}'
    )
    if ours and system != 'ours':
      over = lambda name, s=s: ours[name] / s[name]
      lines.append(
        f'{"  ours":8}{over("rollout_tokens_per_s"):8.1f}x'
        f'{over("train_tokens_per_s"):9.1f}x{1 / over("seconds"):7.1f}x'
        f'{1 / over("cpu_s"):7.1f}x{over("peak_mb"):7.2f}x'
      )
  lines.append(
    'log-probabilities, sampled against trained: '
    + '; '.join(
      f'{dtype} mean {g["mean"]:.1e}, most {g["max"]:.1e}'
      for dtype, g in gap.items()
    )
  )
  return '\n'.join(lines)


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  pythons = {
    system: environment(system, args.environments) for system in args.systems
  }
  rows = compare(args, pythons)
  if args.json:
    args.json.write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
  main(sys.argv[1:])
