"""Launch scripts set what there is to set."""

import pathlib
import re
import subprocess

import pytest

from configs import coderl_train

FOLDER = pathlib.Path(__file__).parent.parent / 'launch'
SCRIPTS = sorted(FOLDER.iterdir())
ROOT = FOLDER.parent


def test_there_is_one_for_each_kind_of_cluster():
  names = {script.name for script in SCRIPTS}
  assert names == {'skypilot.yaml', 'slurm.sbatch', 'tpu_pod.sh', 'xpk.sh'}
  readme = (ROOT / 'README.md').read_text()
  assert all(f'launch/{name}' in readme for name in names)


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_it_is_short_and_sets_fields_and_extras_that_there_are(script):
  text = script.read_text()
  assert text.count('\n') < 40
  config = coderl_train.get_config().to_dict()
  for section, field in re.findall(r'--config\.(\w+)\.(\w+)=', text):
    assert field in config[section]
  (extra,) = set(re.findall(r"'\.\[(\w+)\]'", text))
  assert f"'{extra}': [" in (ROOT / 'setup.py').read_text()
  # Either the cluster is asked, or all three of these name the process.
  named = set(re.findall(r'\b(JAX_[A-Z_]+)=', text))
  by_address = {
    'JAX_COORDINATOR_ADDRESS',
    'JAX_NUM_PROCESSES',
    'JAX_PROCESS_ID',
  }
  assert named == (set() if 'coordinator=auto' in text else by_address)


@pytest.mark.parametrize(
  'name, missing',
  [('tpu_pod.sh', 'TPU'), ('xpk.sh', 'CLUSTER'), ('slurm.sbatch', 'WORKDIR')],
)
def test_what_is_not_set_is_named(name, missing):
  ran = subprocess.run(
    ['bash', FOLDER / name],
    env={'PATH': '/usr/bin:/bin'},
    capture_output=True,
    text=True,
  )
  assert ran.returncode and f'{missing}: ' in ran.stderr
