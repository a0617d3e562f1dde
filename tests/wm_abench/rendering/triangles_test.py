import mujoco
import numpy as np
import pytest

from wm_abench.rendering import triangles

GEOM = mujoco.mjtGeom


def _volume(solid):
  a, b, c = np.moveaxis(solid.vertices_V3[solid.faces_F3], 1, 0)
  return np.einsum('fx,fx->', a, np.cross(b, c)) / 6


@pytest.mark.parametrize(
  ('kind', 'size_m', 'volume_m3'),
  [
    (GEOM.mjGEOM_BOX, (0.1, 0.2, 0.3), 8 * 0.1 * 0.2 * 0.3),
    (GEOM.mjGEOM_SPHERE, (0.2, 0.2, 0.2), 4 / 3 * np.pi * 0.2**3),
    (GEOM.mjGEOM_ELLIPSOID, (0.1, 0.2, 0.3), 4 / 3 * np.pi * 0.006),
    (GEOM.mjGEOM_CYLINDER, (0.1, 0.1, 0.3), np.pi * 0.01 * 0.6),
    (
      GEOM.mjGEOM_CAPSULE,
      (0.1, 0.1, 0.3),
      np.pi * 0.01 * 0.6 + 4 / 3 * np.pi * 0.001,
    ),
  ],
)
def test_shapes_are_closed_turned_outwards_and_as_large_as_they_should(
  kind, size_m, volume_m3
):
  solid = triangles.shape(kind, np.array(size_m), endless_m=1.0)
  # The divergence theorem: only a closed surface that faces outwards has it.
  assert _volume(solid) == pytest.approx(volume_m3, rel=0.005)
  a, b, c = np.moveaxis(solid.vertices_V3[solid.faces_F3], 1, 0)
  facing = np.cross(b - a, c - a)
  agree = np.einsum('fcx,fx->fc', solid.normals_V3[solid.faces_F3], facing)
  assert (agree >= -1e-9).all()
  np.testing.assert_allclose(np.linalg.norm(solid.normals_V3, axis=1), 1.0)


def test_a_plane_without_an_end_gets_one():
  solid = triangles.shape(GEOM.mjGEOM_PLANE, np.array([0, 2, 1]), endless_m=9.0)
  np.testing.assert_array_equal(np.ptp(solid.vertices_V3, axis=0), [18, 4, 0])


def test_what_cannot_be_drawn_is_not_left_out_in_silence():
  with pytest.raises(ValueError, match='mjGEOM_HFIELD'):
    triangles.shape(GEOM.mjGEOM_HFIELD, np.ones(3), endless_m=1.0)


def test_a_picture_repeats_as_often_as_it_should():
  plane = triangles.shape(GEOM.mjGEOM_PLANE, np.array([3.0, 2.0, 1]), 1.0)
  size, repeat = np.array([3.0, 2.0]), np.array([4, 5])
  whole = triangles.project(plane, size, repeat, uniform=False)
  np.testing.assert_allclose(np.ptp(whole.texcoords_V2, axis=0), [4, 5])
  # 0.5 (s x - 1) as in OpenGL's planes: half the size in metres, times repeat.
  metre = triangles.project(plane, size, repeat, uniform=True)
  np.testing.assert_allclose(np.ptp(metre.texcoords_V2, axis=0), [12, 10])


def test_each_side_of_a_box_has_its_own_face_of_the_cube():
  box = triangles.shape(GEOM.mjGEOM_BOX, np.array([1.0, 2.0, 3.0]), 1.0)
  wrapped = triangles.wrap(box, np.array([1.0, 2.0, 3.0]), side_px=64)
  assert _volume(wrapped) == pytest.approx(48)
  t_FC = wrapped.texcoords_V2[wrapped.faces_F3][..., 1]
  face_F = np.floor(6 * t_FC.mean(axis=1)).astype(int)
  assert (np.floor(6 * t_FC) == face_F[:, None]).all()
  normal_F3 = wrapped.normals_V3[wrapped.faces_F3[:, 0]]
  for face, (axis, sign) in enumerate(
    [(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)]
  ):
    np.testing.assert_allclose(normal_F3[face_F == face, axis], sign)


def test_a_sky_is_seen_where_its_faces_are():
  # +x, -x, +y, -y, +z, -z; one level each.
  cube = np.arange(6)[:, None, None, None] * np.ones((6, 8, 8, 3))
  around = triangles.panorama(cube, 16)[..., 0]
  assert around.shape == (16, 32)
  assert (around[0] == 2).all() and (around[-1] == 3).all()
  # Columns from -z through +x, +z and -x.
  middle = around[8]
  assert [middle[i] for i in (0, 8, 16, 24)] == [5, 0, 4, 1]
