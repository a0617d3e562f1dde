"""The record that describes a source of problems.

To add a source, write a module in this folder that defines a `Source`, and list
it in `registry.SOURCES`. The builder caches what the source reads; the cached
copy is made anew when the data change, or the code of the source's module or of
a module of `coderl.problems` that it imports.
"""

from collections.abc import Callable, Iterator
import dataclasses
import importlib.util
import pathlib

from coderl import types
from commons import errors

# (split, path, seed) -> problems. The same arguments give the same problems in
# the same order. `path` is a file or folder, '' for a source without data;
# `seed` seeds whatever the source generates. A reader raises UserError for data
# that it cannot use, with the location first ('rows.jsonl:3: ...').
Reader = Callable[[str, str, int], Iterator[types.Problem]]


@dataclasses.dataclass(frozen=True)
class Data:
  """The file or folder that a source reads.

  Attributes:
    package: the Python package that contains it; None if there is none, so that
      the user has to give a path.
    location: its path inside the package.
    pattern: for a folder, the glob of its files; None for a single file.
  """

  package: str | None = None
  location: str = ''
  pattern: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
  """A source of problems.

  Attributes:
    name: the unique name by which a config refers to it (`data.name`).
    splits: the names of its splits.
    read: reads the problems of a split.
    data: the file or folder to read; None if the problems are generated.
  """

  name: str
  splits: tuple[str, ...]
  read: Reader
  data: Data | None = None

  @property
  def needs_path(self) -> bool:
    """Whether the user has to give the path of the data."""
    return self.data is not None and self.data.package is None

  def locate(self, path: str | None) -> tuple[str, list[pathlib.Path]]:
    """Finds the data.

    Args:
      path: the file or folder; None for the one in the source's package.

    Returns:
      The path to read from, '' for a source without data, and the files there.

    Raises:
      UserError: there is no such file, or the source takes no path or needs
        one.
    """
    if self.data is None:
      if path:
        raise errors.UserError(
          f'data source {self.name!r} reads no file, but has the path {path!r}'
        )
      return '', []
    path = path or self._packaged()
    root, pattern = pathlib.Path(path), self.data.pattern
    files = [root] if pattern is None else sorted(root.glob(pattern))
    if not files or not files[0].is_file():
      kind = 'file' if pattern is None else f'folder with {pattern}'
      raise errors.UserError(
        f'{path}: no such {kind}, for data source {self.name!r}'
      )
    return path, files

  def _packaged(self) -> str:
    """Returns the path of the data inside the source's package."""
    package = self.data.package
    if package is None:
      raise errors.UserError(
        f'data source {self.name!r} needs the path of its file'
      )
    # Importing some of these packages takes seconds; finding them does not.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
      raise errors.UserError(
        f'data source {self.name!r} needs a path or the package {package!r}'
      )
    return str(pathlib.Path(spec.origin).parent / self.data.location)
