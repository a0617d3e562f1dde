"""Families that keep or change the elements of a list of integers."""

from coderl.problems.sources.embedded import families

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
    'keep_multiples',
    'x % # == 0',
    lambda x, k: x // k * k == x,
    'keep only the multiples of #|keep the numbers divisible by #',
    ks=(3, 4, 5),
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
)

FAMILIES = (*FILTERS, *MAPS)
