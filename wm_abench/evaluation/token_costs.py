"""What an evaluation would send, before it is sent: items, pictures, tokens.

Services count a picture's tokens by its size, each in its own way; the rules
are those that they publish (2026), texts four characters a token.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import math
from typing import Any

from PIL import Image

from wm_abench.data import picture_files
from wm_abench.evaluation import inspect_tasks, prompts

_CHARS_PER_TOKEN = 4
# Of a reply that keeps to the protocol.
_REPLY_TOKENS = {prompts.STRICT: 5, prompts.PAPER: 150}


def _tiles_of_512(width: int, height: int) -> int:
  scale = min(1, 2048 / max(width, height))
  scale *= min(1, 768 / (min(width, height) * scale))
  tiles = math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
  return 85 + 170 * tiles


def _patches_of_32(width: int, height: int) -> int:
  patches = math.ceil(width / 32) * math.ceil(height / 32)
  return math.ceil(1.62 * min(1536, patches))


def _area(width: int, height: int) -> int:
  scale = min(1, 1568 / max(width, height))
  return math.ceil(width * scale * height * scale / 750)


def _tiles_of_768(width: int, height: int) -> int:
  if max(width, height) <= 384:
    return 258
  return 258 * math.ceil(width / 768) * math.ceil(height / 768)


def _patches_of_28(width: int, height: int) -> int:
  return max(4, round(width / 28) * round(height / 28))


# By whom a picture is counted so: its tokens from its width and height, px.
PICTURE_TOKENS: dict[str, Callable[[int, int], int]] = {
  'openai (gpt-4o)': _tiles_of_512,
  'openai (o4-mini)': _patches_of_32,
  'anthropic': _area,
  'google': _tiles_of_768,
  'Qwen2.5-VL (vllm, sglang)': _patches_of_28,
}


def estimate(
  asked: Mapping[str, Sequence[picture_files.Question]],
  setup: inspect_tasks.Setup,
) -> dict[str, Any]:
  """Counts of an evaluation by one model.

  Args:
    asked: questions by dimension.
    setup: how they are asked.

  Returns:
    'items', 'requests' (more with circular evaluation), 'pictures' sent,
    'output_tokens', and of each of PICTURE_TOKENS its 'input_tokens'.
  """
  pictures, characters, items, requests = [], 0, 0, 0
  for question in (q for own in asked.values() for q in own):
    if question.broken:
      continue
    turns = len(question.options) if setup.circular else 1
    order = range(len(question.options))
    shown = prompts.parts(question, order, setup.protocol, setup.blind)
    own = [p.source for p in shown if isinstance(p, prompts.Picture)]
    pictures += own * turns
    characters += turns * sum(len(p) for p in shown if isinstance(p, str))
    items, requests = items + 1, requests + turns
  text = characters // _CHARS_PER_TOKEN
  return {
    'items': items,
    'requests': requests,
    'pictures': len(pictures),
    'output_tokens': requests * _REPLY_TOKENS[setup.protocol],
    'input_tokens': {
      name: text + sum(count(*_size(path)) for path in pictures)
      for name, count in PICTURE_TOKENS.items()
    },
  }


@functools.cache
def _size(path: str) -> tuple[int, int]:
  with Image.open(path) as image:
    return image.size


def table(estimated: Mapping[str, Any]) -> str:
  """What `estimate` gave, as plain text."""
  lines = [
    f'{estimated["items"]:,} items, {estimated["requests"]:,} requests,'
    f' {estimated["pictures"]:,} pictures; about'
    f' {estimated["output_tokens"]:,} tokens of replies, and sent:'
  ]
  width = max(map(len, PICTURE_TOKENS))
  lines += [
    f'  {name:<{width}}  {tokens:>14,} tokens'
    for name, tokens in estimated['input_tokens'].items()
  ]
  return '\n'.join(lines)
