"""Chat templates: the text of a conversation, as `transformers` renders it.

A template is a jinja text that comes with a model, thus from strangers: it runs
in jinja's sandbox. Besides jinja's own it may use what
`transformers.utils.chat_template_utils` offers: `tojson` without HTML escapes,
`raise_exception`, `strftime_now`, `{% break %}` and `{% continue %}`,
`{% generation %}` blocks, and the special tokens by name (`bos_token`).
"""

from collections.abc import Mapping, Sequence
import datetime
import json
import pathlib
from typing import Any

import jinja2
from jinja2 import ext, nodes, sandbox

from commons import errors

# Where a folder keeps templates besides tokenizer_config.json.
_DEFAULT = 'chat_template.jinja'
_NAMED = 'additional_chat_templates'

# The names that a message's reasoning goes by.
_REASONING = ('reasoning_content', 'thinking', 'reasoning')

# All that expressions of a template can raise in the sandbox.
_FAULTS = (
  jinja2.TemplateError,
  ArithmeticError,
  AttributeError,
  LookupError,
  RecursionError,
  TypeError,
  ValueError,
)


class Template:
  """A chat template, compiled.

  Attributes:
    literals: every text that the template itself can write, separated by NUL.
  """

  def __init__(self, source: str, variables: Mapping[str, str], place: str):
    """Compiles `source`.

    Args:
      source: the jinja text.
      variables: what it finds by name: 'bos_token' and its like.
      place: where it is from, for error messages.

    Raises:
      UserError: it does not parse.
    """
    self._variables = dict(variables)
    self._place = place
    environment = sandbox.ImmutableSandboxedEnvironment(
      trim_blocks=True,
      lstrip_blocks=True,
      extensions=[_Generation, ext.loopcontrols],
    )
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _refuse
    environment.globals['strftime_now'] = _now
    try:
      self._template = environment.from_string(source)
      tree = environment.parse(source)
    except jinja2.TemplateSyntaxError as error:
      raise errors.UserError(
        f'{place}: chat template, line {error.lineno}: {_line(error)}'
      ) from error
    except SyntaxError as error:  # A break outside a loop is Python's to find.
      raise errors.UserError(f'{place}: chat template: {error.msg}') from error
    texts = [node.data for node in tree.find_all(nodes.TemplateData)]
    values = [node.value for node in tree.find_all(nodes.Const)]
    texts += [value for value in values if isinstance(value, str)]
    self.literals = '\0'.join(texts)

  def render(
    self,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
  ) -> str:
    """The text of a conversation.

    Args:
      messages: the turns, oldest first: JSON values by 'role', 'content' and
        what else the template reads. None is as good as absent.
      add_generation_prompt: open the assistant's turn at the end.

    Raises:
      UserError: the template refuses the messages or fails on them.
    """
    try:
      return self._template.render(
        messages=[_message(message) for message in messages],
        tools=None,
        documents=None,
        add_generation_prompt=add_generation_prompt,
        **self._variables,
      )
    except _FAULTS as error:
      raise errors.UserError(
        f'{self._place}: chat template: {_line(error)}'
      ) from error


def files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """The templates that a folder has in files of their own, by name."""
  found = {path.stem: path for path in (folder / _NAMED).glob('*.jinja')}
  if (folder / _DEFAULT).is_file():
    found['default'] = folder / _DEFAULT
  return dict(sorted(found.items()))


def read(folder: pathlib.Path, value: Any) -> Any:
  """`chat_template` of a config as the folder's files override it.

  Args:
    folder: the tokenizer's; its files replace all of `value`, as they do in
      transformers.
    value: what tokenizer_config.json has.
  """
  texts = {name: _text(path) for name, path in files(folder).items()}
  if not texts:
    return value
  if texts.keys() == {'default'}:
    return texts['default']
  return [{'name': name, 'template': text} for name, text in texts.items()]


def named(value: Any, place: str) -> dict[str, str]:
  """The templates by name that `chat_template` of a config holds.

  Args:
    value: a template, which is named 'default', or a list of mappings with
      'name' and 'template', or a mapping of names to templates, or None.
    place: where it is from, for error messages.

  Raises:
    UserError: it is nothing of the kind.
  """
  match value:
    case None:
      return {}
    case str():
      return {'default': value}
    case [*entries] if all(_is_entry(entry) for entry in entries):
      return {entry['name']: entry['template'] for entry in entries}
    case {**texts} if all(isinstance(text, str) for text in texts.values()):
      return texts
  raise errors.UserError(
    f'{place}: chat_template is neither a text nor a list of '
    "{'name': ..., 'template': ...}"
  )


class _Generation(ext.Extension):
  """`{% generation %}`: around what the assistant writes; its text alone."""

  tags = frozenset({'generation'})

  def parse(self, parser):
    line = next(parser.stream).lineno
    body = parser.parse_statements(('name:endgeneration',), drop_needle=True)
    # A call block as in transformers: what is set inside stays inside.
    call = nodes.CallBlock(self.call_method('_written'), [], [], body)
    return call.set_lineno(line)

  def _written(self, caller):
    return caller()


def _to_json(
  value, ensure_ascii=False, indent=None, separators=None, sort_keys=False
):
  return json.dumps(
    value,
    ensure_ascii=ensure_ascii,
    indent=indent,
    separators=separators,
    sort_keys=sort_keys,
  )


def _refuse(message: str) -> None:
  raise jinja2.TemplateError(message)


def _now(form: str) -> str:
  return datetime.datetime.now().strftime(form)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
  """A message as templates see it: no None, reasoning under its two names."""
  kept = {key: value for key, value in message.items() if value is not None}
  reasoning = next((kept[key] for key in _REASONING if key in kept), None)
  if reasoning is None:
    return kept
  return {'thinking': reasoning, **kept, 'reasoning_content': reasoning}


def _is_entry(entry: Any) -> bool:
  return isinstance(entry, Mapping) and all(
    isinstance(entry.get(key), str) for key in ('name', 'template')
  )


def _text(path: pathlib.Path) -> str:
  try:
    return path.read_text('utf-8')
  except UnicodeDecodeError as error:
    raise errors.UserError(f'{path}: not UTF-8 text') from error


def _line(error: Exception) -> str:
  """An error's message in one line."""
  # A syntax error's own text goes on with the lines around.
  text = error.message if isinstance(error, jinja2.TemplateError) else error
  return ' '.join(str(text).split()) or type(error).__name__
