"""Mistakes of the user's and failures of others, told apart from our bugs.

Whatever the user wrote (a flag, a config field, a file, a directory) and that
cannot be used is a `UserError`, raised where it enters the program. A service
that does not do its part is a `ServiceError`. `main` prints either as one line
and exits with 2 or 3; every other exception is a bug and keeps its traceback.
"""

from collections.abc import Iterable
import difflib


class UserError(ValueError):
  """The user's mistake: one line naming the value, the place, the choices."""


class ServiceError(Exception):
  """A service that is down or refuses: one line naming it and what it said."""


def unknown(what: str, name: str, choices: Iterable[str]) -> UserError:
  """An error for a name that is none of the choices, nearest ones first.

  Args:
    what: the kind of thing named, e.g. 'algorithm'.
    name: what the user wrote.
    choices: every name there is.
  """
  choices = sorted(choices)
  near = difflib.get_close_matches(name, choices, n=1)
  hint = f' (did you mean {near[0]!r}?)' if near else ''
  return UserError(
    f'unknown {what} {name!r}{hint}; choices: {", ".join(choices)}'
  )
