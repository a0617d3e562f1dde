"""Families: the operations that the embedded problems are composed of.

A family is an operation in words, as Python snippets in several styles, and as
a function that defines its result independently of the snippets. Its texts have
four placeholders: `@` is the variable that is read, `$` the variable that is
written, `#` the family's small integer parameter and, in phrases, `~` the noun
for what is read ('the numbers', 'that number').

Wrong snippets are a family's list of usual mistakes and single edits of its
right snippets (a bound off by one, `>` for `>=`). Such an edit may happen to be
right; the tests of a problem show it.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

Truth = Callable[[Any, int], Any]

# Edits of a snippet that make the usual mistakes.
_EDITS = (
  (' >= ', ' > '),
  (' > ', ' >= '),
  (' <= ', ' < '),
  (' < ', ' <= '),
  (' == ', ' != '),
  ('abs(x)', 'x'),
  ('= @[0]', '= 0'),
  ('$ = 0\n', '$ = 1\n'),
  ('range(1, ', 'range('),
  ('range(2, ', 'range(1, '),
  (' + 1)', ')'),
  ('max(', 'min('),
  ('min(', 'max('),
  ('[1:]', ''),
  ('[::-1]', ''),
  (', reverse=True', ''),
  ('sorted(@)', '@'),
  ('set(@)', '@'),
  ('#', '# + 1'),
  (' and ', ' or '),
  (' // ', ' % '),
  (' - ', ' + '),
  (' * ', ' + '),
  (' + ', ' - '),
)
_WRONG = 5  # The greatest number of wrong snippets per family.


@dataclasses.dataclass(frozen=True)
class Family:
  """An operation.

  Attributes:
    name: the unique name, which is part of problem ids.
    takes, gives: types of the value read and written: 'ints', 'int', 'text',
      'words', 'grid'; 'pair' (two integers) is only read, and 'label' (a text
      that is an answer) is only written.
    phrases: wordings; one that begins with 'the' or 'yes' names a result ('the
      sum of ~'), any other is an instruction ('square each number').
    truth: (value, parameter) -> value; raises if that is undefined.
    styles: right snippets; the first is the canonical one.
    ks: values of the parameter; empty if there is none.
    wrong: snippets with a usual mistake.
    empty: the result for an empty value, if the statement has to define it.
    shrinks: whether a non-empty value may give an empty result.
    domain: the least and the greatest integer, if `takes` is 'int'.
  """

  name: str
  takes: str
  gives: str
  phrases: tuple[str, ...]
  truth: Truth
  styles: tuple[str, ...]
  ks: tuple[int, ...] = ()
  wrong: tuple[str, ...] = ()
  empty: Any = None
  shrinks: bool = False
  domain: tuple[int, int] = (-10_000, 10_000)


def op(name, signature, truth, phrases, *styles, **rest) -> Family:
  """Makes a family from 'takes -> gives' and phrases separated by '|'."""
  takes, gives = signature.split(' -> ')
  return Family(
    name, takes, gives, tuple(phrases.split('|')), truth, styles, **rest
  )


def keep(name, condition, truth, phrases, takes='ints', **rest) -> Family:
  """Makes a filter; `condition` and `truth` are about one element x."""
  return op(
    name,
    f'{takes} -> {takes}',
    lambda a, k: [x for x in a if truth(x, k)],
    phrases,
    f'$ = [x for x in @ if {condition}]',
    f'$ = []\nfor x in @:\n    if {condition}:\n        $.append(x)',
    shrinks=True,
    **rest,
  )


def each(name, expression, truth, phrases, signature='ints -> ints', **rest):
  """Makes a map; `expression` and `truth` are about one element x."""
  return op(
    name,
    signature,
    lambda a, k: [truth(x, k) for x in a],
    phrases,
    f'$ = [{expression} for x in @]',
    f'$ = []\nfor x in @:\n    $.append({expression})',
    **rest,
  )


def count(name, condition, truth, phrases, takes='ints', **rest) -> Family:
  """Makes a count of the elements x for which `condition` and `truth` hold."""
  return op(
    name,
    f'{takes} -> int',
    lambda a, k: len([x for x in a if truth(x, k)]),
    phrases,
    f'$ = 0\nfor x in @:\n    if {condition}:\n        $ += 1',
    f'$ = sum(1 for x in @ if {condition})',
    **rest,
  )


def ask(name, condition, truth, phrases, takes='ints', **rest) -> Family:
  """Makes a yes-or-no question; `condition` is about `@`."""
  return op(
    name,
    f'{takes} -> label',
    lambda a, k: 'yes' if truth(a, k) else 'no',
    phrases,
    f"$ = 'yes' if {condition} else 'no'",
    f"if {condition}:\n    $ = 'yes'\nelse:\n    $ = 'no'",
    **rest,
  )


@functools.cache
def wrong_snippets(family: Family) -> tuple[str, ...]:
  """Returns snippets for `family` that are wrong, with few exceptions.

  Snippets with `while` are not edited, since an edit could make them endless.
  """
  right = [s for s in family.styles if 'while ' not in s]
  edited = [
    s.replace(old, new, 1) for old, new in _EDITS for s in right if old in s
  ]
  distinct = dict.fromkeys((*family.wrong, *edited))
  return tuple(s for s in distinct if s not in family.styles)[:_WRONG]


def indent(text: str) -> str:
  """Indents `text` as the body of a block."""
  return '\n'.join('    ' + line for line in text.split('\n'))


@functools.cache
def compiled(snippet: str, takes: str, k: int) -> Callable[[Any], Any]:
  """Compiles a snippet to a function; a pair is read as p and q."""
  source = snippet.replace('#', str(k)).replace('@', 'a').replace('$', 'b')
  head = 'p, q = a\n' if takes == 'pair' else ''
  namespace: dict[str, Any] = {}
  exec(f'def f(a):\n{indent(head + source)}\n    return b', namespace)
  return namespace['f']
