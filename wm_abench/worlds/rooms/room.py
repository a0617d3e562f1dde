"""Furnished rooms around a surface with props on it, as MuJoCo models.

The free area of the surface is centred at the origin and its top is z = 0. All
parts of one material form one mesh. Furniture does not hide the free area from
any camera.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
import dataclasses

import mujoco
import numpy as np

from wm_abench.worlds import meshes, protocol
from wm_abench.worlds.homes import (
  decor,
  fixtures,
  furnishings,
  household,
  joinery,
  styles,
)
from wm_abench.worlds.rooms import furniture, plans, shells
from wm_abench.worlds.tabletop import prop_pool
from wm_abench.worlds.tabletop import props as props_lib

_KINDS = furnishings.KINDS | fixtures.KINDS | furniture.KINDS


class Room:
  """The compiled model of one room, with a pool of props.

  Args:
    name: a key of plans.PLANS.

  Attributes:
    model, data: the MjModel and its MjData.
  """

  def __init__(self, name: str):
    self.model = specify(plans.PLANS[name]).compile()
    self.data = mujoco.MjData(self.model)
    self._pool = prop_pool.Pool(self.model)

  def show(
    self,
    props: Sequence[props_lib.Prop],
    bodies: Mapping[str, protocol.Body],
  ) -> list[int]:
    """Shows exactly these props; see prop_pool.Pool.show."""
    changed = self._pool.show(self.data, props, bodies)
    mujoco.mj_forward(self.model, self.data)
    return changed


def specify(plan: plans.Plan) -> mujoco.MjSpec:
  """Returns the specification of a room with a pool of props."""
  spec = mujoco.MjSpec()
  _add_lights(spec, plan)
  style = _style(plan)
  body = spec.worldbody.add_body(name='room', pos=(0, 0, -plan.top_m))
  pieces = list(_furniture(plan))
  shell = plan.shell
  shells.add(
    spec, body, shell, style, plan.kind, [f for _, fs in pieces for f in fs]
  )
  by_material: dict[str, list[meshes.Mesh]] = collections.defaultdict(list)
  for part in _parts(plan, pieces):
    by_material[part.material].append(part.mesh)
  for name, parts in by_material.items():
    finish = style.finishes[name]
    mesh = meshes.join(parts)
    scaled = dataclasses.replace(mesh, uvs_V2=mesh.uvs_V2 / finish.tile_m)
    pixels = (np.clip(finish.picture_HW3, 0, 1) * 255).round().astype(np.uint8)
    meshes.add_material(
      spec,
      name,
      pixels,
      specular=finish.shine,
      shininess=finish.shine,
      emission=finish.emission,
    )
    meshes.add_mesh(spec, name, scaled)
    meshes.add_geom(body, name, name)
  prop_pool.add_slots(spec)
  return spec


def _parts(plan, pieces) -> Iterator[joinery.Part]:
  """Yields the parts of a room that get one mesh per material."""
  yield from furniture.SURFACES[plan.surface](plan.surface_half_m, plan.top_m)
  yield from shells.trim(plan.shell)
  for parts, _ in pieces:
    yield from parts


def _furniture(
  plan: plans.Plan,
) -> Iterator[tuple[list[joinery.Part], list[shells.Footing]]]:
  """Yields the parts of each piece of furniture, and the ground it covers."""
  rng = np.random.default_rng([plan.seed, 1])
  for kind, side, along_m, *depth_m in plan.at_walls:
    wall = shells.side(plan.shell, side)
    x_m, y_m = wall.world(along_m, *depth_m)
    yield _placed(_KINDS[kind](rng), x_m, y_m, 90.0 * side)
  for kind, x_m, y_m, yaw_deg in plan.standing:
    yield _placed(_KINDS[kind](rng), x_m, y_m, yaw_deg)
  h = plan.surface_half_m
  if plan.surface != 'rug':
    yield [], [shells.Footing((-h, -h, h, h), plan.top_m)]


def _placed(piece: household.Piece, x_m, y_m, yaw_deg) -> tuple:
  """Returns the parts and the footings of a piece at a pose in the room."""
  parts = joinery.moved(piece.parts, x_m, y_m, 0, yaw_deg)
  angle = np.radians(yaw_deg)
  cosine, sine = np.cos(angle), np.sin(angle)
  footings = []
  for x0, y0, x1, y1 in piece.solids:
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    corners = corners @ np.array([[cosine, sine], [-sine, cosine]]) + (x_m, y_m)
    rectangle = (*corners.min(axis=0), *corners.max(axis=0))
    footings.append(shells.Footing(rectangle, piece.height_m))
  return parts, footings


def _style(plan: plans.Plan) -> styles.Style:
  """Returns a random style with the finishes that the plan fixes."""
  style = styles.draw(plan.seed)
  rng = np.random.default_rng([plan.seed, 2])
  finishes = dict(style.finishes)
  finishes |= {
    name: dataclasses.replace(finishes[name], picture_HW3=decor.fabric(c, rng))
    for name, c in plan.cloths.items()
  }
  finishes['front'] = styles.Finish(decor.plain(plan.front), 1.0, 0.15)
  finishes['door'] = styles.Finish(decor.plain((0.9, 0.89, 0.86)), 1.0, 0.1)
  surface = plans.top(plan)
  finishes['surface'] = styles.Finish(surface, 1.0, plan.gloss)
  edge = surface.reshape(-1, 3).mean(axis=0) * 0.85
  finishes['rug_edge'] = styles.Finish(decor.plain(edge), 1.0, 0.0)
  finishes['table_edge'] = styles.Finish(
    np.clip(surface[:64, :64] * 0.85, 0, 1), 0.5, 0.1
  )
  return dataclasses.replace(
    style,
    finishes=finishes,
    boards=(plan.floor,),
    tiles=(plan.floor,),
    paints=(plan.paint,),
    patterns=(plan.pattern,),
  )


def _add_lights(spec: mujoco.MjSpec, plan: plans.Plan) -> None:
  """Adds the lights and sets the scale and the clipping planes."""
  spec.stat.extent, spec.stat.center = 4.0, (0.0, 0.0, 0.0)
  spec.visual.map.znear, spec.visual.map.zfar = 0.04, 12.0
  head = spec.visual.headlight
  head.ambient, head.diffuse = (0.56, 0.56, 0.57), (0.13, 0.13, 0.13)
  head.specular = (0.08,) * 3
  x, y, z = plan.lamp_m
  spec.worldbody.add_light(
    name='lamp',
    type=mujoco.mjtLightType.mjLIGHT_SPOT,
    pos=(x, y, z),
    dir=(-x, -y, -z),
    cutoff=50.0,
    exponent=2.0,
    attenuation=(1, 0, 0),
    ambient=(0,) * 3,
    diffuse=(0.46, 0.45, 0.43),
    specular=(0.35,) * 3,
    castshadow=True,
  )
  for direction, level in (
    ((0.35, 0.5, -0.6), 0.14),
    ((-0.6, -0.4, -0.2), 0.1),
  ):
    spec.worldbody.add_light(
      type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
      dir=direction,
      castshadow=False,
      ambient=(0,) * 3,
      diffuse=(level,) * 3,
      specular=(0.05,) * 3,
    )
