"""Families that keep or change the elements of a list of integers."""

from coderl.data.suite import families

each, keep = families.each, families.keep

FILTERS = (
  keep(
    'keep_even',
    'x % 2 == 0',
    lambda x, k: not x & 1,
    'keep only the even numbers|remove every odd number|drop the odd numbers',
  ),
  keep(
    'keep_odd',
    'x % 2 == 1',
    lambda x, k: bool(x & 1),
    'keep only the odd numbers|remove every even number|drop the even numbers',
  ),
  keep(
    'keep_positive',
    'x > 0',
    lambda x, k: x >= 1,
    'keep only the positive numbers|remove zeros and negative numbers',
  ),
  keep(
    'keep_negative',
    'x < 0',
    lambda x, k: x <= -1,
    'keep only the negative numbers|drop every number that is not negative',
  ),
  keep(
    'drop_negative',
    'x >= 0',
    lambda x, k: x > -1,
    'remove the negative numbers|drop every number below zero',
  ),
  keep(
    'drop_zeros',
    'x != 0',
    lambda x, k: bool(x),
    'remove the zeros|keep only the numbers that are not zero',
    wrong=('$ = [x for x in @ if x > 0]',),
  ),
  keep(
    'keep_above',
    'x > #',
    lambda x, k: x - k > 0,
    'keep only the numbers greater than #|drop numbers that are # or less',
    ks=(2, 3, 5, 7, 10),
  ),
  keep(
    'keep_below',
    'x < #',
    lambda x, k: k - x > 0,
    'keep only the numbers less than #|drop numbers that are # or more',
    ks=(3, 4, 6, 8, 10),
  ),
  keep(
    'keep_at_least',
    'x >= #',
    lambda x, k: not x < k,
    'keep only the numbers that are at least #|drop numbers below #',
    ks=(2, 4, 5, 9),
  ),
  keep(
    'keep_multiples',
    'x % # == 0',
    lambda x, k: x // k * k == x,
    'keep only the multiples of #|keep the numbers divisible by #',
    ks=(3, 4, 5),
  ),
  keep(
    'drop_multiples',
    'x % # != 0',
    lambda x, k: x // k * k < x,
    'remove the multiples of #|drop every number divisible by #',
    ks=(3, 4, 5),
  ),
  keep(
    'keep_near_zero',
    'abs(x) <= #',
    lambda x, k: -k <= x <= k,
    'keep the numbers from -# to #|keep numbers with absolute value at most #',
    ks=(5, 8, 10, 12),
  ),
)

MAPS = (
  each(
    'square',
    'x * x',
    lambda x, k: x**2,
    'square each number|replace each number by its square',
  ),
  each(
    'scale',
    'x * #',
    lambda x, k: k * x,
    'multiply each number by #|replace each number by # times itself',
    ks=(2, 3, 4, 5),
  ),
  each(
    'add',
    'x + #',
    lambda x, k: x - -k,
    'add # to each number|increase every number by #',
    ks=(1, 2, 3, 5, 7, 10),
  ),
  each(
    'subtract',
    'x - #',
    lambda x, k: x + -k,
    'subtract # from each number|decrease every number by #',
    ks=(1, 2, 4, 6, 9),
    wrong=('$ = [# - x for x in @]',),
  ),
  each(
    'subtract_from',
    '# - x',
    lambda x, k: -x + k,
    'subtract each number from #|replace each number x by # - x',
    ks=(5, 10, 20),
    wrong=('$ = [x - # for x in @]',),
  ),
  each(
    'negate',
    '-x',
    lambda x, k: 0 - x,
    'negate each number|flip the sign of every number',
    wrong=('$ = [-abs(x) for x in @]', '$ = [abs(x) for x in @]'),
  ),
  each(
    'absolute',
    'abs(x)',
    lambda x, k: max(x, -x),
    'replace each number by its absolute value|turn negative numbers into'
    ' positive ones',
    wrong=('$ = [max(x, 0) for x in @]', '$ = [-x for x in @]'),
  ),
  each(
    'divide',
    'x // #',
    lambda x, k: (x - x % k) // k,
    'divide each number by #, rounding down|replace each number x by x // #',
    ks=(2, 3, 4),
    wrong=('$ = [int(x / #) for x in @]',),
  ),
  each(
    'remainder',
    'x % #',
    lambda x, k: x - x // k * k,
    'replace each number by its remainder modulo #|reduce each number modulo #',
    ks=(3, 4, 5, 7, 10),
    wrong=('$ = [abs(x) % # for x in @]', '$ = [x // # for x in @]'),
  ),
  each(
    'cap',
    'min(x, #)',
    lambda x, k: k if x > k else x,
    'replace numbers above # by #|cap each number at #',
    ks=(5, 8, 10),
  ),
  each(
    'raise_to',
    'max(x, #)',
    lambda x, k: k if x < k else x,
    'replace numbers below # by #|raise each number to at least #',
    ks=(2, 3, 4, 6),
  ),
  each(
    'last_digit',
    'abs(x) % 10',
    lambda x, k: int(str(x)[-1]),
    'replace each number by its last digit|take the last digit of each number',
  ),
  each(
    'sign',
    '(x > 0) - (x < 0)',
    lambda x, k: 1 if x > 0 else -1 if x < 0 else 0,
    'replace each number by its sign: 1, 0 or -1|turn positive numbers into 1'
    ' and negative numbers into -1',
    wrong=('$ = [1 if x > 0 else -1 for x in @]',),
  ),
)

FAMILIES = (*FILTERS, *MAPS)
