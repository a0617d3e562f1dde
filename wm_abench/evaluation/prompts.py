"""Prompts: an item as texts and pictures in order, and the labels of options.

Pictures are separate parts at their own size, in the place where they belong.
Each pictured option follows its label. There are two protocols:

  strict  asks for the letter of an option and nothing else
  paper   asks for the answer first, then an explanation (arXiv 2506.21876,
          section 3): pictured options by number, phrases by letter, and yes or
          no by the word
"""

from collections.abc import Sequence
import hashlib

import numpy as np

from commons import errors
from wm_abench.core import records

STRICT, PAPER = PROTOCOLS = ('strict', 'paper')
_YES_NO = {'yes', 'no'}
_NUMBER_WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')

Part = str | records.Picture


def order_of(item: records.Item, seed: int, turn: int = 0) -> tuple[int, ...]:
  """Returns the order in which the options are shown.

  It is a random permutation that all items of a group share, so that they
  still differ in one factor only.

  Args:
    item: the item.
    seed: the seed of the evaluation.
    turn: the rotation, from 0; each one starts with the next option.

  Returns:
    Indices into the item's options.
  """
  digest = hashlib.sha256(f'{seed} {item.group}'.encode()).digest()
  rng = np.random.default_rng(int.from_bytes(digest[:8], 'big'))
  order = rng.permutation(len(item.options))
  return tuple(int(i) for i in np.roll(order, -turn))


def labels_of(item: records.Item, protocol: str) -> tuple[str, ...]:
  """Returns the labels of the options, in the order in which they are shown.

  Raises:
    UserError: the protocol does not exist.
  """
  if protocol not in PROTOCOLS:
    raise errors.unknown('protocol', protocol, PROTOCOLS)
  count = len(item.options)
  if protocol == PAPER and item.pictured:
    return tuple(str(i + 1) for i in range(count))
  return tuple(records.LABELS[:count])


def parts(
  item: records.Item,
  order: Sequence[int],
  protocol: str,
  blind: bool = False,
) -> list[Part]:
  """Returns the prompt.

  Args:
    item: the item to ask.
    order: the order of its options, from order_of.
    protocol: one of PROTOCOLS.
    blind: leaves out the pictures of the state, so that an answer depends on
      the texts and the options alone.
  """
  labels = labels_of(item, protocol)
  prompt: list[Part] = [] if blind else list(item.images)
  options = [item.options[i] for i in order]
  yes_no = protocol == PAPER and set(options) == _YES_NO
  prompt.append(item.prompt)
  if item.pictured:
    if protocol == PAPER:
      count = _NUMBER_WORDS[len(options)]
      prompt.append(f'The last {count} of all the pictures are your choices.')
    for label, option in zip(labels, options, strict=True):
      prompt += [f'{label}.', option]
  elif not yes_no:
    lines = zip(labels, options, strict=True)
    prompt.append('\n'.join(f'{label}. {option}' for label, option in lines))
  prompt.append(_instruction(labels, protocol, yes_no))
  return prompt


def _instruction(labels: Sequence[str], protocol: str, yes_no: bool) -> str:
  names = labels if not yes_no else ('yes', 'no')
  listed = f'{", ".join(names[:-1])} or {names[-1]}'
  if protocol == STRICT:
    return f'Answer with the letter alone: {listed}.'
  return f'Answer first with {listed}, then explain your answer.'
