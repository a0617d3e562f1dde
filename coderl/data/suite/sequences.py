"""Families from one integer to a list, and those on pairs and grids."""

import itertools
import math

from coderl.data.suite import arithmetic, families

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
    'prime_factors',
    'int -> ints',
    lambda x, k: arithmetic.prime_factors(x),
    'list the prime factors of ~ in increasing order, with repeats',
    '$ = []\nx = @\ni = 2\nwhile x > 1:\n    if x % i == 0:\n'
    '        $.append(i)\n        x //= i\n    else:\n        i += 1',
    '$ = []\nx = @\nfor i in range(2, @ + 1):\n    while x % i == 0:\n'
    '        $.append(i)\n        x //= i',
    wrong=(
      '$ = [i for i in range(2, @ + 1) if @ % i == 0 and'
      ' all(i % j for j in range(2, i))]',
    ),
    domain=(2, 200),
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
  op(
    'primes_to',
    'int -> ints',
    lambda x, k: [i for i in range(x + 1) if arithmetic.is_prime(i)],
    'list the primes up to ~, itself included',
    '$ = [i for i in range(2, @ + 1) if all(i % j for j in range(2, i))]',
    '$ = []\nfor i in range(2, @ + 1):\n'
    '    if all(i % x for x in $):\n        $.append(i)',
    wrong=('$ = [i for i in range(2, @ + 1) if i == 2 or i % 2 == 1]',),
    domain=(2, 40),
  ),
  op(
    'fibonacci_list',
    'int -> ints',
    lambda x, k: [arithmetic.fibonacci(i) for i in range(x)],
    'list as many Fibonacci numbers (0, 1, 1, 2, ...) as ~ says',
    '$ = []\nx, y = 0, 1\nfor i in range(@):\n    $.append(x)\n'
    '    x, y = y, x + y',
    '$ = [0, 1]\nfor i in range(@):\n    $.append($[-1] + $[-2])\n$ = $[:@]',
    wrong=(
      '$ = []\nx, y = 0, 1\nfor i in range(@):\n    $.append(y)\n'
      '    x, y = y, x + y',
    ),
    domain=_SMALL,
  ),
  op(
    'collatz',
    'int -> ints',
    lambda x, k: arithmetic.collatz(x),
    'list the numbers from ~ to 1, halving an even number and taking 3x + 1 of'
    ' an odd one',
    '$ = [@]\nwhile $[-1] > 1:\n    x = $[-1]\n'
    '    $.append(x // 2 if x % 2 == 0 else 3 * x + 1)',
    wrong=('$ = [@]\nwhile $[-1] > 1:\n    $.append($[-1] // 2)',),
    domain=(1, 24),
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
    'lcm',
    'pair -> int',
    lambda p, k: math.lcm(*p),
    'the least common multiple of ~',
    '$ = p\nwhile $ % q != 0:\n    $ += p',
    '$ = max(p, q)\nwhile $ % p > 0 or $ % q > 0:\n    $ += 1',
    wrong=('$ = p * q', '$ = max(p, q)'),
  ),
  op(
    'power_digit',
    'pair -> int',
    lambda p, k: pow(*p, 10),
    'the last digit of the first of ~ to the power of the second',
    '$ = p ** q % 10',
    '$ = 1\nfor i in range(q):\n    $ = $ * p % 10',
    wrong=('$ = p * q % 10', '$ = q ** p % 10'),
  ),
  op(
    'sum_between',
    'pair -> int',
    lambda p, k: (min(p) + max(p)) * (max(p) - min(p) + 1) // 2,
    'the sum of all integers from the smaller to the larger of ~, both'
    ' included',
    '$ = 0\nfor i in range(min(p, q), max(p, q) + 1):\n    $ += i',
    '$ = sum(range(min(p, q), max(p, q) + 1))',
    wrong=('$ = sum(range(min(p, q), max(p, q)))', '$ = sum(range(p, q + 1))'),
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
  op(
    'common_divisors',
    'pair -> ints',
    lambda p, k: sorted(
      set(arithmetic.divisors(p[0])) & set(arithmetic.divisors(p[1]))
    ),
    'list the common divisors of ~ in increasing order',
    '$ = [i for i in range(1, p + 1) if p % i == 0 and q % i == 0]',
    '$ = []\nfor i in range(1, min(p, q) + 1):\n'
    '    if p % i == 0 and q % i == 0:\n        $.append(i)',
    wrong=('$ = [i for i in range(1, p) if p % i == 0 and q % i == 0]',),
  ),
  op(
    'quotient',
    'pair -> ints',
    lambda p, k: list(divmod(*p)),
    'list the quotient and the remainder of the first of ~ divided by the'
    ' second',
    '$ = [p // q, p % q]',
    '$ = list(divmod(p, q))',
    wrong=('$ = [p % q, p // q]', '$ = [q // p, q % p]'),
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
    'column_sums',
    'grid -> ints',
    lambda g, k: [sum(row[i] for row in g) for i in range(len(g[0]))],
    'compute the sum of each column of ~',
    '$ = [sum(x) for x in zip(*@)]',
    '$ = []\nfor i in range(len(@[0])):\n    $.append(sum(x[i] for x in @))',
    wrong=('$ = [sum(x) for x in @]',),
  ),
  op(
    'row_maxima',
    'grid -> ints',
    lambda g, k: [sorted(row)[-1] for row in g],
    'take the largest number of each row of ~',
    '$ = [max(x) for x in @]',
    '$ = []\nfor x in @:\n    $.append(max(x))',
    wrong=('$ = [max(x) for x in zip(*@)]',),
  ),
  op(
    'diagonal',
    'grid -> ints',
    lambda g, k: [g[i][i] for i in range(min(len(g), len(g[0])))],
    'take the numbers on the main diagonal of ~, from the top left',
    '$ = [@[i][i] for i in range(min(len(@), len(@[0])))]',
    '$ = [x[i] for i, x in enumerate(@) if i < len(x)]',
    wrong=('$ = [x[-1 - i] for i, x in enumerate(@) if i < len(x)]',),
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
  op(
    'flip_rows',
    'grid -> grid',
    lambda g, k: [list(reversed(row)) for row in g],
    'reverse each row of ~',
    '$ = [x[::-1] for x in @]',
    '$ = []\nfor x in @:\n    $.append(x[::-1])',
    wrong=('$ = @[::-1]',),
  ),
)

FAMILIES = (*SEQUENCES, *PAIRS, *GRIDS)
