"""Our own policies as a provider of Inspect's: `--model jax/NAME`.

NAME is `embedded`, the one in this repository, or a folder that
configs/wm_abench_policy.py wrote. Requests that wait together are answered
together, as one batch of the device's.
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
  """A conversation that waits for its reply."""

  def __init__(self, reading: policy.Reading):
    self.reading = reading
    self.reply: policy.Reply | None = None


@model.modelapi(name='jax')
class Local(model.ModelAPI):
  """`jax/NAME`.

  Raises:
    UserError: the name is of no policy.
  """

  def __init__(self, model_name: str, **settings: Any):
    super().__init__(model_name, **settings)
    folder = FOLDER if model_name == EMBEDDED else pathlib.Path(model_name)
    self._policy = policy.load(folder)
    self._waiting: list[_Request] = []
    self._device = anyio.Lock()

  def max_connections(self) -> int:
    return 2 * _BATCH  # One batch waits while another is answered.

  async def generate(self, input, tools, tool_choice, config):
    del tools, tool_choice
    parts = inspect_tasks.parts_of(input)
    request = _Request(await anyio.to_thread.run_sync(self._policy.read, parts))
    self._waiting.append(request)
    try:
      async with self._device:
        # Whoever has the device answers for all who wait.
        if request.reply is None:
          others = [r for r in self._waiting if r.reply is None]
          others.remove(request)
          batch = [request, *others[: _BATCH - 1]]
          await anyio.to_thread.run_sync(self._answer, batch)
    finally:
      self._waiting.remove(request)
    said = request.reply
    output = model.ModelOutput.from_content(self.model_name, said.text)
    output.usage = model.ModelUsage(
      input_tokens=said.input_tokens,
      output_tokens=said.output_tokens,
      total_tokens=said.input_tokens + said.output_tokens,
    )
    return output

  def _answer(self, batch: Sequence[_Request]) -> None:
    replies = self._policy.reply([request.reading for request in batch])
    for request, reply in zip(batch, replies, strict=True):
      request.reply = reply
