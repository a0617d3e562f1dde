"""The table lists every source that a module of the folder defines."""

import importlib
import pathlib

from coderl.problems.sources import record, registry

FOLDER = pathlib.Path(registry.__file__).parent


def test_every_source_is_listed_once():
  defined = []
  for path in sorted(FOLDER.rglob('*.py')):
    parts = path.relative_to(FOLDER).with_suffix('').parts
    module = importlib.import_module('.'.join((registry.__package__, *parts)))
    sources = vars(module).values() if module is not registry else ()
    defined += [s for s in sources if isinstance(s, record.Source)]
  assert len({source.name for source in defined}) == len(defined)
  assert sorted(registry.SOURCES) == sorted(s.name for s in defined)
