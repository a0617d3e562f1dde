"""Two processes train as one; if one fails, the other ends too."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import numpy as safetensors

ROOT = pathlib.Path(__file__).resolve().parents[3]
SMALL = (
  '--config=configs/coderl_train.py',
  '--config.train.prompts_per_step=8',
  '--config.train.microbatches=1',
  '--config.sampling.group_size=2',
  '--config.sampling.max_len_tokens=80',
  '--config.alignment.ratio=0.25',
  '--config.alignment.start_step=1',
  "--config.eval.questions=('pass@1',)",
  '--config.eval.problems=8',
  '--config.eval.batch_size=8',
  '--config.checkpoint.every_steps=1',
  '--config.log.samples_every_steps=1',
  '--config.algorithm.dynamic_sampling=False',
  '--config.data.bucket_len_tokens=160',
  '--config.train.minibatches=1',
  '--config.mesh.shape=(2,-1,1)',
)


def free_port():
  with socket.create_server(('127.0.0.1', 0)) as server:
    return server.getsockname()[1]


def start(workdir, devices, *flags):
  return subprocess.Popen(
    [sys.executable, '-m', 'main', *SMALL, f'--workdir={workdir}', *flags],
    cwd=ROOT,
    env=os.environ
    | {
      'JAX_PLATFORMS': 'cpu',
      'JAX_NUM_CPU_DEVICES': str(devices),
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def member(port, count, index, wait_s=60):
  return (
    f'--config.hosts.coordinator=127.0.0.1:{port}',
    f'--config.hosts.count={count}',
    f'--config.hosts.index={index}',
    f'--config.hosts.wait_s={wait_s}',
  )


def error_of(out):
  (line,) = [line for line in out.splitlines() if line.startswith('error:')]
  return line


def test_one_process_resumes_a_run_of_two_as_if_it_never_stopped(tmp_path):
  straight, broken = tmp_path / 'straight', tmp_path / 'broken'
  alone = start(straight, 8, '--config.train.steps=2')
  out, _ = alone.communicate(timeout=400)
  assert alone.returncode == 0, out

  port = free_port()
  pair = [start(broken, 4, *member(port, 2, i)) for i in (0, 1)]
  while not (broken / 'checkpoints/1').exists():
    assert pair[0].poll() is None, pair[0].communicate()[0]
    time.sleep(0.05)
  pair[1].send_signal(signal.SIGKILL)
  began = time.monotonic()
  out, _ = pair[0].communicate(timeout=60)
  assert time.monotonic() - began < 30
  assert pair[0].returncode == 3, out
  assert 'process 0 of 2: process 1 has ended (killed' in error_of(out)
  pair[1].communicate()

  alone = start(broken, 8, '--config.train.steps=2')
  out, _ = alone.communicate(timeout=400)
  assert alone.returncode == 0, out
  assert re.search(r'Resuming after step 1\.', out)
  weights = [
    safetensors.load_file(d / 'policy/model.safetensors')
    for d in (straight, broken)
  ]
  # Adam divides, so a gradient close to zero may differ by about 1e-5.
  for name in weights[0]:
    difference = np.abs(weights[0][name] - weights[1][name])
    assert difference.max() < 3e-5 and difference.mean() < 1e-7
  samples = [(d / 'rollouts.jsonl').read_text() for d in (straight, broken)]
  assert samples[0] == samples[1]


@pytest.mark.parametrize(
  ('index', 'count', 'message'),
  [
    (0, 3, r'of 3 processes, number 1, 2 did not join within hosts\.wait_s=2 '),
    (1, 2, r'of 2 processes, number 0 did not join within .* at 127\.0\.0\.1:'),
    (2, 2, r'hosts\.index=2 with hosts\.count=2: '),
  ],
)
def test_a_process_that_never_joins_is_named(tmp_path, index, count, message):
  began = time.monotonic()
  process = start(tmp_path, 1, *member(free_port(), count, index, wait_s=2))
  out, _ = process.communicate(timeout=60)
  assert process.returncode == 2, out
  assert re.search(message, error_of(out))
  assert time.monotonic() - began < 45


def test_the_processes_that_joined_name_the_missing_one(tmp_path):
  port = free_port()
  joined = [start(tmp_path, 1, *member(port, 3, i, wait_s=8)) for i in (0, 1)]
  for process in joined:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2, out
    assert 'of 3 processes, number 2 did not join' in error_of(out)


def test_a_service_that_one_process_cannot_reach_ends_both(tmp_path):
  port, down = free_port(), free_port()
  pair = [
    start(tmp_path, 1, *member(port, 2, 0)),
    start(
      tmp_path,
      1,
      *member(port, 2, 1),
      f'--config.sandbox.url=http://127.0.0.1:{down}',
    ),
  ]
  outs = [process.communicate(timeout=60)[0] for process in pair]
  assert [process.returncode for process in pair] == [3, 3], outs
  assert 'process 0 of 2: process 1 has ended' in error_of(outs[0])
  assert f'127.0.0.1:{down}' in error_of(outs[1])
