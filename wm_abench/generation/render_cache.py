"""Simulates and renders shots, each once, however many items show it."""

import collections
from collections.abc import Iterable
import itertools
import time

import numpy as np

from wm_abench.worlds import protocol, registry


class RenderCache:
  """The worlds of one process, opened when a shot first needs one.

  A shot's environment is one of this package or one of the paper's simulators
  (worlds/registry.py), which render by themselves.

  Args:
    renderer: renders the environments; None if only simulators are used.
    size_px: size of a simulator's frames; the renderer's by default.

  Attributes:
    requested: number of frames that were requested.
    rendered: number of frames that were rendered.
    seconds: time by kind of work, 'physics' or 'rendering'.
  """

  def __init__(self, renderer: protocol.Renderer | None, size_px: int = 0):
    self._renderer = renderer
    self._size_px = size_px or renderer.size_px
    self._environments: dict[str, protocol.Environment] = {}
    self.requested = self.rendered = 0
    self.seconds: collections.Counter[str] = collections.Counter()

  def simulate(
    self,
    environment: str,
    scene: protocol.Scene,
    actions: tuple[protocol.Action, ...] = (),
  ) -> tuple[protocol.State, ...]:
    """Returns the state after the reset and after each action.

    Raises:
      UserError: the environment does not exist, or lacks a package or file.
    """
    world = self._open(environment)
    start = time.perf_counter()
    states = [world.reset(scene)]
    states += [world.step(action) for action in actions]
    self.seconds['physics'] += time.perf_counter() - start
    return tuple(states)

  def render(
    self, shots: Iterable[protocol.Shot]
  ) -> tuple[
    dict[protocol.Shot, np.ndarray], dict[protocol.Shot, protocol.State]
  ]:
    """Returns the frame and the state of each shot, by shot.

    Shots of one scene whose actions continue each other, such as the frames of
    a film, are simulated together. The order of the shots has no influence.

    Raises:
      UserError: an environment does not exist, or lacks a package or file.
    """
    shots = list(shots)
    self.requested += len(shots)
    frames, states = {}, {}
    by_scene = itertools.groupby(
      sorted(dict.fromkeys(shots), key=_sort_key),
      key=lambda s: (s.environment, s.scene),
    )
    for (name, scene), shots_of_scene in by_scene:
      world = self._open(name)
      done = state = None
      for shot in shots_of_scene:
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
    """Closes the worlds and the renderer."""
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


def _sort_key(shot: protocol.Shot) -> tuple[str, str, list[str], str]:
  """Returns a key that sorts by scene, and a shot after those it continues."""
  actions = [repr(action) for action in shot.actions]
  return (
    shot.environment,
    protocol.digest(shot.scene),
    actions,
    repr(shot.camera),
  )
