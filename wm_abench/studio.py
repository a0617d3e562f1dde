"""Simulates and photographs shots, each one once however many items show it."""

import collections
from collections.abc import Iterable
import itertools
import time

import numpy as np

from wm_abench.environments import base


class Studio:
  """The environments of one process, opened when a shot first asks for one.

  Attributes:
    asked, rendered: frames that were wanted, and that had to be made.
    seconds: spent by kind of work, 'physics' or 'rendering'.
  """

  def __init__(self, renderer: base.Renderer):
    self._renderer = renderer
    self._environments: dict[str, base.Environment] = {}
    self.asked = self.rendered = 0
    self.seconds: collections.Counter[str] = collections.Counter()

  def simulate(
    self,
    environment: str,
    scene: base.Scene,
    actions: tuple[base.Action, ...] = (),
  ) -> tuple[base.State, ...]:
    """The states from reset's on, one more than there are actions."""
    start = time.perf_counter()
    world = self._open(environment)
    states = [world.reset(scene)]
    states += [world.step(action) for action in actions]
    self.seconds['physics'] += time.perf_counter() - start
    return tuple(states)

  def shoot(
    self, shots: Iterable[base.Shot]
  ) -> tuple[dict[base.Shot, np.ndarray], dict[base.Shot, base.State]]:
    """Frames and states of the shots, by shot.

    Shots of one scene whose actions go on from one another's, as the frames of
    a film do, are simulated in one go.
    """
    shots = list(shots)
    self.asked += len(shots)
    frames, states = {}, {}
    by_scene = itertools.groupby(
      sorted(set(shots), key=lambda s: (base.digest(s.scene), repr(s.actions))),
      key=lambda s: (s.environment, s.scene),
    )
    for (name, scene), run in by_scene:
      world = self._open(name)
      done = state = None
      for shot in sorted(run, key=lambda s: [repr(a) for a in s.actions]):
        start = time.perf_counter()
        if done is None or shot.actions[: len(done)] != done:
          done, state = (), world.reset(scene)
        for action in shot.actions[len(done) :]:
          state = world.step(action)
        done = shot.actions
        between = time.perf_counter()
        frames[shot], states[shot] = world.render(shot.camera), state
        self.seconds['physics'] += between - start
        self.seconds['rendering'] += time.perf_counter() - between
    self.rendered += len(frames)
    return frames, states

  def close(self) -> None:
    for world in self._environments.values():
      world.close()
    self._environments.clear()
    self._renderer.close()

  def _open(self, name: str) -> base.Environment:
    if name not in self._environments:
      self._environments[name] = base.make(name, self._renderer)
    return self._environments[name]
