"""Families that read the letters of one word."""

import collections
import re
import string

from coderl.problems.sources.embedded import families

ask, count, op = families.ask, families.count, families.op

_VOWELS = frozenset('aeiou')

LETTERS = (
  op(
    'backwards',
    'text -> text',
    lambda s, k: ''.join(reversed(s)),
    'reverse ~|write ~ backwards',
    '$ = @[::-1]',
    "$ = ''\nfor x in @:\n    $ = x + $",
    wrong=("$ = ''.join(sorted(@)[::-1])",),
  ),
  op(
    'drop_vowels',
    'text -> text',
    lambda s, k: re.sub('[aeiou]', '', s),
    'remove the vowels (aeiou) from ~',
    "$ = ''\nfor x in @:\n    if x not in 'aeiou':\n        $ += x",
    "$ = ''.join(x for x in @ if x not in 'aeiou')",
    wrong=("$ = ''.join(x for x in @ if x in 'aeiou')",),
    shrinks=True,
  ),
  op(
    'double_letters',
    'text -> text',
    lambda s, k: ''.join(s[i // 2] for i in range(2 * len(s))),
    'write each letter of ~ twice in a row',
    "$ = ''\nfor x in @:\n    $ += x * 2",
    "$ = ''.join(x + x for x in @)",
    wrong=('$ = @ + @',),
  ),
  op(
    'first_letters',
    'text -> text',
    lambda s, k: ''.join(x for i, x in enumerate(s) if i < k),
    'keep only the first # letters of ~',
    '$ = @[:#]',
    "$ = ''\nfor x in @:\n    if len($) < #:\n        $ += x",
    ks=(2, 3, 4),
    wrong=('$ = @[#:]', '$ = @[-#:]'),
  ),
  op(
    'last_letters',
    'text -> text',
    lambda s, k: s[max(0, len(s) - k) :],
    'keep only the last # letters of ~',
    '$ = @[-#:]',
    "$ = ''\nfor x in @[::-1]:\n    if len($) < #:\n        $ = x + $",
    ks=(2, 3, 4),
    wrong=('$ = @[#:]', '$ = @[:#]'),
  ),
  op(
    'sort_letters',
    'text -> text',
    lambda s, k: ''.join(
      x for y in string.ascii_lowercase for x in s if x == y
    ),
    'sort the letters of ~ alphabetically',
    "$ = ''.join(sorted(@))",
    "x = list(@)\nx.sort()\n$ = ''.join(x)",
    wrong=("$ = ''.join(sorted(set(@)))", "$ = ''.join(sorted(@)[::-1])"),
  ),
  op(
    'unique_letters',
    'text -> text',
    lambda s, k: ''.join(x for i, x in enumerate(s) if s.index(x) == i),
    'keep the first copy of each letter of ~',
    "$ = ''\nfor x in @:\n    if x not in $:\n        $ += x",
    "$ = ''.join(dict.fromkeys(@))",
    wrong=(
      "$ = ''.join(sorted(set(@)))",
      "$ = ''.join(x for x in @ if @.count(x) == 1)",
    ),
  ),
  op(
    'odd_letters',
    'text -> text',
    lambda s, k: ''.join(x for i, x in enumerate(s) if not i % 2),
    'keep every other letter of ~, starting with the first',
    '$ = @[::2]',
    "$ = ''\nfor i in range(0, len(@), 2):\n    $ += @[i]",
    wrong=('$ = @[1::2]',),
  ),
  op(
    'mirror',
    'text -> text',
    lambda s, k: s + ''.join(reversed(s)),
    'append to ~ its own reversal',
    '$ = @ + @[::-1]',
    '$ = @\nfor x in @[::-1]:\n    $ += x',
    wrong=('$ = @[::-1] + @', '$ = @ + @'),
  ),
  op(
    'upper',
    'text -> label',
    lambda s, k: s.translate(
      str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
    ),
    'write ~ in capital letters',
    '$ = @.upper()',
    "$ = ''\nfor x in @:\n    $ += x.upper()",
    wrong=('$ = @.capitalize()',),
  ),
)

MEASURES = (
  op(
    'text_length',
    'text -> int',
    lambda s, k: sum(1 for _ in s),
    'the number of letters of ~|the length of ~',
    '$ = len(@)',
    '$ = 0\nfor x in @:\n    $ += 1',
    wrong=('$ = len(set(@))', '$ = len(@) - 1'),
  ),
  count(
    'vowels',
    "x in 'aeiou'",
    lambda x, k: x in _VOWELS,
    'the number of vowels (aeiou) in ~',
    takes='text',
    wrong=(
      "$ = sum(1 for x in @ if x in 'aeio')",
      "$ = sum(1 for x in set(@) if x in 'aeiou')",
    ),
  ),
  op(
    'distinct_letters',
    'text -> int',
    lambda s, k: len(collections.Counter(s)),
    'the number of distinct letters of ~',
    '$ = len(set(@))',
    "x = ''\nfor y in @:\n    if y not in x:\n        x += y\n$ = len(x)",
    wrong=('$ = len(@)', '$ = len([x for x in @ if @.count(x) == 1])'),
  ),
  op(
    'top_count',
    'text -> int',
    lambda s, k: max(collections.Counter(s).values()),
    'the number of times the most common letter of ~ occurs',
    '$ = max(@.count(x) for x in @)',
    '$ = 0\nfor x in @:\n    $ = max($, @.count(x))',
    wrong=('$ = @.count(@[0])',),
    empty=0,
  ),
  ask(
    'is_palindrome',
    '@ == @[::-1]',
    lambda s, k: all(x == s[-1 - i] for i, x in enumerate(s)),
    'yes if ~ is a palindrome, otherwise no',
    takes='text',
    wrong=("$ = 'yes' if @[0] == @[-1] else 'no'",),
  ),
)

FAMILIES = (*LETTERS, *MEASURES)
