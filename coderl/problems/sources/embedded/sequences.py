"""Families that map an integer to a list, or read a pair or a grid."""

import itertools
import math

from coderl.problems.sources.embedded import arithmetic, families

op = families.op

_SMALL = (1, 12)

SEQUENCES = (
  op(
    'digits',
    'int -> ints',
    lambda x, k: [int(c) for c in str(x)],
    'list the digits of ~, from left to right',
    '$ = [int(x) for x in str(@)]',
    '$ = []\nfor x in str(@):\n    $.append(int(x))',
    wrong=('$ = [int(x) for x in str(@)[::-1]]',),
    domain=(0, 5000),
  ),
  op(
    'divisors',
    'int -> ints',
    lambda x, k: arithmetic.divisors(x),
    'list the positive divisors of ~ in increasing order',
    '$ = [i for i in range(1, @ + 1) if @ % i == 0]',
    '$ = []\nfor i in range(1, @ + 1):\n    if @ % i == 0:\n'
    '        $.append(i)',
    wrong=('$ = [i for i in range(1, @) if @ % i == 0]',),
    domain=(1, 200),
  ),
  op(
    'count_to',
    'int -> ints',
    lambda x, k: [i + 1 for i in range(x)],
    'list the integers from 1 to ~',
    '$ = list(range(1, @ + 1))',
    '$ = []\nfor i in range(@):\n    $.append(i + 1)',
    wrong=('$ = list(range(1, @))', '$ = list(range(@))'),
    domain=_SMALL,
  ),
  op(
    'count_down',
    'int -> ints',
    lambda x, k: sorted(range(1, x + 1), reverse=True),
    'list the integers from ~ down to 1',
    '$ = list(range(@, 0, -1))',
    '$ = []\nfor i in range(@):\n    $.append(@ - i)',
    wrong=('$ = list(range(@, -1, -1))', '$ = list(range(@, 1, -1))'),
    domain=_SMALL,
  ),
)

PAIRS = (
  op(
    'gcd',
    'pair -> int',
    lambda p, k: math.gcd(*p),
    'the greatest common divisor of ~',
    'while q > 0:\n    p, q = q, p % q\n$ = p',
    '$ = max(i for i in range(1, p + 1) if p % i == 0 and q % i == 0)',
    wrong=('$ = min(p, q)', '$ = abs(p - q)'),
  ),
  op(
    'gap',
    'pair -> int',
    lambda p, k: max(p) - min(p),
    'the absolute difference of ~',
    '$ = abs(p - q)',
    'if p > q:\n    $ = p - q\nelse:\n    $ = q - p',
    wrong=('$ = p - q', '$ = max(p - q, 0)'),
  ),
)

GRIDS = (
  op(
    'row_sums',
    'grid -> ints',
    lambda g, k: [sum(row) for row in g],
    'compute the sum of each row of ~',
    '$ = [sum(x) for x in @]',
    '$ = []\nfor x in @:\n    $.append(sum(x))',
    wrong=('$ = [sum(x) for x in zip(*@)]',),
  ),
  op(
    'flatten',
    'grid -> ints',
    lambda g, k: list(itertools.chain(*g)),
    'write all numbers of ~ in one list, row by row',
    '$ = [y for x in @ for y in x]',
    '$ = []\nfor x in @:\n    $ += x',
    wrong=('$ = [y for x in zip(*@) for y in x]',),
  ),
  op(
    'transpose',
    'grid -> grid',
    lambda g, k: [[row[i] for row in g] for i in range(len(g[0]))],
    'transpose ~|swap the rows and columns of ~',
    '$ = [list(x) for x in zip(*@)]',
    '$ = []\nfor i in range(len(@[0])):\n    $.append([x[i] for x in @])',
    wrong=('$ = [x[::-1] for x in @]',),
  ),
)

FAMILIES = (*SEQUENCES, *PAIRS, *GRIDS)
