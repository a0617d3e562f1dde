"""The text of a plan: sizes, traffic and times of a step on each device."""

from collections.abc import Mapping
from typing import Any

from coderl.planning import workload

_GB = 1e9


def text(plan: Mapping[str, Any]) -> str:
  """Returns a plan, made by plan.make_plan, as plain text."""
  p, r = plan['lengths']
  mesh = ' '.join(f'{axis}={size}' for axis, size in plan['mesh'].items())
  train, decode = plan['train'], plan['decode']
  high, low = train['mfu']
  return '\n'.join(
    [
      f'{plan["model"]} on {plan["pod"]}: {plan["devices"]} devices, {mesh}',
      f'{plan["updates"]} updates per step; {plan["rows"]:,} sequences of {p:,}'
      f' + {r:,} tokens and {plan["microbatches"]} microbatches per update;'
      f' {plan["slots"]} sequences decoded at once per device',
      *_size_lines(plan),
      _traffic_line('update', train),
      _traffic_line('sampling', decode),
      _seconds_line('sampling', decode['seconds']),
      _seconds_line('update', train['seconds']),
      _seconds_line('step', plan['step_seconds']),
      f'MFU of an update: {low:.2f} to {high:.2f}. All responses have full'
      f' length; matrix products reach {workload.MATMUL_SHARE} of the peak,'
      ' memory and links their full rate, with no overlap or full overlap.',
      'fits' if plan['fits'] else 'DOES NOT FIT',
    ]
  )


def _size_lines(plan: Mapping[str, Any]) -> list[str]:
  train, decode = plan['train'], plan['decode']
  source = 'compiled' if train['compile_s'] is not None else 'estimated'
  sizes = {
    **plan['resident'],
    'training': train['temporaries'],
    '  estimated': train['by_arithmetic']['temporaries'],
    '  activations': train['activations'],
    'sampling': decode['temporaries'],
    '  cache': decode['cache'],
    'peak': plan['most'],
    'device memory': plan['memory'],
  }
  return [
    f'GB per device (training {source}):',
    *(f'  {name:<16}{size / _GB:8.2f}' for name, size in sizes.items()),
  ]


def _traffic_line(name: str, phase: Mapping[str, Any]) -> str:
  read = f', {phase["memory"] / _GB:,.0f} GB read' if phase['memory'] else ''
  sent = [f'{k} {v / _GB:,.2f} GB' for k, v in phase['sent'].items() if v]
  return (
    f'{name}, per device: {phase["flops"] / 1e12:,.1f} TFLOP{read}; sent:'
    f' {", ".join(sent) or "nothing"}'
  )


def _seconds_line(name: str, seconds: tuple[float, float]) -> str:
  low, high = seconds
  return f'{name}: {low:,.1f} to {high:,.1f} s'
