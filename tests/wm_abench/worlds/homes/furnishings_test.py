import numpy as np

from wm_abench.worlds.homes import fixtures, furnishings


def test_parts_of_furniture_stay_on_its_ground_and_face_outwards():
  for kind, make in (furnishings.KINDS | fixtures.KINDS).items():
    piece = make(np.random.default_rng(1))
    points = np.concatenate([p.mesh.vertices_V3 for p in piece.parts])
    assert points[:, 2].min() > -0.01, kind
    assert points[:, 1].min() > -0.2, kind  # Leaves of a plant reach out.
    for part in piece.parts:
      if part.material in ('plant', 'office_chair', 'marble'):
        continue
      mesh = part.mesh
      a, b, c = mesh.vertices_V3[mesh.triangles_T3].transpose(1, 0, 2)
      facing = np.cross(b - a, c - a)
      normal = mesh.normals_V3[mesh.triangles_T3].mean(axis=1)
      assert ((facing * normal).sum(axis=-1) > -1e-9).all(), kind
