"""Models that need no key, as an Inspect provider: `--model baseline/NAME`.

  random   a label that a digest of the item's name selects
  nearest  the pictured option nearest to the last image; a random phrase
  oracle   looks up the key and finds it in the prompt; if it is wrong, the
           prompts, the labels or the scoring have a bug

They read the prompt as any provider gets it.
"""

from collections.abc import Callable, Sequence
import functools
import hashlib
import io
import re
from typing import Any

from inspect_ai import model
import numpy as np
from PIL import Image

from commons import errors
from wm_abench.core import records
from wm_abench.evaluation import inspect_tasks

_SIZE_PX = 48
_LABEL = re.compile(rf'([{records.LABELS}1-6])\.(?: (.*))?')


def _random(parts: Sequence[str | bytes], item: records.Item) -> str:
  labels = [label for label, _ in _options(parts)] or item.options
  digest = hashlib.sha256(item.name.encode()).digest()
  return labels[int.from_bytes(digest[:8], 'big') % len(labels)]


def _nearest(parts: Sequence[str | bytes], item: records.Item) -> str:
  options = dict(_options(parts))
  first_text = next(i for i, p in enumerate(parts) if isinstance(p, str))
  if not item.pictured or not first_text:
    return _random(parts, item)
  last = _pixels(parts[first_text - 1])
  distances = {
    label: float(np.abs(_pixels(option) - last).mean())
    for label, option in options.items()
  }
  return min(distances, key=lambda label: distances[label])


def _oracle(parts: Sequence[str | bytes], item: records.Item) -> str:
  key = item.options[item.answer]
  for label, option in _options(parts):
    if isinstance(option, bytes):
      option = records.Picture.encoded(option)
    if option == key:
      return label
  return key


BASELINES: dict[str, Callable[[Sequence[str | bytes], records.Item], str]] = {
  'random': _random,
  'nearest': _nearest,
  'oracle': _oracle,
}


@model.modelapi(name='baseline')
class Baseline(model.ModelAPI):
  """The models `baseline/NAME`, where NAME is one of BASELINES.

  Raises:
    UserError: the baseline does not exist.
  """

  def __init__(self, model_name: str, **settings: Any):
    super().__init__(model_name, **settings)
    if model_name not in BASELINES:
      raise errors.unknown('baseline', model_name, BASELINES)
    self._baseline = BASELINES[model_name]

  async def generate(self, input, tools, tool_choice, config):
    del tools, tool_choice, config
    parts = inspect_tasks.parts_of(input)
    text = self._baseline(parts, inspect_tasks.current_item.get())
    output = model.ModelOutput.from_content(self.model_name, text)
    # Without a usage, Inspect would download a tokenizer to count tokens.
    output.usage = model.ModelUsage(
      input_tokens=len(parts), output_tokens=1, total_tokens=len(parts) + 1
    )
    return output


def _options(parts: Sequence[str | bytes]) -> list[tuple[str, str | bytes]]:
  """Returns the labels in a prompt and the option that each one labels."""
  options: list[tuple[str, str | bytes]] = []
  for part, after in zip(parts, [*parts[1:], ''], strict=True):
    if isinstance(part, bytes):
      continue
    for line in part.splitlines():
      match = _LABEL.fullmatch(line)
      if match and (match[2] or isinstance(after, bytes)):
        options.append((match[1], match[2] or after))
  return options


@functools.lru_cache(maxsize=256)
def _pixels(encoded: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(encoded)) as image:
    image.draft('RGB', (_SIZE_PX, _SIZE_PX))
    small = image.convert('RGB').resize((_SIZE_PX, _SIZE_PX))
  return np.asarray(small, np.float32)
