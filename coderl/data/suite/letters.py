"""Families that read the letters of one word."""

import collections
import itertools
import re
import string

from coderl.data.suite import families

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
    'keep_vowels',
    'text -> text',
    lambda s, k: re.sub('[^aeiou]', '', s),
    'keep only the vowels (aeiou) of ~',
    "$ = ''\nfor x in @:\n    if x in 'aeiou':\n        $ += x",
    "$ = ''.join(x for x in @ if x in 'aeiou')",
    wrong=("$ = ''.join(x for x in @ if x not in 'aeiou')",),
    shrinks=True,
  ),
  op(
    'caesar',
    'text -> text',
    lambda s, k: s.translate(
      str.maketrans(
        string.ascii_lowercase,
        string.ascii_lowercase[k:] + string.ascii_lowercase[:k],
      )
    ),
    'shift each letter of ~ by # places in the alphabet, from z back to a',
    "$ = ''\nfor x in @:\n    $ += chr((ord(x) - 97 + #) % 26 + 97)",
    "$ = ''.join(chr((ord(x) - 97 + #) % 26 + 97) for x in @)",
    ks=(1, 2, 3, 5, 13),
    wrong=(
      "$ = ''\nfor x in @:\n    $ += chr((ord(x) - 97 - #) % 26 + 97)",
      "$ = ''\nfor x in @:\n    $ += chr(ord(x) + #)",
    ),
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
    'merge_letters',
    'text -> text',
    lambda s, k: re.sub(r'(.)\1+', r'\1', s),
    'collapse each run of equal letters of ~ into one letter',
    "$ = ''\nfor x in @:\n    if $ == '' or $[-1] != x:\n        $ += x",
    "$ = ''.join(x for i, x in enumerate(@) if i == 0 or @[i - 1] != x)",
    wrong=("$ = ''.join(dict.fromkeys(@))",),
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
    'swap_ends',
    'text -> text',
    lambda s, k: ''.join(
      s[{0: -1, len(s) - 1: 0}.get(i, i)] for i in range(len(s))
    ),
    'swap the first and last letters of ~',
    '$ = @\nif len(@) > 1:\n    $ = @[-1] + @[1:-1] + @[0]',
    "x = list(@)\nif x:\n    x[0], x[-1] = x[-1], x[0]\n$ = ''.join(x)",
    wrong=('$ = @[-1:] + @[1:-1] + @[:1]', '$ = @[::-1]'),
  ),
  op(
    'rotate_letters',
    'text -> text',
    lambda s, k: ''.join(s[(i + k) % len(s)] for i in range(len(s))),
    'rotate the letters of ~ left by #',
    '$ = @\nfor i in range(#):\n    $ = $[1:] + $[:1]',
    "$ = ''.join(@[(i + #) % len(@)] for i in range(len(@)))",
    ks=(1, 2),
    wrong=('$ = @[-#:] + @[:-#]',),
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
  op(
    'run_lengths',
    'text -> label',
    lambda s, k: ''.join(f'{x}{len(list(g))}' for x, g in itertools.groupby(s)),
    'replace each run of equal letters of ~ by the letter and the length of the'
    ' run',
    "$ = ''\ni = 0\nwhile i < len(@):\n    j = i\n"
    '    while j < len(@) and @[j] == @[i]:\n        j += 1\n'
    '    $ += @[i] + str(j - i)\n    i = j',
    wrong=("$ = ''.join(x + str(@.count(x)) for x in dict.fromkeys(@))",),
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
  count(
    'consonants',
    "x not in 'aeiou'",
    lambda x, k: x not in _VOWELS,
    'the number of letters of ~ that are not vowels (aeiou)',
    takes='text',
    wrong=("$ = sum(1 for x in @ if x in 'aeiou')",),
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
    'longest_run',
    'text -> int',
    lambda s, k: max(len(list(g)) for _, g in itertools.groupby(s)),
    'the length of the longest run of equal letters of ~',
    '$ = 1\nt = 1\nfor i in range(1, len(@)):\n'
    '    t = t + 1 if @[i] == @[i - 1] else 1\n    $ = max($, t)',
    wrong=(
      '$ = max(@.count(x) for x in @)',
      '$ = 1\nt = 1\nfor i in range(1, len(@)):\n'
      '    if @[i] == @[i - 1]:\n        t += 1\n    $ = max($, t)',
    ),
    empty=0,
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
  op(
    'letter_sum',
    'text -> int',
    lambda s, k: sum(string.ascii_lowercase.index(x) + 1 for x in s),
    'the sum of the letter positions of ~, where a is 1 and z is 26',
    '$ = 0\nfor x in @:\n    $ += ord(x) - 96',
    '$ = sum(ord(x) - 96 for x in @)',
    wrong=('$ = sum(ord(x) - 97 for x in @)', '$ = sum(ord(x) for x in @)'),
  ),
  op(
    'letter_positions',
    'text -> ints',
    lambda s, k: [string.ascii_lowercase.index(x) + 1 for x in s],
    'replace each letter of ~ by its position in the alphabet, where a is 1',
    '$ = [ord(x) - 96 for x in @]',
    '$ = []\nfor x in @:\n    $.append(ord(x) - 96)',
    wrong=('$ = [ord(x) - 97 for x in @]',),
  ),
  op(
    'top_letter',
    'text -> text',
    lambda s, k: min(s, key=lambda x: (-s.count(x), x)),
    'the most common letter of ~ (the first in the alphabet on ties)',
    '$ = max(sorted(@), key=@.count)',
    "$ = ''\nfor x in sorted(@):\n    if $ == '' or @.count(x) > @.count($):\n"
    '        $ = x',
    wrong=('$ = max(@, key=@.count)', '$ = min(sorted(@), key=@.count)'),
  ),
  ask(
    'is_palindrome',
    '@ == @[::-1]',
    lambda s, k: all(x == s[-1 - i] for i, x in enumerate(s)),
    'yes if ~ is a palindrome, otherwise no',
    takes='text',
    wrong=("$ = 'yes' if @[0] == @[-1] else 'no'",),
  ),
  ask(
    'has_repeat',
    'len(set(@)) < len(@)',
    lambda s, k: any(x == y for x, y in itertools.combinations(s, 2)),
    'yes if some letter of ~ occurs twice, otherwise no',
    takes='text',
    wrong=("$ = 'yes' if any(x == y for x, y in zip(@, @[1:])) else 'no'",),
  ),
)

FAMILIES = (*LETTERS, *MEASURES)
