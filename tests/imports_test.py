"""Who may import whom, held as a table and read off the source.

docs/architecture.md draws the same table. A room is a folder of a package, or a
single module beside the folders.
"""

import ast
import graphlib
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Package -> layers, from left to right. A room imports rooms of its own layer
# and of the layers to its left, never of a layer to its right. The last layer
# holds the programs, which main.py starts by name and nothing imports.
LAYERS = {
  'coderl': (
    ('sandbox',),
    ('types', 'distributed', 'text'),
    (
      'models',
      'problems',
      'alignment',
      'rl.advantages',
      'rl.losses',
      'rl.packing',
    ),
    ('rewards', 'sampling'),
    ('rl.algorithms', 'rl.batching', 'rl.train_step'),
    ('training', 'evaluators', 'reporting', 'planning'),
    ('train', 'evaluate', 'plan', 'pretrain'),
  ),
  'wm_abench': (
    ('core',),
    ('worlds', 'data', 'statistics'),
    ('rendering', 'simulators', 'questions'),
    ('generation', 'audits', 'evaluation', 'people', 'policy', 'reports'),
    ('generate', 'evaluate', 'train_policy'),
  ),
}
# The shared package, on which both stand and which imports neither.
COMMONS = 'commons'
# The one module that may import from the other package, and what it may import:
# a vision-language model in JAX is one model for both packages.
BRIDGE = 'wm_abench.evaluation.jax_provider'
BRIDGE_IMPORTS = ('coderl.models', 'coderl.text', 'coderl.sampling')
# main.py imports these project modules alone, so that a mistake on the command
# line is answered before anything slow is loaded.
MAIN_IMPORTS = {'commons.errors', 'configs.common'}
TENSORFLOW = {'seqio', 'tensorflow', 'tensorflow_datasets', 'tensorflow_text'}
JAX = {'flax', 'jax', 'optax', 'orbax'}
# Rooms that may import TensorFlow.
TENSORFLOW_ROOMS = ('coderl.problems', 'wm_abench.data.tfds_builder')
# A sandboxed program's interpreter must start in milliseconds.
STANDARD_LIBRARY_ONLY = ('commons.errors', 'coderl.sandbox')
# Programs that read no data through seqio and tfds.
PROGRAMS_WITHOUT_TENSORFLOW = (
  'coderl.plan',
  'wm_abench.evaluate',
  'wm_abench.generate',
  'wm_abench.train_policy',
)
# Package -> the only modules that may import it.
ONE_ROOM_ONLY = {
  'apache_beam': ('wm_abench.generation.beam',),
  'carla': ('wm_abench.simulators.carla',),
  'habitat_sim': ('wm_abench.simulators.habitat',),
  'inspect_ai': ('wm_abench.evaluation',),
  'mani_skill': ('wm_abench.simulators.maniskill',),
  'mitsuba': ('wm_abench.rendering',),
  'tdw': ('wm_abench.simulators.tdw',),
}


def _name(path):
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _within(module, package):
  return f'{module}.'.startswith(f'{package}.')


def _is_in(module, packages):
  return any(_within(module, package) for package in packages)


FILES = {
  _name(path): path
  for folder in (*LAYERS, COMMONS, 'configs')
  for path in sorted((ROOT / folder).rglob('*.py'))
} | {'main': ROOT / 'main.py'}
# The modules that have a layer; an initialiser has none.
MODULES = [
  name
  for name, path in FILES.items()
  if _is_in(name, LAYERS) and path.name != '__init__.py'
]
INITIALISERS = [n for n, path in FILES.items() if path.name == '__init__.py']
PROGRAMS = {
  f'{package}.{room}'
  for package, layers in LAYERS.items()
  for room in layers[-1]
}


def layer_of(module):
  """The index of a module's layer; None for a module outside every room."""
  package, _, rest = module.partition('.')
  for index, rooms in enumerate(LAYERS[package]):
    if _is_in(rest, rooms):
      return index
  return None


def violations(module, imported):
  """The project modules among `imported` that `module` must not import."""
  package = module.partition('.')[0]
  wrong = []
  for name in imported:
    other = name.partition('.')[0]
    if other == 'configs' or name in PROGRAMS:
      wrong.append(name)
    elif other in LAYERS and other != package:
      if module != BRIDGE or not _is_in(name, BRIDGE_IMPORTS):
        wrong.append(name)
    elif name in MODULES and layer_of(name) > layer_of(module):
      wrong.append(name)
  return wrong


def _imports(tree):
  """Dotted names of everything imported; a module is named, not its members."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'relative import'
      for alias in node.names:
        full = f'{node.module}.{alias.name}'
        yield full if full in FILES else node.module


IMPORTS = {
  name: sorted(set(_imports(ast.parse(path.read_text(encoding='utf-8')))))
  for name, path in FILES.items()
}


def test_every_module_is_in_a_room():
  assert [name for name in MODULES if layer_of(name) is None] == []


def test_a_module_outside_every_room_is_noticed():
  assert layer_of('coderl.helpers') is None
  assert layer_of('wm_abench.scoring') is None


@pytest.mark.parametrize(
  'room',
  [f'{p}.{r}' for p, rows in LAYERS.items() for row in rows for r in row],
)
def test_the_table_names_what_exists(room):
  assert any(_within(module, room) for module in MODULES)


@pytest.mark.parametrize('name', MODULES)
def test_no_import_goes_to_the_right_or_across(name):
  assert violations(name, IMPORTS[name]) == []


@pytest.mark.parametrize(
  ('module', 'imported'),
  [
    ('coderl.rl.losses', 'coderl.rl.train_step'),
    ('coderl.training.update', 'coderl.train'),
    ('coderl.sampling.base', 'configs.common'),
    ('wm_abench.statistics.scores', 'wm_abench.reports.report'),
    ('wm_abench.evaluation.prompts', 'coderl.models.transformer'),
    (BRIDGE, 'coderl.rl.losses'),
  ],
)
def test_a_forbidden_import_is_noticed(module, imported):
  assert violations(module, [imported]) == [imported]


def test_there_is_no_circle():
  graph = {n: [i for i in IMPORTS[n] if i in FILES] for n in FILES}
  graphlib.TopologicalSorter(graph).prepare()  # Raises on a cycle.


@pytest.mark.parametrize('name', INITIALISERS)
def test_initialisers_are_empty(name):
  assert not FILES[name].read_text(encoding='utf-8')


@pytest.mark.parametrize('name', [n for n in FILES if _within(n, COMMONS)])
def test_the_shared_package_imports_neither(name):
  assert [i for i in IMPORTS[name] if _is_in(i, (*LAYERS, 'configs'))] == []


def test_statistics_import_the_core_alone():
  rooms = ('wm_abench.core', 'wm_abench.statistics')
  reached = {
    i
    for name in MODULES
    if _within(name, 'wm_abench.statistics')
    for i in IMPORTS[name]
    if _within(i, 'wm_abench')
  }
  assert {i for i in reached if not _is_in(i, rooms)} == set()


@pytest.mark.parametrize('name', [n for n in FILES if _within(n, 'configs')])
def test_configs_are_data(name):
  allowed = {'absl', 'commons.errors', 'configs', 'ml_collections'}
  foreign = [
    i
    for i in IMPORTS[name]
    if i.partition('.')[0] not in sys.stdlib_module_names
    and not _is_in(i, allowed)
  ]
  assert foreign == []


def test_main_reaches_programs_by_name_only():
  assert {
    i for i in IMPORTS['main'] if _is_in(i, (*LAYERS, 'configs'))
  } <= MAIN_IMPORTS


@pytest.mark.parametrize(
  'name', [n for n in MODULES if _is_in(n, STANDARD_LIBRARY_ONLY)]
)
def test_standard_library_only(name):
  foreign = [
    i
    for i in IMPORTS[name]
    if i.partition('.')[0] not in sys.stdlib_module_names
    and not _is_in(i, STANDARD_LIBRARY_ONLY)
  ]
  assert foreign == []


@pytest.mark.parametrize(
  'name', [n for n in FILES if not _is_in(n, TENSORFLOW_ROOMS)]
)
def test_tensorflow_stays_in_its_rooms(name):
  assert TENSORFLOW.isdisjoint(i.partition('.')[0] for i in IMPORTS[name])


@pytest.mark.parametrize('package', ONE_ROOM_ONLY)
def test_a_client_is_imported_in_one_room(package):
  importers = [
    name for name in MODULES if any(_within(i, package) for i in IMPORTS[name])
  ]
  assert [n for n in importers if not _is_in(n, ONE_ROOM_ONLY[package])] == []


@pytest.mark.parametrize('name', FILES)
def test_nothing_is_imported_inside_a_function(name):
  tree = ast.parse(FILES[name].read_text(encoding='utf-8'))
  inside = [
    f'{FILES[name].name}:{inner.lineno}'
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for inner in ast.walk(node)
    if isinstance(inner, ast.Import | ast.ImportFrom)
  ]
  assert inside == []


@pytest.fixture(scope='module')
def failures():
  """Module -> traceback, of all modules imported in one fresh interpreter."""
  # TensorFlow and Mitsuba meet in this process alone; see tests/conftest.py.
  program = (
    'import importlib, json, sys, traceback\n'
    'flags = "tensorflow.python.pywrap_dlopen_global_flags"\n'
    'sys.modules.setdefault(flags, None)\n'
    'failures = {}\n'
    'for name in sys.argv[1:]:\n'
    '  try:\n'
    '    importlib.import_module(name)\n'
    '  except Exception:\n'
    '    failures[name] = traceback.format_exc()\n'
    'print(json.dumps(failures))'
  )
  result = subprocess.run(
    [sys.executable, '-c', program, *FILES],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', FILES)
def test_every_module_can_be_imported(name, failures):
  assert name not in failures, failures[name]


def _loaded_by(*names):
  """Top-level packages in memory after a fresh interpreter imports `names`."""
  program = f'import sys, {", ".join(names)}\nprint(*sys.modules)'
  result = subprocess.run(
    [sys.executable, '-c', program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return {name.partition('.')[0] for name in result.stdout.split()}


@pytest.mark.parametrize('name', PROGRAMS_WITHOUT_TENSORFLOW)
def test_a_program_loads_no_tensorflow(name):
  """Neither directly nor through a library that it imports."""
  assert TENSORFLOW.isdisjoint(_loaded_by(name))


def test_asking_a_model_loads_neither_jax_nor_tensorflow():
  assert (TENSORFLOW | JAX).isdisjoint(_loaded_by('wm_abench.evaluate'))


def test_main_loads_nothing_slow():
  slow = TENSORFLOW | JAX | {'numpy', 'scipy'}
  assert slow.isdisjoint(_loaded_by('main'))
