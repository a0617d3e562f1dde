"""Layouts of props and the views of them, for all makers about props.

Makers position props in the frame of the viewer, x to the right and y away. A
Stage knows on which side of the surface the viewer stands and rotates the props
into the world's frame. Visibility is computed from geometry, with an ellipsoid
in place of each prop.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from wm_abench.questions import group_law
from wm_abench.worlds import cameras, protocol
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

STEP_S = 0.5  # Time between two frames of a film.
# The sides where the viewer may stand, in quarter turns anticlockwise.
SIDES = ('front', 'right', 'back', 'left')
# Cosine and sine of the quarter turn of each side.
QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))
NOUNS = {'torus': 'ring'}  # Nouns of shapes; other shapes have their names.

_LAYOUTS = 60  # Attempts before a draw is rejected.
_CANDIDATES = 80  # Candidate positions per prop in one attempt.
_SAMPLES = 96  # Points on the surface of a prop whose visibility is tested.
# As an occluder, a prop is an ellipsoid with its box scaled by this factor: the
# corners of a cube reach out of the ellipsoid, and a cone does not fill it.
_OCCLUDER_SCALE = {'cube': 1.15, 'sphere': 1.0, 'cylinder': 1.1, 'cone': 0.9}


@dataclasses.dataclass(frozen=True)
class Stage:
  """The parts of a scene that all members of a group share, without props.

  Attributes:
    environment: an environment with a surface.
    background: one of its rooms.
    side: the side of the viewer, one of SIDES.
    seed: the seed of the scenes.
  """

  environment: str
  background: str
  side: str
  seed: int

  @property
  def surface(self) -> surfaces.Surface:
    return surfaces.SURFACES[self.environment]

  @property
  def factors(self) -> dict[str, str]:
    return {'background': self.background, 'side': self.side}

  def camera(self, view: str) -> protocol.Camera:
    """Returns a camera, by its side as the viewer sees it, or 'top'."""
    quarter = SIDES.index(self.side)
    if view == 'top':
      cosine, sine = QUARTERS[quarter]
      up = (float(-sine), float(cosine), 0.0)
      return dataclasses.replace(self.surface.cameras['top'], up=up)
    name = SIDES[(quarter + SIDES.index(view)) % 4]
    return self.surface.cameras[name]

  def shot(
    self, props: Sequence[props_lib.Prop], view: str, steps: int = 0
  ) -> protocol.Shot:
    """Returns a shot of props after `steps` times STEP_S.

    Args:
      props: the props in the frame of the viewer.
      view: see `camera`.
      steps: the number of time steps since the start.
    """
    in_world = tuple(self._in_world(p) for p in props)
    scene = props_lib.PropScene(self.background, self.seed, in_world)
    actions = (protocol.Action('wait', (STEP_S,)),) * steps
    return protocol.Shot(self.environment, scene, actions, self.camera(view))

  def film(
    self, props: Sequence[props_lib.Prop], view: str, frames: int
  ) -> tuple[protocol.Shot, ...]:
    """Returns the shots after 0, 1, ..., frames - 1 steps."""
    return tuple(self.shot(props, view, k) for k in range(frames))

  def _in_world(self, prop: props_lib.Prop) -> props_lib.Prop:
    quarter = SIDES.index(self.side)
    return dataclasses.replace(
      prop,
      position_m=_rotated(prop.position_m, quarter),
      yaw_deg=(prop.yaw_deg + 90.0 * quarter) % 360.0,
      path=tuple((t, _rotated(xyz, quarter)) for t, xyz in prop.path),
    )


def open_stage(
  request: group_law.Request, background: str, side: str = 'front'
) -> Stage:
  """Returns the stage of a request's cell, with a random seed."""
  seed = int(request.rng.integers(2**31))
  return Stage(request.cell.environment, background, side, seed)


def surface_of(request: group_law.Request) -> surfaces.Surface:
  return surfaces.SURFACES[request.cell.environment]


def stand(
  name: str,
  shape: str,
  color: str,
  size_m: float,
  xy_m: Sequence[float],
  on_m: float = 0.0,
  yaw_deg: float = 0.0,
  **more,
) -> props_lib.Prop:
  """Returns a prop that stands at a position.

  Args:
    name, shape, color, size_m, yaw_deg: see props.Prop.
    xy_m: the position in the frame of the viewer.
    on_m: the height above the surface of what the prop stands on.
    **more: other fields of props.Prop.
  """
  prop = props_lib.Prop(
    name,
    shape,
    color,
    _round(size_m),
    (0.0, 0.0, 0.0),
    yaw_deg=_round(yaw_deg),
    **more,
  )
  z_m = on_m + props_lib.height_m(prop) / 2
  return dataclasses.replace(prop, position_m=(*_rounded(xy_m), _round(z_m)))


def reach_m(shape: str, size_m: float) -> float:
  """Returns the radius of the circle that contains the prop at any yaw."""
  return size_m * (math.sqrt(0.5) if shape == 'cube' else 0.5)


def scatter(
  rng: np.random.Generator,
  reaches_m: Sequence[float],
  half_m: Sequence[float],
  gap_m: float,
) -> np.ndarray:
  """Draws positions of circles in a rectangle, with gaps between them.

  Args:
    rng: is consumed.
    reaches_m: radii [N].
    half_m: half the width and depth of the rectangle.
    gap_m: the least gap between two circles.

  Returns:
    Centres [N, 2] in metres.

  Raises:
    group_law.Rejected: no layout was found.
  """
  for _ in range(_LAYOUTS):
    centres_N2 = _try_scatter(
      rng, np.asarray(reaches_m), np.asarray(half_m), gap_m
    )
    if centres_N2 is not None:
      return centres_N2
  raise group_law.Rejected('no room for all props')


def _try_scatter(rng, reaches_m, half_m, gap_m) -> np.ndarray | None:
  """Positions the circles one after the other; None if one does not fit."""
  centres = np.zeros((0, 2))
  for i, reach in enumerate(reaches_m):
    candidates = rng.uniform(-1, 1, (_CANDIDATES, 2)) * (half_m - reach)
    gaps = np.linalg.norm(candidates[:, None] - centres, axis=-1)
    gaps = gaps - reaches_m[:i]
    free = np.flatnonzero((gaps >= reach + gap_m).all(axis=1))
    if not len(free):
      return None
    centres = np.concatenate([centres, candidates[free[:1]]])
  return centres


def scatter_visible(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  looks: Sequence[tuple[str, float]],
  views: Sequence[str],
  gap_m: float,
) -> np.ndarray:
  """Draws positions of props such that more than half of each is visible.

  Args:
    rng: is consumed.
    surface: the surface with its area and cameras.
    looks: the shape and the size in metres of each of N props.
    views: the views in which the props must be visible.
    gap_m: the least gap between two props.

  Returns:
    Centres [N, 2] in metres, in the frame of the viewer.

  Raises:
    group_law.Rejected: no layout was found.
  """
  reaches = [reach_m(*look) for look in looks]
  for _ in range(_LAYOUTS):
    centres_N2 = scatter(rng, reaches, surface.half_m, gap_m)
    props = [
      stand(str(i), shape, '', size_m, xy)
      for i, ((shape, size_m), xy) in enumerate(
        zip(looks, centres_N2, strict=True)
      )
    ]
    if all(
      least_visible_share(props, surface.cameras[view]) > 0.5 for view in views
    ):
      return centres_N2
  raise group_law.Rejected('props hide one another')


def least_visible_share(
  props: Sequence[props_lib.Prop], camera: protocol.Camera
) -> float:
  """Returns the visible share of the prop that is hidden most."""
  return min(
    visible_share(p, [q for q in props if q != p], camera) for p in props
  )


def visible_share(
  prop: props_lib.Prop,
  others: Sequence[props_lib.Prop],
  camera: protocol.Camera,
) -> float:
  """Returns the share in [0, 1] of a prop's near side that others leave free.

  Rays from points on the near side to the camera are tested against the
  ellipsoids of the other props.
  """
  eye = np.array(camera.position_m)
  half = _half_m(prop, 1.0)
  normals = _BALL / half
  points = np.array(prop.position_m) + _BALL * half
  points = points[((eye - points) * normals).sum(axis=1) > 0]
  hidden = np.zeros(len(points), bool)
  for other in others:
    occluder = _half_m(other, _OCCLUDER_SCALE.get(other.shape, 1.0))
    start = (points - other.position_m) / occluder
    hidden |= _meets_ball(start, (eye - points) / occluder)
  return float(1 - hidden.mean()) if len(points) else 0.0


def project(camera: protocol.Camera, point_m: Sequence[float]) -> np.ndarray:
  """Returns a point's coordinates in the picture: right and up.

  The centre of the picture is (0, 0), and its edges are at -1 and 1.
  """
  right, up, forward = cameras.axes(camera)
  offset = np.array(point_m) - np.array(camera.position_m)
  flat = np.array([offset @ right, offset @ up])
  half = np.tan(np.radians(camera.fovy_deg) / 2)
  return flat / (offset @ forward) / half


def member(
  prompt: str,
  images: Sequence[protocol.Shot],
  factors: Mapping[str, Any],
  **varies: Any,
) -> dict[str, Any]:
  """Returns a member for group_law.assemble; `varies` is its varied factor."""
  return {
    'prompt': prompt,
    'images': tuple(images),
    'factors': {**factors, **varies},
  }


def prop_factors(props: Sequence[props_lib.Prop]) -> dict[str, list]:
  """Returns the looks and positions of props, for factors."""
  return {
    'colors': [p.color for p in props],
    'shapes': [p.shape for p in props],
    'sizes_m': rounded([p.size_m for p in props]),
    'positions_m': rounded([p.position_m[:2] for p in props]),
  }


def rounded(lengths_m: Sequence) -> list:
  """Returns nested lengths in whole millimetres, for factors."""
  return np.asarray(lengths_m, float).round(3).tolist()


def _fibonacci(n: int) -> np.ndarray:
  """Returns points [n, 3] that are spread evenly over the unit sphere."""
  z = 1 - (2 * np.arange(n) + 1) / n
  angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
  flat = np.sqrt(1 - z**2)
  return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)


_BALL = _fibonacci(_SAMPLES)


def _half_m(prop: props_lib.Prop, scale: float) -> np.ndarray:
  """Returns the half axes [3] of a prop's ellipsoid."""
  flat = scale * prop.size_m / 2
  return np.array([flat, flat, scale * props_lib.height_m(prop) / 2])


def _meets_ball(start_N3: np.ndarray, offset_N3: np.ndarray) -> np.ndarray:
  """Returns whether the segments start + [0, 1] offset meet the unit ball."""
  nearest_N = -(start_N3 * offset_N3).sum(axis=1) / (offset_N3**2).sum(axis=1)
  nearest_N3 = start_N3 + nearest_N.clip(0, 1)[:, None] * offset_N3
  return (nearest_N3**2).sum(axis=1) < 1


def _rotated(point_m: protocol.Vector, quarter: int) -> protocol.Vector:
  (cosine, sine), (x, y, z) = QUARTERS[quarter], point_m
  return (*_rounded((cosine * x - sine * y, sine * x + cosine * y)), z)


def _rounded(xy_m: Sequence[float]) -> tuple[float, float]:
  return _round(xy_m[0]), _round(xy_m[1])


def _round(number: float) -> float:
  return round(float(number), 5) + 0.0  # Turns -0.0 into 0.0.


def noun_phrase(color: str, shape: str) -> str:
  """Returns the noun phrase of a prop, such as 'red ring', or just 'ring'."""
  return f'{color} {NOUNS.get(shape, shape)}'.strip()


def draw_colors(rng: np.random.Generator, n: int) -> list[str]:
  """Draws n different colours of props."""
  return [str(c) for c in rng.choice([*props_lib.COLORS], n, replace=False)]
