"""TensorFlow starts silently and leaves accelerators alone."""

import os
import subprocess
import sys

_PROGRAM = """
import coderl.problems.builder
from coderl.problems.tensorflow_cpu import tf
print(tf.config.get_visible_devices('GPU'), tf.constant([1, 2]).numpy().sum())
"""


def test_tensorflow_sees_no_gpu_and_writes_nothing():
  env = {k: v for k, v in os.environ.items() if k != 'TF_CPP_MIN_LOG_LEVEL'}
  result = subprocess.run(
    [sys.executable, '-c', _PROGRAM],
    env=env,
    capture_output=True,
    text=True,
    check=True,
  )
  assert (result.stdout, result.stderr) == ('[] 3\n', '')
