"""The protocol of environments: scenes and actions in, states and frames out.

    environment = registry.open_environment('tabletop', renderer)
    state = environment.reset(scene)  # A subclass of Scene.
    state = environment.step(action)
    frame_HWC = environment.render(camera)

Scenes, actions and cameras are frozen data, and a `Shot` holds all three. Equal
shots give equal states on every host, and equal pixels on one host. A
counterfactual is a shot with one of the three changed.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import hashlib
import json
import types
from typing import Any, Protocol

import numpy as np

Vector = tuple[float, float, float]

# A rotation counts as the displacement of a point at this radius.
_ROTATION_RADIUS_M = 0.1


@dataclasses.dataclass(frozen=True)
class Camera:
  """A pinhole camera.

  Attributes:
    name: such as 'front', 'top', 'side', 'ego'.
    position_m: the centre of projection.
    target_m: the point at the centre of the frame. It must not lie along `up`
      from the position.
    fovy_deg: vertical field of view.
    up: the direction that points up in the frame. A camera that looks straight
      down needs a horizontal one.
    mount: '' for vectors in the world's frame; else the name of a body, for
      vectors in the frame of that body (x ahead, y left, z up).
  """

  name: str
  position_m: Vector
  target_m: Vector
  fovy_deg: float = 45.0
  up: Vector = (0.0, 0.0, 1.0)
  mount: str = ''


@dataclasses.dataclass(frozen=True)
class Action:
  """A transition from one state to the next: an act, or time that passes.

  Attributes:
    name: such as 'wait', 'push', 'turn_left'; each environment has its list.
    values: the parameters, in the order and units that the environment defines.
    agent: the arm or vehicle that acts, in environments with several.
  """

  name: str
  values: tuple[float, ...] = ()
  agent: str = ''


@dataclasses.dataclass(frozen=True)
class Scene:
  """The initial condition of an environment; each subclasses it with fields.

  Attributes:
    background: the name of a room, kitchen, home or district.
    seed: determines everything that the other fields leave open.
  """

  background: str
  seed: int


@dataclasses.dataclass(frozen=True)
class Body:
  """The pose and velocity of one body in the world's frame.

  Attributes:
    position_m: of the body's origin.
    quaternion: (w, x, y, z), of unit length.
    velocity_mps: linear velocity.
    spin_radps: angular velocity.
  """

  position_m: Vector
  quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
  velocity_mps: Vector = (0.0, 0.0, 0.0)
  spin_radps: Vector = (0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class State:
  """The ground truth, read from the simulation and never from pixels.

  Attributes:
    time_s: seconds since reset.
    bodies: every body that can differ between two states of a scene, by name.
    facts: further results by name, such as whether a gripper holds a thing.
  """

  time_s: float
  bodies: Mapping[str, Body]
  facts: Mapping[str, Any] = dataclasses.field(
    default_factory=lambda: types.MappingProxyType({})
  )


@dataclasses.dataclass(frozen=True)
class Shot:
  """A frame as data: the scene, the actions taken in it, and the camera."""

  environment: str
  scene: Scene
  actions: tuple[Action, ...]
  camera: Camera

  def key(self) -> str:
    """Returns a digest that is equal for equal shots only."""
    return digest(self)


class Renderer(Protocol):
  """Draws square frames of compiled MuJoCo models."""

  size_px: int

  def render(self, model: Any, data: Any, camera: Camera) -> np.ndarray:
    """Returns a uint8 frame [size_px, size_px, 3]; the camera has no mount."""

  def refresh(self, model: Any, mesh: int) -> None:
    """Uploads a mesh of the model again, after its vertices have changed."""

  def close(self) -> None:
    """Frees memory and contexts; the renderer is not used afterwards."""


class Environment(Protocol):
  """A simulated world. `reset` is called first; `render` changes no state."""

  def reset(self, scene: Scene) -> State:
    """Starts the scene. Raises UserError for one that is not valid."""

  def step(self, action: Action) -> State:
    """Takes an action. Raises ValueError for one that is not valid."""

  def render(self, camera: Camera) -> np.ndarray:
    """Returns a uint8 frame [H, W, 3] of the current state."""

  def close(self) -> None:
    """Frees memory; the environment is not used afterwards."""


# Runs the scene and the actions of a shot without rendering. Returns the
# len(actions) + 1 states, that of reset first.
Simulate = Callable[[str, Scene, tuple[Action, ...]], tuple[State, ...]]


def to_json(value: Any) -> Any:
  """Returns frozen data in JSON's types.

  A dataclass becomes an object with the name of its class in the field 'type'.
  """
  if dataclasses.is_dataclass(value):
    fields = {
      f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)
    }
    return {'type': type(value).__name__} | fields
  if isinstance(value, Mapping):
    return {str(k): to_json(v) for k, v in value.items()}
  if isinstance(value, np.ndarray | tuple | list):
    return [to_json(v) for v in value]
  return value.item() if isinstance(value, np.generic) else value


def digest(value: Any) -> str:
  """Returns the SHA-256 of frozen data, which is the same in every process."""
  text = json.dumps(to_json(value), sort_keys=True, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def distance(a: State, b: State, names: Iterable[str] | None = None) -> float:
  """Returns the largest displacement of a body between two states, in metres.

  A rotation counts as its angle in radians times 0.1 m. The result is infinite
  if the states do not have the same bodies.

  Args:
    a, b: states of one scene, or of scenes with bodies of the same names.
    names: the bodies to compare; all of them by default.
  """
  names = set(a.bodies) | set(b.bodies) if names is None else set(names)
  if not names <= set(a.bodies) & set(b.bodies):
    return float('inf')
  return max(_displacement(a.bodies[n], b.bodies[n]) for n in names)


def _displacement(a: Body, b: Body) -> float:
  shift_m = np.linalg.norm(np.subtract(a.position_m, b.position_m))
  cosine = abs(float(np.dot(a.quaternion, b.quaternion)))
  angle_rad = 2 * np.arccos(min(cosine, 1.0))
  return float(max(shift_m, _ROTATION_RADIUS_M * angle_rad))
