"""Who may import whom, held as a table and read off the source.

A layer imports its own and those below, never one above; the two packages never
import each other.
"""

import ast
import graphlib
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ('coderl', 'wm_abench')
# What either may stand on; it stands on none.
COMMONS = 'commons'

# Layer -> modules; a package stands for all its modules.
LAYERS = {
  0: [
    'coderl.execution',
    'wm_abench.assets',
    'wm_abench.deals',
    'wm_abench.dimensions',
  ],
  1: [
    'coderl.chips',
    'coderl.flops',
    'coderl.hosts',
    'coderl.hlo',
    'coderl.types',
    'coderl.sharding',
    'wm_abench.environments.base',
    'wm_abench.types',
    'wm_abench.worlds',
  ],
  2: [
    'coderl.advantages',
    'coderl.chat',
    'coderl.draws',
    'coderl.losses',
    'coderl.models',
    'coderl.packing',
    'coderl.prompts',
    'coderl.stopping',
    'coderl.tokenization',
    'coderl.tokens',
    'wm_abench.environments',
    'wm_abench.factors',
    'wm_abench.manifests',
    'wm_abench.models',
    'wm_abench.render',
    'wm_abench.simulators',
  ],
  3: [
    'coderl.algorithms',
    'coderl.alignment',
    'coderl.answers',
    'coderl.data',
    'coderl.generation',
    'coderl.policies',
    'coderl.replay',
    'coderl.rewards',
    'coderl.sampling',
    'wm_abench.dataset',
    'wm_abench.prompts',
    'wm_abench.published',
    'wm_abench.questions',
    'wm_abench.release',
    'wm_abench.replies',
    'wm_abench.scoring',
    'wm_abench.studio',
    'wm_abench.unpacked',
  ],
  4: [
    'coderl.checkpoint',
    'coderl.engine',
    'coderl.pipeline',
    'coderl.records',
    'coderl.remote_engine',
    'coderl.planning',
    'coderl.report',
    'coderl.rollout',
    'coderl.train_step',
    'wm_abench.analysis',
    'wm_abench.audits',
    'wm_abench.baselines',
    'wm_abench.choices',
    'wm_abench.costs',
    'wm_abench.dataset_builder',
    'wm_abench.entanglement',
    'wm_abench.gallery',
    'wm_abench.generation',
    'wm_abench.local',
    'wm_abench.pipelines',
    'wm_abench.psychometrics',
    'wm_abench.registry',
    'wm_abench.report',
    'wm_abench.samples',
    'wm_abench.shards',
    'wm_abench.shortcuts',
    'wm_abench.sightings',
    'wm_abench.sitting',
    'wm_abench.trial',
    'wm_abench.tasks',
    'wm_abench.workers',
  ],
  5: [
    'coderl.evaluate',
    'coderl.experience',
    'coderl.experiment',
    'coderl.journal',
    'coderl.plan',
    'coderl.train',
    'coderl.updates',
    'coderl.warm_start',
    'wm_abench.evaluate',
    'wm_abench.generate',
    'wm_abench.learn',
    'wm_abench.lessons',
    'wm_abench.play',
  ],
}
# Of ours, main imports these alone: it answers a mistake on the command line
# before anything slow is loaded.
DOOR = {'commons.errors', 'configs.common'}

TENSORFLOW = {
  'seqio',
  'tensorflow',
  'tensorflow_datasets',
  'tensorflow_text',
}
STANDARD_LIBRARY_ONLY = ('commons.errors', 'coderl.execution')
TENSORFLOW_ROOMS = (
  'coderl.data',
  'wm_abench.dataset',
  'wm_abench.dataset_builder',
)

LAYER = {name: layer for layer, names in LAYERS.items() for name in names}


def _name(path):
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _within(module, package):
  return f'{module}.'.startswith(f'{package}.')


FILES = {
  _name(path): path
  for folder in (*PACKAGES, COMMONS, 'configs')
  for path in sorted((ROOT / folder).rglob('*.py'))
} | {'main': ROOT / 'main.py'}
# The modules that have a layer; a package's own __init__ has none.
MODULES = [
  name
  for name, path in FILES.items()
  if name.startswith(PACKAGES) and path.name != '__init__.py'
]


def _layer(module):
  layers = [layer for name, layer in LAYER.items() if _within(module, name)]
  return layers[0] if layers else None


def _imports(tree):
  """Dotted names of everything imported, modules of ours told from names."""
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


def test_every_module_is_in_the_table():
  assert [name for name in MODULES if _layer(name) is None] == []


@pytest.mark.parametrize('name', LAYER)
def test_the_table_names_what_exists(name):
  assert any(_within(module, name) for module in MODULES)


@pytest.mark.parametrize('name', MODULES)
def test_no_import_goes_up_or_across(name):
  ours = [i for i in IMPORTS[name] if i.startswith((*PACKAGES, 'configs'))]
  package = name.partition('.')[0]
  assert [i for i in ours if not _within(i, package)] == []
  assert [i for i in ours if (_layer(i) or 0) > _layer(name)] == []


@pytest.mark.parametrize('name', [n for n in FILES if _within(n, COMMONS)])
def test_the_commons_stand_on_nothing_of_ours(name):
  ours = [i for i in IMPORTS[name] if i.startswith((*PACKAGES, 'configs'))]
  assert ours == []


def test_no_import_goes_round():
  graph = {n: [i for i in IMPORTS[n] if i in FILES] for n in FILES}
  graphlib.TopologicalSorter(graph).prepare()  # Raises on a cycle.


@pytest.mark.parametrize('name', [n for n in FILES if _within(n, 'configs')])
def test_configs_are_data(name):
  allowed = {'absl', 'commons.errors', 'configs', 'ml_collections'}
  foreign = [
    i
    for i in IMPORTS[name]
    if i.partition('.')[0] not in sys.stdlib_module_names
    and not any(_within(i, package) for package in allowed)
  ]
  assert foreign == []


def test_main_reaches_programs_by_name_only():
  ours = {i for i in IMPORTS['main'] if i.startswith((*PACKAGES, 'configs'))}
  assert ours <= DOOR


@pytest.mark.parametrize(
  'name',
  [n for n in MODULES if any(_within(n, p) for p in STANDARD_LIBRARY_ONLY)],
)
def test_standard_library_only(name):
  foreign = [
    i
    for i in IMPORTS[name]
    if i.partition('.')[0] not in sys.stdlib_module_names
    and not any(_within(i, p) for p in STANDARD_LIBRARY_ONLY)
  ]
  assert foreign == []


@pytest.mark.parametrize(
  'name',
  [n for n in FILES if not any(_within(n, r) for r in TENSORFLOW_ROOMS)],
)
def test_tensorflow_stays_in_its_room(name):
  assert TENSORFLOW.isdisjoint(i.partition('.')[0] for i in IMPORTS[name])


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
  """Tracebacks by module, all imported in a process apart from the tests'."""
  program = (
    'import importlib, json, sys, traceback\n'
    'import wm_abench\n'
    'failures = {}\n'
    'for name in sys.argv[1:]:\n'
    '  try:\n'
    '    importlib.import_module(name)\n'
    '  except Exception:\n'
    '    failures[name] = traceback.format_exc()\n'
    'print(json.dumps(failures))'
  )
  ran = subprocess.run(
    [sys.executable, '-c', program, *FILES],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', FILES)
def test_every_module_can_be_imported(name, failures):
  assert name not in failures, failures[name]


def _loaded_by(*names):
  """Top-level packages in memory after importing the names afresh."""
  program = f'import sys, {", ".join(names)}\nprint(*sys.modules)'
  result = subprocess.run(
    [sys.executable, '-c', program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return {name.partition('.')[0] for name in result.stdout.split()}


def test_an_accelerator_host_needs_no_tensorflow():
  """Not even through somebody else's package."""
  reached = [
    'coderl.algorithms',
    'coderl.checkpoint',
    'coderl.losses',
    'coderl.models.transformer',
    'coderl.sampling',
    'coderl.tokenization',
    'coderl.train_step',
  ]
  assert TENSORFLOW.isdisjoint(_loaded_by(*reached))


def test_the_door_loads_nothing_slow():
  slow = TENSORFLOW | {'flax', 'jax', 'numpy', 'orbax'}
  assert slow.isdisjoint(_loaded_by('main'))
