"""What a run writes down and shows while it trains."""

import json
import pathlib

import ml_collections
import tensorboardX
import tqdm

from coderl.distributed import processes
from coderl.training import metrics, setup


class Journal:
  """What the first process writes down of every step, and shows."""

  def __init__(
    self,
    folder: pathlib.Path,
    config: ml_collections.ConfigDict,
    progress: setup.Progress,
  ):
    self._lines, self._writer, self._bar = folder / 'metrics.jsonl', None, None
    if processes.is_first():
      metrics.write_lines(self._lines, progress.history)
      self._writer = tensorboardX.SummaryWriter(
        str(folder / 'tensorboard'), purge_step=progress.step + 1
      )
      self._bar = tqdm.tqdm(
        total=config.train.steps, initial=progress.step, unit='step'
      )

  def __enter__(self) -> 'Journal':
    return self

  def __exit__(self, *_) -> None:
    if self._writer:
      self._bar.close()
      self._writer.close()

  def tell(self, record: dict[str, float]) -> None:
    """Writes a step's metrics down and shows them."""
    if not self._writer:
      return
    with self._lines.open('a') as f:
      f.write(json.dumps(record) + '\n')
    for name, value in record.items():
      self._writer.add_scalar(name, value, record['step'])
    self._bar.set_postfix_str(postfix(record))
    self._bar.update()


def postfix(record: dict[str, float]) -> str:
  """The progress bar's figures."""
  text = f'reward {record["generate/reward"]:.2f}'
  text += f' pass {record["generate/passed"]:.2f}'
  if 'align/reward' in record:
    text += f' align {record["align/reward"]:.2f}'
    text += f' variables {record["align/variables"]:.2f}'
  return f'{text} {record["tokens_per_s"]:.0f} tok/s'
