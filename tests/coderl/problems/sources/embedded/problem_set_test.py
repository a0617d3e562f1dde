"""The embedded suite: references pass their tests, wrong programs fail."""

import contextlib
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from coderl.problems.sources.embedded import (
  compositions,
  families,
  inputs,
  problem_set,
)

# All list operations, each followed by the same two.
_DIGEST = """
import hashlib
from coderl.problems.sources.embedded import problem_set
problems = [
  repr(problem_set.problem_of(f'counted/{name}{k}/twice/sum_sizes/0'))
  for name, family in problem_set.FAMILIES.items()
  for k in ['=3' if family.ks else '']
  if family.takes == family.gives == 'ints'
]
digest = hashlib.sha256('|'.join(problems).encode()).hexdigest()
"""


def _run(source, stdin):
  """Returns what `source` prints, and a line for the exception it raises."""
  lines = iter(stdin.splitlines())
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    try:
      exec(source, {'input': lambda: next(lines)})
    except Exception as error:
      print('raised', type(error).__name__)
  return out.getvalue()


def _passes(source, problem):
  return all(_run(source, t.stdin) == t.expected for t in problem.tests)


def _sample(split, count):
  problems = problem_set.problems(split)
  rng = np.random.default_rng(1)
  return [problems[i] for i in rng.permutation(len(problems))[:count]]


@pytest.fixture(scope='module')
def train():
  return problem_set.problems('train')


@pytest.fixture(scope='module')
def heldout():
  return problem_set.problems('heldout')


def test_sizes_of_the_suite(train, heldout):
  assert len(problem_set.FAMILIES) >= 60
  assert len({p.statement for p in train}) == len(train) >= 2000
  assert len({p.statement for p in heldout}) == len(heldout) >= 400
  assert len({p.id for p in train + heldout}) == len(train) + len(heldout)
  levels = np.bincount([p.level for p in train], minlength=4) / len(train)
  np.testing.assert_allclose(levels, [0, 0.25, 0.5, 0.25], atol=0.05)
  assert {p.level for p in heldout} == {2, 3}


def test_sizes_of_a_problem(train, heldout):
  for problem in train + heldout:
    assert 6 <= len(problem.statement.split()) <= 45, problem.statement
    assert 2 <= problem.reference.count('\n') <= 14, problem.reference
    assert 6 <= len(problem.tests) <= 8
    assert len({t.stdin for t in problem.tests}) == len(problem.tests)
    assert len({t.expected for t in problem.tests}) > 1, problem
    assert all(t.expected.endswith('\n') for t in problem.tests)
    assert not set('~@$#') & set(problem.statement + problem.reference)


@pytest.mark.parametrize('split', problem_set.SPLITS)
def test_references_and_styles_print_what_is_expected(split):
  rng = np.random.default_rng(2)
  for problem in _sample(split, 300):
    assert _passes(problem.reference, problem), problem
    for _ in range(2):
      source = problem_set.solution(problem, rng)
      assert _passes(source, problem), (problem.id, source)


def test_solutions_vary_in_style(train):
  rng = np.random.default_rng(3)
  problem = next(p for p in train if p.level == 3)
  assert len({problem_set.solution(problem, rng) for _ in range(20)}) > 4


def test_common_solutions_are_wrong_only_in_operations_listed_as_mistaken():
  rng = np.random.default_rng(7)
  passed = {0: [], 1: []}
  for problem in _sample('train', 600):
    names = problem_set.spec_of(problem.id).names
    mistaken = len(problem_set.MISTAKEN & set(names))
    if mistaken in passed:
      source = problem_set.common_solution(problem, rng)
      passed[mistaken].append(_passes(source, problem))
  assert all(passed[0])
  # 0.35, and a few mistakes that happen to pass.
  assert 0.35 < np.mean(passed[1]) < 0.6


def test_wrong_solutions_fail_a_test():
  rng = np.random.default_rng(4)
  counts = []
  for problem in _sample('train', 200):
    wrong = problem_set.wrong_solutions(problem, rng)
    counts.append(len(wrong))
    for source in wrong:
      assert not _passes(source, problem), (problem.id, source)
  assert min(counts) >= 1
  assert np.mean(counts) > 4


def _values(family):
  reader = inputs.readers_of(family.takes)[0]
  ks = family.ks or (0,)
  rng = np.random.default_rng(5)
  for k in ks:
    for value in inputs.candidates(reader, family.domain, [k], 60, rng):
      yield k, value


@pytest.mark.parametrize('name', problem_set.FAMILIES)
def test_every_style_of_a_family_agrees_with_its_truth(name):
  family = problem_set.FAMILIES[name]
  for k, value in _values(family):
    expected = family.truth(value, k)
    for style in family.styles:
      result = families.compiled(style, family.takes, k)(value)
      assert result == expected, (style, k, value)
    if not family.shrinks and isinstance(value, list | str):
      assert not isinstance(expected, list | str) or expected


@pytest.mark.parametrize('name', problem_set.FAMILIES)
def test_a_family_has_a_mistake_that_the_tests_catch(name):
  family = problem_set.FAMILIES[name]
  reader = inputs.readers_of(family.takes)[0]
  k = f'={family.ks[0]}' if family.ks else ''
  problem = problem_set.problem_of(f'{reader}/{name}{k}/0')
  assert problem_set.wrong_solutions(problem, np.random.default_rng(6))


@pytest.mark.parametrize('name', problem_set.FAMILIES)
def test_no_snippet_writes_to_the_variables_of_another_step(name):
  family = problem_set.FAMILIES[name]
  if family.takes == 'pair':
    return  # A pair is read first, so no step has written a variable yet.
  taken = {x for names in compositions.NAMES.values() for x in names}
  for snippet in (*family.styles, *families.wrong_snippets(family)):
    words = re.findall(r'[a-z_]\w*', re.sub(r"'[^']*'", '', snippet))
    assert not taken & set(words), snippet


def test_empty_results_occur_iff_the_statement_mentions_them(train, heldout):
  for problem in train + heldout:
    mentioned = 'empty line' in problem.statement
    occurs = any(t.expected == '\n' for t in problem.tests)
    ends_in_text = (
      problem_set.spec_of(problem.id).steps[-1].family.gives == 'label'
    )
    assert mentioned == occurs or ends_in_text, problem


def test_forgetting_the_empty_case_is_caught(train):
  guarded = [
    p
    for p in train
    if any(step.guarded for step in problem_set.spec_of(p.id).steps)
  ]
  assert len(guarded) > 40
  for problem in guarded:
    spec = problem_set.spec_of(problem.id)
    unguarded = tuple((step, step.family.styles[0]) for step in spec.steps)
    source = compositions.source(spec.reader, unguarded)
    assert not _passes(source, problem), problem.id


def _contiguous(names):
  n = len(names)
  return {names[i:j] for i in range(n) for j in range(i + 2, n + 1)}


def test_heldout_is_disjoint_from_training(train, heldout):
  assert not {p.statement for p in train} & {p.statement for p in heldout}
  assert not {p.reference for p in train} & {p.reference for p in heldout}
  trained = [problem_set.spec_of(p.id).names for p in train]
  seen = set().union(*map(_contiguous, trained))
  held_out = {problem_set.spec_of(p.id).names for p in heldout}
  assert len(held_out) > 300
  assert not held_out & seen


def test_heldout_operations_occur_in_training(train, heldout):
  trained = [problem_set.spec_of(p.id).names for p in train]
  alone = {names[0] for names in trained if len(names) == 1}
  composed = {name for names in trained if len(names) > 1 for name in names}
  for problem in heldout:
    names = set(problem_set.spec_of(problem.id).names)
    assert names <= alone and names <= composed, problem.id


def test_an_id_describes_its_problem(heldout):
  for problem in heldout[:100]:
    spec = problem_set.spec_of(problem.id)
    assert spec.id == problem.id
    assert problem_set.problem_of(problem.id) == problem


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match='not one of'):
    problem_set.problems('test')
  with pytest.raises(ValueError, match='no_such'):
    problem_set.spec_of('counted/no_such/0')


def test_known_problem():
  problem = problem_set.problem_of('counted/keep_even/square/sum/0')
  assert problem.reference == (
    'n = int(input())\n'
    'a = list(map(int, input().split()))\n'
    'b = [x for x in a if x % 2 == 0]\n'
    'c = [x * x for x in b]\n'
    'z = 0\n'
    'for x in c:\n'
    '    z += x\n'
    'print(z)\n'
  )
  assert _run(problem.reference, '4\n1 -2 3 4\n') == '20\n'


def test_same_problems_under_another_hash_seed():
  namespace: dict = {}
  exec(_DIGEST, namespace)
  other_digest = subprocess.run(
    [sys.executable, '-c', _DIGEST + 'print(digest)'],
    env={**os.environ, 'PYTHONHASHSEED': '1', 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert namespace['digest'] == other_digest.strip()
