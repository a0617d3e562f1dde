"""Families that read a list of integers and give one value."""

import collections
import itertools

from coderl.problems.sources.embedded import families

ask, count, op = families.ask, families.count, families.op

REDUCERS = (
  op(
    'sum',
    'ints -> int',
    lambda a, k: sum(a),
    'the sum of ~|the total of ~',
    '$ = 0\nfor x in @:\n    $ += x',
    '$ = sum(@)',
    wrong=('$ = 0\nfor x in @[1:]:\n    $ += x', '$ = sum(set(@))'),
  ),
  op(
    'sum_sizes',
    'ints -> int',
    lambda a, k: sum(max(x, -x) for x in a),
    'the sum of the absolute values of ~',
    '$ = 0\nfor x in @:\n    $ += abs(x)',
    '$ = sum(abs(x) for x in @)',
    wrong=('$ = abs(sum(@))',),
  ),
  op(
    'largest',
    'ints -> int',
    lambda a, k: sorted(a)[-1],
    'the largest of ~|the maximum of ~',
    '$ = @[0]\nfor x in @:\n    if x > $:\n        $ = x',
    '$ = max(@)',
    wrong=('$ = 0\nfor x in @:\n    if x > $:\n        $ = x', '$ = @[-1]'),
    empty=0,
  ),
  op(
    'smallest',
    'ints -> int',
    lambda a, k: sorted(a)[0],
    'the smallest of ~|the minimum of ~',
    '$ = @[0]\nfor x in @:\n    if x < $:\n        $ = x',
    '$ = min(@)',
    wrong=('$ = 0\nfor x in @:\n    if x < $:\n        $ = x', '$ = @[0]'),
    empty=0,
  ),
  op(
    'spread',
    'ints -> int',
    lambda a, k: sorted(a)[-1] - sorted(a)[0],
    'the difference between the largest and smallest of ~',
    '$ = max(@) - min(@)',
    'hi = max(@)\nlo = min(@)\n$ = hi - lo',
    wrong=('$ = abs(@[-1] - @[0])',),
    empty=0,
  ),
  op(
    'length',
    'ints -> int',
    lambda a, k: sum(1 for _ in a),
    'the count of ~|the number of elements in ~',
    '$ = len(@)',
    '$ = 0\nfor x in @:\n    $ += 1',
    wrong=('$ = len(set(@))', '$ = len(@) - 1'),
  ),
  op(
    'distinct',
    'ints -> int',
    lambda a, k: len(collections.Counter(a)),
    'the number of distinct values among ~',
    '$ = len(set(@))',
    'seen = []\nfor x in @:\n    if x not in seen:\n'
    '        seen.append(x)\n$ = len(seen)',
    wrong=('$ = len([x for x in @ if @.count(x) == 1])',),
  ),
  op(
    'last',
    'ints -> int',
    lambda a, k: a[len(a) - 1],
    'the last of ~',
    '$ = @[-1]',
    '$ = @[len(@) - 1]',
    wrong=('$ = @[0]', '$ = max(@)'),
    empty=0,
  ),
  op(
    'median',
    'ints -> int',
    lambda a, k: sorted(a)[(len(a) - 1) // 2],
    'the median of ~ (the lower one if there are two)',
    'u = sorted(@)\n$ = u[(len(u) - 1) // 2]',
    'u = @[:]\nu.sort()\n$ = u[(len(u) - 1) // 2]',
    wrong=(
      'u = sorted(@)\n$ = u[len(u) // 2]',
      '$ = @[(len(@) - 1) // 2]',
    ),
    empty=0,
  ),
  op(
    'mean',
    'ints -> int',
    lambda a, k: sum(a) // len(a),
    'the average of ~, rounded down',
    '$ = sum(@) // len(@)',
    't = 0\nfor x in @:\n    t += x\n$ = t // len(@)',
    wrong=('$ = int(sum(@) / len(@))', '$ = round(sum(@) / len(@))'),
    empty=0,
  ),
  op(
    'max_position',
    'ints -> int',
    lambda a, k: min(range(len(a)), key=lambda i: (-a[i], i)),
    'the position of the first largest of ~, counting from 0',
    '$ = @.index(max(@))',
    '$ = 0\nfor i in range(len(@)):\n    if @[i] > @[$]:\n        $ = i',
    wrong=('$ = @.index(max(@)) + 1', '$ = @.index(min(@))'),
    empty=0,
  ),
  count(
    'count_even',
    'x % 2 == 0',
    lambda x, k: not x & 1,
    'the number of even numbers among ~|the count of even values in ~',
  ),
  count(
    'count_negative',
    'x < 0',
    lambda x, k: x <= -1,
    'the number of negative numbers among ~|the count of values below zero in'
    ' ~',
  ),
  count(
    'count_above',
    'x > #',
    lambda x, k: x - k > 0,
    'the number of values greater than # among ~|the count of ~ above #',
    ks=(2, 5, 8),
  ),
)

QUESTIONS = (
  ask(
    'is_sorted',
    '@ == sorted(@)',
    lambda a, k: all(x <= y for x, y in itertools.pairwise(a)),
    'yes if ~ never decrease, otherwise no',
    wrong=("$ = 'yes' if @ == sorted(set(@)) else 'no'",),
  ),
  ask(
    'has_repeats',
    'len(set(@)) < len(@)',
    lambda a, k: any(x == y for x, y in itertools.combinations(a, 2)),
    'yes if some value repeats among ~, otherwise no',
    wrong=(
      "$ = 'yes' if any(x == y for x, y in zip(@, @[1:])) else 'no'",
      "$ = 'yes' if len(set(@)) <= 1 else 'no'",
    ),
  ),
  ask(
    'has',
    '# in @',
    lambda a, k: a.count(k) > 0,
    'yes if # is one of ~, otherwise no',
    ks=(0, 3, 5),
  ),
  ask(
    'reads_same',
    '@ == @[::-1]',
    lambda a, k: all(x == a[-1 - i] for i, x in enumerate(a)),
    'yes if the list reads the same in both directions, otherwise no',
    wrong=("$ = 'yes' if @[0] == @[-1] else 'no'",),
  ),
)

FAMILIES = (*REDUCERS, *QUESTIONS)
