import itertools
import math

import numpy as np
import pytest

from wm_abench.worlds.street import (
  buildings,
  cars,
  districts,
  lanes,
  roadside,
  town,
  weather,
)

# The materials of meshes that lie on the road itself.
_ON_ROAD = {'white', 'yellow'}


@pytest.fixture(scope='module')
def old_town():
  return town.build('old_town')


@pytest.mark.parametrize('name', town.DISTRICTS)
def test_nothing_stands_on_the_road_below_the_height_of_a_lorry(name):
  district = districts.DISTRICTS[name]
  rng = np.random.default_rng(0)
  for plan in (buildings.plan(district, rng), roadside.plan(district, rng)):
    for material, pieces in plan.items():
      for piece in pieces:
        points_V3 = piece.vertices_V3
        low_V = (points_V3[:, 2] < 2.9) & (material != 'glow')
        inside_V = np.abs(points_V3[:, :2]).max(axis=-1) < lanes.EDGE_M
        from_V2 = _from_road(points_V3[low_V & inside_V][:, :2])
        if material.startswith('leaves'):
          continue
        assert from_V2.min(initial=np.inf) > lanes.KERB_M, material


def _from_road(points_V2):
  """Returns the distance of each point to the nearest centre line."""
  roads = np.array(lanes.CROSSINGS) * lanes.BLOCK_M
  return np.abs(points_V2[..., None] - roads).min(axis=(-1, -2))


@pytest.mark.parametrize('name', town.DISTRICTS)
def test_pavements_start_at_the_kerb_and_lines_are_on_the_road(name):
  parts = town._ground(districts.DISTRICTS[name])
  for patch in parts['pavement']:
    points_V2 = patch.vertices_V3[:, :2]
    assert _from_road(points_V2).min() == pytest.approx(lanes.KERB_M)
  for material in _ON_ROAD:
    for line in parts[material]:
      points_V2 = line.vertices_V3[:, :2]
      assert _from_road(points_V2).max() <= lanes.KERB_M + 1e-9
      assert line.normals_V3[:, 2].min() > 0.99


def test_slots_are_on_lanes_or_along_kerbs():
  for x_m, y_m, yaw_deg in town.lane_slots():
    assert lanes.is_on_lane(lanes.Pose(x_m, y_m, round(yaw_deg / 90) % 4))
  for x_m, y_m, yaw_deg in town.kerb_slots():
    pose = lanes.Pose(x_m, y_m, round(yaw_deg / 90) % 4)
    from_line_m = (pose.right_m + lanes.BLOCK_M / 2) % lanes.BLOCK_M
    assert from_line_m - lanes.BLOCK_M / 2 == pytest.approx(lanes.PARKED_M)


def test_parked_cars_keep_the_lanes_free():
  kerb_N3 = np.array([(x, y, math.radians(a)) for x, y, a in town.kerb_slots()])
  lane_N3 = np.array([(x, y, math.radians(a)) for x, y, a in town.lane_slots()])
  assert lanes.is_clear(lane_N3, kerb_N3, 2.2)


def test_the_model_has_few_triangles(old_town):
  model = old_town.model
  scenery = [
    i for i in range(model.ngeom) if model.geom(i).name.startswith('town/')
  ]
  faces = sum(model.mesh_facenum[model.geom_dataid[i]] for i in scenery)
  assert faces < 25_000
  cars_ = sum(
    len(m.triangles_T3)
    for kind in cars.KINDS
    for m in (cars.load(kind).paint, cars.load(kind).trim)
  )
  # All of the scenery, and ten visible cars of average size.
  assert faces + 10 * cars_ / len(cars.KINDS) < 60_000


def test_placed_cars_are_at_their_poses_and_all_others_are_hidden(old_town):
  placed = (
    town.Standing('coupe', 'red', 10.0, -1.75, 0.0),
    town.Standing('coupe', 'blue', -30.0, 4.8, 90.0),
  )
  town.place_cars(
    old_town, placed, np.array([0.0, 0, 1.5]), np.array([1.0, 0, 0])
  )
  model, data = old_town.model, old_town.data
  first = model.body('coupe/0')
  np.testing.assert_array_equal(
    data.mocap_pos[first.mocapid[0]], (10.0, -1.75, 0.0)
  )
  np.testing.assert_allclose(
    model.geom_rgba[model.geom('coupe/0/paint').id, :3], town.PAINTS['red']
  )
  visible = {
    model.body(model.geom_bodyid[i]).name
    for i in range(model.ngeom)
    if model.geom_group[i] < 3 and '/' in model.geom(i).name
  } & {f'{k}/{i}' for k in cars.KINDS for i in range(town.CARS_PER_KIND)}
  assert visible == {'coupe/0'}  # The other car is behind the camera.


def test_windows_are_lit_only_at_dusk_and_roads_wet_only_in_rain(old_town):
  model = old_town.model
  for sky, light in itertools.product(weather.WEATHERS, weather.LIGHTS):
    town.apply_look(old_town, weather.look(sky, light))
    road = model.material(model.geom('road').matid[0]).name
    assert (road == 'asphalt/wet') == (sky == 'rain')
    walls = model.material(model.geom('town/upper_0').matid[0]).name
    assert walls.endswith('/night') == (light == 'dusk')
    glow = model.geom('town/glow').group[0]
    assert (glow < 3) == (light == 'dusk')


def test_only_the_sun_of_a_clear_sky_casts_shadows():
  looks = {
    (w, t): weather.look(w, t) for w in weather.WEATHERS for t in weather.LIGHTS
  }
  shadowy = {key for key, look in looks.items() if look.shadows}
  assert shadowy == {('clear', 'noon'), ('clear', 'sunset')}
  for light in weather.LIGHTS:
    sums = [sum(looks[w, light].sun) for w in ('clear', 'cloudy', 'rain')]
    assert sums == sorted(sums, reverse=True)


@pytest.mark.parametrize('radius_m', weather.SHELLS_M)
def test_a_shell_of_fog_is_transparent_where_it_meets_the_road(radius_m):
  shell = weather._shell(radius_m)
  height_V, opaque_V = shell.vertices_V3[:, 2], shell.uvs_V2[:, 1]
  road_V = height_V < -0.98 * weather._EYE_M
  assert road_V.any()
  assert opaque_V[road_V].max() < 0.05 and opaque_V[~road_V].min() > 0.95
