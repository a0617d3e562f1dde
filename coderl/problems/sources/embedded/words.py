"""Families that read several words."""

import re

from coderl.problems.sources.embedded import families

each, keep, op = families.each, families.keep, families.op

WORDS = (
  op(
    'reverse_words',
    'words -> words',
    lambda w, k: list(reversed(w)),
    'put the words in reverse order|reverse the order of the words',
    '$ = @[::-1]',
    '$ = []\nfor x in @:\n    $.insert(0, x)',
    wrong=('$ = [x[::-1] for x in @]',),
  ),
  op(
    'sort_words',
    'words -> words',
    lambda w, k: sorted(w),
    'sort the words alphabetically',
    '$ = sorted(@)',
    '$ = @[:]\n$.sort()',
    wrong=('$ = sorted(@, key=len)', '$ = sorted(@)[::-1]'),
  ),
  op(
    'unique_words',
    'words -> words',
    lambda w, k: [x for i, x in enumerate(w) if w.index(x) == i],
    'keep the first copy of each word|remove repeated words',
    '$ = []\nfor x in @:\n    if x not in $:\n        $.append(x)',
    '$ = list(dict.fromkeys(@))',
    wrong=('$ = sorted(set(@))', '$ = [x for x in @ if @.count(x) == 1]'),
  ),
  op(
    'take_words',
    'words -> words',
    lambda w, k: [x for i, x in enumerate(w) if i < k],
    'keep only the first # words',
    '$ = @[:#]',
    '$ = []\nfor i in range(min(#, len(@))):\n    $.append(@[i])',
    ks=(2, 3),
    wrong=('$ = @[-#:]', '$ = @[#:]'),
  ),
  keep(
    'longer_than',
    'len(x) > #',
    lambda x, k: len(x) - k > 0,
    'keep only the words with more than # letters|drop the words of # letters'
    ' or fewer',
    takes='words',
    ks=(2, 3, 4),
  ),
  each(
    'flip_words',
    'x[::-1]',
    lambda x, k: ''.join(reversed(x)),
    'reverse each word|write each word backwards',
    'words -> words',
    wrong=('$ = @[::-1]',),
  ),
  each(
    'lengths',
    'len(x)',
    lambda x, k: sum(1 for _ in x),
    'replace each word by its length|compute the length of each word',
    'words -> ints',
    wrong=('$ = [len(set(x)) for x in @]',),
  ),
)

PICKS = (
  op(
    'longest_word',
    'words -> text',
    lambda w, k: sorted(w, key=lambda x: -len(x))[0],
    'the longest of ~ (the earliest on ties)',
    '$ = @[0]\nfor x in @:\n    if len(x) > len($):\n        $ = x',
    '$ = max(@, key=len)',
    wrong=('$ = max(@)', '$ = max(@[::-1], key=len)'),
  ),
  op(
    'initials',
    'words -> text',
    lambda w, k: re.sub(r'(\w)\w*\s?', r'\1', ' '.join(w)),
    'the word made of the first letters of ~',
    "$ = ''\nfor x in @:\n    $ += x[0]",
    "$ = ''.join(x[0] for x in @)",
    wrong=("$ = ''.join(x[-1] for x in @)",),
  ),
  op(
    'join',
    'words -> text',
    lambda w, k: ' '.join(w).replace(' ', ''),
    'join ~ into one word',
    "$ = ''.join(@)",
    "$ = ''\nfor x in @:\n    $ += x",
    wrong=("$ = ''.join(@[::-1])", "$ = ' '.join(@)"),
  ),
  op(
    'word_count',
    'words -> int',
    lambda w, k: sum(1 for _ in w),
    'the number of ~|the count of ~',
    '$ = len(@)',
    '$ = 0\nfor x in @:\n    $ += 1',
    wrong=('$ = len(set(@))', '$ = len(@) - 1'),
  ),
  op(
    'total_letters',
    'words -> int',
    lambda w, k: len(''.join(w)),
    'the total number of letters of ~',
    '$ = 0\nfor x in @:\n    $ += len(x)',
    '$ = sum(len(x) for x in @)',
    wrong=("$ = len(' '.join(@))",),
  ),
)

FAMILIES = (*WORDS, *PICKS)
