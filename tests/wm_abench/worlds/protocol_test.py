import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from wm_abench.worlds import protocol

SCENE = protocol.Scene('study', 3)
CAMERA = protocol.Camera('front', (0.0, -2.0, 1.0), (0.0, 0.0, 0.0))
SHOT = protocol.Shot(
  'tabletop', SCENE, (protocol.Action('wait', (0.5,)),), CAMERA
)


def _state(**bodies):
  return protocol.State(0.0, bodies)


def test_a_shot_has_the_same_key_in_every_process():
  code = (
    'from wm_abench.worlds import protocol;'
    "print(protocol.Shot('tabletop', protocol.Scene('study', 3),"
    " (protocol.Action('wait', (0.5,)),),"
    " protocol.Camera('front', (0.0, -2.0, 1.0), (0.0, 0.0, 0.0))).key())"
  )
  process = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert process.stdout.strip() == SHOT.key()


@pytest.mark.parametrize(
  'change',
  [
    {'scene': protocol.Scene('study', 4)},
    {'scene': protocol.Scene('loft', 3)},
    {'actions': ()},
    {'actions': (protocol.Action('wait', (0.25,)),)},
    {'camera': dataclasses.replace(CAMERA, fovy_deg=44.0)},
    {'environment': 'indoor'},
  ],
)
def test_any_change_of_a_shot_changes_its_key(change):
  assert dataclasses.replace(SHOT, **change).key() != SHOT.key()


def test_frozen_data_becomes_json():
  value = {'a': np.float32(0.5), 'b': (np.arange(2), SHOT), 3: None}
  loaded = json.loads(json.dumps(protocol.to_json(value)))
  assert loaded['a'] == 0.5 and loaded['b'][0] == [0, 1]
  assert loaded['3'] is None
  assert loaded['b'][1]['scene'] == {
    'type': 'Scene',
    'background': 'study',
    'seed': 3,
  }


def test_distance_is_the_largest_displacement_and_a_radian_counts_a_tenth():
  near, far = protocol.Body((0.0, 0.0, 0.0)), protocol.Body((3.0, 4.0, 0.0))
  half = np.sqrt(0.5)
  turned = protocol.Body((0.0, 0.0, 0.0), (half, 0.0, 0.0, half))
  assert protocol.distance(_state(a=near, b=near), _state(a=near, b=far)) == 5.0
  assert protocol.distance(_state(a=near), _state(a=turned)) == pytest.approx(
    0.1 * np.pi / 2
  )
  # A quaternion and its negative are the same rotation.
  negative = protocol.Body((0.0, 0.0, 0.0), (-half, 0.0, 0.0, -half))
  assert protocol.distance(
    _state(a=turned), _state(a=negative)
  ) == pytest.approx(0.0, abs=1e-6)
  assert protocol.distance(_state(a=near), _state(b=near)) == float('inf')
  assert (
    protocol.distance(_state(a=near, b=near), _state(a=near, b=far), 'a') == 0
  )
