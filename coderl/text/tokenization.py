"""Tokenizers: encode text and chats, decode responses, train a small BPE.

A tokenizer is a local folder in Hugging Face's layout: tokenizer.json, and
tokenizer_config.json with the chat template (jinja) and the names of the
special tokens. `Tokenizer.from_dir` opens one, `train_bpe` trains a small one.
Ids and texts are those of `transformers` on the same folder.

The package transformers is not used: it does not encode a message as ordinary
text, so a message that spells a special token could end its turn. `encode`
reads special tokens; `encode_chat`, `encode_completion` and `encode_plain` do
not.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
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
# Old folders name the special tokens here.
_SPECIAL = 'special_tokens_map.json'

# Stands for the message when only its surroundings are rendered. The characters
# are for private use, so no template holds them.
_PLACEHOLDER = '\ue000\ue001\ue000'

# The pre-tokenizer of `train_bpe`, after Qwen2's, for small vocabularies of
# code. An identifier is one word. A newline takes the indent of the next line.
# A number is split into pairs of digits, the first with its sign and the space
# before it, so that a small integer is one token in every context.
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

# Models pad their vocabulary by a few hundred: Qwen2.5-Coder 7B by 399.
_MAX_PADDING_TOKENS = 1023

Offsets = codec.Offsets


class Tokenizer:
  """A tokenizer, with its chat template if it has one.

  Attributes:
    vocab_size: one more than the largest token id.
    least_vocab_size: the smallest vocabulary that a model may have. It is less
      than `vocab_size` if the last tokens are special and nothing here writes
      them: the text models of Gemma 3 have no embedding of the image token.
    pad_id: the padding token, or `eos_id` if none is named.
    eos_id: the token with which the chat template ends the assistant's turn;
      without a template, the named eos_token.
    stop_ids: every token that ends a response, `eos_id` first. The others are
      the named eos_token, the padding and those of generation_config.json.
  """

  def __init__(
    self,
    model: str,
    config: Mapping[str, Any],
    source: str,
    generation: Mapping[str, Any] | None = None,
  ):
    """Builds a tokenizer from the content of its files.

    Args:
      model: the text of tokenizer.json.
      config: the content of tokenizer_config.json, with 'chat_template'.
      source: where these come from, for error messages.
      generation: the content of generation_config.json, None if there is none.

    Raises:
      UserError: a file is broken, or names a token that does not exist.
    """
    self._source = source
    self._named = codec.named_tokens(config)
    # Every version of transformers opens tokens that are plain strings.
    texts = {name: self._named[name] for name in config if name in self._named}
    self._config = {**config, **texts}
    self._generation = generation or {}
    self._templates = chat_template.named(config.get('chat_template'), source)
    self._template, literals = None, ''
    if 'default' in self._templates:
      self._template = chat_template.Template(
        self._templates['default'], self._named, source
      )
      literals = self._template.literals
    self._codec = codec.Codec(model, config, literals, source)
    self.vocab_size = 1 + max(self._codec.ids)
    self.eos_id = self._end_of_turn()
    pad = self._id('pad_token')
    self.pad_id = self.eos_id if pad is None else pad
    stops = (self._id('eos_token'), self.pad_id, *self._generation_stops())
    stops = [id_ for id_ in stops if id_ is not None]
    self.stop_ids = tuple(dict.fromkeys([self.eos_id, *stops]))
    control = self._codec.control.items()
    spare = {id_ for id_, text in control if text not in literals}
    used = {*self.stop_ids, self._id('bos_token')}
    self.least_vocab_size = 1 + max(self._codec.ids - (spare - used))

  @classmethod
  def from_dir(cls, path: str | os.PathLike[str]) -> 'Tokenizer':
    """Opens a folder; raises UserError if it lacks a file."""
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
    """Writes a folder that `from_dir` opens; the same tokenizer, same bytes.

    The chat templates are written into the config. Template files in the folder
    are removed, because they would override it.
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
    """Returns the ids of `text`, with special tokens in it read as such."""
    return self._codec.encode(text)[0]

  def encode_plain(self, text: str) -> list[int]:
    """Returns the ids of `text`, all of it ordinary text."""
    return self._codec.encode_ordinary(text)[0]

  def encode_completion(self, text: str) -> tuple[list[int], Offsets]:
    """Encodes a prompt that the policy is to continue.

    Args:
      text: the prompt, all of it ordinary text.

    Returns:
      The ids, including those that the tokenizer puts around every text (the
      BOS token of Llama and Gemma), and the [start, end) characters of each.
      The spans of the tokens around are empty, at 0 or at the text's length.
    """
    return self._codec.encode_whole(text)

  def decode(self, ids: Sequence[int]) -> str:
    """Returns the text of `ids` with special tokens; undoes `encode`."""
    return self._codec.decode(ids)

  def token_bytes(self) -> tuple[bytes, ...]:
    """Returns the bytes that each id adds to the decoded text.

    The bytes of the ids of a text, joined, are `decode(ids)` in UTF-8. Those of
    other ids may be invalid UTF-8, for which `decode` writes U+FFFD. Tokenizers
    that put a space before a text drop leading spaces when they decode; the
    joined bytes keep those spaces.

    Returns:
      `vocab_size` entries: a special token as it is written, b'' for an id
      without a token.

    Raises:
      UserError: the decoder is neither byte-level nor made of replacements and
        byte fallback.
    """
    return self._codec.token_bytes()

  def render_chat(
    self,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = True,
  ) -> str:
    """Returns a conversation as the chat template renders it.

    Args:
      messages: the messages, oldest first: 'role', 'content' and the other keys
        that the template reads.
      add_generation_prompt: whether to open the assistant's turn at the end.

    Raises:
      UserError: there is no template, or it refuses the messages.
    """
    if self._template is None:
      names = f' named default among {", ".join(sorted(self._templates))}'
      raise errors.UserError(
        f'{self._source}: the tokenizer has no chat template'
        f'{names if self._templates else ""}; use data.prompt_style=completion'
      )
    return self._template.render(
      messages, add_generation_prompt=add_generation_prompt
    )

  def encode_chat(self, message: str) -> tuple[list[int], Offsets]:
    """Encodes one user message, up to the opened assistant's turn.

    The message is ordinary text: ordinary tokens spell any special token in it.
    For a message without one, the ids are those of transformers'
    `apply_chat_template`.

    Args:
      message: the user's message.

    Returns:
      The ids, and for each the [start, end) characters of the message that it
      covers. The spans of the template's tokens are empty, at 0 or at the
      message's length. Spaces that the template strips off the message lie in
      no span.

    Raises:
      UserError: there is no template, or it changes the message otherwise than
        by stripping it.
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
    """Returns a rendered user message, and its start and stop in that text."""
    pattern, rendered = (
      self.render_chat([{'role': 'user', 'content': content}])
      for content in (_PLACEHOLDER, message)
    )
    before, placeholder, after = pattern.partition(_PLACEHOLDER)
    start, stop = len(before), len(rendered) - len(after)
    body = rendered[start:stop]
    if (
      not placeholder
      or before + body + after != rendered
      or body not in message
    ):
      raise errors.UserError(
        f'{self._source}: the chat template drops or rewrites the content'
      )
    return rendered, start, stop

  def _id(self, name: str) -> int | None:
    """Returns the id of the special token `name`, None if it is not named."""
    text = self._named.get(name)
    if text is None:
      return None
    id_ = self._codec.id_of(text)
    if id_ is None:
      raise errors.UserError(
        f'{self._source}: {name} {text!r} is not in its vocabulary'
      )
    return id_

  def _generation_stops(self) -> list[int]:
    """Returns the stop ids of generation_config.json."""
    value = self._generation.get('eos_token_id')
    ids = value if isinstance(value, list) else [value]
    ids = [id_ for id_ in ids if id_ is not None]
    if not all(type(i) is int and 0 <= i < self.vocab_size for i in ids):
      raise errors.UserError(
        f'{self._source}: generation_config.json: eos_token_id {value!r}: not '
        f'among the token ids 0 to {self.vocab_size - 1}'
      )
    return ids

  def _end_of_turn(self) -> int:
    """Returns the first special token after an assistant's message."""
    if self._template is None:
      ends = [self._id('eos_token'), *self._generation_stops()]
      ends = [id_ for id_ in ends if id_ is not None]
      fault = 'it has no chat template and names no eos_token'
    else:
      messages = [
        {'role': 'user', 'content': ''},
        {'role': 'assistant', 'content': _PLACEHOLDER},
      ]
      text = self.render_chat(messages, add_generation_prompt=False)
      ids, _ = self._codec.encode(text.partition(_PLACEHOLDER)[2])
      ends = [id_ for id_ in ids if id_ in self._codec.control]
      fault = 'the chat template ends no turn with a special token'
    if not ends:
      raise errors.UserError(f'{self._source}: {fault}')
    return ends[0]


def token_at(offsets: Offsets, end: int) -> int:
  """Returns the index of the last token that covers character `end - 1`.

  Args:
    offsets: the spans of `encode_chat` or `encode_completion`.
    end: the index just past a character, at least 1.

  Raises:
    ValueError: the encoded text has no such character.
  """
  if not offsets or not 1 <= end <= offsets[-1][1]:
    raise ValueError(f'no character ends at {end} in the encoded text')
  return bisect.bisect_left([start for start, _ in offsets], end) - 1


def check_vocab(tokenizer: Tokenizer, model_vocab_size: int) -> None:
  """Raises UserError if a model's vocabulary does not fit the tokenizer.

  The model must have every token that anything here writes. It may have a few
  more tokens, since models often pad their vocabulary to a round size.
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
  """Trains a byte-level BPE tokenizer; equal texts give equal tokenizers.

  Args:
    texts: the training texts, without chat template.
    vocab_size: upper bound on the tokens: 3 special ones, 256 bytes, merges.
    min_frequency: smallest count of a pair that is merged.

  Returns:
    A tokenizer with a ChatML template. Token 0 is the padding.
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
  return Tokenizer(model.to_str(), config, source='trained tokenizer')
