import importlib.util
import socket

import pytest

from commons import errors
from wm_abench.simulators import registry, requirements


def test_an_unknown_simulator_is_answered_with_the_choices():
  with pytest.raises(errors.UserError, match=r"'gazebo'.*carla, habitat"):
    registry.open_simulator('gazebo', 64)


@pytest.mark.parametrize(
  ('name', 'package', 'how'),
  [
    ('maniskill', 'gymnasium', r'coderl\[maniskill\]'),
    ('tdw', 'tdw', 'pip install tdw=='),
    ('physion', 'tdw', 'pip install tdw=='),
    ('habitat', 'habitat_sim', 'conda install habitat-sim'),
    ('carla', 'carla', 'pip install carla=='),
  ],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(name, package, how):
  if importlib.util.find_spec(package):
    pytest.skip(f'{package} is installed')
  with pytest.raises(errors.UserError, match=f'{package}.*{how}'):
    registry.open_simulator(name, 64)


def test_a_server_that_does_not_listen_is_named_at_once():
  with socket.create_server(('127.0.0.1', 0)) as listening:
    port = listening.getsockname()[1]
    requirements.server('127.0.0.1', port, 'Carla', 'start it')
  with pytest.raises(errors.UserError, match=f'127.0.0.1:{port}.*start it'):
    requirements.server('127.0.0.1', port, 'Carla', 'start it')
