"""Tokenisers: text to token ids, and chats to prompts.

A tokenizer is a local folder in the Hugging Face layout: `tokenizer.json`, and
`tokenizer_config.json` with the chat template (jinja) and the names of the
special tokens. `Tokenizer.from_dir` opens one; `train_bpe` makes a small one.

Special tokens are read as such in `encode` alone. `encode_chat` reads a user's
message as ordinary text, so that no message can end its own turn.
"""

import bisect
from collections.abc import Iterable, Mapping, Sequence
import functools
import json
import os
import pathlib
from typing import Any

from jinja2 import sandbox
import tokenizers

from coderl import errors

PAD = '<|endoftext|>'
TURN_START = '<|im_start|>'
TURN_END = '<|im_end|>'

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

Offsets = list[tuple[int, int]]


class Tokenizer:
  """A tokenizer with its chat template.

  Attributes:
    vocab_size: one more than the largest token id.
    pad_id: the padding token; the end-of-turn token where none is named.
    eos_id: the token that ends the assistant's turn, as the template has it.
    stop_ids: every token that ends a response, `eos_id` first.
  """

  def __init__(
    self, model: Mapping[str, Any], config: Mapping[str, Any], place: str
  ):
    """Makes a tokenizer of what its two files hold.

    Args:
      model: the content of tokenizer.json.
      config: the content of tokenizer_config.json, with 'chat_template'.
      place: where these are from, for error messages.
    """
    self._place = place
    self._config = dict(config)
    self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(model))
    # The same without its added tokens: everything is ordinary text to it.
    self._plain = tokenizers.Tokenizer.from_str(
      json.dumps({**model, 'added_tokens': []})
    )
    added = self._tokenizer.get_added_tokens_decoder()
    self._added = {token.content: id_ for id_, token in added.items()}
    self.vocab_size = 1 + max(self._tokenizer.get_vocab().values())
    self.eos_id = self._end_of_turn()
    pad = self._named('pad_token')
    self.pad_id = self.eos_id if pad is None else pad
    stops = (self.eos_id, self._named('eos_token'), self.pad_id)
    self.stop_ids = tuple(dict.fromkeys(i for i in stops if i is not None))

  @classmethod
  def from_dir(cls, path: str | os.PathLike[str]) -> 'Tokenizer':
    """Opens a folder; errors.UserError names the file it lacks."""
    folder = pathlib.Path(path)
    config = _parsed(folder, 'tokenizer_config.json')
    if 'chat_template' not in config:
      config['chat_template'] = _read(folder, 'chat_template.jinja')
    model = _parsed(folder, 'tokenizer.json')
    return cls(model, config, place=str(folder))

  def save(self, path: str | os.PathLike[str]) -> None:
    """Writes the folder that `from_dir` opens; same tokenizer, same bytes."""
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(self._config, indent=2, sort_keys=True)
    (folder / 'tokenizer_config.json').write_text(config + '\n', 'utf-8')
    model = self._tokenizer.to_str(pretty=True)
    (folder / 'tokenizer.json').write_text(model + '\n', 'utf-8')

  def encode(self, text: str) -> list[int]:
    """Token ids of `text`; special tokens in it are read as such."""
    return self._tokenizer.encode(text, add_special_tokens=False).ids

  def encode_plain(self, text: str) -> list[int]:
    """Token ids of `text`, all of it ordinary text."""
    return self._plain.encode(text, add_special_tokens=False).ids

  def encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
    """Like `encode`, with the [start, end) characters of each token."""
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets

  def decode(self, ids: Sequence[int]) -> str:
    """The text of `ids`, special tokens written out: undoes `encode`."""
    return self._tokenizer.decode(list(ids), skip_special_tokens=False)

  def render_chat(
    self,
    messages: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool = True,
  ) -> str:
    """The chat template's text for `messages` of 'role' and 'content'.

    Args:
      messages: the turns, oldest first.
      add_generation_prompt: open the assistant's turn at the end.
    """
    return self._template.render(
      messages=messages,
      add_generation_prompt=add_generation_prompt,
      bos_token=_content(self._config.get('bos_token')) or '',
      eos_token=_content(self._config.get('eos_token')) or '',
    )

  def encode_chat(self, message: str) -> tuple[list[int], Offsets]:
    """The prompt for one user message, up to the open assistant's turn.

    The message is ordinary text throughout: a special token written in it is
    spelt out in ordinary tokens. For a message without one, the ids are those
    of `encode(render_chat(...))`.

    Args:
      message: the user's message.

    Returns:
      The token ids, and for each token the [start, end) characters of the
      message it covers: empty spans, at 0 or at its length, for the template's.
    """
    rendered = self.render_chat([{'role': 'user', 'content': _MARK}])
    before, found, after = rendered.partition(_MARK)
    if not found:
      raise errors.UserError(
        f'{self._place}: the chat template drops the content'
      )
    # Text next to the message is encoded along with it, as tokens may span
    # the border; the special tokens around cannot.
    left = max([0, *(before.rfind(s) + len(s) for s in self._in(before))])
    right = min([len(after), *(after.find(s) for s in self._in(after))])
    body = self._plain.encode(
      before[left:] + message + after[:right], add_special_tokens=False
    )
    shift, end = len(before) - left, len(message)
    head, tail = self.encode(before[:left]), self.encode(after[right:])
    inner = [
      (min(max(start - shift, 0), end), min(max(stop - shift, 0), end))
      for start, stop in body.offsets
    ]
    offsets = [(0, 0)] * len(head) + inner + [(end, end)] * len(tail)
    return head + body.ids + tail, offsets

  @functools.cached_property
  def _template(self):
    environment = sandbox.ImmutableSandboxedEnvironment(
      trim_blocks=True,
      lstrip_blocks=True,
      extensions=['jinja2.ext.loopcontrols'],
    )
    environment.globals['raise_exception'] = self._refuse
    return environment.from_string(self._config['chat_template'])

  def _refuse(self, message: str) -> None:
    """What templates call on messages they do not take."""
    raise errors.UserError(f'{self._place}: chat template: {message}')

  def _in(self, text: str) -> list[str]:
    return [token for token in self._added if token in text]

  def _named(self, role: str) -> int | None:
    """The id of the config's special token `role`, None where it has none."""
    token = _content(self._config.get(role))
    if token is None:
      return None
    id_ = self._tokenizer.token_to_id(token)
    if id_ is None:
      raise errors.UserError(
        f'{self._place}: {role} {token!r} is not in its vocabulary'
      )
    return id_

  def _end_of_turn(self) -> int:
    """The first special token after an assistant's message."""
    turns = [
      {'role': 'user', 'content': ''},
      {'role': 'assistant', 'content': _MARK},
    ]
    after = self.render_chat(turns, add_generation_prompt=False)
    after = after.partition(_MARK)[2]
    ends = sorted(self._in(after), key=after.find)
    if not ends:
      raise errors.UserError(
        f'{self._place}: the chat template ends no turn with a special token'
      )
    return self._added[ends[0]]


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

  It lacks none of its tokens, and is little larger: weights are often padded
  to a round size.
  """
  padding = model_vocab_size - tokenizer.vocab_size
  if not 0 <= padding <= _MAX_PADDING_TOKENS:
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
  return Tokenizer(
    json.loads(model.to_str()), config, place='trained tokenizer'
  )


def _read(folder: pathlib.Path, name: str) -> str:
  path = folder / name
  if not path.is_file():
    raise errors.UserError(
      f'{folder}: not a tokenizer folder, it has no {name}'
    )
  return path.read_text('utf-8')


def _parsed(folder: pathlib.Path, name: str) -> dict[str, Any]:
  try:
    return json.loads(_read(folder, name))
  except json.JSONDecodeError as error:
    raise errors.UserError(f'{folder / name}: not JSON: {error}') from error


def _content(token: Any) -> str | None:
  """A special token's text: the config holds it bare or in a mapping."""
  return token['content'] if isinstance(token, Mapping) else token
