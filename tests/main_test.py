"""The command line: a mistake is one line and exit code 2; a bug is not."""

import importlib
import pathlib
import subprocess
import sys
import textwrap

import pytest

import main

_ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def config(tmp_path):
  """A config whose program fails in the way its argument says, or prints."""
  (tmp_path / 'program_for_test.py').write_text(
    textwrap.dedent("""
      from commons import errors

      def run(config, workdir):
        if config.mode == 'mistake':
          raise errors.UserError('first line\\n  second line')
        if config.mode == 'bug':
          raise ValueError('a bug')
        if config.mode == 'outage':
          raise errors.ServiceError('no answer from\\n  http://host')
        print(config.optimizer.learning_rate, workdir)
    """)
  )
  path = tmp_path / 'config.py'
  path.write_text(
    textwrap.dedent("""
      import ml_collections
      from configs import common

      def get_config(arg=''):
        arg = common.parse_arg(arg, mode='', broken=False)
        if arg.broken:
          raise ValueError('a bug in the config')
        return ml_collections.ConfigDict({
          'program': 'program_for_test',
          'mode': arg.mode,
          'optimizer': {'learning_rate': 1e-3, 'warmup_steps': 10},
        })
    """)
  )
  return path


def _run(config, *args):
  return subprocess.run(
    [sys.executable, '-m', 'main', *map(str, args)],
    cwd=_ROOT,
    env={'PYTHONPATH': str(config.parent), 'PATH': ''},
    capture_output=True,
    text=True,
  )


def _assert_one_line(result, *parts):
  assert result.returncode == 2, result.stderr
  assert result.stderr.startswith('error: ')
  assert result.stderr.count('\n') == 1
  for part in parts:
    assert part in result.stderr


def test_runs_with_overrides(config, tmp_path):
  workdir = tmp_path / 'deep' / 'run'
  result = _run(
    config,
    f'--config={config}',
    f'--workdir={workdir}',
    '--config.optimizer.learning_rate=3e-4',
  )
  assert (result.returncode, result.stderr) == (0, '')
  assert result.stdout == f'0.0003 {workdir}\n'
  assert list(workdir.iterdir()) == []


def test_flags_may_be_separated_by_spaces(config, tmp_path):
  workdir = tmp_path / 'run'
  override = ('--config.optimizer.learning_rate', '2')
  result = _run(config, '--config', config, '--workdir', workdir, *override)
  assert result.stdout == f'2.0 {workdir}\n'


def test_config_file_that_does_not_exist(config, tmp_path):
  path = tmp_path / 'none.py'
  result = _run(config, f'--config={path}:runlocal', f'--workdir={tmp_path}')
  _assert_one_line(result, f"config file '{path}' does not exist")


@pytest.mark.parametrize(
  'args, parts',
  [
    ([':mod=x'], ["'mod'", "did you mean 'mode'?", 'broken, mode']),
    ([':broken=2'], ['broken=2', 'bool']),
    (
      ['', '--config.optimizer.learning_rat=1'],
      ['config.optimizer', 'learning_rate, warmup_steps'],
    ),
    (
      ['', '--config.optimiser.learning_rate=1'],
      ["did you mean 'optimizer'?", 'mode, optimizer, program'],
    ),
    (['', '--noconfig.modes'], ["did you mean 'mode'?"]),
    (['', '--config.mode.x=1'], ['config.mode has no fields']),
    (['', '--config.optimizer.warmup_steps=x'], ['warmup_steps=x']),
    (['', '--config.optimizer=3'], ['--config.optimizer=3']),
    (['', '--wokdir=x'], ["'wokdir'"]),
    (['', 'stray'], ["'stray'"]),
    ([':mode=mistake'], ['error: first line second line']),
  ],
)
def test_mistakes(config, tmp_path, args, parts):
  suffix, *rest = args
  workdir = f'--workdir={tmp_path / "run"}'
  result = _run(config, f'--config={config}{suffix}', workdir, *rest)
  _assert_one_line(result, *parts)


def test_an_outage_is_neither_a_mistake_nor_a_bug(config, tmp_path):
  workdir = f'--workdir={tmp_path / "run"}'
  result = _run(config, f'--config={config}:mode=outage', workdir)
  assert result.returncode == 3
  assert result.stderr == 'error: no answer from http://host\n'


def test_missing_flags(config, tmp_path):
  _assert_one_line(_run(config, f'--workdir={tmp_path}'), '--config is missing')
  _assert_one_line(_run(config, f'--config={config}'), '--workdir is missing')


def test_workdir_that_cannot_be_written(config):
  workdir = config / 'below_a_file'
  result = _run(config, f'--config={config}', f'--workdir={workdir}')
  _assert_one_line(result, f"workdir '{workdir}' cannot be written", 'Not a di')


@pytest.mark.parametrize(
  'arg, error',
  [
    ('mode=bug', 'ValueError: a bug'),
    ('broken', 'ValueError: a bug in the config'),
  ],
)
def test_a_bug_keeps_its_traceback(config, tmp_path, arg, error):
  result = _run(
    config, f'--config={config}:{arg}', f'--workdir={tmp_path / "run"}'
  )
  assert result.returncode == 1
  assert 'Traceback' in result.stderr
  assert error in result.stderr


def _run_without(config, tmp_path, program, package):
  """Runs a program where importing `package` fails as if not installed."""
  (config.parent / 'sitecustomize.py').write_text(
    textwrap.dedent(f"""
      import importlib.abc
      import sys

      class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
          if name.partition('.')[0] == {package!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

      sys.meta_path.insert(0, Absent())
    """)
  )
  return _run(
    config,
    f'--config={config}',
    f'--workdir={tmp_path / "run"}',
    f'--config.program={program}',
  )


@pytest.mark.parametrize(
  ('program', 'package'),
  [
    ('coderl.train', 'jax'),
    ('coderl.evaluate', 'jax'),
    ('coderl.pretrain', 'jax'),
    ('coderl.plan', 'jax'),
    ('wm_abench.generate', 'mujoco'),
    ('wm_abench.evaluate', 'inspect_ai'),
    ('wm_abench.train_policy', 'jax'),
  ],
)
def test_a_missing_package_is_answered_with_the_extra_that_has_it(
  config, tmp_path, program, package
):
  result = _run_without(config, tmp_path, program, package)
  extra = main.EXTRAS[program]
  _assert_one_line(
    result, f'{program} needs the package {package!r}', f"'.[{extra}]'"
  )


def test_every_program_has_an_extra_that_exists():
  programs = {
    importlib.import_module(f'configs.{path.stem}').get_config().program
    for path in (_ROOT / 'configs').glob('*.py')
    if path.stem not in ('__init__', 'common')
  }
  assert programs == main.EXTRAS.keys()
  text = (_ROOT / 'setup.py').read_text(encoding='utf-8')
  assert all(f"'{extra}': " in text for extra in main.EXTRAS.values())


@pytest.mark.parametrize(
  ('line', 'status'),
  [('import no_such_package.part', 2), ('import coderl.no', 1)],
)
def test_a_missing_module_of_the_project_is_a_bug(
  config, tmp_path, line, status
):
  (config.parent / 'program_that_lacks.py').write_text(line + '\n')
  result = _run(
    config,
    f'--config={config}',
    f'--workdir={tmp_path / "run"}',
    '--config.program=program_that_lacks',
  )
  assert result.returncode == status
  if status == 2:
    _assert_one_line(result, 'program_that_lacks', 'no_such_package', 'pip')
