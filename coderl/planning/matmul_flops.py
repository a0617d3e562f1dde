"""Floating point operations of a program, counted before it is compiled.

Only matrix products count, with two operations per multiplication and addition,
since a chip's peak is quoted for these. A scan counts once per step, and a
recomputed block once per computation. A while loop counts once, because its
number of iterations depends on data.
"""

from collections.abc import Callable, Iterator
import math
from typing import Any

import jax
from jax.extend import core


def count(function: Callable, *arguments: Any) -> int:
  """Returns the operations of a function, on all devices together.

  Args:
    function: a function that jax.jit accepts.
    *arguments: its arguments: arrays, or their shapes and dtypes.
  """
  return count_jaxpr(jax.jit(function).trace(*arguments).jaxpr)


def count_jaxpr(jaxpr: core.Jaxpr | core.ClosedJaxpr) -> int:
  """Returns the operations of a jaxpr, on all devices together."""
  if isinstance(jaxpr, core.ClosedJaxpr):
    jaxpr = jaxpr.jaxpr
  total = 0
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    inner = [count_jaxpr(each) for each in _inner_jaxprs(params)]
    if name == 'dot_general':
      total += _dot_general(eqn)
    elif name == 'scan':
      total += params['length'] * sum(inner)
    elif name == 'cond':  # One branch runs; the most expensive is counted.
      total += max(inner, default=0)
    else:
      total += sum(inner)
  return total


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
  for value in params.values():
    for each in value if isinstance(value, list | tuple) else (value,):
      if isinstance(each, core.Jaxpr | core.ClosedJaxpr):
        yield each


def _dot_general(eqn) -> int:
  left = eqn.invars[0].aval.shape
  (contracted, _), _ = eqn.params['dimension_numbers']
  out = eqn.outvars[0].aval.shape
  return 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
