"""Errors of users and of services, as opposed to bugs of the project.

A `UserError` is raised where an unusable flag, config field, file or directory
enters the program. A `ServiceError` is raised where a service fails. `main`
prints either as one line and exits with 2 or 3. Every other exception is a bug
and keeps its traceback.
"""

from collections.abc import Iterable
import difflib


class UserError(ValueError):
  """An unusable input: one line with the value, its place and the choices."""


class ServiceError(Exception):
  """A service that is down or refuses: one line with name and answer."""


def unknown(what: str, name: str, choices: Iterable[str]) -> UserError:
  """Returns the error for a name that is not among the choices.

  The message names the nearest choice, if one is near, and then all of them.

  Args:
    what: the kind of thing that is named, e.g. 'algorithm'.
    name: the name that the user gave.
    choices: every valid name.
  """
  choices = sorted(choices)
  near = difflib.get_close_matches(name, choices, n=1)
  hint = f' (did you mean {near[0]!r}?)' if near else ''
  return UserError(
    f'unknown {what} {name!r}{hint}; choices: {", ".join(choices)}'
  )
