"""Files have the bytes of safetensors, are read by rows and written whole."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from coderl.models.checkpoints import hf_files

TENSORS = {
  'b.10': np.arange(6, dtype=np.float32).reshape(2, 3),
  'b.2': np.arange(35, dtype=np.float32).reshape(7, 5).astype(jnp.bfloat16),
  'a': np.arange(3, dtype=np.float64),
  'c.é"\\': np.arange(4, dtype=np.float16).reshape(4, 1),
  'd': np.zeros((0, 2), np.float32),
}


@pytest.fixture
def file(tmp_path):
  """Returns a file with TENSORS that safetensors wrote."""
  path = tmp_path / hf_files.WEIGHTS
  safetensors.numpy.save_file(TENSORS, path, {'format': 'pt'})
  return path


@pytest.mark.parametrize('metadata', [{}, {'format': 'pt'}, {'é': '"\n'}])
def test_header_and_bytes_are_those_of_safetensors(tmp_path, metadata):
  theirs, ours = tmp_path / 'theirs', tmp_path / 'ours'
  safetensors.numpy.save_file(TENSORS, theirs, metadata or None)
  described = {
    name: (str(t.dtype), t.shape) for name, t in reversed(TENSORS.items())
  }
  header = hf_files.new_header(str(ours), described, metadata)
  assert hf_files.metadata(header) == metadata
  hf_files.write(str(ours), header, lambda name: [TENSORS[name]])
  assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize('size', [1, 30, 10**6])
def test_rows_of_a_tensor_are_read_in_another_shape(file, monkeypatch, size):
  monkeypatch.setattr(hf_files, '_CHUNK_BYTES', size)
  tensors = hf_files.open_weights(str(file.parent)).tensors()
  assert tensors.keys() == TENSORS.keys()
  for name, shape in [('b.2', (7, 5)), ('b.2', (5, 7)), ('b.10', (3, 2))]:
    values = TENSORS[name].reshape(shape)
    for start in range(shape[0]):
      for stop in range(start, shape[0] + 1):
        out = np.full_like(values[start:stop], -1)
        for index, rows in hf_files.read_rows(
          tensors[name], shape, range(start, stop)
        ):
          assert rows.dtype == values.dtype
          assert len(rows) == 1 or 4 * rows.size <= size
          out[index] = rows
        np.testing.assert_array_equal(out, values[start:stop])


def test_equality_compares_bytes(tmp_path, monkeypatch):
  monkeypatch.setattr(hf_files, '_CHUNK_BYTES', 40)
  a = np.arange(35, dtype=np.float16).reshape(7, 5)
  a[0, 1] = np.nan
  last, zero = a.copy(), a.copy()
  last[-1, -1] = np.nextafter(last[-1, -1], 0)
  zero[0, 0] = -0.0
  others = {
    'last': last,
    'zero': zero,
    'shape': a.reshape(5, 7),
    'dtype': a.view(jnp.bfloat16),
  }
  safetensors.numpy.save_file(
    others | {'a': a, 'same': a.copy()}, tmp_path / hf_files.WEIGHTS
  )
  tensors = hf_files.open_weights(str(tmp_path)).tensors()
  equal = {n for n, t in tensors.items() if hf_files.equal(tensors['a'], t)}
  assert equal == {'a', 'same'}


def test_a_file_is_replaced_when_the_new_one_is_complete(file):
  before = file.read_bytes()
  header = hf_files.new_header(str(file), {'a': ('float32', (3,))}, {})

  def breaks(name):
    yield TENSORS[name].astype(np.float32)[:1]
    assert file.read_bytes() == before
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    hf_files.write(str(file), header, breaks)
  assert file.read_bytes() == before
  hf_files.write(str(file), header, lambda _: [np.ones(3, np.float32)])
  assert list(safetensors.numpy.load_file(file)['a']) == [1, 1, 1]
  assert os.listdir(file.parent) == [hf_files.WEIGHTS]
