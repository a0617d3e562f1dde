"""The tfds builder of WM-ABench, in one process or through Apache Beam.

    builder = WmAbench(config=config('sr_tabletop'), data_dir=FOLDER)
    builder.download_and_prepare()
    builder.as_dataset('mini')

makes a cell, or opens it where it was made before, by the local pool of
wm_abench/generate.py too. With `config(..., beam=True)` the groups are made by
the workers of the Beam runner that the DownloadConfig names.
"""

from collections.abc import Iterator, Mapping
import dataclasses
import importlib
import os
from typing import Any

import tensorflow_datasets as tfds

from commons import errors
from wm_abench import dataset, dimensions, generation

_GROUPS_A_CALL = 4  # Of Beam: enough to make opening a world worth while.


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
  """One cell; made by `config`, which fills in the name.

  settings: of the generation.
  splits: how many items each has.
  beam: whether a Beam runner makes them.
  """

  settings: generation.Settings | None = None
  splits: Mapping[str, int] = dataclasses.field(default_factory=dict)
  beam: bool = False


def config(
  cell: str,
  *,
  seed: int = 0,
  size_px: int = 384,
  renderer: str = 'mujoco',
  splits: Mapping[str, int] | None = None,
  beam: bool = False,
) -> Config:
  """The config of a cell.

  Args:
    cell: its name.
    seed, size_px, renderer: as in generation.Settings.
    splits: the number of items by split; mini and test by default.
    beam: whether a Beam runner makes them.

  Raises:
    UserError: no such cell.
  """
  if cell not in dimensions.CELLS:
    raise errors.unknown('cell', cell, dimensions.CELLS)
  of = dimensions.CELLS[cell]
  return Config(
    name=cell,
    description=dataset.describe(cell),
    settings=generation.Settings(seed, size_px, renderer),
    splits=splits
    or {s: dataset.size_of(of, s) for s in (dataset.MINI, dataset.TEST)},
    beam=beam,
  )


class WmAbench(tfds.core.GeneratorBasedBuilder):
  """Items of WM-ABench; see the module."""

  VERSION = tfds.core.Version(dataset.VERSION)
  BUILDER_CONFIGS = [config(name) for name in dimensions.CELLS]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=self.builder_config.description,
      features=dataset.features(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    splits = self.builder_config.splits
    return {name: self._generate_examples(n) for name, n in splits.items()}

  def _generate_examples(self, items: int):
    of = self.builder_config
    cell = dimensions.CELLS[of.name]
    if not of.beam:
      return _examples(cell, of.settings, items)
    beam = import_beam()
    step = cell.of.options * _GROUPS_A_CALL
    ranges = [(i, min(i + step, items)) for i in range(0, items, step)]
    return (
      beam.Create(ranges)
      | beam.Reshuffle()
      | beam.ParDo(_make_beam_fn(beam, cell, of.settings))
    )


def prepare(
  config: Config, data_dir: str | os.PathLike[str], beam_options: str = ''
) -> WmAbench:
  """The builder of a config, its examples made.

  Args:
    config: of `config`.
    data_dir: where the data are to lie.
    beam_options: of Beam's pipeline, such as '--runner=DirectRunner'.
  """
  builder = WmAbench(config=config, data_dir=data_dir)
  download = tfds.download.DownloadConfig()
  if config.beam:
    options = import_beam().options.pipeline_options.PipelineOptions
    download.beam_options = options(beam_options.split())
  builder.download_and_prepare(download_config=download)
  return builder


def import_beam() -> Any:
  """Apache Beam, which only large runs need.

  Raises:
    UserError: it is not installed.
  """
  try:
    return importlib.import_module('apache_beam')
  except ModuleNotFoundError as e:
    raise errors.UserError(
      "Apache Beam is not installed: pip install 'coderl[beam]'"
    ) from e


def _examples(
  cell: dimensions.Cell, settings: generation.Settings, items: int
) -> Iterator[tuple[int, dict[str, Any]]]:
  generator = generation.Generator(settings)
  try:
    made = generation.members(generator, cell, 0, items)
    for i, item in enumerate(made):
      yield i, dataset.to_example(item)
  finally:
    generator.close()


def _make_beam_fn(
  beam: Any, cell: dimensions.Cell, settings: generation.Settings
) -> Any:
  """A DoFn from a range of item numbers to examples; Beam is not always here.

  Each of a worker's threads has a studio of its own, from setup to teardown.
  """

  class MakeItems(beam.DoFn):
    def setup(self):
      self._generator = generation.Generator(settings)

    def process(self, numbers):
      start, stop = numbers
      made = generation.members(self._generator, cell, start, stop)
      for i, item in enumerate(made, start):
        yield i, dataset.to_example(item)

    def teardown(self):
      self._generator.close()

  return MakeItems()
