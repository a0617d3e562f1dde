"""Simulates and photographs shots, each one once however many items show it."""

import collections
from collections.abc import Iterable
import itertools
import time

import numpy as np

from wm_abench.worlds import protocol, registry


class Studio:
  """The worlds of one process, opened when a shot first asks for one.

  A shot's environment is one of ours, or one of the paper's own simulators
  (wm_abench/worlds/registry.py), which renders by itself.

  Args:
    renderer: of our environments; None where only simulators are asked for.
    size_px: of a simulator's frames; the renderer's by default.

  Attributes:
    asked, rendered: frames that were wanted, and that had to be made.
    seconds: spent by kind of work, 'physics' or 'rendering'.
  """

  def __init__(self, renderer: protocol.Renderer | None, size_px: int = 0):
    self._renderer = renderer
    self._size_px = size_px or renderer.size_px
    self._environments: dict[str, protocol.Environment] = {}
    self.asked = self.rendered = 0
    self.seconds: collections.Counter[str] = collections.Counter()

  def simulate(
    self,
    environment: str,
    scene: protocol.Scene,
    actions: tuple[protocol.Action, ...] = (),
  ) -> tuple[protocol.State, ...]:
    """The states from reset's on, one more than there are actions.

    Raises:
      UserError: no such environment, or what it needs is not there.
    """
    world = self._open(environment)
    start = time.perf_counter()
    states = [world.reset(scene)]
    states += [world.step(action) for action in actions]
    self.seconds['physics'] += time.perf_counter() - start
    return tuple(states)

  def shoot(
    self, shots: Iterable[protocol.Shot]
  ) -> tuple[
    dict[protocol.Shot, np.ndarray], dict[protocol.Shot, protocol.State]
  ]:
    """Frames and states of the shots, by shot.

    Shots of one scene whose actions go on from one another's, as the frames of
    a film do, are simulated in one go. The order of the shots changes nothing.

    Raises:
      UserError: no such environment, or what it needs is not there.
    """
    shots = list(shots)
    self.asked += len(shots)
    frames, states = {}, {}
    by_scene = itertools.groupby(
      sorted(dict.fromkeys(shots), key=_place),
      key=lambda s: (s.environment, s.scene),
    )
    for (name, scene), run in by_scene:
      world = self._open(name)
      done = state = None
      for shot in run:
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
    if self._renderer:
      self._renderer.close()

  def _open(self, name: str) -> protocol.Environment:
    if name not in self._environments:
      if name in registry.SIMULATORS:
        world = registry.open_simulator(name, self._size_px)
      else:
        world = registry.open_environment(name, self._renderer)
      self._environments[name] = world
    return self._environments[name]


def _place(shot: protocol.Shot) -> tuple[str, str, list[str], str]:
  """Where a shot comes: scene by scene, and after those it goes on from."""
  actions = [repr(action) for action in shot.actions]
  return (
    shot.environment,
    protocol.digest(shot.scene),
    actions,
    repr(shot.camera),
  )
