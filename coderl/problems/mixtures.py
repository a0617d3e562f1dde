"""seqio tasks and mixtures over the sources of problems.

`register` adds them; importing this module adds none. `load_problems` reads the
problems of a source, a task or a mixture.
"""

from collections.abc import Callable, Mapping, Sequence
import os
from typing import Any

import numpy as np

from coderl import types
from coderl.problems import builder, examples
from coderl.problems.sources import registry
from coderl.problems.tensorflow_cpu import seqio, tf, tfds
from coderl.text import prompts, tokenization
from commons import errors

INPUTS = 'inputs'


class SeqioVocabulary(seqio.Vocabulary):
  """A tokenizer as a seqio vocabulary.

  As seqio requires, `decode` stops after the first end-of-turn token.
  """

  def __init__(self, tokenizer: tokenization.Tokenizer):
    super().__init__()
    self._tokenizer = tokenizer

  @property
  def bos_id(self) -> None:
    return None

  @property
  def eos_id(self) -> int:
    return self._tokenizer.eos_id

  @property
  def pad_id(self) -> int:
    return self._tokenizer.pad_id

  @property
  def unk_id(self) -> None:
    return None

  @property
  def _base_vocab_size(self) -> int:
    return self._tokenizer.vocab_size

  def _encode(self, s: str) -> list[int]:
    return self._tokenizer.encode(s)

  def _decode(self, ids: Sequence[int]) -> str:
    return self._tokenizer.decode([int(i) for i in ids])

  def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
    def encode(text):
      return np.array(self._encode(text.decode()), np.int32)

    ids = tf.numpy_function(encode, [tf.convert_to_tensor(s)], tf.int32)
    ids.set_shape([None])
    return ids

  def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
    def decode(rows):
      texts = [self.decode(row) for row in rows.reshape(-1, rows.shape[-1])]
      return np.array(texts, object).reshape(rows.shape[:-1])

    text = tf.numpy_function(decode, [ids], tf.string)
    text.set_shape(ids.shape[:-1])
    return text


def register(
  configs: Sequence[builder.Config],
  tokenizer: tokenization.Tokenizer,
  *,
  style: str,
  rates: Mapping[str, float] | None = None,
  prefix: str = 'coderl',
  data_dir: str | os.PathLike[str] | None = None,
) -> str:
  """Adds a task for each source, and a mixture of these tasks.

  An example of a task holds 'inputs', the token ids of the prompt that asks for
  a program, 'inputs_pretokenized', its text before the chat template, and the
  problem's fields. Tasks and mixtures of the same name are replaced.

  Args:
    configs: made by builder.config, one per source.
    tokenizer: encodes the prompts.
    style: the style of the prompts; see text.prompts.
    rates: the rate of each source in the mixture; 1 by default.
    prefix: the name of the mixture; tasks are named PREFIX_SOURCE.
    data_dir: the folder of prepared data; see builder.prepare.

  Returns:
    The mixture's name.
  """
  names = [config.source for config in configs]
  rates = dict.fromkeys(names, 1.0) | dict(rates or {})
  if len(set(names)) < len(names) or set(rates) != set(names):
    raise ValueError(
      'expected one config and at most one rate per source: configs of '
      f'{names}, rates of {sorted(rates)}'
    )
  feature = seqio.Feature(SeqioVocabulary(tokenizer), add_eos=False)
  seqio.MixtureRegistry.remove(prefix)
  for config in configs:
    name = f'{prefix}_{config.source}'
    seqio.TaskRegistry.remove(name)
    seqio.TaskRegistry.add(
      name,
      source=seqio.FunctionDataSource(
        _dataset_fn(config, data_dir), registry.SOURCES[config.source].splits
      ),
      preprocessors=[_prompt_preprocessor(tokenizer, style)],
      output_features={INPUTS: feature},
    )
  seqio.MixtureRegistry.add(
    prefix, [(f'{prefix}_{name}', rates[name]) for name in names]
  )
  return prefix


def load_problems(
  name: str,
  split: str,
  *,
  path: str | None = None,
  seed: int = 0,
  data_dir: str | os.PathLike[str] | None = None,
) -> list[types.Problem]:
  """Returns the problems of a split, in a fixed order.

  Args:
    name: a source, or a task or mixture that `register` added. A mixture ends
      where the first of its tasks does, so that its rates hold.
    split: the name of a split.
    path: the source's file or folder; see builder.config.
    seed: seeds what a source generates, or the order of a mixture.
    data_dir: the folder of a source's prepared data; see builder.prepare.
  """
  known = {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
  if name in registry.SOURCES:
    config = builder.config(name, path=path, seed=seed)
    splits = registry.SOURCES[name].splits
  elif name in known:
    provider = seqio.get_mixture_or_task(name)
    splits = provider.splits
  else:
    raise errors.unknown('problems', name, {*registry.SOURCES, *known})
  if split not in splits:
    raise errors.unknown(f'split of {name!r}', split, splits)
  if name in registry.SOURCES:
    dataset = _dataset_fn(config, data_dir)(split, shuffle_files=False)
  else:
    dataset = _task_dataset(provider, split, seed)
  return [examples.to_problem(e) for e in dataset.as_numpy_iterator()]


def load_mixture(
  names: Sequence[str],
  split: str,
  tokenizer: tokenization.Tokenizer,
  *,
  style: str,
  path: str | None = None,
  seed: int = 0,
  data_dir: str | os.PathLike[str] | None = None,
) -> list[types.Problem]:
  """Returns the problems of several sources, mixed at equal rates.

  Args:
    names: sources; a single one is read without a mixture.
    split: the name of a split that all of them have.
    tokenizer: encodes the prompts of the tasks that are registered.
    style: the style of these prompts; see text.prompts.
    path: the file or folder of the sources that need one.
    seed: seeds what sources generate, and the order of the mixture.
    data_dir: the folder of prepared data; see builder.prepare.
  """
  if len(names) == 1:
    return load_problems(
      names[0], split, path=path, seed=seed, data_dir=data_dir
    )
  unknown = [name for name in names if name not in registry.SOURCES]
  if unknown:
    raise errors.unknown('data source', unknown[0], registry.SOURCES)
  configs = [
    builder.config(
      name, path=path if registry.SOURCES[name].needs_path else None, seed=seed
    )
    for name in names
  ]
  mixture = register(configs, tokenizer, style=style, data_dir=data_dir)
  return load_problems(mixture, split, seed=seed)


def _task_dataset(
  provider: seqio.Task | seqio.Mixture, split: str, seed: int
) -> tf.data.Dataset:
  """Returns one epoch of a task or mixture, with the problems' fields."""
  options: dict[str, Any] = {}
  if isinstance(provider, seqio.Mixture):
    options['passthrough_features'] = examples.FIELDS
  return provider.get_dataset(
    None, split, shuffle=False, seed=seed, num_epochs=1, **options
  )


def _dataset_fn(
  config: builder.Config, data_dir: str | os.PathLike[str] | None
) -> Callable[..., tf.data.Dataset]:
  """Returns a seqio dataset function, which prepares the data when called."""

  def read(split: str, shuffle_files: bool, seed: int | None = None):
    prepared = builder.prepare(config, data_dir)
    if split not in prepared.info.splits:
      raise errors.UserError(
        f'{config.path or config.source}: no problems of split {split!r}, '
        f'but of {sorted(prepared.info.splits)}'
      )
    return prepared.as_dataset(
      split,
      shuffle_files=shuffle_files,
      read_config=tfds.ReadConfig(shuffle_seed=seed),
    )

  return read


def _prompt_preprocessor(
  tokenizer: tokenization.Tokenizer, style: str
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
  """Returns a preprocessor that adds the prompt to each example."""

  def add_prompts(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def prompt(*leaves):
      example = tf.nest.pack_sequence_as(dataset.element_spec, leaves)
      problem = examples.to_problem(example)
      text = prompts.generation(problem, style)
      encoded, _ = prompts.make(types.GENERATE, text, problem, tokenizer, style)
      return np.array(encoded.tokens, np.int32), text.encode()

    def add_prompt(example):
      ids, text = tf.numpy_function(
        prompt, tf.nest.flatten(example), (tf.int32, tf.string)
      )
      ids.set_shape([None])
      text.set_shape([])
      return {**example, INPUTS: ids, f'{INPUTS}_pretokenized': text}

    return dataset.map(add_prompt)

  return add_prompts
