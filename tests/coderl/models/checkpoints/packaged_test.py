"""Packaged checkpoints are verified, converted once, whole or not at all."""

from concurrent import futures
import dataclasses
import hashlib
import pathlib
import resource
import sys

import pytest

from coderl.models.checkpoints import huggingface, packaged
from commons import errors
from tests.fixtures import tiny_gguf

PRESET = 'gemma3-270m'


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'coderl' / 'models'


@pytest.fixture
def package(tmp_path, monkeypatch):
  """Replaces Gemma by modules that hold a tiny checkpoint and terms.

  The modules must not be imported: they raise an error.
  """
  root = tmp_path / 'packages'
  tiny_gguf.write(tmp_path / 'tiny.gguf')
  content = (tmp_path / 'tiny.gguf').read_bytes()
  files = {
    'tiny_part1': ('data/x.part00', content[:70000]),
    'tiny_part2': ('data/x.part01', content[70000:]),
    'tiny_terms': ('TERMS.html', b'Terms.'),
  }
  for module, (name, data) in files.items():
    (root / module / 'data').mkdir(parents=True)
    (root / module / '__init__.py').write_text('raise RuntimeError')
    (root / module / name).write_bytes(data)
  monkeypatch.setattr(sys, 'path', [str(root), *sys.path])
  names = [(module, name) for module, (name, _) in files.items()]
  tiny = packaged.Package(
    requirement='tiny==1.0',
    extra='tiny-extra',
    chunks=tuple(names[:2]),
    sha256=hashlib.sha256(content).hexdigest(),
    owner='a tiny model',
    terms=names[2],
  )
  monkeypatch.setitem(packaged.PACKAGES, PRESET, tiny)
  return root


def folders(cache):
  return [path.name for path in cache.iterdir() if path.is_dir()]


def test_it_is_converted_once_and_its_terms_are_shown(cache, package, capsys):
  folder = packaged.folder(PRESET)
  output = capsys.readouterr().out
  assert str(package / 'tiny_terms' / 'TERMS.html') in output
  assert 'a tiny model' in output and folder in output
  assert huggingface.read_config(folder).vocab_size == tiny_gguf.VOCAB
  assert folders(cache) == [folder.rpartition('/')[2]]
  # Later calls do not read the package.
  for module in package.iterdir():
    module.rename(package.parent / module.name)
  assert packaged.folder(PRESET) == folder
  assert capsys.readouterr().out == ''


def test_an_absent_package_is_named(cache, monkeypatch):
  absent = dataclasses.replace(
    packaged.PACKAGES[PRESET], terms=('no_such_module', 'x')
  )
  monkeypatch.setitem(packaged.PACKAGES, PRESET, absent)
  with pytest.raises(errors.UserError, match=r"install 'coderl\[gemma\]'"):
    packaged.folder(PRESET)
  assert folders(cache) == []


def test_a_file_with_another_digest_is_refused(cache, package):
  part = package / 'tiny_part2' / 'data' / 'x.part01'
  content = bytearray(part.read_bytes())
  content[-1] ^= 1
  part.write_bytes(content)
  with pytest.raises(errors.UserError, match=r'tiny==1.0 .* sha256') as e:
    packaged.folder(PRESET)
  assert packaged.PACKAGES[PRESET].sha256 in str(e.value)
  assert folders(cache) == []


def test_the_scratch_folder_of_a_killed_run_is_not_read(cache, package):
  target = pathlib.Path(packaged.folder(PRESET))
  work = cache / f'{target.name}.part'
  work.mkdir()
  target.rename(work / 'folder')
  (work / 'folder' / 'config.json').write_text('{')
  (work / 'folder' / 'generation_config.json').write_text('{')
  assert packaged.folder(PRESET) == str(target)
  assert huggingface.read_config(target).num_layers == 7
  assert not (target / 'generation_config.json').exists()
  assert folders(cache) == [target.name]


def test_a_full_disk_leaves_nothing(cache, tmp_path):
  tiny_gguf.write(tmp_path / 'a.gguf')
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (10000, hard))
  try:
    with pytest.raises(errors.UserError, match='models: cannot be written: '):
      packaged.folder_of(str(tmp_path / 'a.gguf'))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert folders(cache) == []


def test_one_of_several_runs_converts(cache, package, capsys):
  with futures.ThreadPoolExecutor(4) as pool:
    paths = list(pool.map(packaged.folder, [PRESET] * 4))
  assert len(set(paths)) == 1
  assert capsys.readouterr().out.count('Converting') == 1
  assert huggingface.load(paths[0])[0].num_layers == 7


def test_a_file_is_identified_by_its_content(cache, tmp_path):
  tiny_gguf.write(tmp_path / 'a.gguf')
  first = packaged.folder_of(str(tmp_path / 'a.gguf'))
  tiny_gguf.write(
    tmp_path / 'a.gguf',
    fields={**tiny_gguf.FIELDS, 'gemma3.rope.freq_base': 2.0},
  )
  second = packaged.folder_of(str(tmp_path / 'a.gguf'))
  thetas = [
    huggingface.read_config(folder).rope_theta for folder in (first, second)
  ]
  assert thetas == [5e4, 2.0]
  assert len(folders(cache)) == 2


def test_a_bad_file_leaves_nothing(cache, tmp_path):
  bad = tmp_path / 'bad.gguf'
  with pytest.raises(errors.UserError, match=r'bad.gguf: cannot be read: No'):
    packaged.folder_of(str(bad))
  bad.write_bytes(b'GGUF')
  with pytest.raises(errors.UserError, match=r'bad.gguf: .*truncated'):
    packaged.folder_of(str(bad))
  assert folders(cache) == []


def test_a_cache_that_cannot_be_written_is_named(
  tmp_path, package, monkeypatch
):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  with pytest.raises(errors.UserError, match=r'file.*cannot be written: .*Not'):
    packaged.folder(PRESET)
