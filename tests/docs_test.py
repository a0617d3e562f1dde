"""The pages name files, commands and figures that exist."""

import pathlib
import re

import pytest

from docs import import_graph
from tests import imports_test

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
_PREFIXES = (
  'coderl/', 'wm_abench/', 'commons/', 'configs/', 'docs/', 'benchmarks/',
  'tests/', 'launch/', 'notebooks/'
)  # fmt: skip


def _named_paths(text):
  text = re.sub(r'inspect eval \S+', '', text)  # The name of a task.
  for word in re.findall(r'[\w./-]+', text):
    word = word.rstrip('.')
    if word.startswith(_PREFIXES):
      yield word


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_every_path_on_a_page_exists(page):
  text = page.read_text(encoding='utf-8')
  missing = [p for p in _named_paths(text) if not (ROOT / p).exists()]
  assert missing == []


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_every_link_of_a_page_leads_somewhere(page):
  text = page.read_text(encoding='utf-8')
  links = re.findall(r'\]\(([^)#\s]+)\)', text)
  local = [link for link in links if '://' not in link]
  assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_every_module_that_a_page_runs_exists(page):
  text = page.read_text(encoding='utf-8')
  modules = set(re.findall(r'python -m ([\w.]+)', text))
  ours = [m for m in modules if not m.startswith(('venv', 'pip'))]
  paths = [ROOT / f'{m.replace(".", "/")}.py' for m in ours]
  assert [path for path in paths if not path.exists()] == []


def test_the_readme_has_at_most_200_lines():
  lines = (ROOT / 'README.md').read_text(encoding='utf-8').splitlines()
  assert len(lines) <= 200


@pytest.mark.parametrize('package', imports_test.LAYERS)
def test_the_picture_of_the_imports_is_up_to_date(package):
  """`python -m docs.import_graph` draws it again."""
  drawn = import_graph.draw(package)
  path = import_graph.path_of(package)
  assert path.read_text(encoding='utf-8') == drawn


@pytest.mark.parametrize('package', imports_test.LAYERS)
def test_a_package_has_few_rooms_on_few_layers(package):
  layers = import_graph.rooms_of(package)
  assert len(layers) <= 8
  assert sum(len(layer) for layer in layers) <= 16


@pytest.mark.parametrize('package', imports_test.LAYERS)
def test_no_arrow_goes_up(package):
  layers = import_graph.rooms_of(package)
  layer = {room: i for i, rooms in enumerate(layers) for room in rooms}
  upward = [
    (a, b) for a, b in import_graph.edges_of(package) if layer[b] > layer[a]
  ]
  assert upward == []
