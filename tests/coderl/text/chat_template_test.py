"""Chat templates render as in transformers, and refuse in one line."""

import datetime
import json
import pathlib

import pytest

from coderl.text import chat_template, codec
from commons import errors

FIXTURES = pathlib.Path(__file__).parents[2] / 'fixtures/tokenizers'
TEMPLATES = json.loads((FIXTURES / 'templates.json').read_text())
NOW = datetime.datetime(2025, 3, 9, 12)  # The clock of the fixtures.
CASES = [
  pytest.param(case['template'], name, text, id=f'{name}-{index}')
  for index, case in enumerate(TEMPLATES['cases'])
  for name, text in case['texts'].items()
]


class _Clock:
  datetime = type('Fixed', (), {'now': staticmethod(lambda: NOW)})


def _render(source, messages, **variables):
  template = chat_template.Template(source, variables, 'here')
  return template.render(messages, add_generation_prompt=False)


@pytest.mark.parametrize(('source', 'name', 'text'), CASES)
def test_a_template_renders_as_in_transformers(source, name, text, monkeypatch):
  monkeypatch.setattr(chat_template, 'datetime', _Clock)
  config = codec.read_json(FIXTURES / name, 'tokenizer_config.json')
  named = codec.named_tokens(config)
  if text is None:
    with pytest.raises(errors.UserError, match=r'^here: chat template\b.') as e:
      _render(source, TEMPLATES['messages'], **named)
    assert '\n' not in str(e.value)
  else:
    assert _render(source, TEMPLATES['messages'], **named) == text


def test_the_date_comes_from_the_clock():
  before = datetime.datetime.now().strftime('%d %b %Y')
  text = _render('{{ strftime_now("%d %b %Y") }}', [])
  assert text in (before, datetime.datetime.now().strftime('%d %b %Y'))


@pytest.mark.parametrize(
  ('source', 'message'),
  [
    (
      '{{ raise_exception("roles:\\n a, b") }}',
      'here: chat template: roles: a, b',
    ),
    ('{{ raise_exception(3) }}', 'here: chat template: 3'),
    ('{{ messages[0].x.y }}', "here: chat template: 'dict object' has no"),
    ('{{ {}["k"] + 1 }}', 'here: chat template: '),
    ('a\n{% if %}', 'here: chat template, line 2: Expected an expression'),
    ('{% break %}', "here: chat template: 'break' outside loop"),
  ],
)
def test_a_refusal_is_one_line(source, message):
  with pytest.raises(errors.UserError) as error:
    _render(source, [{'role': 'user'}])
  assert str(error.value).startswith(message)
  assert '\n' not in str(error.value)


def test_a_message_is_a_mapping():
  with pytest.raises(errors.UserError, match='here: chat template: '):
    _render('a', ['b'])


def test_a_template_cannot_change_the_messages():
  messages = [{'role': 'user', 'content': 'a', 'name': None}]
  for source in (
    '{% set _ = messages[0].update({"role": "x"}) %}',
    '{% set _ = messages.pop() %}',
    '{{ "".__class__.__base__.__subclasses__() }}',
    '{{ self.__init__.__globals__ }}',
    '{{ strftime_now.__globals__.chat_template }}',
  ):
    with pytest.raises(errors.UserError, match='chat template'):
      _render(source, messages)
  assert messages == [{'role': 'user', 'content': 'a', 'name': None}]


def test_literals_are_what_the_template_writes():
  source = "a{# <no> #}{{ '<s>' + messages[0].role }}{% if '<t>' %}b{% endif %}"
  literals = chat_template.Template(source, {}, 'here').literals.split('\0')
  assert {'a', '<s>', '<t>', 'b'} <= set(literals)
  assert '<no>' not in ''.join(literals)


def test_templates_by_name():
  entries = [
    {'name': 'default', 'template': 'a'},
    {'name': 'b', 'template': ''},
  ]
  assert chat_template.named(None, 'here') == {}
  assert chat_template.named('a', 'here') == {'default': 'a'}
  assert chat_template.named(entries, 'here') == {'default': 'a', 'b': ''}
  assert chat_template.named({'default': 'a', 'b': ''}, 'here') == {
    'default': 'a',
    'b': '',
  }
  for value in (3, ['a'], [{'name': 'b'}], {'default': 1}):
    with pytest.raises(
      errors.UserError, match='here: chat_template is neither'
    ):
      chat_template.named(value, 'here')


def test_files_come_before_the_config(tmp_path):
  assert chat_template.read(tmp_path, 'config') == 'config'
  (tmp_path / 'chat_template.jinja').write_text('file')
  assert chat_template.read(tmp_path, 'config') == 'file'
  (tmp_path / 'additional_chat_templates').mkdir()
  more = tmp_path / 'additional_chat_templates/rag.jinja'
  more.write_text('more')
  assert chat_template.named(
    chat_template.read(tmp_path, 'config'), 'here'
  ) == {
    'default': 'file',
    'rag': 'more',
  }
  # As in transformers, any file replaces all of the config.
  (tmp_path / 'chat_template.jinja').unlink()
  assert chat_template.named(chat_template.read(tmp_path, 'config'), 'x') == {
    'rag': 'more'
  }
  more.write_bytes(b'\xff')
  with pytest.raises(errors.UserError, match=r'rag\.jinja: not UTF-8'):
    chat_template.read(tmp_path, None)
