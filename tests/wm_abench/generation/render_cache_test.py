import dataclasses
import random

import numpy as np
import pytest

from commons import errors
from wm_abench.core import dimensions
from wm_abench.generation import render_cache
from wm_abench.questions import group_law, navigation, physics, vision
from wm_abench.rendering import mujoco
from wm_abench.worlds import protocol

MAKERS = navigation.MAKERS | physics.MAKERS | vision.MAKERS


@pytest.fixture(scope='module')
def cache():
  opened = render_cache.RenderCache(mujoco.MujocoRenderer(96))
  yield opened
  opened.close()


def _shots(cache, cell, index=0):
  cell = dimensions.CELLS[cell]
  for attempt in range(20):
    request = group_law.Request(cell, index, 0, attempt, cache.simulate)
    try:
      group = MAKERS[cell.dimension](request)
    except group_law.Rejected:
      continue
    return [
      shot
      for draft in group.drafts
      for shot in (*draft.images, *draft.options)
      if isinstance(shot, protocol.Shot)
    ]
  raise AssertionError('every draw was rejected')


@pytest.fixture(scope='module')
def film(cache):
  """Shots of several scenes whose actions continue each other."""
  return _shots(cache, 'm_ip_intuitive_physics_collide')


@pytest.mark.parametrize(
  'cell', ['m_ip_intuitive_physics_collide', 't_nav_indoor']
)
def test_shots_rendered_together_equal_those_rendered_alone(cache, cell):
  shots = _shots(cache, cell)
  frames, states = cache.render(shots)
  for shot in random.Random(0).sample(sorted(frames, key=protocol.Shot.key), 5):
    alone, state = cache.render([shot])
    np.testing.assert_array_equal(alone[shot], frames[shot])
    assert state[shot] == states[shot]
    assert (
      state[shot]
      == cache.simulate(shot.environment, shot.scene, shot.actions)[-1]
    )


def test_the_order_of_shots_changes_nothing(cache, film):
  frames, states = cache.render(film)
  shuffled = random.Random(1).sample(film, len(film))
  again, states_again = cache.render(shuffled)
  assert list(again) == list(frames)
  assert states_again == states
  for shot, frame in frames.items():
    np.testing.assert_array_equal(again[shot], frame)


def test_a_shot_is_rendered_once_however_often_it_is_requested(cache, film):
  before = cache.requested, cache.rendered
  cache.render(film + film)
  assert cache.requested - before[0] == 2 * len(film)
  assert cache.rendered - before[1] == len(set(film)) < len(film)


class _Counting:
  """An environment that counts its resets and steps."""

  def __init__(self, world):
    self._world = world
    self.resets = self.steps = 0

  def __getattr__(self, name):
    return getattr(self._world, name)

  def reset(self, scene):
    self.resets += 1
    return self._world.reset(scene)

  def step(self, action):
    self.steps += 1
    return self._world.step(action)


def test_a_scene_is_simulated_once_for_all_frames_of_its_film(
  cache, film, monkeypatch
):
  shot = max(film, key=lambda s: len(s.actions))
  name, actions = shot.environment, shot.actions
  films = [
    dataclasses.replace(shot, scene=scene, actions=actions[:i])
    for scene in (shot.scene, dataclasses.replace(shot.scene, seed=99))
    for i in range(len(actions) + 1)
  ]
  counting = _Counting(cache._open(name))
  monkeypatch.setitem(cache._environments, name, counting)
  cache.render(random.Random(2).sample(films, len(films)))
  assert counting.resets == 2
  assert counting.steps == 2 * len(actions) > 0


def test_equal_scenes_of_two_environments_are_distinguished(cache):
  shot = _shots(cache, 'v_c_tabletop')[0]
  other = dataclasses.replace(shot, environment='nowhere')
  with pytest.raises(errors.UserError, match=r"'nowhere'.*tabletop"):
    cache.render([shot, other])


def test_work_is_counted_by_its_kind(cache, film):
  before = cache.seconds.copy()
  cache.simulate(film[-1].environment, film[-1].scene, film[-1].actions)
  assert cache.seconds['physics'] > before['physics']
  assert cache.seconds['rendering'] == before['rendering']
  cache.render(film[:1])
  assert cache.seconds['rendering'] > before['rendering']
  assert set(cache.seconds) == {'physics', 'rendering'}


@pytest.mark.parametrize('name', ['carla', 'tdw', 'habitat'])
def test_a_simulator_reports_what_it_lacks(name):
  alone = render_cache.RenderCache(None, 96)
  with pytest.raises(errors.UserError, match=r'needs|listens|called'):
    alone.simulate(name, protocol.Scene('', 0))
