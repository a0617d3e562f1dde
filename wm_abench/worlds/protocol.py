"""What every environment is: scenes and actions in, states and frames out.

    environment = make('tabletop', renderer)
    state = environment.reset(scene)  # A frozen Scene of that environment's.
    state = environment.step(action)  # An Action the environment knows.
    frame_HWC = environment.render(camera)

Scenes, actions and cameras are frozen data, so that a `Shot`, the three
together, says all there is to know of a frame: the same shot gives the same
state anywhere and the same pixels on one host. A counterfactual is a shot with
one of the three changed.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import hashlib
import importlib
import json
import types
from typing import Any, Protocol

import numpy as np

from commons import errors

Vector = tuple[float, float, float]

# Where each environment's class is; nothing is imported before it is asked for.
_PLACES = {
  'tabletop': 'wm_abench.worlds.tabletop.tabletop:Tabletop',
  'apartment_table': 'wm_abench.worlds.tabletop.apartment_table:ApartmentTable',
  'manipulation': 'wm_abench.worlds.kitchen.environment:Manipulation',
  'intuitive_physics': (
    'wm_abench.worlds.physics_hall.environment:IntuitivePhysics'
  ),
  'indoor': 'wm_abench.worlds.homes.environment:Indoor',
  'street': 'wm_abench.worlds.street.environment:Street',
}


@dataclasses.dataclass(frozen=True)
class Camera:
  """A pinhole camera.

  Attributes:
    name: such as 'front', 'top', 'side', 'ego'.
    position_m: where it is.
    target_m: what it looks at; not right below or above with roll unsaid.
    fovy_deg: vertical field of view.
    up: which way is up in the picture; for a view straight down, the world's
      direction that is to be at the top.
    mount: '' in the world's frame; else the body that the three vectors are
      relative to (x ahead, y left, z up).
  """

  name: str
  position_m: Vector
  target_m: Vector
  fovy_deg: float = 45.0
  up: Vector = (0.0, 0.0, 1.0)
  mount: str = ''


@dataclasses.dataclass(frozen=True)
class Action:
  """Something done, or time that passes, from one state to the next.

  Attributes:
    name: such as 'wait', 'push', 'turn_left'; each environment lists its own.
    values: its numbers, in the order and units that the environment says.
    agent: which arm or vehicle acts, where there are several.
  """

  name: str
  values: tuple[float, ...] = ()
  agent: str = ''


@dataclasses.dataclass(frozen=True)
class Scene:
  """What an environment starts from; each one's own adds fields to this.

  Attributes:
    background: one of the environment's rooms, kitchens, streets.
    seed: of all that the other fields leave open.
  """

  background: str
  seed: int


@dataclasses.dataclass(frozen=True)
class Body:
  """One thing's pose and motion in the world's frame.

  quaternion is (w, x, y, z); velocities are in m/s and rad/s.
  """

  position_m: Vector
  quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
  velocity_mps: Vector = (0.0, 0.0, 0.0)
  spin_radps: Vector = (0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class State:
  """What is the case, from the simulator and never from pixels.

  Attributes:
    time_s: since reset.
    bodies: everything that can differ between two states of a scene, by name.
    facts: what the environment knows besides, such as whether a lift held.
  """

  time_s: float
  bodies: Mapping[str, Body]
  facts: Mapping[str, Any] = dataclasses.field(
    default_factory=lambda: types.MappingProxyType({})
  )


@dataclasses.dataclass(frozen=True)
class Shot:
  """A frame as data: the scene, what is done in it, and who looks."""

  environment: str
  scene: Scene
  actions: tuple[Action, ...]
  camera: Camera

  def key(self) -> str:
    """A digest that two shots share if and only if they are equal."""
    return digest(self)


class Renderer(Protocol):
  """Makes frames of compiled MuJoCo models; see wm_abench/render."""

  size_px: int

  def render(self, model: Any, data: Any, camera: Camera) -> np.ndarray:
    """A uint8 frame [size_px, size_px, 3]; the camera is in the world."""

  def close(self) -> None: ...


class Environment(Protocol):
  """A simulated world. `reset` comes first; `render` changes nothing."""

  def reset(self, scene: Scene) -> State: ...

  def step(self, action: Action) -> State:
    """Raises ValueError for an action that the environment does not have."""

  def render(self, camera: Camera) -> np.ndarray:
    """A uint8 frame [H, W, 3]."""

  def close(self) -> None: ...


# Runs a shot's scene and actions without looking: all the states from reset's
# on, len(actions) + 1 of them.
Simulate = Callable[[str, Scene, tuple[Action, ...]], tuple[State, ...]]


def make(name: str, renderer: Renderer | None) -> Environment:
  """An environment by its name; without a renderer it can only be stepped.

  Raises:
    UserError: no such environment, or a package it needs is not installed.
  """
  if name not in _PLACES:
    raise errors.unknown('environment', name, _PLACES)
  module, _, attribute = _PLACES[name].partition(':')
  try:
    return getattr(importlib.import_module(module), attribute)(renderer)
  except ModuleNotFoundError as e:
    raise errors.UserError(
      f'environment {name!r} needs the package {e.name!r}:'
      " pip install 'coderl[wm]'"
    ) from e


def plain(value: Any) -> Any:
  """Frozen data as JSON's types; a dataclass carries its type's name."""
  if dataclasses.is_dataclass(value):
    fields = {
      f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
    }
    return {'type': type(value).__name__} | fields
  if isinstance(value, Mapping):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, np.ndarray | tuple | list):
    return [plain(v) for v in value]
  return value.item() if isinstance(value, np.generic) else value


def digest(value: Any) -> str:
  """SHA-256 of frozen data, the same in every process."""
  text = json.dumps(plain(value), sort_keys=True, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def distance(a: State, b: State, names: Iterable[str] | None = None) -> float:
  """How far apart two states are: the largest move of any body.

  A turn counts as the angle in radians times 0.1 m, the way of a point that far
  from the axis.

  Args:
    a, b: of one scene, or of scenes with bodies of the same names.
    names: the bodies that count; all of them by default.

  Returns:
    Metres; infinite where the two do not have the same bodies.
  """
  names = set(a.bodies) | set(b.bodies) if names is None else set(names)
  if not names <= set(a.bodies) & set(b.bodies):
    return float('inf')
  return max(_gap(a.bodies[n], b.bodies[n]) for n in names)


def _gap(a: Body, b: Body) -> float:
  move = np.linalg.norm(np.subtract(a.position_m, b.position_m))
  cosine = abs(float(np.dot(a.quaternion, b.quaternion)))
  turn = 2 * np.arccos(min(cosine, 1.0))
  return float(max(move, 0.1 * turn))
