"""Families that reorder, cut or combine a list of integers."""

import itertools

from coderl.problems.sources.embedded import families

op = families.op

SHAPES = (
  op(
    'reverse',
    'ints -> ints',
    lambda a, k: list(reversed(a)),
    'reverse the list|put the numbers in reverse order',
    '$ = @[::-1]',
    '$ = []\nfor x in @:\n    $.insert(0, x)',
    wrong=('$ = sorted(@, reverse=True)',),
  ),
  op(
    'sort',
    'ints -> ints',
    lambda a, k: sorted(a),
    'sort the numbers in increasing order|sort the list from small to large',
    '$ = sorted(@)',
    '$ = @[:]\n$.sort()',
    wrong=('$ = sorted(@, reverse=True)', '$ = sorted(set(@))'),
  ),
  op(
    'sort_down',
    'ints -> ints',
    lambda a, k: [-x for x in sorted(-y for y in a)],
    'sort the numbers in decreasing order|sort the list from large to small',
    '$ = sorted(@, reverse=True)',
    '$ = sorted(@)[::-1]',
    wrong=('$ = @[::-1]',),
  ),
  op(
    'unique',
    'ints -> ints',
    lambda a, k: [x for i, x in enumerate(a) if a.index(x) == i],
    'remove repeated numbers, keeping the first of each|keep the first copy of'
    ' each number',
    '$ = []\nfor x in @:\n    if x not in $:\n        $.append(x)',
    '$ = list(dict.fromkeys(@))',
    wrong=('$ = sorted(set(@))', '$ = [x for x in @ if @.count(x) == 1]'),
  ),
  op(
    'take',
    'ints -> ints',
    lambda a, k: [x for i, x in enumerate(a) if i < k],
    'keep only the first # numbers|drop everything after the first # numbers',
    '$ = @[:#]',
    '$ = []\nfor x in @:\n    if len($) < #:\n        $.append(x)',
    ks=(2, 3, 4),
    wrong=('$ = @[#:]', '$ = @[-#:]'),
  ),
  op(
    'skip',
    'ints -> ints',
    lambda a, k: [x for i, x in enumerate(a) if i >= k],
    'remove the first # numbers|skip the first # numbers',
    '$ = @[#:]',
    '$ = []\nfor i in range(#, len(@)):\n    $.append(@[i])',
    ks=(2, 3),
    wrong=('$ = @[:#]', '$ = @[:-#]'),
    shrinks=True,
  ),
  op(
    'every_other',
    'ints -> ints',
    lambda a, k: [x for i, x in enumerate(a) if not i % 2],
    'keep every other number, starting with the first|keep the numbers at even'
    ' positions, counting from 0',
    '$ = @[::2]',
    '$ = []\nfor i in range(0, len(@), 2):\n    $.append(@[i])',
    wrong=('$ = @[1::2]', '$ = [x for x in @ if x % 2 == 0]'),
  ),
  op(
    'prefix_sums',
    'ints -> ints',
    lambda a, k: list(itertools.accumulate(a)),
    'replace each number by the sum of it and all before it|compute the running'
    ' sums',
    '$ = []\nt = 0\nfor x in @:\n    t += x\n    $.append(t)',
    '$ = [sum(@[:i + 1]) for i in range(len(@))]',
    wrong=('$ = [sum(@[:i]) for i in range(len(@))]',),
  ),
  op(
    'running_max',
    'ints -> ints',
    lambda a, k: list(itertools.accumulate(a, max)),
    'replace each number by the largest seen so far|compute the running'
    ' maximum',
    '$ = []\nfor x in @:\n    $.append(x if not $ else max(x, $[-1]))',
    '$ = [max(@[:i + 1]) for i in range(len(@))]',
    wrong=('$ = []\nt = 0\nfor x in @:\n    t = max(t, x)\n    $.append(t)',),
  ),
  op(
    'differences',
    'ints -> ints',
    lambda a, k: [y - x for x, y in itertools.pairwise(a)],
    'take the differences of neighbours, next minus current|replace the list by'
    ' each number minus the one before it',
    '$ = []\nfor i in range(1, len(@)):\n    $.append(@[i] - @[i - 1])',
    '$ = [y - x for x, y in zip(@, @[1:])]',
    wrong=('$ = [x - y for x, y in zip(@, @[1:])]',),
    shrinks=True,
  ),
  op(
    'add_position',
    'ints -> ints',
    lambda a, k: list(map(sum, zip(a, range(len(a)), strict=True))),
    'add to each number its position, counting from 0',
    '$ = [x + i for i, x in enumerate(@)]',
    '$ = []\nfor i in range(len(@)):\n    $.append(@[i] + i)',
    wrong=('$ = [x + i + 1 for i, x in enumerate(@)]',),
  ),
  op(
    'twice',
    'ints -> ints',
    lambda a, k: [a[i // 2] for i in range(2 * len(a))],
    'write each number twice in a row|duplicate every number in place',
    '$ = []\nfor x in @:\n    $ += [x, x]',
    '$ = [x for x in @ for i in range(2)]',
    wrong=('$ = @ + @', '$ = [x * 2 for x in @]'),
  ),
)

FAMILIES = SHAPES
