import pytest

from wm_abench.core import records
from wm_abench.evaluation import reply_parser

LETTERS = ('A', 'B', 'C', 'D')
WORDS = ('left', 'right', 'front left', 'behind')
NONE = ()


@pytest.mark.parametrize(
  'text, chosen',
  [
    ('B', 1),
    (' b.\n', 1),
    ('(C)', 2),
    ('**D**', 3),
    (r'$\boxed{B}$', 1),
    ('Option A', 0),
    ('B. right', 1),
    ('right', 1),
    ('front left.', 2),
    ('The answer is C.', 2),
    ('Answer: (D) because it is behind the left one', 3),
    ('final answer: **A**', 0),
    ('I thought the answer is A at first. Final answer: B', 1),
    ('The correct answer is front left', 2),
    ('B. The cube stands to the right, not left.', 1),
    ('It stands front left of the cube.', 2),
    ('A red cube stands to the right.', 1),
    ('Answer: A red cube is behind it', 3),
  ],
)
def test_one_option_is_parsed(text, chosen):
  assert reply_parser.chosen_in(text, LETTERS, WORDS) == chosen


@pytest.mark.parametrize(
  'text',
  [
    '',
    'A or B',
    'A red cube is there.',
    'It is left or right.',
    'E',
    'I cannot tell.',
    'AB',
    'Brightness grows.',
  ],
)
def test_a_reply_that_names_none_or_several_is_not_guessed(text):
  assert reply_parser.chosen_in(text, LETTERS, WORDS) is None


@pytest.mark.parametrize(
  'text, chosen',
  [('3', 2), ('Image 2', 1), ('2. The ball rolls on for 1 m.', 1), ('4)', 3)],
)
def test_numbers_of_pictures_are_parsed(text, chosen):
  assert reply_parser.chosen_in(text, ('1', '2', '3', '4'), NONE) == chosen


@pytest.mark.parametrize(
  'text, chosen', [('Yes, it fits.', 0), ('no', 1), ('Answer: No.', 1)]
)
def test_yes_and_no_are_parsed_without_labels(text, chosen):
  assert reply_parser.chosen_in(text, ('A', 'B'), ('yes', 'no')) == chosen


@pytest.mark.parametrize(
  'text, stop, refused, status',
  [
    ('B', 'stop', False, records.ANSWERED),
    ('B', 'max_tokens', False, records.ANSWERED),
    ('B', 'content_filter', False, records.BLOCKED),
    ('Let me look at', 'max_tokens', False, records.CUT),
    ("I'm sorry, I can't help with that.", 'stop', False, records.REFUSED),
    ('No comment', 'stop', True, records.REFUSED),
    ('Hm.', 'stop', False, records.UNPARSED),
    ('', 'stop', False, records.UNPARSED),
  ],
)
def test_the_status_of_a_reply(text, stop, refused, status):
  found = reply_parser.status_of(text, stop, refused, LETTERS, WORDS)
  assert found == (status, 1 if status == records.ANSWERED else None)
