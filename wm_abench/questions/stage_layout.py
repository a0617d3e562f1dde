"""Where props stand and who looks: what all makers about props share.

Makers place things as the viewer sees them, x to the right and y away. A Stage
says on which side of the surface the viewer is and turns everything into the
world's frame. Visibility is by geometry, each prop as an ellipsoid.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from wm_abench.questions import group_law
from wm_abench.worlds import protocol
from wm_abench.worlds.tabletop import props as props_lib
from wm_abench.worlds.tabletop import surfaces

STEP_S = 0.5  # Between two frames of a film.
# Where the viewer may stand, each a quarter turn on from the one before.
SIDES = ('front', 'right', 'back', 'left')
WORDS = {'torus': 'ring'}  # What a shape is called, where not by its name.

_LAYOUTS = 60  # That are tried before a draw is given up.
_DARTS = 80  # Thrown for a thing's place in a layout.
_SPOTS = 96  # On a prop's surface, that are looked at.
# A prop covers what is behind an ellipsoid this much wider than its box; a
# cube's corners stand out of it and a cone does not fill it.
_COVER = {'cube': 1.15, 'sphere': 1.0, 'cylinder': 1.1, 'cone': 0.9}
_TURN = ((1, 0), (0, 1), (-1, 0), (0, -1))  # Cosine and sine.


@dataclasses.dataclass(frozen=True)
class Stage:
  """What all members of a group share before the props.

  Attributes:
    environment: one with a surface.
    background: one of its rooms.
    side: where the viewer is, one of SIDES.
    seed: of the scenes.
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
    """The camera at the viewer's own 'front', 'left' and so on, or 'top'."""
    quarter = SIDES.index(self.side)
    if view == 'top':
      cosine, sine = _TURN[quarter]
      up = (float(-sine), float(cosine), 0.0)
      return dataclasses.replace(self.surface.cameras['top'], up=up)
    name = SIDES[(quarter + SIDES.index(view)) % 4]
    return self.surface.cameras[name]

  def shot(
    self, props: Sequence[props_lib.Prop], view: str, steps: int = 0
  ) -> protocol.Shot:
    """The props, placed in the viewer's frame, after so many STEP_S."""
    placed = tuple(self._turn(p) for p in props)
    scene = props_lib.PropScene(self.background, self.seed, placed)
    actions = (protocol.Action('wait', (STEP_S,)),) * steps
    return protocol.Shot(self.environment, scene, actions, self.camera(view))

  def film(
    self, props: Sequence[props_lib.Prop], view: str, frames: int
  ) -> tuple[protocol.Shot, ...]:
    return tuple(self.shot(props, view, k) for k in range(frames))

  def _turn(self, prop: props_lib.Prop) -> props_lib.Prop:
    quarter = SIDES.index(self.side)
    return dataclasses.replace(
      prop,
      position_m=_turned(prop.position_m, quarter),
      yaw_deg=(prop.yaw_deg + 90.0 * quarter) % 360.0,
      path=tuple((t, _turned(at, quarter)) for t, at in prop.path),
    )


def open_stage(
  request: group_law.Request, background: str, side: str = 'front'
) -> Stage:
  """The stage of a request's cell."""
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
  """A prop that stands at a place, on the surface or so high above it."""
  prop = props_lib.Prop(
    name,
    shape,
    color,
    _round(size_m),
    (0.0, 0.0, 0.0),
    yaw_deg=_round(yaw_deg),
    **more,
  )
  z_m = on_m + height_m(prop) / 2
  return dataclasses.replace(prop, position_m=(*_rounded(xy_m), _round(z_m)))


def height_m(prop: props_lib.Prop) -> float:
  """From the prop's foot to its top; a torus is as high as its tube is wide."""
  if prop.shape == 'torus':
    return prop.size_m * (1 - prop.hole) / 2
  return prop.size_m


def reach_m(shape: str, size_m: float) -> float:
  """Radius of the circle on the surface that holds the prop at any yaw."""
  return size_m * (math.sqrt(0.5) if shape == 'cube' else 0.5)


def scatter(
  rng: np.random.Generator,
  reaches_m: Sequence[float],
  half_m: Sequence[float],
  gap_m: float,
) -> np.ndarray:
  """Places of circles within the area, none nearer than a gap to another.

  Args:
    rng: is consumed.
    reaches_m: radii [N].
    half_m: half the area's width and depth.
    gap_m: free between any two circles.

  Returns:
    Centres [N, 2].

  Raises:
    Rejected: no room was found.
  """
  for _ in range(_LAYOUTS):
    places = _throw(rng, np.asarray(reaches_m), np.asarray(half_m), gap_m)
    if places is not None:
      return places
  raise group_law.Rejected('no room for all props')


def _throw(rng, reaches_m, half_m, gap_m) -> np.ndarray | None:
  places = np.zeros((0, 2))
  for i, reach in enumerate(reaches_m):
    darts = rng.uniform(-1, 1, (_DARTS, 2)) * (half_m - reach)
    gaps = np.linalg.norm(darts[:, None] - places, axis=-1) - reaches_m[:i]
    free = np.flatnonzero((gaps >= reach + gap_m).all(axis=1))
    if not len(free):
      return None
    places = np.concatenate([places, darts[free[:1]]])
  return places


def set_out(
  rng: np.random.Generator,
  surface: surfaces.Surface,
  looks: Sequence[tuple[str, float]],
  views: Sequence[str],
  gap_m: float,
) -> np.ndarray:
  """Places of props of these shapes and sizes, each seen in every view.

  Args:
    rng: is consumed.
    surface: whose area and cameras.
    looks: shape and size in metres, N times.
    views: that have to see at least half of each.
    gap_m: free between any two.

  Returns:
    Centres [N, 2] in the viewer's frame.

  Raises:
    Rejected: none was found.
  """
  reaches = [reach_m(*look) for look in looks]
  for _ in range(_LAYOUTS):
    places = scatter(rng, reaches, surface.half_m, gap_m)
    props = [
      stand(str(i), *_plain(look), xy)
      for i, (look, xy) in enumerate(zip(looks, places, strict=True))
    ]
    if all(least_seen(props, surface.cameras[v]) > 0.5 for v in views):
      return places
  raise group_law.Rejected('props hide one another')


def _plain(look: tuple[str, float]) -> tuple[str, str, float]:
  return look[0], '', look[1]


def least_seen(
  props: Sequence[props_lib.Prop], camera: protocol.Camera
) -> float:
  """The share that is seen of the prop that is hidden most."""
  return min(seen(p, [q for q in props if q != p], camera) for p in props)


def seen(
  prop: props_lib.Prop,
  others: Sequence[props_lib.Prop],
  camera: protocol.Camera,
) -> float:
  """The share of a prop's near side that no other is before, in [0, 1]."""
  eye = np.array(camera.position_m)
  half = _half_m(prop, 1.0)
  normals = _BALL / half
  spots = np.array(prop.position_m) + _BALL * half
  spots = spots[((eye - spots) * normals).sum(axis=1) > 0]
  hidden = np.zeros(len(spots), bool)
  for other in others:
    cover = _half_m(other, _COVER.get(other.shape, 1.0))
    start = (spots - other.position_m) / cover
    hidden |= _meets_ball(start, (eye - spots) / cover)
  return float(1 - hidden.mean()) if len(spots) else 0.0


def project(camera: protocol.Camera, point_m: Sequence[float]) -> np.ndarray:
  """A point's place in the picture: right and up, each in [-1, 1] if seen."""
  position = np.array(camera.position_m)
  forward = np.array(camera.target_m) - position
  forward /= np.linalg.norm(forward)
  right = np.cross(forward, camera.up)
  right /= np.linalg.norm(right)
  way = np.array(point_m) - position
  flat = np.array([way @ right, way @ np.cross(right, forward)])
  half = np.tan(np.radians(camera.fovy_deg) / 2)
  return flat / (way @ forward) / half


def member(
  prompt: str,
  images: Sequence[protocol.Shot],
  factors: Mapping[str, Any],
  **varies: Any,
) -> dict[str, Any]:
  """What group_law.assemble wants of one member, with the factor that varies."""
  return {
    'prompt': prompt,
    'images': tuple(images),
    'factors': {**factors, **varies},
  }


def rounded(places: Sequence) -> list:
  """Nested places with whole millimetres, for factors."""
  return np.asarray(places, float).round(3).tolist()


def _fibonacci(n: int) -> np.ndarray:
  """Points spread evenly over a ball, [n, 3]."""
  z = 1 - (2 * np.arange(n) + 1) / n
  angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
  flat = np.sqrt(1 - z**2)
  return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)


_BALL = _fibonacci(_SPOTS)


def _half_m(prop: props_lib.Prop, wider: float) -> np.ndarray:
  flat = wider * prop.size_m / 2
  return np.array([flat, flat, wider * height_m(prop) / 2])


def _meets_ball(start_N3: np.ndarray, way_N3: np.ndarray) -> np.ndarray:
  """Whether the rays from start to start + way meet the unit ball, [N]."""
  along = -(start_N3 * way_N3).sum(axis=1) / (way_N3**2).sum(axis=1)
  nearest = start_N3 + along.clip(0, 1)[:, None] * way_N3
  return (nearest**2).sum(axis=1) < 1


def _turned(at: protocol.Vector, quarter: int) -> protocol.Vector:
  (cosine, sine), (x, y, z) = _TURN[quarter], at
  return (*_rounded((cosine * x - sine * y, sine * x + cosine * y)), z)


def _rounded(xy_m: Sequence[float]) -> tuple[float, float]:
  return _round(xy_m[0]), _round(xy_m[1])


def _round(number: float) -> float:
  return round(float(number), 5) + 0.0  # Never -0.0.


def named(color: str, shape: str) -> str:
  """How questions call a prop, such as 'red ring'; one has its own material."""
  return f'{color} {WORDS.get(shape, shape)}'.strip()


def draw_colors(rng: np.random.Generator, n: int) -> list[str]:
  """So many different ones."""
  return [str(c) for c in rng.choice([*props_lib.COLORS], n, replace=False)]
