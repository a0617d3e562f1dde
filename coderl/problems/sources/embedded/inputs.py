"""Inputs of the embedded problems: reading, writing and drawing them."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import numpy as np

from coderl.problems.sources.embedded import families

UNDEFINED = object()  # The result for an input outside the problem.

_MAX_INTEGER = 1_000_000  # Magnitude of integers, including intermediate ones.
_MAX_LENGTH = 24  # Elements of a list, letters of a text.

_SYLLABLES = (
  *('ba', 'be', 'co', 'da', 'de', 'fi', 'go', 'ha', 'ho', 'ja', 'ki', 'la'),
  *('le', 'lo', 'ma', 'mi', 'ne', 'no', 'pa', 'po', 're', 'ro', 'sa', 'su'),
  *('ta', 'ti', 'to', 'va', 'we', 'zu', 'a', 'e', 'o', 'i', 'an', 'en', 'in'),
  *('on', 'ar', 'er', 'or', 'ee', 'oo', 'll', 'ss', 'st'),
)
_EDGES = {
  'ints': (
    [0],
    [7],
    [-4],
    [3, 3, 3],
    [0, 0, 0, 0],
    [-5, -2, -9],
    [-3, -8, -3, -10],
    [1, 2, 3, 4, 5],
    [9, 6, 4, 1],
    [2, 5, 2, 5, 5],
    [-1, 1, 0, -1, 1],
    [4, -7, 12, 0, -3],
    [8, 10],
    [10, 3, 10, 7],
    [5, 1, 5, -6, 1, 5],
    [1, 2, 1],
  ),
  'int': (0, 1, 2, 3, -1, -7, 10, 15, 16, 12, 97, 100, 121, 400, 1900, 2000),
  'text': (
    *('a', 'b', 'zz', 'aa', 'xyz', 'noon', 'level', 'abca', 'aeiou', 'rhythm'),
    *('zebra', 'aabbb', 'hello', 'banana', 'queue'),
  ),
  'words': (
    ['a'],
    ['noon'],
    ['bb', 'aa', 'bb'],
    ['the', 'old', 'oak', 'the'],
    ['sky', 'by'],
    ['ant', 'bee', 'cat', 'elephant'],
    ['level', 'up', 'eye', 'it'],
    ['pear', 'plum', 'fig', 'kiwi'],
    ['one', 'two', 'one', 'two', 'two'],
  ),
  'pair': ((1, 1), (12, 18), (18, 12), (7, 7), (5, 1), (1, 9), (9, 28), (6, 4)),
  'grid': (
    [[5]],
    [[1, 2], [3, 4]],
    [[1, -2, 3], [0, 5, -6]],
    [[4], [-1], [7]],
    [[0, 0], [0, 0]],
    [[-3, -1], [-2, -8]],
  ),
}


def _ints(line: str) -> list[int]:
  return [int(word) for word in line.split()]


def _line(values: Sequence) -> str:
  return ' '.join(map(str, values)) + '\n'


def _rows(stdin: str) -> list[list[int]]:
  return [_ints(line) for line in stdin.splitlines()[1:]]


@dataclasses.dataclass(frozen=True)
class Reader:
  """An input format.

  Attributes:
    gives: the type of the value that is read.
    openings: wordings of the sentence that describes the input.
    code: the snippet that reads it into `$`, or a pair into p and q.
    write: value -> standard input.
    read: standard input -> value.
  """

  gives: str
  openings: tuple[str, ...]
  code: str
  write: Callable[[Any], str]
  read: Callable[[str], Any]


READERS = {
  'counted': Reader(
    'ints',
    (
      'You are given n and then n integers.',
      'Read n, then n integers on the next line.',
      'The first line has n, the second has n integers.',
    ),
    'n = int(input())\n$ = list(map(int, input().split()))',
    lambda a: f'{len(a)}\n{_line(a)}',
    lambda stdin: _ints(stdin.splitlines()[1]),
  ),
  'line': Reader(
    'ints',
    (
      'You are given a line of integers.',
      'Read integers from one line.',
      'The input is one line of integers.',
    ),
    '$ = list(map(int, input().split()))',
    _line,
    _ints,
  ),
  'number': Reader(
    'int',
    ('You are given # n.', 'Read # n.', 'The input is # n.'),
    '$ = int(input())',
    lambda n: f'{n}\n',
    int,
  ),
  'word': Reader(
    'text',
    (
      'You are given a lowercase word.',
      'Read a lowercase word.',
      'The input is one lowercase word.',
    ),
    '$ = input()',
    lambda s: f'{s}\n',
    str.strip,
  ),
  'words': Reader(
    'words',
    (
      'You are given a line of words.',
      'Read words from one line.',
      'The input is one line of lowercase words.',
    ),
    '$ = input().split()',
    _line,
    str.split,
  ),
  'pair': Reader(
    'pair',
    ('You are given two positive integers.', 'Read two positive integers.'),
    'p, q = map(int, input().split())',
    _line,
    lambda stdin: tuple(_ints(stdin)),
  ),
  'grid': Reader(
    'grid',
    (
      'You are given n and then n rows of integers.',
      'Read n, then a grid of n rows of integers.',
    ),
    'n = int(input())\n$ = [list(map(int, input().split())) for i in range(n)]',
    lambda g: f'{len(g)}\n' + ''.join(map(_line, g)),
    _rows,
  ),
}


@functools.cache
def readers_of(kind: str) -> tuple[str, ...]:
  return tuple(name for name, r in READERS.items() if r.gives == kind)


def opening(reader: str, lowest: int, rng: np.random.Generator) -> str:
  """Draws the sentence on the input; no integer in it is below `lowest`."""
  openings = READERS[reader].openings
  text = openings[rng.integers(len(openings))]
  integer = (
    'a positive integer'
    if lowest > 0
    else 'a non-negative integer'
    if lowest == 0
    else 'an integer'
  )
  return text.replace('#', integer)


def printed(value: Any) -> str:
  """Returns the text that a right program prints for `value`."""
  if not isinstance(value, list):
    return f'{value}\n'
  if value and isinstance(value[0], list):
    return ''.join(map(_line, value))
  return _line(value)


def is_small(value: Any) -> bool:
  """Returns whether the value is short and its integers are small."""
  if isinstance(value, int):
    return -_MAX_INTEGER <= value <= _MAX_INTEGER
  if len(value) > _MAX_LENGTH:
    return False
  return isinstance(value, str) or all(map(is_small, value))


def in_domain(value: Any, family: families.Family) -> bool:
  """Returns whether `family` is defined on such a value."""
  if family.takes != 'int':
    return True
  low, high = family.domain
  return isinstance(value, int) and low <= value <= high


def _word(rng: np.random.Generator) -> str:
  count = rng.integers(1, 3)
  return ''.join(
    _SYLLABLES[i] for i in rng.integers(len(_SYLLABLES), size=count)
  )


def _list(rng: np.random.Generator) -> list[int]:
  top = (6, 9, 15)[rng.integers(3)]
  return rng.integers(-top // 3, top + 1, size=rng.integers(2, 6)).tolist()


def _grid(rng: np.random.Generator) -> list[list[int]]:
  return rng.integers(-9, 20, size=rng.integers(2, 4, size=2)).tolist()


def _number(rng: np.random.Generator) -> int:
  bounds = ((1, 13), (1, 60), (-60, 1), (1, 300))
  return int(rng.integers(*bounds[rng.integers(4)]))


_ORDINARY = {
  'ints': _list,
  'int': _number,
  'text': _word,
  'words': lambda rng: [_word(rng) for _ in range(rng.integers(3, 6))],
  'pair': lambda rng: tuple(rng.integers(1, 50, size=2).tolist()),
  'grid': _grid,
}


@functools.cache
def _pool(kind: str) -> list[Any]:
  """Returns ordinary inputs of a type, which all problems share."""
  rng = np.random.default_rng(0)
  return [_ORDINARY[kind](rng) for _ in range(600)]


def candidates(
  reader: str,
  domain: tuple[int, int],
  ks: Sequence[int],
  count: int,
  rng: np.random.Generator,
) -> list[Any]:
  """Draws about `count` inputs to choose tests from, an ordinary one first.

  Two thirds are ordinary; the rest are edge cases, among them always the first
  three. Integers are within `domain`. In some ordinary lists an element is
  replaced by one of the problem's parameters `ks`, because mistakes show at the
  boundary.
  """
  kind = READERS[reader].gives
  pools = [_pool(kind), _EDGES[kind]]
  if kind == 'int':
    lo, hi = domain
    pools = [[v for v in pool if lo <= v <= hi] for pool in pools]
  drawn, edges = (
    [pool[i] for i in rng.permutation(len(pool))[:share]]
    for pool, share in zip(pools, (count * 2 // 3, count // 3), strict=True)
  )
  if kind == 'ints' and ks:
    for i in range(1, len(drawn), 3):
      changed = list(drawn[i])
      changed[rng.integers(len(changed))] = ks[rng.integers(len(ks))]
      drawn[i] = changed
  distinct = {repr(value): value for value in (*drawn, *pools[1][:3], *edges)}
  return list(distinct.values())
