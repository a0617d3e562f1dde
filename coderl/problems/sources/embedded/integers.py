"""Families that read one integer and give one value."""

import math

from coderl.problems.sources.embedded import arithmetic, families

ask, op = families.ask, families.op

_WIDE = (0, 5000)

INTEGERS = (
  op(
    'multiply',
    'int -> int',
    lambda x, k: k * x,
    'multiply ~ by #',
    '$ = @ * #',
    '$ = 0\nfor i in range(#):\n    $ += @',
    ks=(2, 3, 4, 5, 7),
  ),
  op(
    'increase',
    'int -> int',
    lambda x, k: x - -k,
    'add # to ~|increase ~ by #',
    '$ = @ + #',
    '$ = @\n$ += #',
    ks=(1, 2, 3, 5, 8, 10),
  ),
  op(
    'decrease',
    'int -> int',
    lambda x, k: x + -k,
    'subtract # from ~|decrease ~ by #',
    '$ = @ - #',
    '$ = @\n$ -= #',
    ks=(1, 2, 3, 4, 6),
    wrong=('$ = # - @',),
  ),
  op(
    'square_it',
    'int -> int',
    lambda x, k: x**2,
    'square ~',
    '$ = @ * @',
    '$ = @ ** 2',
    wrong=('$ = @ * 2',),
    domain=(-300, 300),
  ),
  op(
    'modulo',
    'int -> int',
    lambda x, k: x - x // k * k,
    'take ~ modulo #|take the remainder of ~ divided by #',
    '$ = @ % #',
    '$ = @ - @ // # * #',
    ks=(3, 4, 5, 7, 10),
    wrong=('$ = @ // #', '$ = abs(@) % #'),
  ),
  op(
    'halve',
    'int -> int',
    lambda x, k: math.floor(x / 2),
    'divide ~ by 2, rounding down|halve ~, rounding down',
    '$ = @ // 2',
    '$ = @ >> 1',
    wrong=('$ = int(@ / 2)', '$ = (@ + 1) // 2'),
  ),
  op(
    'digit_sum',
    'int -> int',
    lambda x, k: sum(map(int, str(x))),
    'the sum of the digits of ~',
    '$ = 0\nx = @\nwhile x > 0:\n    $ += x % 10\n    x //= 10',
    '$ = sum(int(x) for x in str(@))',
    wrong=('$ = 0\nx = @\nwhile x >= 10:\n    $ += x % 10\n    x //= 10',),
    domain=_WIDE,
  ),
  op(
    'triangle',
    'int -> int',
    lambda x, k: sum(range(x + 1)),
    'the sum of all integers from 1 to ~',
    '$ = 0\nfor i in range(1, @ + 1):\n    $ += i',
    '$ = @ * (@ + 1) // 2',
    wrong=('$ = 0\nfor i in range(1, @):\n    $ += i',),
    domain=(0, 100),
  ),
  op(
    'divisor_count',
    'int -> int',
    lambda x, k: len(arithmetic.divisors(x)),
    'the number of positive divisors of ~',
    '$ = 0\nfor i in range(1, @ + 1):\n    if @ % i == 0:\n        $ += 1',
    '$ = sum(1 for i in range(1, @ + 1) if @ % i == 0)',
    wrong=('$ = sum(1 for i in range(1, @) if @ % i == 0)',),
    domain=(1, 500),
  ),
)

LABELS = (
  ask(
    'is_prime',
    '@ > 1 and all(@ % i for i in range(2, @))',
    lambda x, k: arithmetic.is_prime(x),
    'yes if ~ is prime, otherwise no',
    takes='int',
    wrong=(
      "$ = 'yes' if all(@ % i for i in range(2, @)) else 'no'",
      "$ = 'yes' if @ == 2 or @ % 2 == 1 else 'no'",
    ),
    domain=(1, 500),
  ),
  ask(
    'is_even',
    '@ % 2 == 0',
    lambda x, k: not x & 1,
    'yes if ~ is even, otherwise no',
    takes='int',
  ),
  ask(
    'is_divisible',
    '@ % # == 0',
    lambda x, k: x // k * k == x,
    'yes if ~ is divisible by #, otherwise no',
    takes='int',
    ks=(3, 4, 6),
  ),
  op(
    'sign_word',
    'int -> label',
    lambda x, k: ('zero', 'positive', 'negative')[(x > 0) - (x < 0)],
    'the sign of ~ as a word: positive, negative or zero',
    "if @ > 0:\n    $ = 'positive'\nelif @ < 0:\n    $ = 'negative'\n"
    "else:\n    $ = 'zero'",
    "$ = 'positive' if @ > 0 else 'negative' if @ < 0 else 'zero'",
    wrong=("$ = 'positive' if @ > 0 else 'negative'",),
  ),
)

FAMILIES = (*INTEGERS, *LABELS)
