"""The tfds builder of WM-ABench: a config a cell.

    builder = WmAbench(config='sr_tabletop', data_dir=FOLDER)
    builder.download_and_prepare()
    builder.as_dataset('mini')

makes a cell, or opens it where it was made before, by wm_abench/generate.py
too. With `beam=True` the groups are made by the workers of the Beam runner that
the DownloadConfig names.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from wm_abench.core import dimensions
from wm_abench.data import dataset
from wm_abench.generation import beam as beam_lib
from wm_abench.generation import generator, workers

_GROUPS_A_TASK = 4


class WmAbench(tfds.core.GeneratorBasedBuilder):
  """Items of WM-ABench; see the module.

  Args:
    settings: of the generation; seed 0, 384 pixels and MuJoCo by default.
    splits: the number of items by split; mini and test by default.
    beam: whether a Beam runner makes them.
    **kwargs: of tfds; `config` is a cell's name.

  Raises:
    UserError: it is to be made by a simulator that does not make this cell.
  """

  VERSION = tfds.core.Version(dataset.VERSION)
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(name=name, description=dataset.describe(name))
    for name in dimensions.CELLS
  ]

  def __init__(
    self,
    *,
    settings: generator.Settings | None = None,
    splits: Mapping[str, int] | None = None,
    beam: bool = False,
    **kwargs,
  ):
    self._settings = settings or generator.Settings(0, 384, 'mujoco')
    self._splits, self._beam = splits, beam
    super().__init__(**kwargs)
    generator.made_by(self._settings.simulator, [self._cell])

  @property
  def _cell(self) -> dimensions.Cell:
    return dimensions.CELLS[self.builder_config.name]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=dataset.describe(self._cell.name, self._settings.simulator),
      features=dataset.features(),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    splits = self._splits or {
      name: dataset.size_of(self._cell, name)
      for name in (dataset.MINI, dataset.TEST)
    }
    return {name: self._generate_examples(n) for name, n in splits.items()}

  def _generate_examples(self, items: int):
    step = self._cell.of.options * _GROUPS_A_TASK
    tasks = [
      workers.Task(self._cell.name, i, min(i + step, items))
      for i in range(0, items, step)
    ]
    if self._beam:
      return beam_lib.examples(self._settings, tasks)
    return self._examples(tasks)

  def _examples(
    self, tasks: Iterable[workers.Task]
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    worker = workers.Worker(self._settings)
    try:
      for task in tasks:
        for i, item in enumerate(worker.make(task).items, task.start):
          yield i, dataset.to_example(item)
    finally:
      worker.close()
