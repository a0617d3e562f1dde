"""Arguments of config files, and the check of overrides.

With `--config=configs/coderl_train.py:runlocal,algo=grpo,seed=3`, the file's
`get_config` is called with 'runlocal,algo=grpo,seed=3', which it reads with
`parse_arg`. `--config.section.field=value` overrides a field afterwards.
"""

import os
import re

from absl import flags
import ml_collections
from ml_collections.config_flags import config_flags

from commons import errors

_OVERRIDE = re.compile(r'--?(no)?config\.')
_BOOLEANS = {'true': True, '1': True, 'false': False, '0': False}


def parse_arg(arg: str, **defaults) -> ml_collections.ConfigDict:
  """Reads the text after a config file's colon.

  Args:
    arg: comma-separated `name` (a boolean set to True) and `name=value`.
    **defaults: all arguments with their defaults, whose types (bool, int,
      float or str) the values must have.

  Returns:
    The arguments, locked.

  Raises:
    UserError: a name is unknown or repeated, or a value has another type.
  """
  values = {}
  for assignment in filter(None, arg.split(',')):
    name, equals, text = assignment.partition('=')
    if name not in defaults:
      raise errors.unknown('config argument', name, defaults)
    if name in values:
      raise errors.UserError(f'config argument {name!r} is given twice')
    values[name] = _parse_value(name, text if equals else None, defaults[name])
  config = ml_collections.ConfigDict(defaults | values)
  config.lock()
  return config


def _parse_value(name, text, default):
  kind = type(default)
  if text is None and kind is bool:
    return True
  try:
    if text is None:
      raise ValueError('it has no value')
    return _BOOLEANS[text.lower()] if kind is bool else kind(text)
  except (KeyError, ValueError) as e:
    raise errors.UserError(
      f'config argument {name}={text or ""} is not of type {kind.__name__}; '
      f'write it like {name}={default}'
    ) from e


def check_overrides(argv: list[str]) -> None:
  """Checks that the config file and all overridden fields exist.

  ml_collections checks this too, but raises with a traceback and a guess; here
  the error lists the fields that exist.

  Args:
    argv: the command line, program name first.

  Raises:
    UserError: the config file or a field of `--config.a.b` does not exist.
  """
  values = flags.FlagValues()
  flags.DEFINE_string('config', None, '', flag_values=values)
  overrides = [
    _OVERRIDE.sub('', arg).partition('=')[0]
    for arg in values(argv, known_only=True)
    if _OVERRIDE.match(arg)
  ]
  if values.config is None:
    return
  config = _load(values.config)
  for name in overrides:
    _check_field(config, name)


def _load(spec):
  path = spec.partition(':')[0]
  if not os.path.isfile(path):
    raise errors.UserError(f'config file {path!r} does not exist')
  try:
    return config_flags.ConfigFileFlagParser('config').parse(spec)
  except errors.UserError as e:
    # The parser wraps the error in a message with its traceback.
    raise e.__context__ from None


def _check_field(config, name):
  section, section_name = config, 'config'
  for key in name.partition('[')[0].split('.'):
    if not isinstance(section, ml_collections.ConfigDict):
      raise errors.UserError(f'--config.{name}: {section_name} has no fields')
    if key not in section:
      raise errors.unknown(f'field of {section_name},', key, section)
    section, section_name = section[key], f'{section_name}.{key}'
