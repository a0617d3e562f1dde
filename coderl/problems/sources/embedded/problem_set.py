"""The embedded suite: small stdin/stdout problems, composed and checked here.

A problem is a reader, one to three operations (families) in sequence, and the
printing of what they give. Everything about it follows from its id: the
statement, the programs that solve it in several styles, and the usual wrong
programs. Tests are chosen so that wrong programs are caught, and a composition
in which some operation changes nothing is not a problem.

A held-out composition (a sequence of two or more operations) never occurs in
training, not even inside a longer one, whatever the parameters and the wording.
"""

from collections.abc import Sequence
import functools
import hashlib
from typing import Any, TypeVar

import numpy as np

from coderl import types
from coderl.problems.sources.embedded import compositions, families, inputs

SPLITS = ('train', 'heldout')
SOURCE = 'embedded'
FAMILIES = compositions.FAMILIES
spec_of = compositions.spec_of

# Operations that `common_solution` mostly gets wrong.
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
_HELDOUT_SHARE = 8  # One composition in so many is held out.
_VARIANTS = 6  # Wordings of one and the same level-1 problem.
_CANDIDATES = {1: 48, 2: 24, 3: 24}  # Inputs to choose tests from, by level.
_TESTS = 7
_WORDS = 45  # Longest statement.
_LINES = 14  # Longest reference.

# How a value is called: as it is read, after a step, after a filter.
_NOUNS = {
  'ints': ('the numbers', 'the resulting numbers', 'the remaining numbers'),
  'int': ('n', 'the result', 'the result'),
  'text': ('the word', 'the resulting word', 'the remaining text'),
  'words': ('the words', 'the resulting words', 'the remaining words'),
  'grid': ('the grid', 'the resulting grid'),
  'pair': ('the two integers',),
}


def problems(split: str, seed: int = 0) -> list[types.Problem]:
  """The problems of 'train' or 'heldout', shuffled; same seed, same problems.

  Raises ValueError for another split.
  """
  if split not in SPLITS:
    raise ValueError(f'split {split!r} is not one of {SPLITS}')
  return list(_problems(split, seed))


def problem_of(problem_id: str, seed: int = 0) -> types.Problem | None:
  """The problem that an id spells out; None where it is degenerate or long.

  Raises ValueError for an id that is not of this suite.
  """
  return _problem(spec_of(problem_id), seed)


def solution(problem: types.Problem, rng: np.random.Generator) -> str:
  """A right program for `problem`, its style drawn from `rng`."""
  spec = spec_of(problem.id)
  return compositions.styled(spec, compositions.canonical(spec), rng)


def common_solution(problem: types.Problem, rng: np.random.Generator) -> str:
  """A program for `problem` as it is commonly written: some are mistaken.

  Like `solution`, but an operation of MISTAKEN holds its family's usual mistake
  more often than not, alike in every problem. Code on the web has such habits,
  and a policy trained on it takes them over: it knows the right way, and does
  not prefer it.
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
  """Programs with a usual mistake, in an order and in styles drawn from `rng`.

  Each of them fails at least one of the problem's tests.
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
  """Whether the composition, or one inside it, is kept from training."""
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
  """Each operation in words, about what the one before it gives."""
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
  *orders, final = _clauses(spec, rng)
  orders = [f'find {o}' if o.startswith('the ') else o for o in orders]
  if not final.startswith(('the ', 'yes ')):
    orders.append(final)
    final = 'the result'
  if rng.random() < 0.5:
    orders = [', then '.join(orders)] if orders else []
  else:
    orders = [*orders[:1], *(f'then {o}' for o in orders[1:])]
  lowest = spec.steps[0].family.domain[0]
  sentences = [
    inputs.opening(spec.reader, lowest, rng),
    *map(_sentence, orders),
    f'{_pick(("Print", "Output"), rng)} {final}.',
  ]
  if spec.may_be_empty:
    sentences.append('Print an empty line if nothing is left.')
  return ' '.join(sentences)


def _choose(caught: np.ndarray, weights: np.ndarray) -> list[int]:
  """Greedy cover: rows (inputs) that catch most columns (wrong programs).

  Row 0 comes first. Rows that catch nothing new fill up in their order.
  """
  chosen = [0]
  missing = ~caught[0]
  while len(chosen) < _TESTS:
    gains = (caught & missing) @ weights
    gains[chosen] = -1
    best = int(gains.argmax())
    chosen.append(best)
    missing = missing & ~caught[best]
  return chosen


def _tests(spec: compositions.Spec, seed: int) -> tuple[types.Test, ...]:
  """Tests that catch the wrong programs; none if the problem is degenerate.

  Every operation must matter, and every empty case spoken of must occur.
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
  # A column for each output makes the tests differ in what they expect.
  variety = [[o == output for o in outputs] for output in sorted(set(outputs))]
  columns = (vital, other, variety)
  weights = np.repeat((20, 4, 1), [len(part) for part in columns])
  chosen = _choose(np.array(vital + other + variety).T, weights)
  write = inputs.READERS[spec.reader].write
  return tuple(types.Test(write(cases[i][0]), outputs[i]) for i in chosen)


def _problem(spec: compositions.Spec, seed: int) -> types.Problem | None:
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
    source=SOURCE,
    level=len(spec.steps),
  )


@functools.cache
def _fitting(kind: str | None, last: bool) -> tuple[families.Family, ...]:
  """Families that read `kind` (None: any) and, unless last, give on."""
  return tuple(
    family
    for family in FAMILIES.values()
    if kind in (None, family.takes) and (last or family.gives != 'label')
  )


def _draw(level: int, rng: np.random.Generator) -> compositions.Spec:
  """A composition of `level` operations whose types fit."""
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
  made: dict[str, types.Problem] = {}
  for level, count in _LEVELS[split].items():
    goal, tried = len(made) + count, set()
    while len(made) < goal:
      spec = _draw(level, rng)
      held_out = is_held_out(spec.names)
      repeats = len(set(spec.names)) < level
      if held_out != (split == 'heldout') or repeats or spec.id in tried:
        continue
      tried.add(spec.id)
      problem = _problem(spec, seed)
      if problem is not None:
        made.setdefault(problem.statement, problem)
  ordered = list(made.values())
  return tuple(ordered[i] for i in rng.permutation(len(ordered)))
