"""Families: the operations that the embedded problems are composed of.

A family is data: an operation in words, as Python snippets in several styles,
and as a function that is the independent truth of what it computes. Its texts
hold four marks: `@` is the variable read, `$` the variable written, `#` the
family's small integer parameter, and, in phrases, `~` is what is read ('the
numbers', 'that number').

Wrong snippets come from each family's own list of usual mistakes, and from
one-spot edits of its right snippets (a bound off by one, a strict comparison
made lax). Such an edit may by chance be right; the tests of a problem tell.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

Truth = Callable[[Any, int], Any]

# One-spot edits that make the usual mistakes.
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
_WRONG = 5  # Wrong snippets a family, at most.


@dataclasses.dataclass(frozen=True)
class Family:
  """An operation.

  takes, gives: types of the value read and written: 'ints', 'int', 'text',
    'words', 'grid'; 'pair' (two integers) is only read, and 'label' (a text
    that is an answer) is only written.
  phrases: ways to say it; one that begins with 'the' or 'yes' names a result
    ('the sum of ~'), any other is an order ('square each number').
  truth: (value, parameter) -> value; raises where it is undefined.
  styles: right snippets; the first is the canonical one.
  ks: values of the parameter; empty where there is none.
  wrong: snippets with a usual mistake.
  empty: the result on an empty value, where that has to be agreed upon.
  shrinks: the result may be empty though the value is not.
  domain: least and greatest integer taken, where `takes` is 'int'.
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
  """A family; `signature` is 'takes -> gives', phrases are parted by '|'."""
  takes, gives = signature.split(' -> ')
  return Family(
    name, takes, gives, tuple(phrases.split('|')), truth, styles, **rest
  )


def keep(name, condition, truth, phrases, takes='ints', **rest) -> Family:
  """A filter: `condition` and `truth` speak of one element x."""
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
  """A map: `expression` and `truth` speak of one element x."""
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
  """A number of elements x of which `condition` and `truth` hold."""
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
  """A yes-or-no question; `condition` speaks of `@`."""
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
  """Snippets for `family` that are wrong, with few exceptions.

  Loops with `while` are left as they are: an edit could make them endless.
  """
  right = [s for s in family.styles if 'while ' not in s]
  edited = [
    s.replace(old, new, 1) for old, new in _EDITS for s in right if old in s
  ]
  distinct = dict.fromkeys((*family.wrong, *edited))
  return tuple(s for s in distinct if s not in family.styles)[:_WRONG]


def indent(text: str) -> str:
  """`text` as the body of a block."""
  return '\n'.join('    ' + line for line in text.split('\n'))


@functools.cache
def compiled(snippet: str, takes: str, k: int) -> Callable[[Any], Any]:
  """The snippet as a function; a pair is read as p and q."""
  source = snippet.replace('#', str(k)).replace('@', 'a').replace('$', 'b')
  head = 'p, q = a\n' if takes == 'pair' else ''
  namespace: dict[str, Any] = {}
  exec(f'def f(a):\n{indent(head + source)}\n    return b', namespace)
  return namespace['f']
