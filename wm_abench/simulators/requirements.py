"""Checks of the packages and servers that a simulator needs."""

import importlib
import socket
import types

from commons import errors

_CONNECT_S = 2.0


def package(name: str, simulator: str, how: str) -> types.ModuleType:
  """Imports and returns a module of an optional package.

  Args:
    name: the name of the module.
    simulator: the simulator that needs it, for the error message.
    how: the command that installs it, for the error message.

  Raises:
    UserError: the package or one of its dependencies is not installed.
  """
  try:
    return importlib.import_module(name)
  except ImportError as e:
    raise errors.UserError(
      f'{simulator} needs the package {name!r} ({e}): {how}'
    ) from e


def server(host: str, port: int, simulator: str, how: str) -> None:
  """Checks that a server listens, because clients may wait forever for it.

  Args:
    host: the host of the server.
    port: its port.
    simulator: the simulator, for the error message.
    how: how to start the server, for the error message.

  Raises:
    UserError: nothing listens at the port.
  """
  try:
    socket.create_connection((host, port), _CONNECT_S).close()
  except OSError as e:
    raise errors.UserError(
      f'{simulator}: nothing listens at {host}:{port} ({e}): {how}'
    ) from e
