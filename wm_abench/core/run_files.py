"""JSON files of a workdir, and the manifest that says what it is of."""

from collections.abc import Mapping, Set
import json
import os
import pathlib
from typing import Any

from commons import errors

NAME = 'manifest.json'


def load(path: pathlib.Path) -> dict[str, Any]:
  """Raises UserError where the file holds no table of JSON."""
  try:
    return dict(json.loads(path.read_text()))
  except (TypeError, ValueError) as e:
    raise errors.UserError(f'{str(path)!r} is no table of JSON: {e}') from e


def save(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes JSON, which is there wholly or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_name(f'unfinished.{path.name}')
  try:
    unfinished.write_text(json.dumps(value, indent=1) + '\n')
    os.replace(unfinished, path)
  finally:
    unfinished.unlink(missing_ok=True)


def keep(
  folder: pathlib.Path,
  wanted: Mapping[str, Any],
  holds: str,
  free: Set[str] = frozenset(),
) -> dict[str, Any]:
  """Writes a workdir's manifest, or checks that it says the same as before.

  Args:
    folder: the workdir.
    wanted: what it is to say.
    holds: what the workdir is full of, for the error.
    free: names that may differ.

  Returns:
    What it says now.

  Raises:
    UserError: the workdir was begun with something else.
    OSError: it cannot be written.
  """
  path = folder / NAME
  if not path.is_file():
    save(path, wanted)
    return dict(wanted)
  had = load(path)
  for name, value in wanted.items():
    if name not in free and had.get(name) != value:
      raise errors.UserError(
        f'{str(folder)!r} holds {holds} with {name}={had.get(name)}, not'
        f' {value}: give another workdir, or the same {name}'
      )
  return had
