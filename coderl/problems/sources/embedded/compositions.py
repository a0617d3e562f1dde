"""Compositions: a reader, a sequence of operations, and programs for them.

The id of a composition describes it completely, for example
'counted/keep_even/scale=3/sum/0'. The right output is computed by the families'
truths, never by a program. A program is the sequence of steps with a snippet
for each. A wrong program omits an operation or the empty case, swaps two
operations, or has one wrong snippet.
"""

from collections.abc import Iterable, Sequence
import dataclasses
from typing import Any

import numpy as np

from coderl.problems.sources.embedded import (
  elements,
  families,
  inputs,
  integers,
  letters,
  reducers,
  sequences,
  shapes,
  words,
)

FAMILIES: dict[str, families.Family] = {
  family.name: family
  for module in (
    elements,
    shapes,
    reducers,
    integers,
    sequences,
    letters,
    words,
  )
  for family in module.FAMILIES
}

# Variables by type and position. Snippets use other names inside (f, i, j, m,
# t, u, x, y and longer words).
NAMES = {
  'ints': ('a', 'b', 'c', 'd'),
  'int': ('n', 'r', 'v', 'z'),
  'text': ('s', 'e', 'h', 'o'),
  'label': ('s', 'e', 'h', 'o'),
  'words': ('w', 'g', 'k', 'q'),
  'grid': ('g', 'h', 'k', 'q'),
}
_LONG_NAMES = {
  'ints': ('nums', 'nums1', 'nums2', 'nums3'),
  'int': ('n', 'res1', 'res2', 'res3'),
  'text': ('word', 'word1', 'word2', 'word3'),
  'label': ('ans', 'ans1', 'ans2', 'ans3'),
  'words': ('words', 'words1', 'words2', 'words3'),
  'grid': ('grid', 'grid1', 'grid2', 'grid3'),
}
_PRINT = {
  'ints': 'print(*@)',
  'words': 'print(*@)',
  'grid': 'for x in @:\n    print(*x)',
}
_LONG_NAMES_SHARE = 0.25
_FUNCTION_SHARE = 0.15


@dataclasses.dataclass(frozen=True)
class Step:
  """An operation within a composition.

  Attributes:
    family: the operation.
    k: its parameter; 0 if it has none.
    guarded: whether the value read may be empty and the statement defines the
      result for that (`family.empty`).
  """

  family: families.Family
  k: int
  guarded: bool


@dataclasses.dataclass(frozen=True)
class Spec:
  """The composition that a problem's id describes.

  Attributes:
    reader: a name in inputs.READERS.
    steps: the operations, in order.
    may_be_empty: whether the printed value may be empty.
    variant: the number of the wording of this composition.
  """

  reader: str
  steps: tuple[Step, ...]
  may_be_empty: bool
  variant: int

  @property
  def names(self) -> tuple[str, ...]:
    """The names of the operations, in order."""
    return tuple(step.family.name for step in self.steps)

  @property
  def id(self) -> str:
    parts = (
      f'{s.family.name}={s.k}' if s.family.ks else s.family.name
      for s in self.steps
    )
    return '/'.join((self.reader, *parts, str(self.variant)))


Program = tuple[tuple[Step, str], ...]


def compose(
  reader: str,
  operations: Iterable[tuple[families.Family, int]],
  variant: int,
) -> Spec:
  """Returns the composition of (family, parameter) pairs with fitting types."""
  steps, may_be_empty = [], False
  for family, k in operations:
    guarded = may_be_empty and family.empty is not None
    steps.append(Step(family, k, guarded))
    may_be_empty = family.gives not in ('int', 'label') and (
      may_be_empty or family.shrinks
    )
  return Spec(reader, tuple(steps), may_be_empty, variant)


def spec_of(problem_id: str) -> Spec:
  """Returns the composition that an id describes.

  Raises:
    ValueError: the id is not one of this suite.
  """
  reader, *parts, variant = problem_id.split('/')
  named = [part.partition('=') for part in parts]
  unknown = [name for name, _, _ in named if name not in FAMILIES]
  if reader not in inputs.READERS or unknown or not parts:
    raise ValueError(
      f'{problem_id!r} is not the id of an embedded problem: it should be a'
      f' reader of {sorted(inputs.READERS)}, families and a number, but'
      f' {unknown or reader!r} is unknown'
    )
  operations = [(FAMILIES[name], int(k or 0)) for name, _, k in named]
  return compose(reader, operations, int(variant))


def true_value(spec: Spec, value: Any) -> Any:
  """Returns the value to print for the input, or inputs.UNDEFINED."""
  for step in spec.steps:
    if not (inputs.is_small(value) and inputs.in_domain(value, step.family)):
      return inputs.UNDEFINED
    if step.guarded and not value:
      value = step.family.empty
      continue
    try:
      value = step.family.truth(value, step.k)
    except (ArithmeticError, LookupError, ValueError):
      return inputs.UNDEFINED
  return value if inputs.is_small(value) else inputs.UNDEFINED


def failures(program: Program, cases: Sequence[tuple[Any, Any]]) -> list[bool]:
  """Returns for each (input, right value) whether the program surely fails."""
  stages = [
    (families.compiled(snippet, step.family.takes, step.k), step.family)
    for step, snippet in program
  ]
  return [_fails(stages, *case) for case in cases]


def _fails(stages, value: Any, expected: Any) -> bool:
  for run, family in stages:
    if family.takes == 'int' and not inputs.in_domain(value, family):
      return False  # The snippet might not end, so it does not run.
    try:
      value = run(value)
    except (ArithmeticError, LookupError, TypeError, ValueError):
      return True
  return value != expected


def _guard(step: Step, snippet: str) -> str:
  """Adds the case of an empty value to a snippet, if the step is guarded."""
  if not step.guarded:
    return snippet
  return f'$ = {step.family.empty!r}\nif @:\n{families.indent(snippet)}'


def canonical(spec: Spec) -> Program:
  """Returns the program of the canonical snippets."""
  return tuple((s, _guard(s, s.family.styles[0])) for s in spec.steps)


def usual_mistake(step: Step) -> str:
  """Returns the first wrong snippet of the step's family."""
  return _guard(step, families.wrong_snippets(step.family)[0])


def forgetful(spec: Spec) -> list[Program]:
  """Returns programs that omit one operation, or the empty case before it."""
  right, wrong = canonical(spec), []
  for i, step in enumerate(spec.steps):
    before, after = right[:i], right[i + 1 :]
    if step.family.takes == step.family.gives:
      wrong.append(before + after)
    if step.guarded:
      wrong.append((*before, (step, step.family.styles[0]), *after))
  return wrong


def _swapped(spec: Spec) -> list[Program]:
  """Returns programs with two neighbouring operations in the wrong order."""
  right, wrong = canonical(spec), []
  for i in range(len(right) - 1):
    first, second = (step.family for step, _ in right[i : i + 2])
    if first.takes == first.gives == second.gives:
      wrong.append((*right[:i], right[i + 1], right[i], *right[i + 2 :]))
  return wrong


def mistaken(spec: Spec) -> list[Program]:
  """Returns programs with another usual mistake; a few may be right."""
  right, wrong = canonical(spec), _swapped(spec)
  for i, step in enumerate(spec.steps):
    for snippet in families.wrong_snippets(step.family):
      changed = (step, _guard(step, snippet))
      wrong.append((*right[:i], changed, *right[i + 1 :]))
  return wrong


def source(
  reader: str,
  program: Program,
  names: dict[str, tuple[str, ...]] = NAMES,
  in_function: Sequence[bool] = (False, False, False),
) -> str:
  """Returns the source of a program.

  Args:
    reader: a name in inputs.READERS.
    program: the steps and their snippets.
    names: for each type, the variable at each position.
    in_function: for each operation, whether it is in a function.
  """
  kind = inputs.READERS[reader].gives
  value = names[kind][0] if kind in names else ''
  functions, blocks = [], [inputs.READERS[reader].code.replace('$', value)]
  for i, (step, snippet) in enumerate(program):
    argument, value = value, names[step.family.gives][i + 1]
    text = snippet.replace('#', str(step.k))
    text = text.replace('@', argument).replace('$', value)
    if in_function[i] and argument:
      body = families.indent(f'{text}\nreturn {value}')
      functions.append(f'def f{i + 1}({argument}):\n{body}\n')
      text = f'{value} = f{i + 1}({argument})'
    blocks.append(text)
    kind = step.family.gives
  blocks.append(_PRINT.get(kind, 'print(@)').replace('@', value))
  return '\n'.join([*functions, *blocks]) + '\n'


def styled(spec: Spec, program: Program, rng: np.random.Generator) -> str:
  """Returns the source of `program` in a style drawn from `rng`.

  The snippets of right steps, the names and the functions are drawn.
  """
  right = set(canonical(spec))
  restyled = []
  for step, snippet in program:
    if (step, snippet) in right:
      styles = step.family.styles
      snippet = _guard(step, styles[rng.integers(len(styles))])
    restyled.append((step, snippet))
  names = _LONG_NAMES if rng.random() < _LONG_NAMES_SHARE else NAMES
  in_function = rng.random(len(program)) < _FUNCTION_SHARE
  return source(spec.reader, tuple(restyled), names, in_function)
