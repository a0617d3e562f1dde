"""What a simulator needs from outside, asked for before it is used."""

import importlib
import socket
import types

from commons import errors

_CONNECT_S = 2.0


def package(name: str, simulator: str, how: str) -> types.ModuleType:
  """The imported package.

  Args:
    name: of the module.
    simulator: who needs it.
    how: the way to get it.

  Raises:
    UserError: it is not installed, or needs one that is not.
  """
  try:
    return importlib.import_module(name)
  except ImportError as e:
    raise errors.UserError(
      f'{simulator} needs the package {name!r} ({e}): {how}'
    ) from e


def server(host: str, port: int, simulator: str, how: str) -> None:
  """Returns if something listens; clients themselves may wait for ever.

  Raises:
    UserError: nothing does.
  """
  try:
    socket.create_connection((host, port), _CONNECT_S).close()
  except OSError as e:
    raise errors.UserError(
      f'{simulator}: nothing listens at {host}:{port} ({e}): {how}'
    ) from e
