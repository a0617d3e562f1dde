"""The progress of a run: its host state, and lines that report its stages."""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import sys
import time

import ml_collections
import tqdm

from coderl.alignment import replay as replay_lib
from coderl.distributed import processes


def announce(message: str) -> None:
  """Prints one line on stderr that says what begins; first process only.

  Programs call it before every stage that takes long, so that no silence
  leaves open whether the program still works. A progress bar stays intact.
  """
  if processes.is_first():
    tqdm.tqdm.write(message, file=sys.stderr)
    sys.stderr.flush()


@dataclasses.dataclass
class Progress:
  """The host state of a run; with the TrainState, it is all that is saved.

  Attributes:
    replay: the replay buffer of alignment tasks.
    step: training steps done.
    position: code prompts consumed, over all epochs.
    tokens: response tokens trained on.
    before: scores of the initial policy, by figure of the evaluation.
    history: the metrics of every step.
    samples: rollouts shown in the report.
    pending: states of rollouts that were sampled ahead (async_rewards.Pending),
      by 'code' and 'align'.
    shapes: shapes that were compiled, by function: [U, P] of the sampler, [T,
      R, M] of the training step.
    seconds: time spent in steps.
  """

  replay: replay_lib.Replay
  step: int = 0
  position: int = 0
  tokens: int = 0
  before: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  history: list[dict[str, float]] = dataclasses.field(default_factory=list)
  samples: list[dict] = dataclasses.field(default_factory=list)
  pending: dict = dataclasses.field(default_factory=dict)
  shapes: dict[str, list[list[int]]] = dataclasses.field(default_factory=dict)
  seconds: float = 0.0

  def is_done(self, config: ml_collections.ConfigDict) -> bool:
    """Returns whether `train.steps` or `train.max_tokens` is reached."""
    limit = config.train.max_tokens
    return self.step >= config.train.steps or 0 < limit <= self.tokens

  def add_shape(self, function: str, shape: Sequence[int]) -> None:
    """Records a shape that `function` is compiled for."""
    known = self.shapes.get(function, [])
    if list(shape) not in known:
      self.shapes[function] = sorted([*known, list(shape)])

  def finish_step(
    self,
    metrics: Mapping[str, float],
    *,
    tokens: int,
    seconds: float,
    waited_s: float,
    staleness: int,
  ) -> None:
    """Counts a step and appends its metrics to the history.

    Args:
      metrics: the metrics of rollouts and updates.
      tokens: response tokens trained on.
      seconds: the time that the step took.
      waited_s: the part of it spent waiting for the sandbox.
      staleness: steps between the policy that sampled and the one updated.
    """
    self.step += 1
    self.seconds += seconds
    self.tokens += tokens
    counts = {
      'step': self.step,
      'replay_size': len(self.replay),
      'staleness': staleness,
      'seconds': seconds,
      'sandbox_wait_share': waited_s / seconds,
      'tokens': self.tokens,
      'tokens_per_s': tokens / seconds,
    }
    self.history.append({**metrics, **counts})

  def state(self) -> dict:
    """Returns JSON data for `from_state`."""
    return vars(self) | {'replay': self.replay.state()}

  def copy(self) -> 'Progress':
    """Returns a copy; changes of either leave the other as it is."""
    return dataclasses.replace(
      self,
      replay=self.replay.copy(),
      history=list(self.history),
      samples=list(self.samples),
      shapes=dict(self.shapes),
    )

  @classmethod
  def from_state(cls, state: dict) -> 'Progress':
    """Restores what `state` returned."""
    replay = replay_lib.Replay.from_state(state['replay'])
    return cls(**state | {'replay': replay})


class Compilations:
  """Announces each shape for which this process compiles a function."""

  def __init__(self):
    self._shapes: dict[str, set[tuple[int, ...]]] = {}

  @contextlib.contextmanager
  def announced(
    self, function: str, axes: str, shape: Sequence[int]
  ) -> Iterator[None]:
    """Announces the call in the block if it is the first of its shape.

    Args:
      function: the name of the function that is called in the block.
      axes: the letters of the shape's axes, e.g. '[T, R, M]'.
      shape: the sizes of these axes.
    """
    seen = self._shapes.setdefault(function, set())
    shape = tuple(map(int, shape))
    if shape in seen:
      yield
      return
    seen.add(shape)
    what = f'{function} for {axes} = {list(shape)} (shape {len(seen)})'
    announce(f'Compiling {what} ...')
    start = time.monotonic()
    yield
    announce(f'Compiled and ran {what}: {time.monotonic() - start:.1f} s.')
