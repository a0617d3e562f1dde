import importlib.util
import subprocess
import sys

import pytest

from commons import errors
from wm_abench.worlds import registry


@pytest.mark.parametrize(
  ('open_entry', 'name', 'message'),
  [
    (registry.open_environment, 'table_top', r'table_top.*apartment_table'),
    (registry.open_renderer, 'mujoko', r"'mujoko'.*mitsuba, mujoco"),
    (registry.open_simulator, 'gazebo', r"'gazebo'.*carla, habitat"),
  ],
)
def test_an_unknown_name_is_reported_with_the_choices(
  open_entry, name, message
):
  with pytest.raises(errors.UserError, match=message):
    open_entry(name, None)


@pytest.mark.parametrize(
  ('call', 'package', 'extras'),
  [
    ("open_environment('tabletop', None)", 'mujoco', 'worlds'),
    ("open_renderer('mujoco', 64)", 'mujoco', 'worlds'),
    ("open_renderer('mitsuba', 64)", 'mitsuba', 'worlds,mitsuba'),
  ],
)
def test_a_missing_package_is_reported_with_the_extras_that_install_it(
  call, package, extras
):
  # None in sys.modules makes an import raise ModuleNotFoundError.
  code = (
    f'import sys; sys.modules[{package!r}] = None;'
    'from wm_abench.worlds import registry;'
    f'registry.{call}'
  )
  process = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  message = process.stderr.splitlines()[-1]
  assert message.startswith('commons.errors.UserError')
  assert f'package {package!r}' in message
  assert f"pip install -c constraints.txt -e '.[{extras}]'" in message


@pytest.mark.parametrize(
  ('name', 'package', 'command'),
  [
    ('maniskill', 'gymnasium', r'\[maniskill\]'),
    ('tdw', 'tdw', 'pip install tdw=='),
    ('physion', 'tdw', 'pip install tdw=='),
    ('habitat', 'habitat_sim', 'conda install habitat-sim'),
    ('carla', 'carla', 'pip install carla=='),
  ],
)
def test_a_simulator_reports_its_missing_package(name, package, command):
  if importlib.util.find_spec(package):
    pytest.skip(f'{package} is installed')
  with pytest.raises(errors.UserError, match=f'{package}.*{command}'):
    registry.open_simulator(name, 64)


@pytest.mark.parametrize('name', registry.ENVIRONMENTS)
def test_every_environment_can_be_opened_without_a_renderer(name):
  environment = registry.open_environment(name, None)
  assert {'reset', 'step', 'render', 'close'} <= set(dir(environment))
  environment.close()


@pytest.mark.parametrize('name', registry.RENDERERS)
def test_every_renderer_has_the_requested_size_and_a_description(name):
  pytest.importorskip(name)
  renderer = registry.open_renderer(name, 48)
  assert renderer.size_px == 48
  assert registry.describe_renderer(name).lower().startswith(name)
  renderer.close()


def test_an_added_entry_is_opened_like_the_others(monkeypatch):
  entry = registry.ENVIRONMENTS['street']
  monkeypatch.setitem(registry.ENVIRONMENTS, 'my_world', entry)
  opened = registry.open_environment('my_world', None)
  assert type(opened) is type(registry.open_environment('street', None))
