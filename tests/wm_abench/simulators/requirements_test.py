import socket

import pytest

from commons import errors
from wm_abench.simulators import requirements


def test_a_server_that_does_not_listen_is_reported_at_once():
  with socket.create_server(('127.0.0.1', 0)) as listening:
    port = listening.getsockname()[1]
    requirements.server('127.0.0.1', port, 'Carla', 'start it')
  with pytest.raises(errors.UserError, match=f'127.0.0.1:{port}.*start it'):
    requirements.server('127.0.0.1', port, 'Carla', 'start it')
