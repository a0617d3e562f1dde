"""Renderers by name; what one needs is imported when it is asked for."""

import importlib
from typing import Any

from commons import errors
from wm_abench.worlds import protocol

# Where each class is, and the extras that install what it needs.
_PLACES = {
  'mujoco': ('wm_abench.rendering.mujoco:MujocoRenderer', 'wm'),
  'mitsuba': ('wm_abench.rendering.mitsuba:MitsubaRenderer', 'wm,mitsuba'),
}
RENDERERS: tuple[str, ...] = tuple(_PLACES)


def open_renderer(name: str, size_px: int) -> protocol.Renderer:
  """A renderer of square frames.

  Args:
    name: one of RENDERERS: 'mujoco' is fast, 'mitsuba' is photoreal and slow.
    size_px: of the frames.

  Raises:
    UserError: no such renderer, a package it needs is not installed, or the
      host cannot render.
  """
  return _load(name)(size_px)


def way(name: str) -> str:
  """How a renderer makes frames on this host, in a line.

  Raises:
    UserError: as for open_renderer.
  """
  return _load(name).way()


def _load(name: str) -> Any:
  if name not in _PLACES:
    raise errors.unknown('renderer', name, RENDERERS)
  place, extra = _PLACES[name]
  module, _, attribute = place.partition(':')
  try:
    return getattr(importlib.import_module(module), attribute)
  except ModuleNotFoundError as e:
    raise errors.UserError(
      f'renderer {name!r} needs the package {e.name!r}: pip install'
      f" 'coderl[{extra}]'"
    ) from e
