"""Tokenizers round-trip, give offsets and keep a message in its turn."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl.text import tokenization
from commons import errors

TEXTS = [
  f'def f{i}(x):\n    for i in range({i}):\n        x = x + 1\n    return x\n'
  for i in range(20)
]
TOKENIZER = tokenization.train_bpe(TEXTS, 400)
FIXTURES = pathlib.Path(__file__).parents[2] / 'fixtures/tokenizers'
NAMES = ('qwen', 'llama', 'gemma')
TRICKY = [
  '',
  ' ',
  '\n\n    \n\t x  \r\n',
  'naïve 漢字 😀\x00\x7f',
  '<|im_end|>',
  'a<|im_start|>system\nb',
  '[1, 22, -3.5] = {"k": None}',
]
FRAGMENTS = st.lists(
  st.sampled_from(['<|im_end|>', '<|endoftext|>', '\n', '    ', 'é', '<|'])
  | st.text(st.characters(exclude_categories=['Cs']), max_size=5)
).map(''.join)


@pytest.mark.parametrize('text', TRICKY)
def test_decode_undoes_encode(text):
  assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
  assert TOKENIZER.decode(TOKENIZER.encode_plain(text)) == text


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(FRAGMENTS)
def test_a_message_stays_in_its_turn(message):
  ids, offsets = TOKENIZER.encode_chat(message)
  rendered = TOKENIZER.render_chat([{'role': 'user', 'content': message}])
  assert TOKENIZER.decode(ids) == rendered
  special = [i for i in ids if i in (*TOKENIZER.stop_ids, 1)]
  # The template opens and ends the user's turn and opens the assistant's.
  assert special == [1, TOKENIZER.eos_id, 1]
  if not any(text in message for text in ('<|im_', '<|endoftext|>')):
    assert ids == TOKENIZER.encode(rendered)
  # The spans tile the message in order.
  covered = {c for start, end in offsets for c in range(start, end)}
  assert covered == set(range(len(message)))
  assert offsets == sorted(offsets)


def test_offsets_give_the_token_of_a_character():
  message = 'é 漢 total, count'
  ids, offsets = TOKENIZER.encode_chat(message)
  for end in range(1, len(message) + 1):
    index = tokenization.token_at(offsets, end)
    start, stop = offsets[index]
    assert start < end <= stop
    if message[start:stop].isascii():
      assert TOKENIZER.decode([ids[index]]) == message[start:stop]
  # A character of several tokens ends with the last of them.
  assert tokenization.token_at(offsets, 1) == (
    len(TOKENIZER.encode('<|im_start|>user\né')) - 1
  )
  for end in (0, len(message) + 1):
    with pytest.raises(ValueError, match=f'no character ends at {end}'):
      tokenization.token_at(offsets, end)
  assert TOKENIZER.encode_completion('x = x')[1] == [(0, 1), (1, 3), (3, 5)]


def _pieces(tokenizer, text):
  return [tokenizer.decode([i]) for i in tokenizer.encode(text)]


def test_an_indent_is_one_token():
  pieces = _pieces(TOKENIZER, '    x = x + 1\n    return x')
  assert pieces[-3:] == ['\n    ', 'return', ' x']


def test_a_small_integer_is_one_token_with_its_sign_and_space():
  numbers = range(-9, 100)
  texts = [f'[{n}, {n}] a[{n}] - {n}' for n in numbers]
  tokenizer = tokenization.train_bpe(texts * 2, 800)
  for n in numbers:
    assert _pieces(tokenizer, f'[{n}, {n}]') == ['[', f'{n}', ',', f' {n}', ']']
  assert _pieces(tokenizer, 'a - 12') == ['a', ' -', ' 12']
  assert _pieces(tokenizer, 'a[-1]') == ['a', '[', '-1', ']']
  assert _pieces(tokenizer, '[207]') == ['[', '20', '7', ']']


def test_training_is_deterministic_across_processes(tmp_path):
  code = (
    'import json, sys; from coderl.text import tokenization as t;'
    't.train_bpe(json.loads(sys.argv[1]), 400).save(sys.argv[2])'
  )
  argv = [sys.executable, '-c', code, json.dumps(TEXTS), str(tmp_path / 'a')]
  env = {**os.environ, 'PYTHONHASHSEED': '7', 'PYTHONPATH': os.getcwd()}
  subprocess.run(argv, env=env, check=True)
  TOKENIZER.save(tmp_path / 'b')
  tokenization.Tokenizer.from_dir(tmp_path / 'b').save(tmp_path / 'c')
  for name in ('tokenizer.json', 'tokenizer_config.json'):
    texts = {(tmp_path / d / name).read_bytes() for d in 'abc'}
    assert len(texts) == 1


def test_a_saved_tokenizer_is_the_same(tmp_path):
  TOKENIZER.save(tmp_path)
  opened = tokenization.Tokenizer.from_dir(tmp_path)
  assert opened.encode_chat(TEXTS[0]) == TOKENIZER.encode_chat(TEXTS[0])
  for name in ('vocab_size', 'pad_id', 'eos_id', 'stop_ids'):
    assert getattr(opened, name) == getattr(TOKENIZER, name)
  assert (opened.pad_id, opened.eos_id, opened.stop_ids) == (0, 2, (2, 0))


def _files(folder):
  return {p.name: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('name', NAMES)
def test_a_saved_folder_keeps_its_templates_and_stops(name, tmp_path):
  opened = tokenization.Tokenizer.from_dir(FIXTURES / name)
  opened.save(tmp_path / 'a')
  again = tokenization.Tokenizer.from_dir(tmp_path / 'a')
  again.save(tmp_path / 'b')
  files = _files(tmp_path / 'a')
  assert files == _files(tmp_path / 'b')
  assert set(files) == {
    'generation_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
  }
  generation = (FIXTURES / name / 'generation_config.json').read_text()
  assert json.loads(files['generation_config.json']) == json.loads(generation)
  config = json.loads(files['tokenizer_config.json'])
  assert isinstance(config['eos_token'], str)
  # The steps are saved as the folder has them.
  for key in ('post_processor', 'normalizer', 'decoder', 'pre_tokenizer'):
    source = json.loads((FIXTURES / name / 'tokenizer.json').read_text())
    assert json.loads(files['tokenizer.json'])[key] == source[key]
  turns = [{'role': 'user', 'content': ' a '}]
  text = opened.render_chat(turns)
  assert again.render_chat(turns) == text
  assert again.encode(text) == opened.encode(text)
  for attribute in ('vocab_size', 'least_vocab_size', 'pad_id', 'stop_ids'):
    assert getattr(again, attribute) == getattr(opened, attribute)


def test_saving_in_place_keeps_the_templates(tmp_path):
  shutil.copytree(FIXTURES / 'llama', tmp_path, dirs_exist_ok=True)
  (tmp_path / 'additional_chat_templates').mkdir()
  (tmp_path / 'additional_chat_templates/rag.jinja').write_text('{{ 1 }}')
  (tmp_path / 'model.txt').write_text('stays')
  opened = tokenization.Tokenizer.from_dir(tmp_path)
  opened.save(tmp_path)
  assert not list(tmp_path.rglob('*.jinja'))
  again = tokenization.Tokenizer.from_dir(tmp_path)
  assert again.encode_chat('a') == opened.encode_chat('a')
  config = json.loads((tmp_path / 'tokenizer_config.json').read_text())
  assert [t['name'] for t in config['chat_template']] == ['default', 'rag']
  assert (tmp_path / 'model.txt').read_text() == 'stays'


def _folder(tmp_path, name='qwen', without=(), **files):
  """Copies a fixture's folder and changes keys of its JSON files."""
  shutil.copytree(FIXTURES / name, tmp_path, dirs_exist_ok=True)
  for file in without:
    (tmp_path / file).unlink()
  for stem, change in files.items():
    path = tmp_path / f'{stem}.json'
    content = json.loads(path.read_text()) | change
    content = {k: v for k, v in content.items() if v is not None}
    path.write_text(json.dumps(content))
  return tmp_path


def _id(folder, token):
  added = json.loads((folder / 'tokenizer.json').read_text())['added_tokens']
  return {entry['content']: entry['id'] for entry in added}[token]


@pytest.mark.parametrize(
  ('name', 'pad', 'stops'),
  [
    ('qwen', '<|endoftext|>', ['<|im_end|>', '<|endoftext|>']),
    ('llama', '<|eot_id|>', ['<|eot_id|>', '<|end_of_text|>', '<|eom_id|>']),
    ('gemma', '<pad>', ['<end_of_turn>', '<eos>', '<pad>']),
  ],
)
def test_the_ids_that_end_a_response(name, pad, stops):
  folder = FIXTURES / name
  tokenizer = tokenization.Tokenizer.from_dir(folder)
  assert tokenizer.pad_id == _id(folder, pad)
  assert tokenizer.stop_ids == tuple(_id(folder, token) for token in stops)
  assert tokenizer.eos_id == tokenizer.stop_ids[0]


def test_generation_config_adds_stops(tmp_path):
  end, other = (_id(FIXTURES / 'qwen', t) for t in ('<|im_end|>', '<think>'))
  for value, more in (([other, end], [other]), (other, [other]), (None, [])):
    generation = {'eos_token_id': value}
    folder = _folder(tmp_path, generation_config=generation)
    stops = tokenization.Tokenizer.from_dir(folder).stop_ids
    assert stops == (end, _id(folder, '<|endoftext|>'), *more)
  for value in ('a', 10**6, [-1], [[1]], True):
    folder = _folder(tmp_path, generation_config={'eos_token_id': value})
    with pytest.raises(
      errors.UserError, match=r'generation_config.json: eos_token_id .* 0 to'
    ):
      tokenization.Tokenizer.from_dir(folder)


def test_without_a_template_only_chats_are_refused(tmp_path):
  folder = _folder(tmp_path, tokenizer_config={'chat_template': None})
  tokenizer = tokenization.Tokenizer.from_dir(folder)
  assert tokenizer.eos_id == _id(folder, '<|im_end|>')
  assert tokenizer.encode_completion('a b') == (
    tokenizer.encode('a b'),
    [(0, 1), (1, 2), (2, 3)],
  )
  turns = [{'role': 'user', 'content': 'a'}]
  for call in (
    lambda: tokenizer.encode_chat('a'),
    lambda: tokenizer.render_chat(turns),
  ):
    with pytest.raises(
      errors.UserError,
      match=r'has no chat template; use data.prompt_style=completion$',
    ):
      call()
  tokenizer.save(tmp_path / 'saved')
  saved = tokenization.Tokenizer.from_dir(tmp_path / 'saved')
  assert saved.stop_ids == tokenizer.stop_ids
  assert (
    'chat_template'
    not in (tmp_path / 'saved/tokenizer_config.json').read_text()
  )


def test_stop_ids_without_a_template(tmp_path):
  bare = {'chat_template': None, 'eos_token': None}
  folder = _folder(tmp_path, tokenizer_config=bare)
  ids = json.loads((folder / 'generation_config.json').read_text())
  tokenizer = tokenization.Tokenizer.from_dir(folder)
  assert tokenizer.stop_ids == tuple(ids['eos_token_id'])
  (folder / 'generation_config.json').unlink()
  with pytest.raises(errors.UserError, match='names no eos_token'):
    tokenization.Tokenizer.from_dir(folder)


def test_unusable_templates_are_refused(tmp_path):
  named = [{'name': 'rag', 'template': 'a'}, {'name': 'b', 'template': ''}]
  folder = _folder(tmp_path, tokenizer_config={'chat_template': named})
  tokenizer = tokenization.Tokenizer.from_dir(folder)
  with pytest.raises(
    errors.UserError, match='no chat template named default among b, rag; use'
  ):
    tokenizer.encode_chat('a')
  for template, message in (
    ('{% for %}', 'chat template, line 1: '),
    ('{{ raise_exception("no") }}', 'chat template: no'),
    ('{{ messages[1].content }}.', 'ends no turn with a special token'),
    (['a'], 'chat_template is neither'),
  ):
    folder = _folder(tmp_path, tokenizer_config={'chat_template': template})
    with pytest.raises(errors.UserError, match=message) as error:
      tokenization.Tokenizer.from_dir(folder)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'content',
  [
    '"x"',
    'm.content | upper',
    'm.content[:1]',
    'm.content * 2',
    'm.content | length ~ m.content',
  ],
)
def test_a_template_may_strip_a_message_but_not_rewrite_it(content, tmp_path):
  template = (
    "{% for m in messages %}<|im_start|>{{ CONTENT if m.role == 'user' else"
    ' m.content }}<|im_end|>{% endfor %}'
  )
  config = {'chat_template': template.replace('CONTENT', content)}
  opened = tokenization.Tokenizer.from_dir(
    _folder(tmp_path, tokenizer_config=config)
  )
  with pytest.raises(errors.UserError, match='drops or rewrites the content'):
    opened.encode_chat('message')


def test_text_next_to_a_message_is_encoded_with_it(tmp_path):
  template = (
    '{% for m in messages %}<|im_start|>pri{{ m.content }}nt it<|im_end|>'
    '{% endfor %}'
  )
  opened = tokenization.Tokenizer.from_dir(
    _folder(tmp_path, tokenizer_config={'chat_template': template})
  )
  for message in ('nt (pri', 'nt <|im_end|>\npri'):
    ids, offsets = opened.encode_chat(message)
    assert [opened.decode([i]) for i in ids].count('print') == 2
    assert ids[1:-1] == opened.encode_plain(f'pri{message}nt it')
    assert ids[:1] + ids[-1:] == opened.encode('<|im_start|><|im_end|>')
    pieces = [message[start:end] for start, end in offsets]
    assert ''.join(pieces) == message


def test_offsets_point_into_a_message_that_is_stripped():
  tokenizer = tokenization.Tokenizer.from_dir(FIXTURES / 'gemma')
  message = ' \n a<end_of_turn>b \n'
  ids, offsets = tokenizer.encode_chat(message)
  pieces = [
    (tokenizer.decode([i]), message[start:end])
    for i, (start, end) in zip(ids, offsets, strict=True)
    if start < end
  ]
  assert all(piece == text for piece, text in pieces)
  assert ''.join(text for _, text in pieces) == message.strip()
  assert offsets[0] == (0, 0)
  assert offsets[-1] == (len(message), len(message))
  # A stripped space counts to the token before it.
  last = max(i for i, (start, end) in enumerate(offsets) if start < end)
  assert tokenization.token_at(offsets, len(message)) == last


def test_a_model_may_lack_special_tokens_that_nothing_writes(tmp_path):
  gemma = tokenization.Tokenizer.from_dir(FIXTURES / 'gemma')
  assert gemma.least_vocab_size == gemma.vocab_size - 1  # The image token.
  tokenization.check_vocab(gemma, gemma.vocab_size - 1)
  with pytest.raises(errors.UserError, match='do not belong together'):
    tokenization.check_vocab(gemma, gemma.vocab_size - 2)
  qwen = tokenization.Tokenizer.from_dir(FIXTURES / 'qwen')
  assert qwen.least_vocab_size == qwen.vocab_size
  # <|eot_id|> ends texts; nothing writes the token after it.
  (tmp_path / 'llama').mkdir()
  folder = _folder(tmp_path / 'llama', 'llama', without=['chat_template.jinja'])
  llama = tokenization.Tokenizer.from_dir(folder)
  assert llama.least_vocab_size == _id(folder, '<|eot_id|>') + 1


def test_the_template_decides_what_ends_a_turn(tmp_path):
  # In base models the eos_token of the config ends documents, not turns.
  TOKENIZER.save(tmp_path)
  path = tmp_path / 'tokenizer_config.json'
  config = json.loads(path.read_text())
  config['eos_token'] = {'content': '<|endoftext|>', 'special': True}
  template = config.pop('chat_template')
  path.write_text(json.dumps(config))
  (tmp_path / 'chat_template.jinja').write_text(template)
  opened = tokenization.Tokenizer.from_dir(tmp_path)
  assert (opened.eos_id, opened.stop_ids) == (2, (2, 0))


def test_broken_folders_and_other_vocabularies_are_refused(tmp_path):
  with pytest.raises(
    errors.UserError, match=r'nowhere: .* no tokenizer_config.json'
  ):
    tokenization.Tokenizer.from_dir(tmp_path / 'nowhere')
  TOKENIZER.save(tmp_path)
  (tmp_path / 'tokenizer.json').unlink()
  with pytest.raises(errors.UserError, match=r'it has no tokenizer.json'):
    tokenization.Tokenizer.from_dir(tmp_path)
  (tmp_path / 'tokenizer_config.json').write_text('{"pad_token": ')
  with pytest.raises(
    errors.UserError, match=r'tokenizer_config.json: not JSON'
  ):
    tokenization.Tokenizer.from_dir(tmp_path)
  with pytest.raises(errors.UserError, match='vocab_size 100'):
    tokenization.train_bpe(TEXTS, 100)
  size = TOKENIZER.vocab_size
  tokenization.check_vocab(TOKENIZER, size)
  tokenization.check_vocab(TOKENIZER, size + 1023)
  for other in (size - 1, size + 1024):
    with pytest.raises(
      errors.UserError, match=f'{size} tokens, the model {other}:'
    ):
      tokenization.check_vocab(TOKENIZER, other)


def test_the_chat_template_is_chatml():
  turns = [
    {'role': 'user', 'content': 'a'},
    {'role': 'assistant', 'content': 'b'},
  ]
  text = TOKENIZER.render_chat(turns, add_generation_prompt=False)
  assert text == (
    '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n'
  )
