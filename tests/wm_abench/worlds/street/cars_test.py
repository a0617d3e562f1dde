import numpy as np
import pytest

from commons import errors
from wm_abench.worlds import meshes
from wm_abench.worlds.street import cars


@pytest.fixture(params=cars.KINDS)
def car(request):
  return cars.load(request.param)


def _joined(car):
  return meshes.join([car.paint, car.trim])


def test_a_car_has_a_plausible_size_and_stands_on_its_wheels(car):
  low_3, high_3 = (
    f(_joined(car).vertices_V3, axis=0) for f in (np.min, np.max)
  )
  length_m, width_m, height_m = high_3 - low_3
  assert 3.5 < length_m < 5.2 and 1.5 < width_m < 2.3
  assert 1.1 < height_m < 2.6
  assert length_m == pytest.approx(car.length_m, abs=0.15)
  assert low_3[2] == pytest.approx(0.0, abs=0.03)
  # The car is symmetric, and the origin is midway between the axles.
  assert abs(low_3[1] + high_3[1]) < 0.15
  assert abs(low_3[0] + high_3[0]) < 0.6


def test_a_car_is_a_small_valid_mesh(car):
  joined = _joined(car)
  assert 1500 < len(joined.triangles_T3) < 5000
  assert joined.triangles_T3.max() < len(joined.vertices_V3)
  lengths = np.linalg.norm(joined.normals_V3, axis=-1)
  np.testing.assert_allclose(lengths, 1, atol=1e-6)
  assert car.trim.uvs_V2.min() >= 0 and car.trim.uvs_V2.max() <= 1


def test_triangles_are_oriented_like_their_normals(car):
  body = _joined(car)
  a, b, c = body.vertices_V3[body.triangles_T3].transpose(1, 0, 2)
  normals_T3 = body.normals_V3[body.triangles_T3].sum(axis=1)
  along_T = (np.cross(b - a, c - a) * normals_T3).sum(axis=-1)
  assert (along_T >= -1e-9).mean() > 0.999


def test_most_of_the_area_faces_outwards(car):
  joined = _joined(car)
  corners = joined.vertices_V3[joined.triangles_T3]
  area_T3 = np.cross(
    corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  )
  away_T3 = corners.mean(axis=1) - [0, 0, 0.7]
  outward = (area_T3 * away_T3).sum(axis=-1) > 0
  size_T = np.linalg.norm(area_T3, axis=-1)
  assert (size_T * outward).sum() > 0.65 * size_T.sum()


def test_four_dark_wheels_touch_the_ground(car):
  trim = car.trim
  touching_V = trim.vertices_V3[:, 2] < 0.05
  signs = np.sign(trim.vertices_V3[touching_V][:, :2])
  assert {tuple(s) for s in signs} >= {(1, 1), (1, -1), (-1, 1), (-1, -1)}
  column_V, row_V = (trim.uvs_V2[touching_V] * cars.PALETTE_PX).astype(int).T
  colors_V3 = car.palette_PP3[cars.PALETTE_PX - 1 - row_V, column_V]
  assert np.median(colors_V3) < 40


def test_the_palette_keeps_every_colour_that_fits():
  colors_T3 = np.array([(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)], float)
  picture_PP3, uvs_T2 = cars._palette(colors_T3)
  column_T, row_T = (uvs_T2 * cars.PALETTE_PX).astype(int).T
  palette_T3 = picture_PP3[cars.PALETTE_PX - 1 - row_T, column_T]
  np.testing.assert_allclose(palette_T3 / 255, colors_T3, atol=0.05)


def test_triangles_inside_a_box_are_removed():
  outer = meshes.join([meshes.box(-2, -1, 2, 1, 0, 1.5)])
  inner = meshes.box(-0.5, -0.5, 0.5, 0.5, 0.5, 1.0)
  both = meshes.join([outer, inner])
  corners_T33 = both.vertices_V3[both.triangles_T3]
  n = len(corners_T33)
  soup = cars._Soup(
    corners_T33,
    both.normals_V3[both.triangles_T3],
    np.zeros((n, 3)),
    np.zeros(n, bool),
  )
  kept = cars._visible(soup)
  np.testing.assert_array_equal(
    kept.corners_T33, corners_T33[: len(outer.triangles_T3)]
  )


def test_an_unknown_car_is_reported_with_the_choices():
  with pytest.raises(errors.UserError, match=r"'tank'.*coupe.*truck"):
    cars.load('tank')
