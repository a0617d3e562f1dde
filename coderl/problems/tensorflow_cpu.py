"""TensorFlow and the libraries on it, silent and without accelerators.

TensorFlow reads data here and nothing else. All modules of this room import it
from this one, so that it never takes an accelerator's memory, which JAX needs.

Notices of TensorFlow are turned off by TF_CPP_MIN_LOG_LEVEL=3; a user who sets
it to 0 gets them all. TensorFlow 2.19 and later ignore the variable while they
are imported, so standard error is closed for that time.
"""

from collections.abc import Iterator
import contextlib
import os
import sys


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
  """Discards what is written to the file descriptor of standard error."""
  sys.stderr.flush()
  stderr = os.dup(2)
  try:
    with open(os.devnull, 'wb') as null:
      os.dup2(null.fileno(), 2)
    yield
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)


# JAX sets the variable to 1 when it is imported.
if os.environ.get('TF_CPP_MIN_LOG_LEVEL', '1') == '1':
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
_IS_QUIET = os.environ['TF_CPP_MIN_LOG_LEVEL'] == '3'
with _without_stderr() if _IS_QUIET else contextlib.nullcontext():
  import seqio
  import tensorflow as tf
  import tensorflow_datasets as tfds

  tf.config.set_visible_devices([], 'GPU')

__all__ = ('seqio', 'tf', 'tfds')
