"""Tokenizers: round trips, offsets, and messages that stay in their turn."""

import json
import os
import subprocess
import sys

import hypothesis
from hypothesis import strategies as st
import pytest

from coderl import errors, tokenization

TEXTS = [
  f'def f{i}(x):\n    for i in range({i}):\n        x = x + 1\n    return x\n'
  for i in range(20)
]
TOKENIZER = tokenization.train_bpe(TEXTS, 400)
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
  # Of the template: the user's turn opens and ends, the assistant's opens.
  assert special == [1, TOKENIZER.eos_id, 1]
  if not any(mark in message for mark in ('<|im_', '<|endoftext|>')):
    assert ids == TOKENIZER.encode(rendered)
  # The tokens tile the message, and each lies where its offsets say.
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
  # The last byte of a character of many tokens.
  assert tokenization.token_at(offsets, 1) == (
    len(TOKENIZER.encode('<|im_start|>user\né')) - 1
  )
  for end in (0, len(message) + 1):
    with pytest.raises(ValueError, match=f'no character ends at {end}'):
      tokenization.token_at(offsets, end)
  assert TOKENIZER.encode_with_offsets('x = x')[1] == [(0, 1), (1, 3), (3, 5)]


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
    'import json, sys; from coderl import errors, tokenization as t;'
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


def test_the_template_decides_what_ends_a_turn(tmp_path):
  # As base models have it: the config's eos ends documents, not turns.
  TOKENIZER.save(tmp_path)
  place = tmp_path / 'tokenizer_config.json'
  config = json.loads(place.read_text())
  config['eos_token'] = {'content': '<|endoftext|>', 'special': True}
  template = config.pop('chat_template')
  place.write_text(json.dumps(config))
  (tmp_path / 'chat_template.jinja').write_text(template)
  opened = tokenization.Tokenizer.from_dir(tmp_path)
  assert (opened.eos_id, opened.stop_ids) == (2, (2, 0))


def test_what_does_not_fit_is_refused(tmp_path):
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
