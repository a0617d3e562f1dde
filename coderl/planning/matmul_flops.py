"""Floating point operations of a program, counted before it is compiled.

Matrix products alone, two operations a multiplication and addition: those that
a chip's peak is quoted for. Scans count as often as they turn, recomputed
blocks as often as they are computed; a loop whose turns depend on data, once.
"""

from collections.abc import Iterator
import math
from typing import Any

import jax
from jax.extend import core


def matmuls(jaxpr: Any) -> int:
  """Operations of all devices together.

  Args:
    jaxpr: of `jax.make_jaxpr` or `jax.jit(...).trace(...)`.
  """
  if isinstance(jaxpr, core.ClosedJaxpr):
    jaxpr = jaxpr.jaxpr
  total = 0
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    inner = [matmuls(each) for each in _inner(params)]
    if name == 'dot_general':
      total += _product(eqn)
    elif name == 'scan':
      total += params['length'] * sum(inner)
    elif name == 'cond':
      total += max(inner, default=0)
    else:
      total += sum(inner)
  return total


def _inner(params: dict[str, Any]) -> Iterator[Any]:
  for value in params.values():
    for each in value if isinstance(value, list | tuple) else (value,):
      if isinstance(each, core.Jaxpr | core.ClosedJaxpr):
        yield each


def _product(eqn) -> int:
  left = eqn.invars[0].aval.shape
  (contracted, _), _ = eqn.params['dimension_numbers']
  out = eqn.outvars[0].aval.shape
  return 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)


def of(function, *arguments: Any) -> int:
  """Of a jitted function on arrays, or on their shapes."""
  return matmuls(jax.jit(function).trace(*arguments).jaxpr)
