"""A small vision-language policy: conversations in, replies out.

A conversation is texts and encoded pictures in order. Words are hashed into
buckets, so none is unknown; pictures are looked at small. Where a text begins a
line with a label ('A. left', or 'A.' before a picture), an option begins; the
reply is the label of the one with the best score, and nothing where there are
no labels.
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
from wm_abench.policy import decoder, vision

Conversation = Sequence[str | bytes]
Params = Any

# Padded shapes: few, as each is compiled once.
_PICTURES = (1, 3, 6, 8)
_ROWS = (1, 8, 64)
_WORDS = (64,)
_LABEL = re.compile(r'\s*([A-F]|[1-6])\.(?=\s|$)')
_WORD = re.compile(r"[a-z']+|\d|[^\sa-z\d]")


@dataclasses.dataclass(frozen=True)
class Config:
  """Shape of a policy; as in decoder.Decoder."""

  vocab_size: int = 4096
  width: int = 64
  vision_layers: int = 1
  layers: int = 3
  heads: int = 4


class Reply(NamedTuple):
  """What the policy says; tokens are words and parts of pictures."""

  text: str
  input_tokens: int
  output_tokens: int


class Reading(NamedTuple):
  """A conversation as the policy reads it, in the words of decoder.Batch.

  words, word_at, word_of: of each word.
  pictures: as `small` gives them.
  picture_at, picture_of: of each picture.
  labels: of the options.
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
    return len(self.words) + len(self.pictures) * (vision.SIDE // 2) ** 2


def bucket_of(word: str, vocab_size: int) -> int:
  """From 1; 0 is padding."""
  return 1 + zlib.crc32(word.encode()) % (vocab_size - 1)


def small(encoded: bytes) -> np.ndarray:
  """A picture as the policy sees it, [SIZE_PX, SIZE_PX, 3] uint8.

  Raises:
    UserError: the bytes are no picture.
  """
  size = (vision.SIZE_PX, vision.SIZE_PX)
  try:
    with Image.open(io.BytesIO(encoded)) as image:
      image = image.convert('RGB').resize(size, Image.Resampling.BOX)
  except (OSError, SyntaxError) as e:
    raise errors.UserError(f'{len(encoded)} bytes are no picture: {e}') from e
  return np.asarray(image)


def read(
  conversation: Conversation,
  vocab_size: int,
  look: Callable[[bytes], np.ndarray] = small,
) -> Reading:
  """Splits a conversation into words and pictures, each with its option.

  Args:
    conversation: texts, and pictures as JPEG or PNG, in order.
    vocab_size: of the policy.
    look: `small`, or what remembers its results.

  Raises:
    UserError: bytes that are no picture.
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
  """The least of the shapes that holds so many, or a multiple of the last."""
  fitting = [shape for shape in shapes if shape >= count]
  return fitting[0] if fitting else -(-count // shapes[-1]) * shapes[-1]


def shape_of(reading: Reading) -> tuple[int, int]:
  """(P, W) that a conversation is padded to."""
  return (
    _padded(len(reading.pictures), _PICTURES),
    _padded(len(reading.words), _WORDS),
  )


def pack(
  readings: Sequence[Reading], shape: tuple[int, int], rows: int
) -> decoder.Batch:
  """Pads conversations to one shape.

  Args:
    readings: of them.
    shape: (P, W).
    rows: B, at least as many as there are readings.
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
  """The policy's flax module."""
  return decoder.Decoder(**dataclasses.asdict(config))


def init(key: jax.Array, config: Config) -> Params:
  """Random parameters; the key is consumed."""
  blank = pack([], (1, _WORDS[0]), 1)
  return jax.jit(module(config).init)(key, blank)['params']


class Policy:
  """A model and its parameters, over all of JAX's devices.

  Each device holds the parameters, and as many rows of a batch as any other,
  where the rows can be shared out so.

  Args:
    config: its shape.
    params: as `init` gives them.
  """

  def __init__(self, config: Config, params: Params):
    self.config = config
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
    place = functools.partial(jax.sharding.NamedSharding, mesh)
    self._rows = place(jax.sharding.PartitionSpec('data'))
    self.params = jax.device_put(params, place(jax.sharding.PartitionSpec()))
    self._score = jax.jit(functools.partial(_score, module(config)))

  def read(self, conversation: Conversation) -> Reading:
    """`read` with this policy's vocabulary."""
    return read(conversation, self.config.vocab_size)

  def scores(self, readings: Sequence[Reading]) -> np.ndarray:
    """Log-probability of each option, [readings, MAX_OPTIONS] float32."""
    found = np.empty((len(readings), decoder.MAX_OPTIONS), np.float32)
    alike: dict[tuple[int, int], list[int]] = {}
    for i, reading in enumerate(readings):
      alike.setdefault(shape_of(reading), []).append(i)
    for shape, every in alike.items():
      for start in range(0, len(every), _ROWS[-1]):
        some = every[start : start + _ROWS[-1]]
        chosen = [readings[i] for i in some]
        rows = _padded(len(some), _ROWS)
        batch = pack(chosen, shape, rows)
        if rows % self._rows.mesh.size == 0:
          batch = jax.device_put(batch, self._rows)
        scores = self._score(self.params, batch)
        found[some] = np.asarray(scores)[: len(some)]
    return found

  def reply(self, readings: Sequence[Reading]) -> list[Reply]:
    """The label of an option for each; '' where a conversation has none.

    Args:
      readings: of conversations, as `read` gives them for this vocabulary.
    """
    best = self.scores(readings).argmax(-1)
    return [
      Reply(r.labels[k] if r.labels else '', r.tokens, min(1, len(r.labels)))
      for r, k in zip(readings, best, strict=True)
    ]


def _score(model: decoder.Decoder, params: Params, batch: decoder.Batch):
  logits_BO, _ = model.apply({'params': params}, batch)
  return jax.nn.log_softmax(logits_BO)


def save(folder: str | os.PathLike[str], policy: Policy) -> None:
  """Writes config.json and model.safetensors, in float16."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  flat = flax.traverse_util.flatten_dict(policy.params, sep='/')
  tensors = {name: np.asarray(x, np.float16) for name, x in flat.items()}
  safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
  text = json.dumps(dataclasses.asdict(policy.config), indent=2)
  (folder / 'config.json').write_text(text + '\n', encoding='utf-8')


def load(folder: str | os.PathLike[str]) -> Policy:
  """A policy that `save` wrote.

  Raises:
    UserError: there is no such folder, or it holds no such policy.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise errors.UserError(f'policy {str(folder)!r} is no folder')
  try:
    text = (folder / 'config.json').read_text(encoding='utf-8')
    config = Config(**json.loads(text))
    flat = safetensors.numpy.load_file(folder / 'model.safetensors')
  except (OSError, ValueError, TypeError, safetensors.SafetensorError) as e:
    raise errors.UserError(f'{str(folder)!r} is no policy: {e}') from e
  wanted = jax.eval_shape(
    functools.partial(init, config=config), jax.random.key(0)
  )
  shapes = flax.traverse_util.flatten_dict(wanted, sep='/')
  if {n: x.shape for n, x in flat.items()} != {
    n: x.shape for n, x in shapes.items()
  }:
    raise errors.UserError(
      f'{str(folder)!r}: tensors are not those of its config.json'
    )
  floats = {n: x.astype(np.float32) for n, x in flat.items()}
  return Policy(config, flax.traverse_util.unflatten_dict(floats, sep='/'))
