"""Apache Beam, which distributes large runs over many machines.

Its workers write into the folder of the run, which all of them must see.
"""

import importlib
import pathlib
from typing import Any

from commons import errors
from wm_abench.generation import generator, shards, workers


def import_beam() -> Any:
  """Returns the module of Apache Beam.

  Raises:
    UserError: Apache Beam is not installed.
  """
  try:
    return importlib.import_module('apache_beam')
  except ModuleNotFoundError as e:
    raise errors.UserError(
      "Apache Beam is not installed: pip install 'coderl[beam]'"
    ) from e


def make_shards(
  settings: generator.Settings,
  missing: list[shards.Shard],
  folder: pathlib.Path,
  options: str,
) -> None:
  """Makes and writes shards; one worker makes a whole shard.

  Args:
    settings: the settings of the generation.
    missing: the shards to make.
    folder: the workdir.
    options: options of the pipeline, such as '--runner=DirectRunner'.

  Raises:
    UserError: Apache Beam is not installed.
  """
  beam = import_beam()
  module = importlib.import_module('apache_beam.options.pipeline_options')

  # A local class, because its base class exists only if Beam is installed.
  class WriteShard(beam.DoFn):
    def setup(self):
      self.worker = workers.Worker(settings)

    def process(self, shard):
      results = [self.worker.make(task) for task in shard.tasks()]
      shards.write(shard, results, folder)

    def teardown(self):
      self.worker.close()

  pipeline_options = module.PipelineOptions(options.split())
  with beam.Pipeline(options=pipeline_options) as pipeline:
    (
      pipeline
      | beam.Create(missing)
      | beam.Reshuffle()
      | beam.ParDo(WriteShard())
    )
