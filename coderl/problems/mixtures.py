"""seqio tasks and mixtures over the sources of problems.

`register` adds them, explicitly; importing this module adds none.
`load_problems` reads a source, a task or a mixture back into problems.
"""

from collections.abc import Callable, Mapping, Sequence
import os
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds

from coderl import types
from coderl.problems import builder as builder_lib
from coderl.problems.sources import registry
from coderl.text import prompts, tokenization
from commons import errors

INPUTS = 'inputs'


class SeqioVocabulary(seqio.Vocabulary):
  """A tokenizer as a seqio vocabulary.

  As seqio has it, `decode` reads up through the first end-of-turn token.
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
  configs: Sequence[builder_lib.Config],
  tokenizer: tokenization.Tokenizer,
  *,
  style: str,
  rates: Mapping[str, float] | None = None,
  prefix: str = 'coderl',
  data_dir: str | os.PathLike[str] | None = None,
) -> str:
  """Adds a task for each source, and a mixture over them.

  A task's examples hold 'inputs', the token ids of the prompt that asks for a
  program, 'inputs_pretokenized', its text before the chat template, and the
  problem's fields. Tasks and mixtures of the same name are replaced.

  Args:
    configs: of builder.config, one a source.
    tokenizer: makes the token ids.
    style: of the prompts; see prompts.
    rates: each source's rate in the mixture; 1 by default.
    prefix: the mixture's name; tasks are named PREFIX_SOURCE.
    data_dir: see builder.prepare.

  Returns:
    The mixture's name.
  """
  names = [config.source for config in configs]
  rates = dict.fromkeys(names, 1.0) | dict(rates or {})
  if len(set(names)) < len(names) or set(rates) != set(names):
    raise ValueError(
      f'expected one config and at most one rate a source: configs of {names}, '
      f'rates of {sorted(rates)}'
    )
  feature = seqio.Feature(SeqioVocabulary(tokenizer), add_eos=False)
  seqio.MixtureRegistry.remove(prefix)
  for config in configs:
    name = f'{prefix}_{config.source}'
    seqio.TaskRegistry.remove(name)
    seqio.TaskRegistry.add(
      name,
      source=seqio.FunctionDataSource(
        _reader(config, data_dir), registry.SOURCES[config.source].splits
      ),
      preprocessors=[_prompter(tokenizer, style)],
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
  """The problems of a split, in a fixed order.

  Args:
    name: a source, or a task or mixture that `register` added. A mixture is
      read until one of its tasks is used up, so that its rates hold.
    split: the name of a split.
    path: a source's file; see builder.config.
    seed: a source's seed; a mixture's order.
    data_dir: where a source's prepared data lie; see builder.prepare.
  """
  known = {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
  if name in registry.SOURCES:
    config = builder_lib.config(name, path=path, seed=seed)
    splits = registry.SOURCES[name].splits
  elif name in known:
    provider = seqio.get_mixture_or_task(name)
    splits = provider.splits
  else:
    raise errors.unknown('problems', name, {*registry.SOURCES, *known})
  if split not in splits:
    raise errors.unknown(f'split of {name!r}', split, splits)
  if name in registry.SOURCES:
    dataset = _reader(config, data_dir)(split, shuffle_files=False)
  else:
    dataset = _examples(provider, split, seed)
  return [builder_lib.to_problem(e) for e in dataset.as_numpy_iterator()]


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
  """The problems of several sources, mixed at equal rates.

  Args:
    names: sources; one alone is read as it is.
    split: the name of a split that all of them have.
    tokenizer, style: of the prompts of the tasks registered for them.
    path: the file of those sources that need one.
    seed, data_dir: as in `load_problems`.
  """
  if len(names) == 1:
    return load_problems(
      names[0], split, path=path, seed=seed, data_dir=data_dir
    )
  unknown = [name for name in names if name not in registry.SOURCES]
  if unknown:
    raise errors.unknown('data source', unknown[0], registry.SOURCES)
  configs = [
    builder_lib.config(
      name, path=path if registry.SOURCES[name].needs_path else None, seed=seed
    )
    for name in names
  ]
  mixture = register(configs, tokenizer, style=style, data_dir=data_dir)
  return load_problems(mixture, split, seed=seed)


def _examples(
  provider: seqio.Task | seqio.Mixture, split: str, seed: int
) -> tf.data.Dataset:
  options: dict[str, Any] = {}
  if isinstance(provider, seqio.Mixture):
    options['passthrough_features'] = builder_lib.FIELDS
  return provider.get_dataset(
    None, split, shuffle=False, seed=seed, num_epochs=1, **options
  )


def _reader(
  config: builder_lib.Config, data_dir: str | os.PathLike[str] | None
) -> Callable[..., tf.data.Dataset]:
  """What seqio calls for a split; prepares the data when first called."""

  def read(split: str, shuffle_files: bool, seed: int | None = None):
    builder = builder_lib.prepare(config, data_dir)
    if split not in builder.info.splits:
      raise errors.UserError(
        f'{config.path or config.source}: no problems of split {split!r}, '
        f'but of {sorted(builder.info.splits)}'
      )
    return builder.as_dataset(
      split,
      shuffle_files=shuffle_files,
      read_config=tfds.ReadConfig(shuffle_seed=seed),
    )

  return read


def _prompter(
  tokenizer: tokenization.Tokenizer, style: str
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
  """A preprocessor that adds the prompt."""

  def add_prompts(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def prompt(*leaves):
      example = tf.nest.pack_sequence_as(dataset.element_spec, leaves)
      problem = builder_lib.to_problem(example)
      text = prompts.generation(problem, style)
      made, _ = prompts.make(types.GENERATE, text, problem, tokenizer, style)
      return np.array(made.tokens, np.int32), text.encode()

    def add_prompt(example):
      ids, text = tf.numpy_function(
        prompt, tf.nest.flatten(example), (tf.int32, tf.string)
      )
      ids.set_shape([None])
      text.set_shape([])
      return {**example, INPUTS: ids, f'{INPUTS}_pretokenized': text}

    return dataset.map(add_prompt)

  return add_prompts
