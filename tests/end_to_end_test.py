"""Complete runs, as a user starts, interrupts and resumes them."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import numpy as safetensors

from coderl import train
from coderl.distributed import sharding
from coderl.models import load
from coderl.training import checkpoint
from commons import errors
from configs import coderl_train

ROOT = pathlib.Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / 'coderl/models/embedded'
# A few seconds per step; everything else as in the default experiment.
SMALL = (
  '--config.train.steps=4',
  '--config.train.prompts_per_step=4',
  '--config.train.microbatches=1',
  '--config.data.bucket_len_tokens=160',
  '--config.sampling.group_size=2',
  '--config.sampling.max_len_tokens=80',
  '--config.alignment.ratio=0.25',
  '--config.alignment.start_step=1',
  '--config.eval.problems=6',
  '--config.eval.batch_size=6',
  '--config.checkpoint.every_steps=1',
)
# Metrics that differ between two runs of the same experiment.
TIMED = ('seconds', 'sandbox_wait_share', 'tokens_per_s')


def start(workdir, *args, config='configs/coderl_train.py'):
  # A file, because a full pipe would block a run that writes much.
  with open(f'{workdir}.err', 'w', encoding='utf-8') as err:
    return subprocess.Popen(
      [
        *(sys.executable, '-m', 'main', f'--config={config}'),
        *(f'--workdir={workdir}', *args),
      ],
      cwd=ROOT,
      env=os.environ
      | {'JAX_PLATFORMS': 'cpu', 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'},
      stdout=subprocess.PIPE,
      stderr=err,
      text=True,
    )


def read_stderr(workdir):
  return pathlib.Path(f'{workdir}.err').read_text(encoding='utf-8')


def steps_done(workdir):
  path = workdir / 'metrics.jsonl'
  return len(path.read_text().splitlines()) if path.exists() else 0


def signal_after(process, workdir, step, number):
  """Sends a signal once `step` steps are logged; returns stdout."""
  while steps_done(workdir) < step:
    assert process.poll() is None, read_stderr(workdir)
    time.sleep(0.05)
  process.send_signal(number)
  return process.communicate(timeout=120)[0]


def test_a_killed_and_resumed_run_equals_one_that_never_stopped(tmp_path):
  straight, broken = tmp_path / 'straight', tmp_path / 'broken'
  process = start(straight, *SMALL)
  out, _ = process.communicate(timeout=300)
  assert process.returncode == 0, read_stderr(straight)
  assert 'pass@1' in out

  process = start(broken, *SMALL)
  out = signal_after(process, broken, 1, signal.SIGTERM)
  assert process.returncode == 0
  stopped = re.search(r'after step (\d) of 4; the same command resumes', out)
  assert stopped and 1 <= int(stopped[1]) < 4
  # Damages the last checkpoint, so that the run falls back to the one before.
  latest = broken / 'checkpoints' / stopped[1]
  shutil.rmtree(latest / 'state/ocdbt.process_0/d')
  (broken / 'metrics.jsonl').unlink()  # Rewritten when the run resumes.
  process = start(broken, *SMALL)
  signal_after(process, broken, int(stopped[1]), signal.SIGKILL)
  assert process.returncode == -signal.SIGKILL
  process = start(broken, *SMALL)
  out, _ = process.communicate(timeout=300)
  assert process.returncode == 0, read_stderr(broken)
  assert 'Resuming after step' in out

  weights = [
    safetensors.load_file(d / 'policy/model.safetensors')
    for d in (straight, broken)
  ]
  first = safetensors.load_file(EMBEDDED / 'model.safetensors')
  assert weights[0].keys() == weights[1].keys()
  for name in weights[0]:
    np.testing.assert_array_equal(weights[0][name], weights[1][name], name)
  norm = 'model.norm.weight'
  assert np.any(weights[0][norm] != first[norm].astype(np.float32))
  lines = [
    [
      {k: v for k, v in json.loads(line).items() if k not in TIMED}
      for line in (d / 'metrics.jsonl').read_text().splitlines()
    ]
    for d in (straight, broken)
  ]
  assert lines[0] == lines[1]
  assert [line['step'] for line in lines[0]] == [1, 2, 3, 4]
  results = [
    json.loads((d / 'results.json').read_text()) for d in (straight, broken)
  ]
  assert results[0]['evaluations'] == results[1]['evaluations']
  rollouts = [(d / 'rollouts.jsonl').read_text() for d in (straight, broken)]
  assert rollouts[0] == rollouts[1]


def test_a_finished_run_leaves_what_the_readme_promises(tmp_path):
  process = start(tmp_path, config='configs/coderl_train.py:runlocal')
  out, _ = process.communicate(timeout=600)
  assert process.returncode == 0, read_stderr(tmp_path)
  results = json.loads((tmp_path / 'results.json').read_text())
  for when in ('before', 'after'):
    for name in (
      'pass@1',
      'code reasoning',
      'test output',
      'variable inference',
      'answer form',
      'in any notation',
    ):
      row = results['evaluations'][when][name]
      assert 0 <= row['low'] <= row['accuracy'] <= row['high'] <= 1
      assert row['n'] > 0
      assert name in out
  page = (tmp_path / 'report.html').read_text()
  assert '<svg' in page
  assert not re.search(r'(src|href)="https?:', page)
  assert list((tmp_path / 'tensorboard').iterdir())
  # Training can start from the exported policy.
  config = coderl_train.get_config(f'path={tmp_path / "policy"}')
  load.open_policy(config.model, sharding.make_mesh((1, -1, 1)))
  steps = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert any('align/reward' in json.loads(step) for step in steps)


@pytest.mark.parametrize(
  ('arg', 'changes', 'message'),
  [
    ('', {'mesh.shape': (3, 1, 1)}, r'mesh\.shape=\(3, 1, 1\)'),
    ('', {'train.microbatches': 7}, 'prompts_per_step x .* do not divide'),
    ('', {'algorithm.name': 'gpro'}, r"'gpro'.*grpo"),
    ('', {'alignment.reward': 'papr'}, r"'papr'.*official.*paper"),
    ('', {'data.prompt_style': 'terse'}, "'terse'.*compact"),
    ('data=mbpp,file=none.jsonl', {}, r'none\.jsonl'),
    ('data=apps', {}, "'apps'.*embedded"),
    ('data=embedded+apps', {}, "'apps'.*embedded"),
    ('', {'train.steps': 0}, r'train\.steps=0'),
    ('', {'alignment.ratio': 1.5}, r'alignment\.ratio=1\.5'),
    ('path=nowhere', {}, 'nowhere'),
    ('model=qwen2.5-coder-7b', {}, 'name a Hugging Face folder'),
    (f'model=llama3.1-8b,path={EMBEDDED}', {}, 'does not hold'),
    ('', {'sampling.max_len_tokens': 32768}, 'more than the 32768 tokens'),
    ('', {'sampling.cache_dtype': 'int4'}, "'int4'.*int8"),
  ],
)
def test_bad_settings_are_refused_before_the_run(
  tmp_path, arg, changes, message
):
  config = coderl_train.get_config(arg)
  config.update_from_flattened_dict(changes)
  with pytest.raises(errors.UserError, match=message):
    train.run(config, str(tmp_path))


def test_a_problem_file_with_a_bad_row_is_named(tmp_path):
  path = tmp_path / 'mbpp.jsonl'
  row = {
    'task_id': 601,
    'text': 'Write f.',
    'code': 'def f():\n  return 1',
    'test_setup_code': '',
    'test_list': [],
  }
  tests, broken = r'jsonl:1: a row without tests', r'jsonl:1: '
  for text, message in ((json.dumps(row), tests), ('{"task', broken)):
    path.write_text(text + '\n')
    config = coderl_train.get_config(f'data=mbpp,file={path}')
    with pytest.raises(errors.UserError, match=message):
      train.run(config, str(tmp_path / 'run'))


def test_another_models_tokenizer_is_refused(tmp_path):
  shutil.copytree(EMBEDDED, tmp_path / 'policy')
  path = tmp_path / 'policy/tokenizer.json'
  tokenizer = json.loads(path.read_text())
  tokenizer['added_tokens'].append(
    tokenizer['added_tokens'][0]
    | {'id': 1024, 'content': '<|more|>', 'special': False}
  )
  path.write_text(json.dumps(tokenizer))
  config = coderl_train.get_config(f'path={tmp_path / "policy"}')
  with pytest.raises(errors.UserError, match=r'1025 tokens.*1024'):
    train.run(config, str(tmp_path))


def test_a_workdir_of_another_config_is_refused(tmp_path):
  config = coderl_train.get_config()
  checkpoint.write_config(str(tmp_path), config)
  config.optimizer.learning_rate = 1.0
  with pytest.raises(errors.UserError, match=r'learning_rate: .* -> 1\.0'):
    train.run(config, str(tmp_path))
