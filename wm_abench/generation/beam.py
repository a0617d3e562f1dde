"""Apache Beam, which spreads large runs over other machines.

Its workers write into the folder of the run, which all of them must see.
"""

import importlib
import pathlib
from typing import Any

from commons import errors
from wm_abench.data import dataset
from wm_abench.generation import generator, shards, workers


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


def options(words: str) -> Any:
  """Options of a pipeline, such as '--runner=DirectRunner'."""
  module = importlib.import_module('apache_beam.options.pipeline_options')
  return module.PipelineOptions(words.split())


def make_shards(
  settings: generator.Settings,
  missing: list[shards.Shard],
  folder: pathlib.Path,
  words: str,
) -> None:
  """Makes and writes shards, each by one worker.

  Args:
    settings: of the generation.
    missing: the shards.
    folder: the workdir.
    words: the pipeline's options.
  """
  beam = import_beam()

  class WriteShard(_worker_fn(beam, settings)):
    def process(self, shard):
      parts = [self.worker.make(task) for task in shard.tasks()]
      shards.write(shard, parts, folder)

  with beam.Pipeline(options=options(words)) as pipeline:
    (
      pipeline
      | beam.Create(missing)
      | beam.Reshuffle()
      | beam.ParDo(WriteShard())
    )


def examples(settings: generator.Settings, tasks: list[workers.Task]) -> Any:
  """A transform from nothing to numbered examples, for a tfds builder."""
  beam = import_beam()

  class MakeExamples(_worker_fn(beam, settings)):
    def process(self, task):
      for i, item in enumerate(self.worker.make(task).items, task.start):
        yield i, dataset.to_example(item)

  return beam.Create(tasks) | beam.Reshuffle() | beam.ParDo(MakeExamples())


def _worker_fn(beam: Any, settings: generator.Settings) -> Any:
  """A DoFn with a worker of its own; Beam is not always there to inherit."""

  class WorkerFn(beam.DoFn):
    def setup(self):
      self.worker = workers.Worker(settings)

    def teardown(self):
      self.worker.close()

  return WorkerFn
