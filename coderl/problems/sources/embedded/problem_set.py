"""The embedded suite: generated stdin/stdout problems with verified tests.

A problem reads an input, applies one to three operations (families) in sequence
and prints the result. Its id determines everything else: the statement, right
programs in several styles, and the usual wrong programs. Tests are chosen so
that wrong programs fail. A composition in which an operation changes nothing is
not used.

A held-out composition (a sequence of two or more operations) never occurs in
training, not even inside a longer one, whatever its parameters and wording.
"""

from collections.abc import Iterator, Sequence
import functools
import hashlib
from typing import Any, TypeVar

import numpy as np

from coderl import types
from coderl.problems.sources import record
from coderl.problems.sources.embedded import compositions, families, inputs

SPLITS = ('train', 'heldout')
FAMILIES = compositions.FAMILIES
spec_of = compositions.spec_of

# Operations that are mostly wrong in the programs of `common_solution`.
MISTAKEN = frozenset(
  (
    *('absolute', 'add_position', 'count_to', 'differences', 'distinct'),
    *('divisor_count', 'drop_zeros', 'every_other', 'gap', 'gcd'),
    *('has_repeats', 'is_prime', 'is_sorted', 'keep_above', 'largest'),
    *('last_letters', 'max_position', 'median', 'mirror', 'reads_same'),
    *('sign_word', 'smallest', 'spread', 'take_words', 'total_letters'),
    *('triangle', 'twice', 'unique_letters', 'unique_words'),
  )
)
_MISTAKEN_SHARE = 0.65

T = TypeVar('T')

# Problems per level (the number of operations).
_LEVELS = {'train': {1: 1000, 2: 2000, 3: 1000}, 'heldout': {2: 300, 3: 300}}
_HELDOUT_SHARE = 8  # One composition in 8 is held out.
_VARIANTS = 6  # Wordings of one and the same level-1 problem.
_CANDIDATES = {1: 48, 2: 24, 3: 24}  # Inputs to choose tests from, by level.
_TESTS = 7
_WORDS = 45  # Longest statement.
_LINES = 14  # Longest reference.

# The noun for a value: as it is read, after a step, after a filter.
_NOUNS = {
  'ints': ('the numbers', 'the resulting numbers', 'the remaining numbers'),
  'int': ('n', 'the result', 'the result'),
  'text': ('the word', 'the resulting word', 'the remaining text'),
  'words': ('the words', 'the resulting words', 'the remaining words'),
  'grid': ('the grid', 'the resulting grid'),
  'pair': ('the two integers',),
}


def problems(split: str, seed: int = 0) -> list[types.Problem]:
  """Returns the problems of a split in random order.

  The same seed gives the same problems in the same order.

  Args:
    split: 'train' or 'heldout'.
    seed: seeds the problems and their order.

  Raises:
    ValueError: there is no such split.
  """
  if split not in SPLITS:
    raise ValueError(f'split {split!r} is not one of {SPLITS}')
  return list(_problems(split, seed))


def read(split: str, path: str, seed: int) -> Iterator[types.Problem]:
  """Yields the problems of a split; see `problems`."""
  del path  # The problems are generated.
  yield from problems(split, seed)


def problem_of(problem_id: str, seed: int = 0) -> types.Problem | None:
  """Returns the problem of an id, or None if it is degenerate or too long.

  Raises:
    ValueError: the id is not one of this suite.
  """
  return _problem(spec_of(problem_id), seed)


def solution(problem: types.Problem, rng: np.random.Generator) -> str:
  """Returns a right program for `problem` in a style drawn from `rng`."""
  spec = spec_of(problem.id)
  return compositions.styled(spec, compositions.canonical(spec), rng)


def common_solution(problem: types.Problem, rng: np.random.Generator) -> str:
  """Returns a program for `problem` that has the habits of common code.

  It is like `solution`, but an operation in MISTAKEN mostly has its family's
  usual mistake, whatever the problem. Code on the web has such habits. A policy
  trained on it knows the right way, but does not prefer it.
  """
  spec = spec_of(problem.id)
  program = tuple(
    (step, compositions.usual_mistake(step))
    if step.family.name in MISTAKEN and rng.random() < _MISTAKEN_SHARE
    else (step, snippet)
    for step, snippet in compositions.canonical(spec)
  )
  return compositions.styled(spec, program, rng)


def wrong_solutions(
  problem: types.Problem, rng: np.random.Generator
) -> list[str]:
  """Returns programs with a usual mistake, which fail a test of the problem.

  Their order and their styles are drawn from `rng`.
  """
  spec = spec_of(problem.id)
  values = [inputs.READERS[spec.reader].read(t.stdin) for t in problem.tests]
  cases = [(value, compositions.true_value(spec, value)) for value in values]
  wrong = [
    program
    for program in compositions.forgetful(spec) + compositions.mistaken(spec)
    if program and any(compositions.failures(program, cases))
  ]
  sources = (
    compositions.styled(spec, wrong[i], rng)
    for i in rng.permutation(len(wrong))
  )
  return list(dict.fromkeys(sources))


def is_held_out(names: Sequence[str]) -> bool:
  """Returns whether the composition, or one inside it, is held out."""
  n = len(names)
  return any(
    _held_out_itself(tuple(names[i:j]))
    for i in range(n)
    for j in range(i + 2, n + 1)
  )


@functools.cache
def _held_out_itself(names: tuple[str, ...]) -> bool:
  digest = hashlib.sha256('/'.join(names).encode()).digest()
  return digest[0] % _HELDOUT_SHARE == 0


def _rng(*parts: Any) -> np.random.Generator:
  digest = hashlib.sha256('|'.join(map(str, parts)).encode()).digest()
  return np.random.default_rng(int.from_bytes(digest[:8], 'little'))


def _pick(items: Sequence[T], rng: np.random.Generator) -> T:
  return items[rng.integers(len(items))]


def _clauses(spec: compositions.Spec, rng: np.random.Generator) -> list[str]:
  """Returns each operation in words, applied to the result before it."""
  clauses, filtered = [], False
  for i, step in enumerate(spec.steps):
    family = step.family
    noun = _NOUNS[family.takes][0 if i == 0 else 2 if filtered else 1]
    text = _pick(family.phrases, rng).replace('~', noun)
    text = text.replace('#', str(step.k))
    if step.guarded:
      remark = f'{family.empty} if there are none)'
      joined = text.endswith(')')
      text = f'{text[:-1]}; {remark}' if joined else f'{text} ({remark}'
    clauses.append(text)
    filtered = text.startswith(('keep', 'drop', 'remove'))
  return clauses


def _sentence(text: str) -> str:
  return f'{text[0].upper()}{text[1:]}.'


def _statement(spec: compositions.Spec, rng: np.random.Generator) -> str:
  """Returns the statement of a composition in a wording drawn from `rng`."""
  *steps, final = _clauses(spec, rng)
  steps = [f'find {s}' if s.startswith('the ') else s for s in steps]
  if not final.startswith(('the ', 'yes ')):
    steps.append(final)
    final = 'the result'
  if rng.random() < 0.5:
    steps = [', then '.join(steps)] if steps else []
  else:
    steps = [*steps[:1], *(f'then {s}' for s in steps[1:])]
  lowest = spec.steps[0].family.domain[0]
  sentences = [
    inputs.opening(spec.reader, lowest, rng),
    *map(_sentence, steps),
    f'{_pick(("Print", "Output"), rng)} {final}.',
  ]
  if spec.may_be_empty:
    sentences.append('Print an empty line if nothing is left.')
  return ' '.join(sentences)


def _choose(failed: np.ndarray, weights: np.ndarray) -> list[int]:
  """Chooses inputs for the tests by greedy weighted set cover.

  Input 0 comes first. Inputs without a gain are added in their order.

  Args:
    failed: bool [inputs, criteria], such as: this wrong program fails on it.
    weights: int [criteria].

  Returns:
    The indices of the inputs.
  """
  chosen = [0]
  uncovered = ~failed[0]
  while len(chosen) < _TESTS:
    gains = (failed & uncovered) @ weights
    gains[chosen] = -1
    best = int(gains.argmax())
    chosen.append(best)
    uncovered = uncovered & ~failed[best]
  return chosen


def _tests(spec: compositions.Spec, seed: int) -> tuple[types.Test, ...]:
  """Returns tests that wrong programs fail; () if the problem is degenerate.

  Every operation must matter, and every empty case that the statement mentions
  must occur.
  """
  ks = [step.k for step in spec.steps if step.family.ks]
  count = _CANDIDATES[len(spec.steps)]
  rng = _rng(seed, 'tests', spec.id)
  domain = spec.steps[0].family.domain
  drawn = inputs.candidates(spec.reader, domain, ks, count, rng)
  cases = [(value, compositions.true_value(spec, value)) for value in drawn]
  cases = [case for case in cases if case[1] is not inputs.UNDEFINED]
  outputs = [inputs.printed(expected) for _, expected in cases]
  least = 2 if spec.steps[-1].family.gives == 'label' else 3
  if len(cases) < _TESTS or len(set(outputs)) < least:
    return ()
  vital = [
    compositions.failures(p, cases) for p in compositions.forgetful(spec)
  ]
  if spec.may_be_empty:
    vital.append([not expected for _, expected in cases])
  vital.append([output != outputs[0] for output in outputs])
  if not all(map(any, vital)):
    return ()
  other = [compositions.failures(p, cases) for p in compositions.mistaken(spec)]
  # A criterion for each output makes the expected outputs of the tests differ.
  variety = [[o == output for o in outputs] for output in sorted(set(outputs))]
  criteria = (vital, other, variety)
  weights = np.repeat((20, 4, 1), [len(group) for group in criteria])
  chosen = _choose(np.array(vital + other + variety).T, weights)
  write = inputs.READERS[spec.reader].write
  return tuple(types.Test(write(cases[i][0]), outputs[i]) for i in chosen)


def _problem(spec: compositions.Spec, seed: int) -> types.Problem | None:
  """Returns the problem of a composition, or None if it is unsuitable."""
  statement = _statement(spec, _rng(seed, 'statement', spec.id))
  program = compositions.canonical(spec)
  reference = compositions.source(spec.reader, program)
  if len(statement.split()) > _WORDS or reference.count('\n') > _LINES:
    return None
  tests = _tests(spec, seed)
  if not tests:
    return None
  return types.Problem(
    id=spec.id,
    statement=statement,
    tests=tests,
    reference=reference,
    source=SOURCE.name,
    level=len(spec.steps),
  )


@functools.cache
def _fitting(kind: str | None, last: bool) -> tuple[families.Family, ...]:
  """Returns the families that read `kind` (None: any type).

  Unless last, their results can be read by another family.
  """
  return tuple(
    family
    for family in FAMILIES.values()
    if kind in (None, family.takes) and (last or family.gives != 'label')
  )


def _draw(level: int, rng: np.random.Generator) -> compositions.Spec:
  """Draws a composition of `level` operations with fitting types."""
  kind, chain = None, []
  for i in range(level):
    chain.append(_pick(_fitting(kind, i == level - 1), rng))
    kind = chain[-1].gives
  operations = [(f, _pick(f.ks, rng) if f.ks else 0) for f in chain]
  reader = _pick(inputs.readers_of(chain[0].takes), rng)
  variant = int(rng.integers(_VARIANTS)) if level == 1 else 0
  return compositions.compose(reader, operations, variant)


@functools.cache
def _problems(split: str, seed: int) -> tuple[types.Problem, ...]:
  rng = _rng(seed, split)
  drawn: dict[str, types.Problem] = {}
  for level, count in _LEVELS[split].items():
    goal, tried = len(drawn) + count, set()
    while len(drawn) < goal:
      spec = _draw(level, rng)
      held_out = is_held_out(spec.names)
      repeats = len(set(spec.names)) < level
      if held_out != (split == 'heldout') or repeats or spec.id in tried:
        continue
      tried.add(spec.id)
      problem = _problem(spec, seed)
      if problem is not None:
        drawn.setdefault(problem.statement, problem)
  ordered = list(drawn.values())
  return tuple(ordered[i] for i in rng.permutation(len(ordered)))


SOURCE = record.Source('embedded', SPLITS, read)
