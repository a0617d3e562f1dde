"""A small vision-language policy: conversations in, labels of options out.

A conversation is texts and encoded pictures in order. Words are hashed into
buckets, so no word is unknown, and pictures are downscaled. A line that starts
with a label ('A. left', or 'A.' before a picture) starts an option. The policy
replies with the label of the option that has the best score, or with nothing if
there are no labels.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import io
import json
import os
import pathlib
import re
from typing import Any, NamedTuple
import zlib

import flax.traverse_util
import jax
import numpy as np
from PIL import Image
import safetensors
import safetensors.numpy

from commons import errors
from wm_abench.core import records
from wm_abench.policy import decoder, vision

Conversation = Sequence[str | bytes]
Params = Any

# Padded shapes; they are few, because each one is compiled.
_PICTURES = (1, 3, 6, 8)
_ROWS = (1, 8, 64)
_WORDS = (64,)
_LABEL = re.compile(rf'\s*([{records.LABELS}1-6])\.(?=\s|$)')
_WORD = re.compile(r"[a-z']+|\d|[^\sa-z\d]")


@dataclasses.dataclass(frozen=True)
class Config:
  """The shape of a policy; see decoder.Decoder for its fields."""

  vocab_size: int = 4096
  width: int = 64
  vision_layers: int = 1
  layers: int = 3
  heads: int = 4


class Completion(NamedTuple):
  """The policy's output; tokens are words and patches of pictures."""

  text: str
  input_tokens: int
  output_tokens: int


class Reading(NamedTuple):
  """A conversation as the policy reads it; see decoder.Batch.

  words, word_at, word_of: bucket, position and option of each word.
  pictures: the pictures, from `small`.
  picture_at, picture_of: position and option of each picture.
  labels: the labels of the options.
  """

  words: tuple[int, ...]
  word_at: tuple[int, ...]
  word_of: tuple[int, ...]
  pictures: tuple[np.ndarray, ...]
  picture_at: tuple[int, ...]
  picture_of: tuple[int, ...]
  labels: tuple[str, ...]

  @property
  def tokens(self) -> int:
    """The number of tokens: words and patches of pictures."""
    return len(self.words) + len(self.pictures) * (vision.SIDE // 2) ** 2


def bucket_of(word: str, vocab_size: int) -> int:
  """Returns a word's bucket, from 1; bucket 0 is padding."""
  return 1 + zlib.crc32(word.encode()) % (vocab_size - 1)


def small(encoded: bytes) -> np.ndarray:
  """Returns a downscaled picture, [SIZE_PX, SIZE_PX, 3] uint8.

  Raises:
    UserError: the bytes are not a picture.
  """
  size = (vision.SIZE_PX, vision.SIZE_PX)
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image = image.convert('RGB').resize(size, Image.Resampling.BOX)
  except (OSError, SyntaxError) as e:
    raise errors.UserError(
      f'{len(encoded)} bytes are not a picture: {e}'
    ) from e
  return np.asarray(image)


def read(
  conversation: Conversation,
  vocab_size: int,
  look: Callable[[bytes], np.ndarray] = small,
) -> Reading:
  """Splits a conversation into words and pictures, each with its option.

  Args:
    conversation: texts, and pictures as JPEG or PNG, in order.
    vocab_size: the policy's number of word buckets.
    look: `small`, or a function that caches its results.

  Raises:
    UserError: some bytes are not a picture.
  """
  words, pictures, labels = [], [], []
  at, open_option = 0, False
  for part in conversation:
    if isinstance(part, bytes):
      pictures.append((look(part), at, len(labels) - 1 if open_option else -1))
      at, open_option = at + 1, False
      continue
    for line in part.split('\n'):
      label, open_option = _LABEL.match(line), False
      if label and len(labels) < decoder.MAX_OPTIONS:
        labels.append(label[1])
        line, open_option = line[label.end() :], True
      for word in _WORD.findall(line.lower()):
        of = len(labels) - 1 if open_option else -1
        words.append((bucket_of(word, vocab_size), at, of))
        at += 1
  return Reading(
    *(tuple(zip(*words, strict=True)) or ((), (), ())),
    *(tuple(zip(*pictures, strict=True)) or ((), (), ())),
    tuple(labels),
  )


def _padded(count: int, shapes: Sequence[int]) -> int:
  """Returns the least shape of at least `count`, or a multiple of the last."""
  fitting = [shape for shape in shapes if shape >= count]
  return fitting[0] if fitting else -(-count // shapes[-1]) * shapes[-1]


def shape_of(reading: Reading) -> tuple[int, int]:
  """Returns the shape (P, W) to which a conversation is padded."""
  return (
    _padded(len(reading.pictures), _PICTURES),
    _padded(len(reading.words), _WORDS),
  )


def pack(
  readings: Sequence[Reading], shape: tuple[int, int], rows: int
) -> decoder.Batch:
  """Pads conversations to one shape.

  Args:
    readings: the conversations.
    shape: (P, W).
    rows: B, at least the number of readings.
  """
  p, w = shape
  side = vision.SIZE_PX
  words_3BW = np.zeros((3, rows, w), np.int32)
  pixels_BPYXC = np.zeros((rows, p, side, side, 3), np.uint8)
  picture_2BP = np.full((2, rows, p), -1, np.int32)
  for b, r in enumerate(readings):
    words_3BW[:, b, : len(r.words)] = r.words, r.word_at, r.word_of
    picture_2BP[:, b, : len(r.pictures)] = r.picture_at, r.picture_of
    for i, pixels in enumerate(r.pictures):
      pixels_BPYXC[b, i] = pixels
  return decoder.Batch(*words_3BW, pixels_BPYXC, *picture_2BP)


def module(config: Config) -> decoder.Decoder:
  """Returns the policy's flax module."""
  return decoder.Decoder(**dataclasses.asdict(config))


def init(key: jax.Array, config: Config) -> Params:
  """Returns random parameters; the key is consumed."""
  blank = pack([], (1, _WORDS[0]), 1)
  return jax.jit(module(config).init)(key, blank)['params']


class Policy:
  """A model and its parameters on all of JAX's devices.

  Parameters are replicated. The rows of a batch are sharded if their number is
  a multiple of the number of devices.

  Args:
    config: the shape of the model.
    params: its parameters, from `init`.
  """

  def __init__(self, config: Config, params: Params):
    self.config = config
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
    sharding = functools.partial(jax.sharding.NamedSharding, mesh)
    replicated = sharding(jax.sharding.PartitionSpec())
    self._rows = sharding(jax.sharding.PartitionSpec('data'))
    self.params = jax.device_put(params, replicated)
    self._score = jax.jit(functools.partial(_score, module(config)))

  def read(self, conversation: Conversation) -> Reading:
    """Returns `read` with this policy's vocabulary."""
    return read(conversation, self.config.vocab_size)

  def scores(self, readings: Sequence[Reading]) -> np.ndarray:
    """Returns the options' log-probabilities, [readings, MAX_OPTIONS]."""
    scores_RO = np.empty((len(readings), decoder.MAX_OPTIONS), np.float32)
    by_shape: dict[tuple[int, int], list[int]] = {}
    for i, reading in enumerate(readings):
      by_shape.setdefault(shape_of(reading), []).append(i)
    for shape, indices in by_shape.items():
      for start in range(0, len(indices), _ROWS[-1]):
        chunk = indices[start : start + _ROWS[-1]]
        rows = _padded(len(chunk), _ROWS)
        batch = pack([readings[i] for i in chunk], shape, rows)
        if rows % self._rows.mesh.size == 0:
          batch = jax.device_put(batch, self._rows)
        scores_BO = self._score(self.params, batch)
        scores_RO[chunk] = np.asarray(scores_BO)[: len(chunk)]
    return scores_RO

  def reply(self, readings: Sequence[Reading]) -> list[Completion]:
    """Returns the best option's label for each conversation.

    The text is '' if a conversation has no labels.

    Args:
      readings: conversations, from `read`.
    """
    best = self.scores(readings).argmax(-1)
    return [
      Completion(
        r.labels[k] if r.labels else '', r.tokens, min(1, len(r.labels))
      )
      for r, k in zip(readings, best, strict=True)
    ]


def _score(model: decoder.Decoder, params: Params, batch: decoder.Batch):
  logits_BO, _ = model.apply({'params': params}, batch)
  return jax.nn.log_softmax(logits_BO)


def save(folder: str | os.PathLike[str], policy: Policy) -> None:
  """Writes config.json and model.safetensors; parameters become float16."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  flat = flax.traverse_util.flatten_dict(policy.params, sep='/')
  tensors = {name: np.asarray(x, np.float16) for name, x in flat.items()}
  safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
  text = json.dumps(dataclasses.asdict(policy.config), indent=2)
  (folder / 'config.json').write_text(text + '\n', encoding='utf-8')


def load(folder: str | os.PathLike[str]) -> Policy:
  """Returns a policy that `save` wrote.

  Raises:
    UserError: the folder does not exist or does not contain a policy.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise errors.UserError(f'policy {str(folder)!r} is not a folder')
  try:
    text = (folder / 'config.json').read_text(encoding='utf-8')
    config = Config(**json.loads(text))
    flat = safetensors.numpy.load_file(folder / 'model.safetensors')
  except (OSError, ValueError, TypeError, safetensors.SafetensorError) as e:
    raise errors.UserError(f'{str(folder)!r} is not a policy: {e}') from e
  params = jax.eval_shape(
    functools.partial(init, config=config), jax.random.key(0)
  )
  shapes = flax.traverse_util.flatten_dict(params, sep='/')
  if {n: x.shape for n, x in flat.items()} != {
    n: x.shape for n, x in shapes.items()
  }:
    raise errors.UserError(
      f'{str(folder)!r}: its tensors do not have the shapes of its config.json'
    )
  floats = {n: x.astype(np.float32) for n, x in flat.items()}
  return Policy(config, flax.traverse_util.unflatten_dict(floats, sep='/'))
