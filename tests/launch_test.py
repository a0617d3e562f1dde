"""Launch scripts set existing fields and extras, and name what is missing."""

import pathlib
import re
import subprocess

import pytest

from configs import coderl_train

FOLDER = pathlib.Path(__file__).parent.parent / 'launch'
SCRIPTS = sorted(FOLDER.iterdir())
ROOT = FOLDER.parent


def test_every_kind_of_cluster_has_a_script():
  names = {script.name for script in SCRIPTS}
  assert names == {'skypilot.yaml', 'slurm.sbatch', 'tpu_pod.sh', 'xpk.sh'}
  page = (ROOT / 'docs/scale.md').read_text()
  assert all(f'launch/{name}' in page for name in names)


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_short_and_sets_existing_fields_and_extras(script):
  text = script.read_text()
  assert text.count('\n') < 40
  config = coderl_train.get_config().to_dict()
  for section, field in re.findall(r'--config\.(\w+)\.(\w+)=', text):
    assert field in config[section]
  (extras,) = set(re.findall(r"'\.\[([\w,]+)\]'", text))
  setup = (ROOT / 'setup.py').read_text()
  assert 'train' in extras.split(',')
  assert all(f"    '{extra}': " in setup for extra in extras.split(','))
  # Either jax asks the cluster, or all three variables name the process.
  variables = set(re.findall(r'\b(JAX_[A-Z_]+)=', text))
  by_address = {
    'JAX_COORDINATOR_ADDRESS',
    'JAX_NUM_PROCESSES',
    'JAX_PROCESS_ID',
  }
  assert variables == (set() if 'coordinator=auto' in text else by_address)


@pytest.mark.parametrize(
  'name, missing',
  [('tpu_pod.sh', 'TPU'), ('xpk.sh', 'CLUSTER'), ('slurm.sbatch', 'WORKDIR')],
)
def test_an_unset_variable_is_named(name, missing):
  ran = subprocess.run(
    ['bash', FOLDER / name],
    env={'PATH': '/usr/bin:/bin'},
    capture_output=True,
    text=True,
  )
  assert ran.returncode and f'{missing}: ' in ran.stderr
