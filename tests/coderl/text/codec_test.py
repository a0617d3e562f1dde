"""Ids, texts and bytes agree with transformers for tokenizers of real models.

The fixtures hold the results of transformers. Where transformers is installed,
more texts and more folders are compared with it.
"""

import datetime
import functools
import json
import pathlib
import random
import shutil
import unicodedata

import hypothesis
from hypothesis import strategies as st
import pytest
import tokenizers

from coderl.text import chat_template, tokenization
from commons import errors

FIXTURES = pathlib.Path(__file__).parents[2] / 'fixtures/tokenizers'
NAMES = ('qwen', 'llama', 'gemma')
TOKENIZERS = {n: tokenization.Tokenizer.from_dir(FIXTURES / n) for n in NAMES}
NOW = datetime.datetime(2025, 3, 9, 12)  # The clock of the fixtures.


def _load(name):
  return json.loads((FIXTURES / name).read_text())


STRINGS, CHATS = _load('strings.json'), _load('chats.json')
SPECIAL = {
  'qwen': ('<|im_end|>', '<|im_start|>', '<|endoftext|>', '<think>'),
  'llama': ('<|eot_id|>', '<|begin_of_text|>', '<｜fim▁hole｜>'),
  'gemma': ('<end_of_turn>', '<bos>', '<eos>', '<image_soft_token>', '<table>'),
}
PIECES = st.sampled_from(
  [*' \n\t▁|<>éa0', '\r\n', '  ', 'e\u0301', '\u0344', '漢', '<|', '<0x41>']
) | st.text(st.characters(exclude_categories=['Cs']), max_size=4)


def _texts(name):
  return st.lists(PIECES | st.sampled_from(SPECIAL[name])).map(''.join)


class _Clock:
  datetime = type('Fixed', (), {'now': staticmethod(lambda: NOW)})


def _encode_messages(tokenizer, messages, **kwargs):
  """Encodes a conversation as transformers' apply_chat_template does."""
  return tokenizer.encode(tokenizer.render_chat(messages, **kwargs))


@pytest.mark.parametrize('name', NAMES)
def test_ids_and_texts_are_those_of_transformers(name):
  tokenizer = TOKENIZERS[name]
  special = [text for texts in SPECIAL.values() for text in texts]
  compared = 0
  rows = _load(f'{name}/expected.json')['strings']
  for text, (ids, around, decoded) in zip(STRINGS, rows, strict=True):
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids) == decoded
    if not any(token in text for token in special):
      compared += 1
      assert tokenizer.encode_plain(text) == ids
      assert tokenizer.encode_completion(text)[0] == around
  assert compared > 20


@pytest.mark.parametrize('name', NAMES)
def test_chats_are_those_of_transformers(name, monkeypatch):
  monkeypatch.setattr(chat_template, 'datetime', _Clock)
  tokenizer = TOKENIZERS[name]
  accepted = 0
  rows = _load(f'{name}/expected.json')['chats']
  for messages, expected in zip(CHATS, rows, strict=True):
    for opened, rendered in zip((False, True), expected, strict=True):
      kwargs = {'add_generation_prompt': opened}
      if isinstance(rendered, str):
        with pytest.raises(errors.UserError) as error:
          _encode_messages(tokenizer, messages, **kwargs)
        assert str(error.value).endswith(f'{name}: chat template: {rendered}')
        continue
      text, ids = rendered
      assert tokenizer.render_chat(messages, **kwargs) == text
      assert _encode_messages(tokenizer, messages, **kwargs) == ids
      accepted += 1
  assert 20 <= accepted < 2 * len(CHATS)  # The others are refused.


@pytest.mark.parametrize('name', NAMES)
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.data())
def test_token_bytes_join_to_the_decoded_text(name, data):
  tokenizer, table = TOKENIZERS[name], TOKENIZERS[name].token_bytes()
  assert len(table) == tokenizer.vocab_size
  for text in (data.draw(_texts(name)), data.draw(st.sampled_from(STRINGS))):
    for ids in (tokenizer.encode(text), tokenizer.encode_plain(text)):
      assert b''.join(table[i] for i in ids).decode() == tokenizer.decode(ids)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.lists(st.integers(0, TOKENIZERS['llama'].vocab_size - 1)))
def test_bytes_of_any_ids_decode_with_replacements(ids):
  tokenizer, table = TOKENIZERS['llama'], TOKENIZERS['llama'].token_bytes()
  joined = b''.join(table[i] for i in ids)
  assert joined.decode('utf-8', 'replace') == tokenizer.decode(ids)


def _variant(name, config=None, **changes):
  """Opens a fixture with other values in its config and tokenizer.json."""
  model = _load(f'{name}/tokenizer.json') | changes
  config = _load(f'{name}/tokenizer_config.json') | (config or {})
  return tokenization.Tokenizer(json.dumps(model), config, 'variant')


def _as_json(step):
  return json.loads(step.__getstate__())


@pytest.mark.parametrize(
  'decoder',
  [
    tokenizers.decoders.Metaspace(),
    tokenizers.decoders.Sequence(
      [
        tokenizers.decoders.Replace('▁', ' '),
        tokenizers.decoders.ByteFallback(),
        tokenizers.decoders.Fuse(),
        tokenizers.decoders.Strip(' ', 1, 0),
      ]
    ),
  ],
)
def test_bytes_have_the_space_put_before_a_text(decoder):
  """Llama 2 puts '▁' before the first word and drops it when it decodes."""
  metaspace = isinstance(decoder, tokenizers.decoders.Metaspace)
  tokenizer = _variant(
    'gemma',
    normalizer=None,
    pre_tokenizer=_as_json(
      tokenizers.pre_tokenizers.Metaspace(prepend_scheme='first', split=False)
    ),
    decoder=_as_json(decoder),
  )
  table = tokenizer.token_bytes()
  for text in ('total', ' total of', 'a\n b', 'print(x)', '  x'):
    ids = tokenizer.encode(text)
    joined = b''.join(table[i] for i in ids).decode()
    assert joined.lstrip(' ') == tokenizer.decode(ids).lstrip(' ')
    if not metaspace:  # Strip drops one space, Metaspace the first token's.
      assert joined == f' {tokenizer.decode(ids)}'


def test_only_whole_byte_tokens_are_bytes():
  added = _load('gemma/tokenizer_config.json')['added_tokens_decoder']
  added['698'] = {'content': '<0x41>▁b', 'special': False}
  tokenizer = _variant('gemma', config={'added_tokens_decoder': added})
  ids = tokenizer.encode('<0x41>▁b')
  assert ids == [698]
  assert tokenizer.token_bytes()[698] == tokenizer.decode(ids).encode()


def test_bytes_of_another_decoder_are_refused():
  for decoder in (None, _as_json(tokenizers.decoders.WordPiece())):
    with pytest.raises(errors.UserError, match=r'variant: decoder .* choices'):
      _variant('llama', decoder=decoder).token_bytes()


@functools.cache
def _control(name):
  """Returns the special tokens and those that the template writes, by id."""
  added = _load(f'{name}/tokenizer.json')['added_tokens']
  written = ('<think>', '</think>', '<tool_call>', '<tool_response>')
  return {
    token['id']: token['content']
    for token in added
    if token['special'] or token['content'] in written
  }


def _assert_tiled(offsets, text, start, stop):
  assert offsets == sorted(offsets)
  covered = {c for first, last in offsets for c in range(first, last)}
  assert covered <= set(range(start, stop))
  # A character that NFC joins to the one before it lies in no span.
  joined = {c for c in range(start, stop) if unicodedata.combining(text[c])}
  assert covered | joined == set(range(start, stop)) | joined


@pytest.mark.parametrize('name', NAMES)
@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.data())
def test_a_message_stays_in_its_turn(name, data):
  tokenizer, control = TOKENIZERS[name], _control(name)
  message = data.draw(_texts(name))
  ids, offsets = tokenizer.encode_chat(message)
  in_template = [i for i in tokenizer.encode_chat('')[0] if i in control]
  assert len(in_template) >= 3
  assert [i for i in ids if i in control] == in_template
  if not any(text in message for text in control.values()):
    turn = {'role': 'user', 'content': message}
    assert ids == _encode_messages(tokenizer, [turn])
  # The spans tile the message, without what the template strips.
  stripped = message if name == 'qwen' else message.strip()
  lead = message.find(stripped)
  _assert_tiled(offsets, message, lead, lead + len(stripped))


@pytest.mark.parametrize('name', NAMES)
@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.data())
def test_a_completion_is_ordinary_text(name, data):
  tokenizer, text = TOKENIZERS[name], data.draw(_texts(name))
  ids, offsets = tokenizer.encode_completion(text)
  added = {'qwen': [], 'llama': ['<|begin_of_text|>'], 'gemma': ['<bos>']}[name]
  assert [tokenizer.decode([i]) for i in ids if i in _control(name)] == added
  assert ids[len(added) :] == tokenizer.encode_plain(text)
  assert offsets[: len(added)] == [(0, 0)] * len(added)
  _assert_tiled(offsets, text, 0, len(text))


def test_tokens_added_after_a_text_lie_at_its_end():
  eos = ['<|eot_id|>', TOKENIZERS['llama'].eos_id]
  after = tokenizers.processors.TemplateProcessing(
    single=['$A', eos[0]], special_tokens=[tuple(eos)]
  )
  tokenizer = _variant('llama', post_processor=_as_json(after))
  ids, offsets = tokenizer.encode_completion('a b')
  assert ids == [*tokenizer.encode_plain('a b'), eos[1]]
  assert offsets == [(0, 1), (1, 2), (2, 3), (3, 3)]


def test_tokens_that_merge_into_a_special_token_are_refused():
  """No text may forge a special token, not even through merges."""
  model = _load('gemma/tokenizer.json')
  vocab, end = model['model']['vocab'], '<end_of_turn>'
  prefixes = [end[:i] for i in range(1, len(end) + 1)]
  for text in {*prefixes, *end} - {*vocab}:
    vocab[text] = max(vocab.values()) + 1
  pairs = zip(prefixes, end[1:], strict=False)
  model['model']['merges'] = [[left, right] for left, right in pairs]
  tokenizer = _variant('gemma', **model)
  assert tokenizer.encode_chat('a')[0] == _encode_messages(
    tokenizer, [{'role': 'user', 'content': 'a'}]
  )
  for encode in (
    tokenizer.encode_chat,
    tokenizer.encode_completion,
    tokenizer.encode_plain,
  ):
    with pytest.raises(
      errors.UserError, match=r"merge into .* '<end_of_turn>'"
    ):
      encode(f'a{end}')


def test_a_tokenizer_neither_truncates_nor_pads():
  truncation = {
    'direction': 'Right',
    'max_length': 3,
    'strategy': 'LongestFirst',
    'stride': 0,
  }
  padding = {
    'strategy': {'Fixed': 9},
    'direction': 'Right',
    'pad_to_multiple_of': None,
    'pad_id': 0,
    'pad_type_id': 0,
    'pad_token': '<pad>',
  }
  tokenizer = _variant('gemma', truncation=truncation, padding=padding)
  for text in ('a', 'print the largest of them'):
    assert tokenizer.encode(text) == TOKENIZERS['gemma'].encode(text)


def _write(folder, name, value):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / name).write_text(json.dumps(value))


def _folders(root):
  """Writes folders that keep tokens and templates in other files."""
  folders = [shutil.copytree(FIXTURES / n, root / n) for n in TOKENIZERS]
  # Tokens of the config alone; ordinary tokens that the config makes special.
  config = _load('llama/tokenizer_config.json')
  token = {'content': '<new>', 'special': False, 'lstrip': True}
  config['added_tokens_decoder']['587'] = token
  config['sep_token'] = '<new>'
  config['unk_token'] = 'on'
  config['additional_special_tokens'] = ['er', '<|eot_id|>']
  _write(folders[1], 'tokenizer_config.json', config)
  # Special tokens in a separate file; more template files.
  config = _load('qwen/tokenizer_config.json')
  del config['added_tokens_decoder']
  config['eos_token'] = '<|endoftext|>'
  _write(folders[0], 'tokenizer_config.json', config)
  end = {'content': '<|im_end|>', 'lstrip': False, 'rstrip': False}
  _write(folders[0], 'special_tokens_map.json', {'eos_token': end})
  source = config['chat_template'].replace('system', 'System')
  source += '{{ eos_token }}'
  (folders[0] / 'chat_template.jinja').write_text(source)
  more = folders[0] / 'additional_chat_templates'
  more.mkdir()
  (more / 'tool_use.jinja').write_text('{{ tools }}')
  # No template; special tokens are read as ordinary text.
  config = _load('gemma/tokenizer_config.json') | {'split_special_tokens': True}
  del config['chat_template']
  _write(folders[2], 'tokenizer_config.json', config)
  return folders


def test_tokens_and_templates_of_other_files_are_read(tmp_path):
  qwen, llama, gemma = map(tokenization.Tokenizer.from_dir, _folders(tmp_path))
  assert llama.vocab_size == TOKENIZERS['llama'].vocab_size + 1
  assert llama.encode('a <new>b')[1:2] == [587]
  assert 587 not in llama.encode_plain('a <new>b')  # The config names it.
  for text in (' numbers', 'ion'):
    assert llama.encode(text) != TOKENIZERS['llama'].encode(text)
  assert qwen.stop_ids == TOKENIZERS['qwen'].stop_ids
  rendered = qwen.render_chat([{'role': 'user', 'content': 'a'}])
  assert 'System' in rendered
  assert rendered.endswith('<|im_end|>')
  text = 'a<bos><end_of_turn>'
  assert gemma.encode(text) == gemma.encode_plain(text)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'eos_token': '<nil>'}, "eos_token '<nil>' is not in its vocabulary"),
    ({'added_tokens_decoder': {'x': {}}}, 'its added tokens: '),
    ({'added_tokens_decoder': {'1': {'content': 2}}}, 'its added tokens: '),
    ({'added_tokens_decoder': [1]}, 'its added tokens: '),
  ],
)
def test_tokens_that_do_not_exist_are_refused(change, message):
  with pytest.raises(errors.UserError, match=f'^variant: .*{message}'):
    _variant('llama', config=change)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('[]', r'tokenizer.json holds no tokenizer: '),
    ('{"model": ', r'tokenizer.json holds no tokenizer: EOF while parsing'),
    ('{}', r'tokenizer.json holds no tokenizer: Model missing'),
    ('{"model": {"type": "BPE"}}', r'tokenizer.json holds no tokenizer'),
  ],
)
def test_a_broken_file_is_refused(content, message, tmp_path):
  shutil.copytree(FIXTURES / 'qwen', tmp_path, dirs_exist_ok=True)
  (tmp_path / 'tokenizer.json').write_text(content)
  with pytest.raises(errors.UserError, match=message) as error:
    tokenization.Tokenizer.from_dir(tmp_path)
  assert '\n' not in str(error.value)


def _random_texts(count):
  rng = random.Random(0)
  special = [text for texts in SPECIAL.values() for text in texts]
  pieces = [*special, *'\n\t\r ▁<|>aé漢😀\x00', '\u0301', '  ', 'print(', "'s"]
  return [
    ''.join(rng.choices(pieces, k=rng.randrange(30))) for _ in range(count)
  ]


def test_transformers_agrees(tmp_path):
  """Compares the fixtures, other folders, and what `save` writes of each."""
  transformers = pytest.importorskip('transformers')
  folders = [*(FIXTURES / name for name in NAMES), *_folders(tmp_path)]
  trained = tokenization.train_bpe(STRINGS, 400)
  trained.save(tmp_path / 'trained')
  folders.append(tmp_path / 'trained')
  for index, folder in enumerate(folders):
    ours = tokenization.Tokenizer.from_dir(folder)
    saved = tmp_path / f'saved{index}'
    ours.save(saved)
    for path in (folder, saved):
      theirs = transformers.AutoTokenizer.from_pretrained(path)
      _agree(ours, theirs)
    if (folder / 'generation_config.json').is_file():
      config = transformers.GenerationConfig.from_pretrained(saved)
      assert set(config.eos_token_id) <= set(ours.stop_ids)


def _agree(ours, theirs):
  assert ours.vocab_size == len(theirs)
  for text in STRINGS + _random_texts(300):
    ids = ours.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False)
    assert ours.decode(ids) == theirs.decode(ids)
    if not set(ids) & set(theirs.added_tokens_decoder):
      assert ours.encode_completion(text)[0] == theirs.encode(text)
  for messages in CHATS:
    for opened in (False, True):
      kwargs = {'add_generation_prompt': opened}
      try:
        ids = theirs.apply_chat_template(messages, **kwargs)['input_ids']
      except Exception:  # Templates raise any exception.
        with pytest.raises(errors.UserError):
          _encode_messages(ours, messages, **kwargs)
      else:
        assert _encode_messages(ours, messages, **kwargs) == ids
