"""Families that read several words, two words, or brackets."""

import collections
import itertools
import re

from coderl.data.suite import families

ask, count, each = families.ask, families.count, families.each
keep, op = families.keep, families.op

_VOWELS = frozenset('aeiou')

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
    'sort_by_length',
    'words -> words',
    lambda w, k: [x for n in range(1, 40) for x in w if len(x) == n],
    'sort the words by length, keeping the order of ties',
    '$ = sorted(@, key=len)',
    '$ = @[:]\n$.sort(key=len)',
    wrong=('$ = sorted(@)', '$ = sorted(@, key=len)[::-1]'),
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
  keep(
    'at_most',
    'len(x) <= #',
    lambda x, k: not len(x) > k,
    'keep only the words with at most # letters|drop the words of more than #'
    ' letters',
    takes='words',
    ks=(3, 4, 5),
  ),
  keep(
    'vowel_start',
    "x[0] in 'aeiou'",
    lambda x, k: x.startswith(tuple(_VOWELS)),
    'keep only the words that start with a vowel (aeiou)',
    takes='words',
    wrong=("$ = [x for x in @ if x[-1] in 'aeiou']",),
  ),
  keep(
    'palindromes',
    'x == x[::-1]',
    lambda x, k: all(y == x[-1 - i] for i, y in enumerate(x)),
    'keep only the words that are palindromes',
    takes='words',
    wrong=('$ = [x for x in @ if x[0] == x[-1]]',),
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
    'cut_words',
    'x[:#]',
    lambda x, k: ''.join(y for i, y in enumerate(x) if i < k),
    'cut each word down to its first # letters',
    'words -> words',
    ks=(1, 2, 3),
    wrong=('$ = [x[-#:] for x in @]', '$ = @[:#]'),
  ),
  each(
    'lengths',
    'len(x)',
    lambda x, k: sum(1 for _ in x),
    'replace each word by its length|compute the length of each word',
    'words -> ints',
    wrong=('$ = [len(set(x)) for x in @]',),
  ),
  each(
    'vowel_counts',
    "sum(y in 'aeiou' for y in x)",
    lambda x, k: len(re.findall('[aeiou]', x)),
    'replace each word by its number of vowels (aeiou)',
    'words -> ints',
    wrong=('$ = [len(x) for x in @]',),
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
    'shortest_word',
    'words -> text',
    lambda w, k: sorted(w, key=len)[0],
    'the shortest of ~ (the earliest on ties)',
    '$ = @[0]\nfor x in @:\n    if len(x) < len($):\n        $ = x',
    '$ = min(@, key=len)',
    wrong=('$ = min(@)', '$ = min(@[::-1], key=len)'),
  ),
  op(
    'first_word',
    'words -> text',
    lambda w, k: sorted(w)[0],
    'the alphabetically first of ~',
    '$ = @[0]\nfor x in @:\n    if x < $:\n        $ = x',
    '$ = min(@)',
    wrong=('$ = @[0]', '$ = min(@, key=len)'),
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
    'top_word',
    'words -> text',
    lambda w, k: min(w, key=lambda x: (-w.count(x), x)),
    'the most common of ~ (the alphabetically first on ties)',
    '$ = max(sorted(@), key=@.count)',
    '$ = @[0]\nfor x in sorted(set(@)):\n'
    '    if @.count(x) > @.count($) or @.count(x) == @.count($) and x < $:\n'
    '        $ = x',
    wrong=('$ = max(@, key=@.count)', '$ = min(@)'),
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
    'distinct_words',
    'words -> int',
    lambda w, k: len(collections.Counter(w)),
    'the number of different words among ~',
    '$ = len(set(@))',
    '$ = 0\nfor i in range(len(@)):\n    if @[i] not in @[:i]:\n        $ += 1',
    wrong=('$ = len(@)', '$ = len([x for x in @ if @.count(x) == 1])'),
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
  count(
    'count_long',
    'len(x) > #',
    lambda x, k: len(x) - k > 0,
    'the number of ~ with more than # letters',
    takes='words',
    ks=(2, 3, 4),
  ),
)

COMPARISONS = (
  ask(
    'is_anagram',
    'sorted(p) == sorted(q)',
    lambda p, k: collections.Counter(p[0]) == collections.Counter(p[1]),
    'yes if ~ are anagrams of each other, otherwise no',
    takes='two',
    wrong=(
      "$ = 'yes' if set(p) == set(q) else 'no'",
      "$ = 'yes' if len(p) == len(q) else 'no'",
    ),
  ),
  ask(
    'contains',
    'q in p',
    lambda p, k: p[0].find(p[1]) >= 0,
    'yes if the second of ~ occurs inside the first, otherwise no',
    takes='two',
    wrong=(
      "$ = 'yes' if p in q else 'no'",
      "$ = 'yes' if p.startswith(q) else 'no'",
    ),
  ),
  op(
    'shared_letters',
    'two -> int',
    lambda p, k: len(set(p[0]).intersection(p[1])),
    'the number of distinct letters that occur in both of ~',
    '$ = len(set(p) & set(q))',
    '$ = 0\nfor x in set(p):\n    if x in q:\n        $ += 1',
    wrong=('$ = sum(1 for x in p if x in q)', '$ = len(set(p) | set(q))'),
  ),
  op(
    'equal_places',
    'two -> int',
    lambda p, k: sum(x == y for x, y in zip(*p, strict=False)),
    'the number of positions where ~ have the same letter',
    '$ = 0\nfor i in range(min(len(p), len(q))):\n'
    '    if p[i] == q[i]:\n        $ += 1',
    '$ = sum(1 for x, y in zip(p, q) if x == y)',
    wrong=('$ = len(set(p) & set(q))',),
  ),
  op(
    'common_prefix',
    'two -> int',
    lambda p, k: sum(
      p[0][:i] == p[1][:i] for i in range(1, min(map(len, p)) + 1)
    ),
    'the length of the longest common beginning of ~',
    '$ = 0\nfor x, y in zip(p, q):\n    if x != y:\n        break\n    $ += 1',
    '$ = 0\nwhile $ < min(len(p), len(q)) and p[$] == q[$]:\n    $ += 1',
    wrong=('$ = sum(1 for x, y in zip(p, q) if x == y)',),
  ),
  op(
    'interleave',
    'two -> text',
    lambda p, k: ''.join(map(''.join, itertools.zip_longest(*p, fillvalue=''))),
    'merge ~ by taking letters in turn, then the rest of the longer one',
    "$ = ''\nfor i in range(max(len(p), len(q))):\n"
    '    $ += p[i:i + 1] + q[i:i + 1]',
    wrong=("$ = ''.join(x + y for x, y in zip(p, q))", '$ = p + q'),
  ),
)


def _balanced(s: str) -> bool:
  while '()' in s:
    s = s.replace('()', '')
  return not s


BRACKETS = (
  op(
    'balanced',
    'brackets -> label',
    lambda s, k: 'yes' if _balanced(s) else 'no',
    'yes if ~ are balanced, otherwise no',
    "t = 0\n$ = 'yes'\nfor x in @:\n    t += 1 if x == '(' else -1\n"
    "    if t < 0:\n        $ = 'no'\nif t != 0:\n    $ = 'no'",
    wrong=(
      "$ = 'yes' if @.count('(') == @.count(')') else 'no'",
      "$ = 'yes' if @[0] == '(' and @[-1] == ')' else 'no'",
    ),
  ),
  op(
    'depth',
    'brackets -> int',
    lambda s, k: max(2 * s[:i].count('(') - i for i in range(len(s) + 1)),
    'the greatest excess of open over close brackets in any prefix of ~',
    "$ = 0\nt = 0\nfor x in @:\n    t += 1 if x == '(' else -1\n"
    '    $ = max($, t)',
    wrong=("$ = @.count('(')", "$ = max(@.count('(') - @.count(')'), 0)"),
  ),
)

FAMILIES = (*WORDS, *PICKS, *COMPARISONS, *BRACKETS)
