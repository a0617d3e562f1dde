"""Laws of the automaton of stop strings."""

import itertools

import numpy as np
import pytest

from coderl.sampling import stop_strings

BYTES = (b'', b'a', b'b', b'ab', b'ba', b'\n', b'\nab', 'é'.encode())


@pytest.mark.parametrize(
  'stops',
  [
    ('a',),
    ('ab',),
    ('aab', 'ba'),
    ('abab', 'bab', '\na'),
    ('é', 'bb'),
    ('aa',),
  ],
)
def test_accepts_texts_that_contain_a_stop_string(stops):
  table = stop_strings.table(BYTES, stops)
  for tokens in itertools.product(range(len(BYTES)), repeat=4):
    state = stop_strings.START
    for n, token in enumerate(tokens, 1):
      state = table[state, token]
      text = b''.join(BYTES[t] for t in tokens[:n])
      contained = any(stop.encode() in text for stop in stops)
      assert (state == len(table) - 1) == contained, (text, stops)


def test_a_character_split_between_tokens():
  halves = tuple(bytes([b]) for b in 'é'.encode())
  table = stop_strings.table(halves, ('é',))
  assert table[table[stop_strings.START, 0], 1] == len(table) - 1
  assert table[table[stop_strings.START, 1], 0] != len(table) - 1


def test_shares_prefixes():
  """One state per prefix: 94 stops of two characters need only three."""
  stops = [f'\n{chr(c)}' for c in range(33, 127)]
  assert stop_strings.table(BYTES, stops).shape == (3, len(BYTES))


@pytest.mark.parametrize('stops', [(), ('a', '')])
def test_empty_stop_strings_are_refused(stops):
  with pytest.raises(ValueError, match='stops='):
    stop_strings.table(BYTES, stops)


def test_the_table_is_int32_with_states_in_range():
  table = stop_strings.table(BYTES, ('ab',))
  assert table.dtype == np.int32
  assert table.min() >= 0 and table.max() == len(table) - 1
