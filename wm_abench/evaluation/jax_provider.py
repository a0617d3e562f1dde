"""The policies of this repository as an Inspect provider: `--model jax/NAME`.

NAME is `embedded`, the policy that this repository contains, or a folder that
configs/wm_abench_policy.py wrote. Requests that wait at the same time are
answered in one batch. inspect_plugins.py imports this module on demand.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

import anyio
from inspect_ai import model

from wm_abench.evaluation import inspect_tasks
from wm_abench.policy import policy

EMBEDDED = 'embedded'
FOLDER = pathlib.Path(policy.__file__).parent / EMBEDDED
_BATCH = 64


class _Request:
  """A conversation that waits for its completion."""

  def __init__(self, reading: policy.Reading):
    self.reading = reading
    self.completion: policy.Completion | None = None


class JaxProvider(model.ModelAPI):
  """The models `jax/NAME`.

  Raises:
    UserError: no policy has this name.
  """

  def __init__(self, model_name: str, **settings: Any):
    super().__init__(model_name, **settings)
    folder = FOLDER if model_name == EMBEDDED else pathlib.Path(model_name)
    self._policy = policy.load(folder)
    self._waiting: list[_Request] = []
    self._device = anyio.Lock()

  def max_connections(self) -> int:
    return 2 * _BATCH  # One batch waits while another one is answered.

  async def generate(self, input, tools, tool_choice, config):
    del tools, tool_choice
    parts = inspect_tasks.parts_of(input)
    request = _Request(await anyio.to_thread.run_sync(self._policy.read, parts))
    self._waiting.append(request)
    try:
      async with self._device:
        # The request that has the device answers all that wait.
        if request.completion is None:
          others = [r for r in self._waiting if r.completion is None]
          others.remove(request)
          batch = [request, *others[: _BATCH - 1]]
          await anyio.to_thread.run_sync(self._answer, batch)
    finally:
      self._waiting.remove(request)
    completion = request.completion
    output = model.ModelOutput.from_content(self.model_name, completion.text)
    output.usage = model.ModelUsage(
      input_tokens=completion.input_tokens,
      output_tokens=completion.output_tokens,
      total_tokens=completion.input_tokens + completion.output_tokens,
    )
    return output

  def _answer(self, batch: Sequence[_Request]) -> None:
    completions = self._policy.reply([request.reading for request in batch])
    for request, completion in zip(batch, completions, strict=True):
      request.completion = completion
