"""JSON files of a workdir, and the manifest of the settings that made it."""

from collections.abc import Mapping, Set
import json
import pathlib
from typing import Any

from commons import errors, files

MANIFEST = 'manifest.json'


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object in a JSON file.

  Raises:
    UserError: the file does not contain a JSON object.
  """
  try:
    return dict(json.loads(path.read_text(encoding='utf-8')))
  except (TypeError, ValueError) as e:
    raise errors.UserError(f'{str(path)!r} is not a JSON object: {e}') from e


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes a JSON file, completely or not at all; creates its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(path, json.dumps(value, indent=1) + '\n')


def keep_manifest(
  folder: pathlib.Path,
  settings: Mapping[str, Any],
  contents: str,
  may_differ: Set[str] = frozenset(),
) -> dict[str, Any]:
  """Writes a workdir's manifest, or checks that its settings are the same.

  Args:
    folder: the workdir.
    settings: the settings of this run.
    contents: what the workdir contains, for the error message.
    may_differ: names of settings that may differ from the manifest.

  Returns:
    The manifest in the workdir.

  Raises:
    UserError: the workdir was made with other settings.
    OSError: the manifest cannot be written.
  """
  path = folder / MANIFEST
  if not path.is_file():
    write_json(path, settings)
    return dict(settings)
  manifest = read_json(path)
  for name, value in settings.items():
    if name not in may_differ and manifest.get(name) != value:
      raise errors.UserError(
        f'{str(folder)!r} holds {contents} with {name}={manifest.get(name)},'
        f' not {value}: give another workdir, or the same {name}'
      )
  return manifest
