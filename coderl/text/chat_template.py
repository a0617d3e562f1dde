"""Renders chat templates to the text that `transformers` renders.

A template is jinja source that comes with a model, so it is not trusted and
runs in jinja's sandbox. Besides jinja's own names it sees those of
`transformers.utils.chat_template_utils`: `tojson` without HTML escapes,
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

from coderl.text import codec
from commons import errors

# Template files beside tokenizer_config.json.
_DEFAULT = 'chat_template.jinja'
_NAMED = 'additional_chat_templates'

# The names under which a message may hold its reasoning.
_REASONING = ('reasoning_content', 'thinking', 'reasoning')

# Everything that the expressions of a template can raise in the sandbox.
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
  """A compiled chat template.

  Attributes:
    literals: every text that the template itself can write, separated by NUL.
  """

  def __init__(self, text: str, variables: Mapping[str, str], source: str):
    """Compiles a template.

    Args:
      text: the jinja source.
      variables: the values that it may read, such as 'bos_token'.
      source: where the template comes from, for error messages.

    Raises:
      UserError: the text does not parse.
    """
    self._variables = dict(variables)
    self._source = source
    environment = sandbox.ImmutableSandboxedEnvironment(
      trim_blocks=True,
      lstrip_blocks=True,
      extensions=[_Generation, ext.loopcontrols],
    )
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _raise
    environment.globals['strftime_now'] = _now
    try:
      self._template = environment.from_string(text)
      tree = environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
      raise errors.UserError(
        f'{source}: chat template, line {error.lineno}: {_one_line(error)}'
      ) from error
    except SyntaxError as error:  # Python finds a break outside a loop.
      raise errors.UserError(f'{source}: chat template: {error.msg}') from error
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
    """Returns the text of a conversation.

    Args:
      messages: the messages, oldest first. Each holds JSON values under 'role',
        'content' and the other keys that the template reads. A value of None
        counts as absent.
      add_generation_prompt: whether to open the assistant's turn at the end.

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
        f'{self._source}: chat template: {_one_line(error)}'
      ) from error


def files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the template files of a tokenizer folder, by template name."""
  paths = {path.stem: path for path in (folder / _NAMED).glob('*.jinja')}
  if (folder / _DEFAULT).is_file():
    paths['default'] = folder / _DEFAULT
  return dict(sorted(paths.items()))


def read(folder: pathlib.Path, value: Any) -> Any:
  """Returns the `chat_template` value of a tokenizer folder.

  Args:
    folder: the tokenizer's folder. As in transformers, template files in it
      replace all of `value`.
    value: `chat_template` of tokenizer_config.json.
  """
  texts = {
    name: codec.read_text(path.parent, path.name)
    for name, path in files(folder).items()
  }
  if not texts:
    return value
  if texts.keys() == {'default'}:
    return texts['default']
  return [{'name': name, 'template': text} for name, text in texts.items()]


def named(value: Any, source: str) -> dict[str, str]:
  """Returns the templates of a `chat_template` value, by name.

  Args:
    value: a template, which is named 'default', or a list of mappings with
      'name' and 'template', or a mapping of names to templates, or None.
    source: where the value comes from, for error messages.

  Raises:
    UserError: the value has another form.
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
    f'{source}: chat_template is neither a text nor a list of '
    "{'name': ..., 'template': ...}"
  )


class _Generation(ext.Extension):
  """`{% generation %}`: marks the assistant's text and renders as its body."""

  tags = frozenset({'generation'})

  def parse(self, parser):
    line = next(parser.stream).lineno
    body = parser.parse_statements(('name:endgeneration',), drop_needle=True)
    # A call block, as in transformers: names set in the body stay local to it.
    call = nodes.CallBlock(self.call_method('_render'), [], [], body)
    return call.set_lineno(line)

  def _render(self, caller):
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


def _raise(message: str) -> None:
  raise jinja2.TemplateError(message)


def _now(form: str) -> str:
  return datetime.datetime.now().strftime(form)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a message without None, its reasoning under both usual names."""
  kept = {key: value for key, value in message.items() if value is not None}
  reasoning = next((kept[key] for key in _REASONING if key in kept), None)
  if reasoning is None:
    return kept
  return {'thinking': reasoning, **kept, 'reasoning_content': reasoning}


def _is_entry(entry: Any) -> bool:
  return isinstance(entry, Mapping) and all(
    isinstance(entry.get(key), str) for key in ('name', 'template')
  )


def _one_line(error: Exception) -> str:
  """Returns an error's message on one line."""
  # The text of a syntax error includes the lines around it.
  text = error.message if isinstance(error, jinja2.TemplateError) else error
  return ' '.join(str(text).split()) or type(error).__name__
