"""Estimates what an evaluation would send: items, pictures and tokens.

Each service counts a picture's tokens by its size in its own way. The rules
are those that the services publish (2026). A token of text is four characters.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import io
import math
from typing import Any

from PIL import Image

from wm_abench.core import records
from wm_abench.data import pictures
from wm_abench.evaluation import inspect_tasks, prompts

_CHARS_PER_TOKEN = 4
# Tokens of a reply that follows the protocol.
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


# Service -> a picture's tokens from its width and height in pixels.
PICTURE_TOKENS: dict[str, Callable[[int, int], int]] = {
  'openai (gpt-4o)': _tiles_of_512,
  'openai (o4-mini)': _patches_of_32,
  'anthropic': _area,
  'google': _tiles_of_768,
  'Qwen2.5-VL (vllm, sglang)': _patches_of_28,
}


def estimate(
  items: Mapping[str, Sequence[records.Item]], setup: inspect_tasks.Setup
) -> dict[str, Any]:
  """Counts what an evaluation of one model would send.

  Items with a picture that cannot be decoded are left out: they are not sent.

  Args:
    items: the items by code of dimension.
    setup: how they are asked.

  Returns:
    'items', 'requests' (more with circular evaluation), 'pictures' sent,
    'output_tokens', and 'input_tokens' for each name in PICTURE_TOKENS.
  """
  sizes: list[tuple[int, int]] = []
  characters = sent = requests = 0
  for item in (i for items_of_code in items.values() for i in items_of_code):
    turns = len(item.options) if setup.circular else 1
    order = range(len(item.options))
    parts = prompts.parts(item, order, setup.protocol, setup.blind)
    item_sizes = [_size(p) for p in parts if isinstance(p, records.Picture)]
    if None in item_sizes:
      continue
    sizes += item_sizes * turns
    characters += turns * sum(len(p) for p in parts if isinstance(p, str))
    sent, requests = sent + 1, requests + turns
  text = characters // _CHARS_PER_TOKEN
  return {
    'items': sent,
    'requests': requests,
    'pictures': len(sizes),
    'output_tokens': requests * _REPLY_TOKENS[setup.protocol],
    'input_tokens': {
      name: text + sum(count(*size) for size in sizes)
      for name, count in PICTURE_TOKENS.items()
    },
  }


@functools.lru_cache(maxsize=4096)
def _size(picture: records.Picture) -> tuple[int, int] | None:
  """Returns width and height in pixels; None if it cannot be decoded."""
  if pictures.decode_error(picture):
    return None
  with Image.open(io.BytesIO(picture.read())) as image:
    return image.size


def table(estimated: Mapping[str, Any]) -> str:
  """Returns the result of `estimate` as plain text."""
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
