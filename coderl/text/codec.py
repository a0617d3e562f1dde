"""Encodes text to token ids and decodes them, over the package `tokenizers`.

A `Codec` is built from tokenizer.json and tokenizer_config.json and gives the
ids that `transformers` gives. Two things are here that `tokenizers` lacks: the
encoding of ordinary text, from which no control token can arise whatever the
text spells, and the bytes of each token.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import itertools
import json
import pathlib
import re
from typing import Any

import tokenizers

from commons import errors, files

# Byte-level tokens write printable Latin-1 bytes as themselves and the other
# bytes, in order, as the characters from U+0100 on.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
  chr(256 + rank): byte for rank, byte in enumerate(_OTHERS)
}
# The token of a single byte in a tokenizer with byte fallback.
_BYTE_TOKEN = re.compile('<0x([0-9A-Fa-f]{2})>')

Offsets = list[tuple[int, int]]


def read_text(folder: pathlib.Path, name: str) -> str:
  """Returns the text of a file; raises UserError if the folder lacks it."""
  path = folder / name
  if not path.is_file():
    raise errors.UserError(
      f'{folder}: not a tokenizer folder, it has no {name}'
    )
  try:
    return path.read_text('utf-8')
  except UnicodeDecodeError as error:
    raise errors.UserError(f'{path}: not UTF-8 text') from error


def read_json(folder: pathlib.Path, name: str) -> dict[str, Any]:
  """Returns the JSON object in a file; raises UserError if there is none."""
  try:
    value = json.loads(read_text(folder, name))
  except json.JSONDecodeError as error:
    raise errors.UserError(f'{folder / name}: not JSON: {error}') from error
  if not isinstance(value, dict):
    raise errors.UserError(f'{folder / name}: not a JSON object')
  return value


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes an object as JSON; equal objects give equal bytes."""
  text = json.dumps(value, indent=2, ensure_ascii=False)
  files.write_text(path, text + '\n')


def named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
  """Returns the special tokens of tokenizer_config.json by name: 'eos_token'.

  A token is a string, or a mapping with the string as 'content'. If
  `extra_special_tokens` is a mapping, its tokens are included.
  """
  extra = config.get('extra_special_tokens')
  entries = {k: v for k, v in config.items() if k.endswith('_token')}
  if isinstance(extra, Mapping):
    entries |= extra
  texts = {
    name: entry.get('content') if isinstance(entry, Mapping) else entry
    for name, entry in entries.items()
  }
  return {name: text for name, text in texts.items() if isinstance(text, str)}


class Codec:
  """Encoder and decoder of one tokenizer.

  Attributes:
    control: the control tokens, id to text. Ordinary text must not encode to
      them. They are the special tokens and those that the chat template writes,
      except for whitespace (Gemma has a token of two line breaks).
    ids: every token id.
  """

  def __init__(
    self, model: str, config: Mapping[str, Any], template: str, source: str
  ):
    """Builds a codec.

    Args:
      model: the text of tokenizer.json.
      config: the content of tokenizer_config.json.
      template: all text that the chat template itself writes.
      source: where these come from, for error messages.

    Raises:
      UserError: the files hold no valid tokenizer.
    """
    self._source = source
    self._tokenizer = _open(model, config, source)
    self._tokenizer.no_truncation()
    self._tokenizer.no_padding()
    # Post-processors add tokens around a text and trim the spaces off the
    # offsets. Here the tokens are added by hand, since offsets must be exact.
    self._prefix, self._suffix = _tokens_around(self._tokenizer)
    self._post_processor = _as_json(self._tokenizer.post_processor)
    self._tokenizer.post_processor = None
    split = bool(config.get('split_special_tokens'))
    self._tokenizer.encode_special_tokens = split
    self.ids = frozenset(self._tokenizer.get_vocab().values())
    self.control = {
      id_: token.content
      for id_, token in self._tokenizer.get_added_tokens_decoder().items()
      if token.special
      or (token.content in template and not token.content.isspace())
    }

  def content(self) -> dict[str, Any]:
    """Returns the content of a tokenizer.json of this codec."""
    model = json.loads(self._tokenizer.to_str())
    return model | {'post_processor': self._post_processor}

  def id_of(self, text: str) -> int | None:
    """Returns the id of the token `text`, None if there is no such token."""
    return self._tokenizer.token_to_id(text)

  def encode(self, text: str) -> tuple[list[int], Offsets]:
    """Encodes text in which control tokens are read as such.

    Returns:
      The ids, and the [start, end) characters of each. A character that
      normalisation joins to the one before it lies in no span.
    """
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets

  def encode_ordinary(self, text: str) -> tuple[list[int], Offsets]:
    """Encodes text in which control tokens are ordinary characters.

    Raises:
      UserError: ordinary tokens merge into a control token.
    """
    ids, offsets = self.encode(text)
    if not self.control.keys().isdisjoint(ids):
      encoding = self._plain.encode(text, add_special_tokens=False)
      ids, offsets = encoding.ids, encoding.offsets
    for id_ in ids:
      if id_ in self.control:
        raise errors.UserError(
          f'{self._source}: its ordinary tokens merge into the special token '
          f'{self.control[id_]!r}'
        )
    return ids, offsets

  def encode_whole(self, text: str) -> tuple[list[int], Offsets]:
    """Encodes ordinary text with the tokens that belong around every text.

    The spans of the added tokens are empty and lie at the ends of the text.
    """
    ids, offsets = self.encode_ordinary(text)
    before = [(0, 0)] * len(self._prefix)
    after = [(len(text),) * 2] * len(self._suffix)
    return self._prefix + ids + self._suffix, before + offsets + after

  def encode_around(
    self, text: str, start: int, stop: int
  ) -> tuple[list[int], Offsets]:
    """Encodes like `encode`, with the characters [start, stop) as ordinary.

    A token may cross `start` or `stop`, so the ordinary text is encoded
    together with its surroundings up to the next control tokens.
    """
    ids, spans = self.encode(text)
    if not any(
      id_ in self.control and first < stop and last > start
      for id_, (first, last) in zip(ids, spans, strict=True)
    ):
      return ids, spans
    head, head_spans = self.encode(text[:start])
    tail, tail_spans = self.encode(text[stop:])
    m, n = len(head), 0
    while m and head[m - 1] not in self.control:
      m -= 1
    while n < len(tail) and tail[n] not in self.control:
      n += 1
    left = head_spans[m - 1][1] if m else 0
    right = stop + tail_spans[n][0] if n < len(tail) else len(text)
    body, body_spans = self.encode_ordinary(text[left:right])
    spans = head_spans[:m]
    spans += [(first + left, last + left) for first, last in body_spans]
    spans += [(first + stop, last + stop) for first, last in tail_spans[n:]]
    return head[:m] + body + tail[n:], spans

  def decode(self, ids: Sequence[int]) -> str:
    """Returns the text of `ids`, with control tokens written out."""
    return self._tokenizer.decode(list(ids), skip_special_tokens=False)

  def token_bytes(self) -> tuple[bytes, ...]:
    """Returns the bytes that each id adds to the decoded text.

    An id without a token has b''.

    Raises:
      UserError: the decoder is neither byte-level nor made of replacements and
        byte fallback.
    """
    as_bytes = _bytes_of(_as_json(self._tokenizer.decoder), self._source)
    texts = map(self._tokenizer.id_to_token, range(max(self.ids) + 1))
    return tuple(b'' if text is None else as_bytes(text) for text in texts)

  @functools.cached_property
  def _plain(self) -> tokenizers.Tokenizer:
    """The same tokenizer, except that it reads no control token in a text."""
    plain = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
    plain.add_special_tokens(list(self.control.values()))
    plain.encode_special_tokens = True
    return plain


def _open(
  model: str, config: Mapping[str, Any], source: str
) -> tokenizers.Tokenizer:
  """Opens tokenizer.json and adds the tokens of tokenizer_config.json."""
  try:
    tokenizer = tokenizers.Tokenizer.from_str(model)
  except Exception as error:  # tokenizers raises nothing narrower.
    raise errors.UserError(
      f'{source}: tokenizer.json holds no tokenizer: {error}'
    ) from error
  try:
    tokenizer.add_tokens(_added_tokens(tokenizer, config))
  except (LookupError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'{source}: tokenizer_config.json: its added tokens: {error}'
    ) from error
  return tokenizer


def _as_json(step: Any) -> dict[str, Any] | None:
  """Returns the entry of tokenizer.json for a step of a tokenizer."""
  return None if step is None else json.loads(step.__getstate__())


def _tokens_around(
  tokenizer: tokenizers.Tokenizer,
) -> tuple[list[int], list[int]]:
  """Returns the ids that the post-processor puts before and after a text."""
  encoding = tokenizer.encode('a')
  pairs = list(zip(encoding.ids, encoding.special_tokens_mask, strict=True))
  before = itertools.takewhile(lambda pair: pair[1], pairs)
  prefix = [id_ for id_, _ in before]
  suffix = [id_ for id_, added in pairs[len(prefix) :] if added]
  return prefix, suffix


def _added_tokens(
  tokenizer: tokenizers.Tokenizer, config: Mapping[str, Any]
) -> list[tokenizers.AddedToken]:
  """Returns the tokens that transformers adds to those of tokenizer.json.

  These are the tokens of `added_tokens_decoder`, and the special tokens that
  are ordinary ones in the vocabulary. Special tokens that the vocabulary lacks
  are left out, since a model has no embedding for them.
  """
  present = tokenizer.get_added_tokens_decoder()
  listed = config.get('added_tokens_decoder')
  tokens = list(present.values())
  if listed is not None:
    ids = sorted(listed, key=int)
    tokens = [tokenizers.AddedToken(**listed[id_]) for id_ in ids]
  named = list(named_tokens(config).values())
  for token in tokens:
    token.special = token.special or token.content in named
  key = 'extra_special_tokens'
  extra = config.get(key) or config.get('additional_special_tokens')
  if isinstance(extra, list):
    named += [t if isinstance(t, str) else t['content'] for t in extra]
  known = {token.content for token in (*present.values(), *tokens)}
  return tokens + [
    tokenizers.AddedToken(text, special=True)
    for text in dict.fromkeys(named)
    if text not in known and tokenizer.token_to_id(text) is not None
  ]


def _flattened(decoder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
  """Returns the steps of a decoder, without nesting."""
  if decoder is None:
    return [{'type': None}]
  if decoder.get('type') != 'Sequence':
    return [decoder]
  return [step for d in decoder['decoders'] for step in _flattened(d)]


def _bytes_of(
  decoder: Mapping[str, Any] | None, source: str
) -> Callable[[str], bytes]:
  """Returns the function from a token to its bytes in the decoded text."""
  steps = _flattened(decoder)
  kinds = [step.get('type') for step in steps]
  if kinds == ['ByteLevel']:
    return _byte_level
  replacements = []
  for step in steps:
    match step:
      case {'type': 'Replace', 'pattern': {'String': old}, 'content': new}:
        replacements.append((old, new))
      case {'type': 'Metaspace', 'replacement': old}:
        replacements.append((old, ' '))
      case {'type': 'ByteFallback' | 'Fuse' | 'Strip'}:
        pass
      case _:
        raise errors.UserError(
          f'{source}: decoder {step.get("type")!r}: its bytes are not known; '
          'choices: ByteLevel, or Replace, Metaspace, ByteFallback, Fuse, Strip'
        )
  has_fallback = 'ByteFallback' in kinds

  def replaced(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token) if has_fallback else None
    if byte:
      return bytes.fromhex(byte[1])
    for old, new in replacements:
      token = token.replace(old, new)
    return token.encode()

  return replaced


def _byte_level(token: str) -> bytes:
  """Returns the bytes of a byte-level token."""
  # An added token may hold characters that stand for no byte.
  if all(character in _BYTES for character in token):
    return bytes(_BYTES[character] for character in token)
  return token.encode()
