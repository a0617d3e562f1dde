"""Tokenisers: text to token ids, and chats to prompts.

A tokenizer is a local folder in the Hugging Face layout: `tokenizer.json`, and
`tokenizer_config.json` with the chat template (jinja) and the names of the
special tokens. `Tokenizer.from_dir` opens one; `train_bpe` makes a small one.
Ids and texts are those of `transformers` on the same folder.

Special tokens are read as such in `encode`, `encode_with_offsets` and
`encode_messages` alone. `encode_chat`, `encode_completion` and `encode_plain`
read what they are given as ordinary text, so that no message can end its turn.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
import functools
import os
import pathlib
from typing import Any

import tokenizers

from coderl.text import chat_template, codec
from commons import errors

PAD = '<|endoftext|>'
TURN_START = '<|im_start|>'
TURN_END = '<|im_end|>'

_CONFIG = 'tokenizer_config.json'
_MODEL = 'tokenizer.json'
_GENERATION = 'generation_config.json'
# Where old folders name the special tokens.
_SPECIAL = 'special_tokens_map.json'

# A stand-in for the message while its surroundings are rendered: private-use
# characters, which no template holds.
_MARK = '\ue000\ue001\ue000'

# After Qwen2's, for small vocabularies of code: an identifier is one word, a
# line's indent goes with the newline before it, and a number is read two digits
# at a time with its sign and the space before it, so that a small integer is
# one token wherever it stands.
_WORDS = (
  r' ?[\p{L}_]+'
  r'| ?-?\p{N}{1,2}'
  r'| ?(?:(?!-\p{N})[^\s\p{L}\p{N}_])+'
  r'|\s*[\r\n]+[ \t]*'
  r'|\s+(?!\S)'
  r'|\s+'
)

_CHAT_TEMPLATE = (
  '{% for message in messages %}'
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
  " + '<|im_end|>\\n' }}"
  '{% endfor %}'
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Weights are padded by a few hundred tokens at most: 399 in Qwen2.5-Coder 7B.
_MAX_PADDING_TOKENS = 1023

Offsets = codec.Offsets


class Tokenizer:
  """A tokenizer with its chat template, if it has one.

  Attributes:
    vocab_size: one more than the largest token id.
    least_vocab_size: the least that a model's vocabulary must be. It is less
      than `vocab_size` where the last tokens are special and nothing here
      writes them: the text models of Gemma 3 have no row for the image token.
    pad_id: the padding token; the end-of-turn token where none is named.
    eos_id: the token that ends the assistant's turn, as the template has it;
      without a template, the named eos_token.
    stop_ids: every token that ends a response, `eos_id` first: also the named
      eos_token, the padding, and what generation_config.json has.
  """

  def __init__(
    self,
    model: str,
    config: Mapping[str, Any],
    place: str,
    generation: Mapping[str, Any] | None = None,
  ):
    """Makes a tokenizer of what its files hold.

    Args:
      model: the text of tokenizer.json.
      config: the content of tokenizer_config.json, with 'chat_template'.
      place: where these are from, for error messages.
      generation: the content of generation_config.json; None if there is none.

    Raises:
      UserError: one of them is broken, or a token it names does not exist.
    """
    self._place = place
    self._named = codec.named_tokens(config)
    # Named by their texts, a form that every version of transformers opens.
    texts = {name: self._named[name] for name in config if name in self._named}
    self._config = {**config, **texts}
    self._generation = generation or {}
    self._templates = chat_template.named(config.get('chat_template'), place)
    self._template, written = None, ''
    if 'default' in self._templates:
      source = self._templates['default']
      self._template = chat_template.Template(source, self._named, place)
      written = self._template.literals
    self._codec = codec.Codec(model, config, written, place)
    self.vocab_size = 1 + max(self._codec.ids)
    self.eos_id = self._end_of_turn()
    pad = self._id('pad_token')
    self.pad_id = self.eos_id if pad is None else pad
    stops = (self._id('eos_token'), self.pad_id, *self._generation_stops())
    stops = [id_ for id_ in stops if id_ is not None]
    self.stop_ids = tuple(dict.fromkeys([self.eos_id, *stops]))
    control = self._codec.control.items()
    spare = {id_ for id_, text in control if text not in written}
    used = {*self.stop_ids, self._id('bos_token')}
    self.least_vocab_size = 1 + max(self._codec.ids - (spare - used))

  @classmethod
  def from_dir(cls, path: str | os.PathLike[str]) -> 'Tokenizer':
    """Opens a folder; errors.UserError names the file it lacks."""
    folder = pathlib.Path(path)
    config = codec.read_json(folder, _CONFIG)
    if 'added_tokens_decoder' not in config and (folder / _SPECIAL).is_file():
      config |= codec.read_json(folder, _SPECIAL)
    template = chat_template.read(folder, config.pop('chat_template', None))
    if template is not None:
      config['chat_template'] = template
    generation = None
    if (folder / _GENERATION).is_file():
      generation = codec.read_json(folder, _GENERATION)
    model = codec.read_text(folder, _MODEL)
    return cls(model, config, str(folder), generation)

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the folder that `from_dir` opens; same tokenizer, same bytes.

    The chat templates go into the config. Template files that lie there, which
    would come before it, are removed.
    """
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    codec.write_json(folder / _MODEL, self._codec.content())
    codec.write_json(folder / _CONFIG, dict(sorted(self._config.items())))
    for file in chat_template.files(folder).values():
      file.unlink()
    if self._generation:
      codec.write_json(folder / _GENERATION, self._generation)

  def encode(self, text: str) -> list[int]:
    """Token ids of `text`; special tokens in it are read as such."""
    return self._codec.encode(text)[0]

  def encode_plain(self, text: str) -> list[int]:
    """Token ids of `text`, all of it ordinary text."""
    return self._codec.encode_ordinary(text)[0]

  def encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
    """Like `encode`, with the [start, end) characters of each token."""
    return self._codec.encode(text)

  def encode_completion(self, text: str) -> tuple[list[int], Offsets]:
    """The prompt for a text to be gone on with.

    Args:
      text: ordinary text throughout, as in `encode_chat`.

    Returns:
      The token ids, with those that the tokenizer puts around any text (Llama's
      and Gemma's BOS), and for each the [start, end) characters it covers:
      empty spans, at 0 or at its length, for the tokens put around.
    """
    return self._codec.encode_ordinary(text, add_special_tokens=True)

  def decode(self, ids: Sequence[int]) -> str:
    """The text of `ids`, special tokens written out: undoes `encode`."""
    return self._codec.decode(ids)

  def token_bytes(self) -> tuple[bytes, ...]:
    """The bytes that each id adds to the decoded text, by id.

    Of the ids of any text, the bytes joined are `decode(ids)` in UTF-8. (Of
    other ids they need be no UTF-8; `decode` then writes U+FFFD.) Tokenizers
    that put a space before a text drop spaces at its beginning when they
    decode; there the joined bytes have these spaces more.

    Returns:
      `vocab_size` entries: special tokens as they are written, b'' for ids
      without a token.

    Raises:
      UserError: the decoder is neither byte-level nor made of replacements and
        byte fallback.
    """
    return self._bytes

  def render_chat(
    self,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = True,
  ) -> str:
    """The chat template's text for `messages` of 'role' and 'content'.

    Args:
      messages: the turns, oldest first, with what else the template reads.
      add_generation_prompt: open the assistant's turn at the end.

    Raises:
      UserError: there is no template, or it does not take the messages.
    """
    if self._template is None:
      among = f' named default among {", ".join(sorted(self._templates))}'
      raise errors.UserError(
        f'{self._place}: the tokenizer has no chat template'
        f'{among if self._templates else ""}; use data.prompt_style=completion'
      )
    return self._template.render(
      messages, add_generation_prompt=add_generation_prompt
    )

  def encode_messages(
    self,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = True,
  ) -> list[int]:
    """Token ids of a conversation: transformers' `apply_chat_template`.

    Special tokens written in a message are read as such, so that it can end its
    turn: use it for messages you trust. Arguments and errors: `render_chat`.
    """
    return self.encode(
      self.render_chat(messages, add_generation_prompt=add_generation_prompt)
    )

  def encode_chat(self, message: str) -> tuple[list[int], Offsets]:
    """The prompt for one user message, up to the open assistant's turn.

    The message is ordinary text throughout: a special token written in it is
    spelt out in ordinary tokens. For a message without one, the ids are those
    of `encode_messages`.

    Args:
      message: the user's message.

    Returns:
      The token ids, and for each token the [start, end) characters of the
      message it covers: empty spans, at 0 or at its length, for the template's.
      Spaces that the template strips off the message are in no span.

    Raises:
      UserError: there is no template, or it does more to a message than to
        strip it.
    """
    rendered, start, stop = self._turn(message)
    lead = message.find(rendered[start:stop])
    ids, spans = self._codec.encode_around(rendered, start, stop)
    offsets = []
    for first, last in spans:
      if last <= start or first >= stop:
        offsets.append((0, 0) if last <= start else (len(message),) * 2)
      else:
        first, last = max(first, start), min(last, stop)
        offsets.append((first - start + lead, last - start + lead))
    return ids, offsets

  def _turn(self, message: str) -> tuple[str, int, int]:
    """One user message rendered, and where in that text it lies."""
    mark, rendered = (
      self.render_chat([{'role': 'user', 'content': content}])
      for content in (_MARK, message)
    )
    before, found, after = mark.partition(_MARK)
    start, stop = len(before), len(rendered) - len(after)
    body = rendered[start:stop]
    if not found or before + body + after != rendered or body not in message:
      raise errors.UserError(
        f'{self._place}: the chat template drops or rewrites the content'
      )
    return rendered, start, stop

  @functools.cached_property
  def _bytes(self) -> tuple[bytes, ...]:
    return self._codec.token_bytes()

  def _id(self, name: str) -> int | None:
    """The id of the special token `name`, None where the config has none."""
    text = self._named.get(name)
    if text is None:
      return None
    id_ = self._codec.id_of(text)
    if id_ is None:
      raise errors.UserError(
        f'{self._place}: {name} {text!r} is not in its vocabulary'
      )
    return id_

  def _generation_stops(self) -> list[int]:
    """The ids that end a text by generation_config.json."""
    value = self._generation.get('eos_token_id')
    ids = value if isinstance(value, list) else [value]
    ids = [id_ for id_ in ids if id_ is not None]
    if not all(type(i) is int and 0 <= i < self.vocab_size for i in ids):
      raise errors.UserError(
        f'{self._place}: generation_config.json: eos_token_id {value!r}: not '
        f'among the token ids 0 to {self.vocab_size - 1}'
      )
    return ids

  def _end_of_turn(self) -> int:
    """The first special token after an assistant's message."""
    if self._template is None:
      ends = [self._id('eos_token'), *self._generation_stops()]
      ends = [id_ for id_ in ends if id_ is not None]
      what = 'it has no chat template and names no eos_token'
    else:
      turns = [
        {'role': 'user', 'content': ''},
        {'role': 'assistant', 'content': _MARK},
      ]
      text = self.render_chat(turns, add_generation_prompt=False)
      ids, _ = self._codec.encode(text.partition(_MARK)[2])
      ends = [id_ for id_ in ids if id_ in self._codec.control]
      what = 'the chat template ends no turn with a special token'
    if not ends:
      raise errors.UserError(f'{self._place}: {what}')
    return ends[0]


def token_at(offsets: Offsets, end: int) -> int:
  """The index of the last token of the characters [..., end).

  Args:
    offsets: of `encode_chat` or `encode_with_offsets`.
    end: index just past a character, from 1 up.

  Returns:
    The index of the last token that covers character `end - 1`.
  """
  if not offsets or not 1 <= end <= offsets[-1][1]:
    raise ValueError(f'no character ends at {end} in the encoded text')
  return bisect.bisect_left([start for start, _ in offsets], end) - 1


def check_vocab(tokenizer: Tokenizer, model_vocab_size: int) -> None:
  """UserError where a model's vocabulary is not the tokenizer's.

  It lacks none of its tokens that anything here writes, and is little larger:
  weights are often padded to a round size.
  """
  padding = model_vocab_size - tokenizer.vocab_size
  if (
    padding > _MAX_PADDING_TOKENS
    or model_vocab_size < tokenizer.least_vocab_size
  ):
    raise errors.UserError(
      f'the tokenizer has {tokenizer.vocab_size} tokens, the model '
      f'{model_vocab_size}: they do not belong together'
    )


def train_bpe(
  texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2
) -> Tokenizer:
  """Trains a byte-level BPE tokenizer; same texts, same tokenizer.

  Args:
    texts: what to learn the merges from; no chat template.
    vocab_size: upper bound on the tokens: 3 special ones, 256 bytes, merges.
    min_frequency: the least count of a pair that is merged.

  Returns:
    A tokenizer with a ChatML template; token 0 pads.
  """
  special = [PAD, TURN_START, TURN_END]
  if vocab_size < 256 + len(special):
    raise errors.UserError(
      f'vocab_size {vocab_size}: bytes and special tokens alone take '
      f'{256 + len(special)}'
    )
  model = tokenizers.Tokenizer(tokenizers.models.BPE())
  model.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
    [
      tokenizers.pre_tokenizers.Split(tokenizers.Regex(_WORDS), 'isolated'),
      tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
      ),
    ]
  )
  model.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=vocab_size,
    min_frequency=min_frequency,
    special_tokens=special,
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    max_token_length=16,
    show_progress=False,
  )
  model.train_from_iterator(texts, trainer)
  config = {
    'chat_template': _CHAT_TEMPLATE,
    'eos_token': TURN_END,
    'pad_token': PAD,
    'tokenizer_class': 'PreTrainedTokenizerFast',
  }
  return Tokenizer(model.to_str(), config, place='trained tokenizer')
