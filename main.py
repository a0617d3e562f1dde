"""Starts a program: `python -m main --config=configs/NAME.py --workdir=DIR`.

This is the only file with flags. The config names its program, a module with
`run(config, workdir)`, which is imported last, so that a mistake on the command
line is answered before anything slow is loaded.
"""

import importlib
import os
import sys
import tempfile

from absl import app, flags, logging
from ml_collections.config_flags import config_flags

from commons import errors
from configs import common

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  help_string='Experiment, e.g. configs/coderl_train.py:runlocal,algo=grpo; '
  'fields are overridden by --config.section.field=value.',
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the run.')

# Program -> the extra of setup.py that has what it imports.
EXTRAS = {
  'coderl.train': 'train',
  'coderl.evaluate': 'train',
  'coderl.pretrain': 'train',
  'coderl.plan': 'plan',
  'wm_abench.generate': 'worlds',
  'wm_abench.evaluate': 'eval',
  'wm_abench.train_policy': 'policy',
}


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line with absl; returns the arguments left over.

  Raises:
    UserError: a flag or a config field that does not exist, a value of another
      type, a missing flag, or an argument that is no flag.
  """
  try:
    common.check_overrides(argv)
    rest = flags.FLAGS(argv)
  except flags.Error as e:
    raise errors.UserError(str(e)) from e
  if len(rest) > 1:
    raise errors.UserError(f'unexpected argument {rest[1]!r}')
  for name in ('config', 'workdir'):
    if not flags.FLAGS[name].value:
      raise errors.UserError(f'--{name} is missing')
  return rest


def check_workdir(workdir: str) -> None:
  """Creates the directory; raises UserError if no file can be written there."""
  try:
    os.makedirs(workdir, exist_ok=True)
    with tempfile.TemporaryFile(dir=workdir) as f:
      f.write(b'-')
  except OSError as e:
    raise errors.UserError(
      f'workdir {workdir!r} cannot be written: {e.strerror}'
    ) from e


def load_program(name: str):
  """Imports the program's module.

  Raises:
    UserError: a package that the program needs is not installed; the extra that
      has it is named.
  """
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as e:
    package = (e.name or '').partition('.')[0]
    if package in ('coderl', 'commons', 'configs', 'wm_abench'):
      raise
    extra = EXTRAS.get(name, 'dev')  # dev has what all programs need.
    raise errors.UserError(
      f'{name} needs the package {package!r}: pip install -c constraints.txt -e'
      f" '.[{extra}]'"
    ) from e


def main(argv: list[str]) -> None:
  del argv  # All of it is in the flags.
  logging.set_verbosity(logging.WARNING)
  check_workdir(_WORKDIR.value)
  program = load_program(_CONFIG.value.program)
  program.run(_CONFIG.value, _WORKDIR.value)


if __name__ == '__main__':
  try:
    app.run(main, flags_parser=parse_flags)
  except (errors.UserError, errors.ServiceError) as e:
    print('error:', ' '.join(str(e).split()), file=sys.stderr)
    sys.exit(2 if isinstance(e, errors.UserError) else 3)
