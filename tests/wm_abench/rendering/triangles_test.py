import mujoco
import numpy as np
import pytest

from wm_abench.rendering import triangles

GEOM = mujoco.mjtGeom


def _volume(solid):
  """Returns the volume of a closed surface, by the divergence theorem."""
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
def test_shapes_are_closed_face_outwards_and_have_their_volume(
  kind, size_m, volume_m3
):
  solid = triangles.shape(kind, np.array(size_m), infinite_m=1.0)
  # Only a closed surface that faces outwards has this volume.
  assert _volume(solid) == pytest.approx(volume_m3, rel=0.005)
  a, b, c = np.moveaxis(solid.vertices_V3[solid.faces_F3], 1, 0)
  face_normals = np.cross(b - a, c - a)
  cosine = np.einsum(
    'fcx,fx->fc', solid.normals_V3[solid.faces_F3], face_normals
  )
  assert (cosine >= -1e-9).all()
  np.testing.assert_allclose(np.linalg.norm(solid.normals_V3, axis=1), 1.0)


def test_an_infinite_plane_gets_a_size():
  solid = triangles.shape(
    GEOM.mjGEOM_PLANE, np.array([0, 2, 1]), infinite_m=9.0
  )
  np.testing.assert_array_equal(np.ptp(solid.vertices_V3, axis=0), [18, 4, 0])


def test_a_kind_that_cannot_be_drawn_raises():
  with pytest.raises(ValueError, match='mjGEOM_HFIELD'):
    triangles.shape(GEOM.mjGEOM_HFIELD, np.ones(3), infinite_m=1.0)


def test_an_image_repeats_as_often_as_in_opengl():
  plane = triangles.shape(GEOM.mjGEOM_PLANE, np.array([3.0, 2.0, 1]), 1.0)
  size, repeat = np.array([3.0, 2.0]), np.array([4, 5])
  relative = triangles.project(plane, size, repeat, uniform=False)
  np.testing.assert_allclose(np.ptp(relative.texcoords_V2, axis=0), [4, 5])
  # 0.5 (s x - 1) as in OpenGL's planes: half the size in metres, times repeat.
  uniform = triangles.project(plane, size, repeat, uniform=True)
  np.testing.assert_allclose(np.ptp(uniform.texcoords_V2, axis=0), [12, 10])


def test_each_side_of_a_box_shows_its_face_of_the_cube_map():
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


def test_a_panorama_has_the_faces_of_the_cube_map_in_their_directions():
  # The faces +x, -x, +y, -y, +z, -z have the levels 0 to 5.
  cube = np.arange(6)[:, None, None, None] * np.ones((6, 8, 8, 3))
  panorama = triangles.panorama(cube, 16)[..., 0]
  assert panorama.shape == (16, 32)
  assert (panorama[0] == 2).all() and (panorama[-1] == 3).all()
  # Columns run from -z through +x, +z and -x.
  horizon = panorama[8]
  assert [horizon[i] for i in (0, 8, 16, 24)] == [5, 0, 4, 1]
