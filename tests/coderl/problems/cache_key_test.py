"""The key changes with what decides the examples, and with nothing else."""

import pathlib

import pytest

from coderl.problems import cache_key, readers
from coderl.problems.sources import registry

CODE = '''"""A module."""

LIMIT = 3


def f(x):
  """Returns x."""
  return [x, 'x  # y']
'''


def names(source):
  modules = cache_key.modules_of(registry.SOURCES[source])
  return {
    module.__name__.removeprefix('coderl.problems.') for module in modules
  }


@pytest.mark.parametrize(
  ('old', 'new'),
  [
    ('LIMIT = 3', 'LIMIT = 3  # Three.'),
    ('"""A module."""', '# No docstring.'),
    ('Returns x.', 'Returns the value.'),
    ("[x, 'x  # y']", "[\n    x,\n    'x  # y',\n  ]"),
  ],
)
def test_comments_docstrings_and_layout_do_not_count(old, new):
  assert old in CODE
  assert cache_key.of_code(CODE.replace(old, new)) == cache_key.of_code(CODE)


@pytest.mark.parametrize(
  ('old', 'new'), [('LIMIT = 3', 'LIMIT = 4'), ('x  # y', 'x # y')]
)
def test_code_counts(old, new):
  assert cache_key.of_code(CODE.replace(old, new)) != cache_key.of_code(CODE)


def test_a_source_uses_its_own_modules_alone():
  assert names('mbpp') == {
    'sources.mbpp',
    'assertions',
    'examples',
    'readers',
    'coderl.sandbox.tracing.values',
  }
  assert names('prime') == {
    'sources.prime',
    'examples',
    'readers',
    'coderl.sandbox.tracing.values',
  }


def test_the_embedded_suite_uses_all_modules_of_its_folder():
  folder = pathlib.Path(readers.__file__).parent / 'sources' / 'embedded'
  modules = {path.stem for path in folder.glob('*.py')} - {'__init__'}
  prefix = 'sources.embedded.'
  assert names('embedded') == {prefix + m for m in modules} | {'examples'}


def test_data_seed_and_source_count(tmp_path):
  file = tmp_path / 'rows'
  file.write_text('1')
  mbpp, prime = registry.SOURCES['mbpp'], registry.SOURCES['prime']
  keys = [
    cache_key.of_source(mbpp, [file], 0),
    cache_key.of_source(prime, [file], 0),
    cache_key.of_source(mbpp, [file], 1),
    cache_key.of_source(mbpp, [], 0),
  ]
  assert cache_key.of_source(mbpp, [file], 0) == keys[0]
  file.write_text('2')
  keys.append(cache_key.of_source(mbpp, [file], 0))
  assert len(set(keys)) == len(keys)
