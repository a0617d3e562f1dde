"""Models that need no key, as a provider of Inspect's: `--model baseline/NAME`.

  random   a label drawn from the question's name
  nearest  the picture nearest to the last one shown; a word at random
  oracle   looks up the right option, and then where the prompt shows it: what
           it gets wrong is a fault of the prompts, the labels or the scoring

They read the prompt as it goes out to any provider.
"""

from collections.abc import Callable, Sequence
import functools
import hashlib
import io
import pathlib
import re
from typing import Any

from inspect_ai import model
import numpy as np
from PIL import Image

from commons import errors
from wm_abench.data import picture_files
from wm_abench.evaluation import inspect_tasks

_SIZE_PX = 48
_LABEL = re.compile(r'([A-F1-6])\.(?: (.*))?')


def _random(
  parts: Sequence[str | bytes], question: picture_files.Question
) -> str:
  labels = [label for label, _ in _options(parts)] or question.options
  digest = hashlib.sha256(question.name.encode()).digest()
  return labels[int.from_bytes(digest[:8], 'big') % len(labels)]


def _nearest(
  parts: Sequence[str | bytes], question: picture_files.Question
) -> str:
  options = dict(_options(parts))
  first = next(i for i, part in enumerate(parts) if isinstance(part, str))
  if not question.pictured or not first:
    return _random(parts, question)
  last = _pixels(parts[first - 1])
  gaps = {
    label: float(np.abs(_pixels(option) - last).mean())
    for label, option in options.items()
  }
  return min(gaps, key=lambda label: gaps[label])


def _oracle(
  parts: Sequence[str | bytes], question: picture_files.Question
) -> str:
  right = question.options[question.answer]
  for label, option in _options(parts):
    if isinstance(option, bytes):
      option = hashlib.sha256(option).hexdigest()
      if option == pathlib.Path(right).stem:
        return label
    elif option == right:
      return label
  return right


BASELINES: dict[
  str, Callable[[Sequence[str | bytes], picture_files.Question], str]
] = {'random': _random, 'nearest': _nearest, 'oracle': _oracle}


@model.modelapi(name='baseline')
class Baseline(model.ModelAPI):
  """`baseline/NAME`, NAME one of BASELINES."""

  def __init__(self, model_name: str, **settings: Any):
    super().__init__(model_name, **settings)
    if model_name not in BASELINES:
      raise errors.unknown('baseline', model_name, BASELINES)
    self._answer = BASELINES[model_name]

  async def generate(self, input, tools, tool_choice, config):
    del tools, tool_choice, config
    parts = inspect_tasks.parts_of(input)
    text = self._answer(parts, inspect_tasks.asked.get())
    output = model.ModelOutput.from_content(self.model_name, text)
    # Else Inspect would fetch a tokenizer to count them with.
    output.usage = model.ModelUsage(
      input_tokens=len(parts), output_tokens=1, total_tokens=len(parts) + 1
    )
    return output


def _options(parts: Sequence[str | bytes]) -> list[tuple[str, str | bytes]]:
  """Labels and what they stand for, as the prompt shows them."""
  found: list[tuple[str, str | bytes]] = []
  for part, after in zip(parts, [*parts[1:], ''], strict=True):
    if isinstance(part, bytes):
      continue
    for line in part.splitlines():
      match = _LABEL.fullmatch(line)
      if match and (match[2] or isinstance(after, bytes)):
        found.append((match[1], match[2] or after))
  return found


@functools.lru_cache(maxsize=256)
def _pixels(encoded: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(encoded)) as image:
    image.draft('RGB', (_SIZE_PX, _SIZE_PX))
    small = image.convert('RGB').resize((_SIZE_PX, _SIZE_PX))
  return np.asarray(small, np.float32)
