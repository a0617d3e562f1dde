"""Tokenizer folders: their files, the tokens these name, and the codec.

A `Codec` makes of tokenizer.json and tokenizer_config.json what `transformers`
makes of them, and reads ordinary text besides: text that is to hold none of the
tokens that have a meaning, whatever is written in it.
"""

from collections.abc import Callable, Mapping, Sequence
import functools
import json
import pathlib
import re
from typing import Any

import tokenizers

from commons import errors

# How byte-level tokens write a byte: the printable ones of Latin-1 as they are,
# the others, in order, from U+0100 on.
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
  chr(256 + rank): byte for rank, byte in enumerate(_OTHERS)
}
# How tokens of a byte-fallback tokenizer do.
_BYTE_TOKEN = re.compile('<0x([0-9A-Fa-f]{2})>')

Offsets = list[tuple[int, int]]


def read_text(folder: pathlib.Path, name: str) -> str:
  """A file of a tokenizer folder; UserError if it lacks it."""
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
  """The object in a file of a tokenizer folder; UserError if there is none."""
  try:
    value = json.loads(read_text(folder, name))
  except json.JSONDecodeError as error:
    raise errors.UserError(f'{folder / name}: not JSON: {error}') from error
  if not isinstance(value, dict):
    raise errors.UserError(f'{folder / name}: not a JSON object')
  return value


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes an object as `read_json` reads it; same object, same bytes."""
  text = json.dumps(value, indent=2, ensure_ascii=False)
  path.write_text(text + '\n', 'utf-8')


def named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
  """The special tokens that tokenizer_config.json names: 'eos_token' and so on.

  A token is a text, or a mapping with it as 'content'. `extra_special_tokens`
  has more of them where it is a mapping.
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
  """Text to token ids and back.

  Attributes:
    control: the tokens that ordinary text must not make, id to text: the
      special ones, and what else the chat template writes. (But for blanks:
      Gemma has a token of two line breaks.)
    ids: every token id.
  """

  def __init__(
    self, model: str, config: Mapping[str, Any], written: str, place: str
  ):
    """Makes a codec of what a folder's files hold.

    Args:
      model: the text of tokenizer.json.
      config: the content of tokenizer_config.json.
      written: all that the chat template itself writes.
      place: where these are from, for error messages.

    Raises:
      UserError: they hold no tokenizer.
    """
    self._place = place
    self._tokenizer = _open(model, config, place)
    # It neither truncates nor pads; its offsets keep the space before a word.
    self._tokenizer.no_truncation()
    self._tokenizer.no_padding()
    self._steps = _steps_around(self._tokenizer)
    post_processor = _untrimmed(self._steps['post_processor'])
    shell = json.dumps(self._steps | {'post_processor': post_processor})
    shell = tokenizers.Tokenizer.from_str(shell)
    self._tokenizer.post_processor = shell.post_processor
    split = bool(config.get('split_special_tokens'))
    self._tokenizer.encode_special_tokens = split
    self.ids = frozenset(self._tokenizer.get_vocab().values())
    self.control = {
      id_: token.content
      for id_, token in self._tokenizer.get_added_tokens_decoder().items()
      if token.special
      or (token.content in written and not token.content.isspace())
    }

  def content(self) -> dict[str, Any]:
    """What tokenizer.json holds for this codec."""
    model = json.loads(self._tokenizer.to_str())
    return model | {'post_processor': self._steps['post_processor']}

  def id_of(self, text: str) -> int | None:
    """The id of the token `text`, None if there is no such token."""
    return self._tokenizer.token_to_id(text)

  def encode(self, text: str) -> tuple[list[int], Offsets]:
    """Ids and the [start, end) characters of each; control tokens as such.

    A character that normalisation joins to the one before is in no span.
    """
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets

  def encode_ordinary(
    self, text: str, *, add_special_tokens: bool = False
  ) -> tuple[list[int], Offsets]:
    """Ids and offsets of `text`, in which control tokens are spelt out.

    Args:
      text: what to encode.
      add_special_tokens: with what the post-processor puts around any text;
        these cover empty spans at the beginning or at the end.

    Raises:
      UserError: the ordinary tokens themselves merge into a control token.
    """
    kwargs = {'add_special_tokens': add_special_tokens}
    encoding = self._tokenizer.encode(text, **kwargs)
    if self._controls(encoding):
      encoding = self._plain.encode(text, **kwargs)
    if made := self._controls(encoding):
      raise errors.UserError(
        f'{self._place}: its ordinary tokens merge into the special token '
        f'{self.control[made[0]]!r}'
      )
    offsets, end = [], 0
    marks = encoding.special_tokens_mask
    for span, put in zip(encoding.offsets, marks, strict=True):
      offsets.append((end, end) if put else span)
      end = offsets[-1][1]
    return encoding.ids, offsets

  def encode_around(
    self, text: str, start: int, stop: int
  ) -> tuple[list[int], Offsets]:
    """Like `encode`, but the characters [start, stop) are ordinary text.

    Text next to them is encoded along with them, as tokens may cross their
    ends; the control tokens around cannot.
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

  @functools.cached_property
  def _plain(self) -> tokenizers.Tokenizer:
    """The same tokenizer, but to it control tokens are ordinary text."""
    plain = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
    plain.add_special_tokens(list(self.control.values()))
    plain.encode_special_tokens = True
    return plain

  def _controls(self, encoding: tokenizers.Encoding) -> list[int]:
    """The control tokens of an encoding but for those put around the text."""
    marks = encoding.special_tokens_mask
    rows = zip(encoding.ids, marks, strict=True)
    return [id_ for id_, put in rows if id_ in self.control and not put]

  def decode(self, ids: Sequence[int]) -> str:
    """The text of `ids`, control tokens written out."""
    return self._tokenizer.decode(list(ids), skip_special_tokens=False)

  def token_bytes(self) -> tuple[bytes, ...]:
    """The bytes that each id adds to the decoded text; b'' without a token.

    Raises:
      UserError: the decoder is neither byte-level nor made of replacements and
        byte fallback.
    """
    as_bytes = _bytes_of(self._steps['decoder'], self._place)
    texts = map(self._tokenizer.id_to_token, range(max(self.ids) + 1))
    return tuple(b'' if text is None else as_bytes(text) for text in texts)


def _open(
  model: str, config: Mapping[str, Any], place: str
) -> tokenizers.Tokenizer:
  """The tokenizer of tokenizer.json with the tokens that the config adds."""
  try:
    tokenizer = tokenizers.Tokenizer.from_str(model)
  except Exception as error:  # tokenizers raises nothing narrower.
    raise errors.UserError(
      f'{place}: tokenizer.json holds no tokenizer: {error}'
    ) from error
  try:
    tokenizer.add_tokens(_added_tokens(tokenizer, config))
  except (LookupError, TypeError, ValueError) as error:
    raise errors.UserError(
      f'{place}: tokenizer_config.json: its added tokens: {error}'
    ) from error
  return tokenizer


def _steps_around(tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
  """What tokenizer.json holds but for the model and the added tokens."""
  shell = tokenizers.Tokenizer(tokenizers.models.BPE())
  shell.post_processor = tokenizer.post_processor
  shell.decoder = tokenizer.decoder
  return json.loads(shell.to_str())


def _added_tokens(
  tokenizer: tokenizers.Tokenizer, config: Mapping[str, Any]
) -> list[tokenizers.AddedToken]:
  """What transformers adds to the tokenizer of tokenizer.json.

  These are the tokens of `added_tokens_decoder`, and the special tokens that
  the vocabulary has as ordinary ones. Named tokens that it has not at all are
  left out: a model has no embedding for them.
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


def _untrimmed(step: Any) -> Any:
  """A post-processor that leaves the offsets as they are."""
  if not isinstance(step, Mapping):
    return step
  if 'processors' in step:
    return {**step, 'processors': [_untrimmed(s) for s in step['processors']]}
  return {**step, 'trim_offsets': False} if 'trim_offsets' in step else step


def _steps(decoder: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
  if decoder is None:
    return [{'type': None}]
  if decoder.get('type') != 'Sequence':
    return [decoder]
  return [step for part in decoder['decoders'] for step in _steps(part)]


def _bytes_of(
  decoder: Mapping[str, Any] | None, place: str
) -> Callable[[str], bytes]:
  """What turns a token into the bytes that it adds to the decoded text."""
  steps = _steps(decoder)
  kinds = [step.get('type') for step in steps]
  if kinds == ['ByteLevel']:
    return _of_byte_level
  replaced = []
  for step in steps:
    match step:
      case {'type': 'Replace', 'pattern': {'String': old}, 'content': new}:
        replaced.append((old, new))
      case {'type': 'Metaspace', 'replacement': old}:
        replaced.append((old, ' '))
      case {'type': 'ByteFallback' | 'Fuse' | 'Strip'}:
        pass
      case _:
        raise errors.UserError(
          f'{place}: decoder {step.get("type")!r}: its bytes are not known; '
          'choices: ByteLevel, or Replace, Metaspace, ByteFallback, Fuse, Strip'
        )
  fallback = 'ByteFallback' in kinds

  def _of_fallback(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token) if fallback else None
    if byte:
      return bytes.fromhex(byte[1])
    for old, new in replaced:
      token = token.replace(old, new)
    return token.encode()

  return _of_fallback


def _of_byte_level(token: str) -> bytes:
  # An added token may have characters that stand for no byte.
  if all(character in _BYTES for character in token):
    return bytes(_BYTES[character] for character in token)
  return token.encode()
