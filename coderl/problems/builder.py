"""The tfds data set of programming problems: one builder, a config per source.

Examples keep the order of the source (sources/registry.py) and have the same
features in all sources (examples.FIELDS). The name of a config contains a
digest of everything that its examples are made from (cache_key), so a stale
copy is never read.
"""

from collections.abc import Iterable
import contextlib
import dataclasses
import itertools
import os
import pathlib

from absl import logging
import numpy as np

from coderl import types
from coderl.problems import cache_key, examples
from coderl.problems.sources import registry
from coderl.problems.tensorflow_cpu import tfds
from commons import errors, files


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """A source and its settings. Use `config` to make one: it sets the name.

  Attributes:
    source: a name in registry.SOURCES.
    path: the file or folder to read; '' for a source that reads none.
    seed: seeds what the source generates (embedded, codeio).
  """

  source: str = 'embedded'
  path: str = ''
  seed: int = 0


class CodeProblems(tfds.core.GeneratorBasedBuilder):
  """Programming problems with tests; see the module."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    text = tfds.features.Text()
    tests = dict.fromkeys(examples.TEST_FIELDS, text)
    return tfds.core.DatasetInfo(
      builder=self,
      description=__doc__,
      features=tfds.features.FeaturesDict(
        {
          **dict.fromkeys(examples.TEXT_FIELDS, text),
          'tests': tfds.features.Sequence(tests),
          'level': tfds.features.Scalar(np.int32),
        }
      ),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    config = self.builder_config
    source = registry.SOURCES[config.source]
    splits = {}
    for split in source.splits:
      problems = source.read(split, config.path, config.seed)
      first = next(problems, None)
      if first is not None:  # tfds does not support an empty split.
        splits[split] = self._generate_examples(
          itertools.chain([first], problems)
        )
    if not splits:
      raise errors.UserError(f'{config.path or config.source}: no problems')
    return splits

  def _generate_examples(self, problems: Iterable[types.Problem]):
    for i, problem in enumerate(problems):
      yield i, examples.to_example(problem)


def config(source: str, *, path: str | None = None, seed: int = 0) -> Config:
  """Returns the config of a source.

  Args:
    source: a name in registry.SOURCES.
    path: its file or folder; by default the one in the source's package.
    seed: seeds what the source generates.

  Raises:
    UserError: there is no such source or file, or the source needs a path.
  """
  if source not in registry.SOURCES:
    raise errors.unknown('data source', source, registry.SOURCES)
  path, data_files = registry.SOURCES[source].locate(path)
  digest = cache_key.of_source(registry.SOURCES[source], data_files, seed)
  name = f'{source}-{digest[:16]}'
  return Config(name=name, source=source, path=path, seed=seed)


def prepare(
  config: Config, data_dir: str | os.PathLike[str] | None = None
) -> CodeProblems:
  """Returns the builder of a config, with its examples prepared.

  Of several processes that start together, one prepares the examples and the
  others wait for it.

  Args:
    config: made by `config`.
    data_dir: the folder or bucket of prepared data; by default the user's
      cache.

  Raises:
    UserError: the source cannot be read, or the folder cannot be written.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  cache = pathlib.Path(cache) / 'coderl'
  data_dir = data_dir or cache
  # A bucket (gs://...) has no locks, so the lock is in the user's cache.
  is_bucket = '://' in os.fspath(data_dir)
  folder = cache if is_bucket else pathlib.Path(data_dir)
  with _quiet_tfds():
    builder = CodeProblems(config=config, data_dir=data_dir)
    if builder.is_prepared():
      return builder
    with contextlib.ExitStack() as stack:
      try:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(files.locked(folder / f'{config.name}.lock'))
      except OSError as error:
        raise errors.UserError(
          f'{folder}: prepared data cannot be written: {error}'
        ) from error
      # Made after the wait, a builder reads what another process has prepared.
      builder = CodeProblems(config=config, data_dir=data_dir)
      builder.download_and_prepare()
  return builder


@contextlib.contextmanager
def _quiet_tfds():
  """Turns off progress bars, and the warning that a config is not built in."""
  tfds.disable_progress_bar()
  level = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(level)
