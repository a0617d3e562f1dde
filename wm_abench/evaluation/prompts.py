"""Prompts: a question as texts and pictures in order, and its labels.

Pictures stay separate, at their own size, each where it belongs; the options
that are pictures come each behind its label. Two protocols:

  strict  the letter of an option and nothing else
  paper   the answer first, then why (arXiv 2506.21876, section 3): picture
          options by number, worded ones by letter, yes or no as themselves
"""

from collections.abc import Sequence
import dataclasses
import hashlib

import numpy as np

from commons import errors
from wm_abench.core import records
from wm_abench.data import picture_files

STRICT, PAPER = PROTOCOLS = ('strict', 'paper')
_LETTERS = ('A', 'B', 'C', 'D', 'E', 'F')
_YES_NO = {'yes', 'no'}
_NUMBER_WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')


@dataclasses.dataclass(frozen=True)
class Picture:
  """A part of a prompt that is shown; texts are plain strings.

  Attributes:
    source: as the question has it: the path of a file, or what is in it.
  """

  source: str | bytes


Part = str | Picture
Question = picture_files.Question | records.Item


def order_of(question: Question, seed: int, turn: int = 0) -> tuple[int, ...]:
  """The order that the options are shown in.

  Shuffled by the seed, alike for all members of a group, so that they still
  differ in one thing; each turn begins with the next option.

  Args:
    question: whose options they are.
    seed: of the evaluation.
    turn: 0, or up to the number of options for all rotations.

  Returns:
    Indices into the question's options.
  """
  digest = hashlib.sha256(f'{seed} {question.group}'.encode()).digest()
  rng = np.random.default_rng(int.from_bytes(digest[:8], 'big'))
  order = rng.permutation(len(question.options))
  return tuple(int(i) for i in np.roll(order, -turn))


def labels_of(question: Question, protocol: str) -> tuple[str, ...]:
  """What options are called, in the order that they are shown in.

  Raises:
    UserError: no such protocol.
  """
  if protocol not in PROTOCOLS:
    raise errors.unknown('protocol', protocol, PROTOCOLS)
  count = len(question.options)
  if protocol == PAPER and question.pictured:
    return tuple(str(i + 1) for i in range(count))
  return _LETTERS[:count]


def parts(
  question: Question,
  order: Sequence[int],
  protocol: str,
  blind: bool = False,
) -> list[Part]:
  """The prompt.

  Args:
    question: that is asked.
    order: of its options, as order_of gives it.
    protocol: one of PROTOCOLS.
    blind: leaves the pictures of the state out: what is answered then comes
      from the words and the options alone.
  """
  labels = labels_of(question, protocol)
  shown: list[Part] = [] if blind else [Picture(p) for p in question.images]
  options = [question.options[i] for i in order]
  yes_no = protocol == PAPER and set(options) == _YES_NO
  shown.append(question.prompt)
  if question.pictured:
    if protocol == PAPER:
      count = _NUMBER_WORDS[len(options)]
      shown.append(f'The last {count} of all the pictures are your choices.')
    for label, option in zip(labels, options, strict=True):
      shown += [f'{label}.', Picture(option)]
  elif not yes_no:
    lines = zip(labels, options, strict=True)
    shown.append('\n'.join(f'{label}. {option}' for label, option in lines))
  shown.append(_how(labels, protocol, yes_no))
  return shown


def _how(labels: Sequence[str], protocol: str, yes_no: bool) -> str:
  names = labels if not yes_no else ('yes', 'no')
  listed = f'{", ".join(names[:-1])} or {names[-1]}'
  if protocol == STRICT:
    return f'Answer with the letter alone: {listed}.'
  return f'Answer first with {listed}, then explain your answer.'
