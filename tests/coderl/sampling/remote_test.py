"""Laws of sampling through a server, which runs in a separate process."""

import dataclasses
import http.client
import http.server
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import typing

import jax
import ml_collections
import numpy as np
import pytest

from coderl import train, types
from coderl.distributed import sharding
from coderl.models import load
from coderl.models.checkpoints import huggingface
from coderl.sampling import local, remote, sampler
from coderl.text import tokenization
from commons import errors
from configs import coderl_train

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROBLEM = types.Problem(id='p', statement='', tests=())
CONFIG = sampler.SamplingConfig(3, 24, temperature=0.8, top_p=0.9)


@pytest.fixture(scope='module', params=[('ids', 1.0), ('names', 1.0)])
def server(request, tmp_path_factory):
  """Returns the URL, the folder that is served, and the process."""
  style, heat = request.param
  folder = tmp_path_factory.mktemp('served')
  shutil.copytree(load.EMBEDDED, folder, dirs_exist_ok=True)
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'tests.coderl.sampling.completions_server'),
      *(str(folder), style, str(heat)),
    ],
    cwd=ROOT,
    env=os.environ
    | {'JAX_PLATFORMS': 'cpu', 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'},
    stdout=subprocess.PIPE,
    text=True,
  )
  yield f'http://127.0.0.1:{int(process.stdout.readline())}', folder, process
  process.kill()
  process.communicate()


def section(url, folder, **fields):
  config = coderl_train.get_config()
  return ml_collections.ConfigDict(
    config.engine.to_dict()
    | {'url': url, 'folder': str(folder), 'timeout_s': 60.0}
    | fields
  )


@pytest.fixture(scope='module')
def policy():
  model, params = huggingface.load(str(load.EMBEDDED))
  tokenizer = tokenization.Tokenizer.from_dir(load.EMBEDDED)
  return load.Policy(model, jax.device_put(params), tokenizer)


def prompts(policy, count):
  texts = [f'Print the number {n}.' for n in range(count)]
  encode = policy.tokenizer.encode_chat
  return [
    types.Prompt(types.GENERATE, text, tuple(encode(text)[0]), PROBLEM)
    for text in texts
  ]


def sample(source, policy, prompts, seed=0):
  chunks = source.sample(policy, prompts, jax.random.key(seed), CONFIG)
  return dict(itertools.chain(*chunks))


def test_a_server_draws_from_the_current_policy(server, policy):
  """After an update too, so a server that keeps old weights is detected."""
  url, folder, _ = server
  source = remote.RemoteSampler(section(url, folder))
  mesh = sharding.make_mesh((1, -1, 1))
  local_sampler = local.LocalSampler(bucket_len=40, mesh=mesh)
  two_prompts = prompts(policy, 2)
  previous = None
  for step in range(3):
    moved = jax.tree.map(lambda a, s=step: a * (1 + 0.05 * s), policy.params)
    current = dataclasses.replace(policy, params=moved)
    drawn = sample(source, current, two_prompts)
    assert sorted(drawn) == list(range(6))
    (key,) = jax.random.key_data(jax.random.key(0)).ravel()[-1:].tolist()
    for u, prompt in enumerate(two_prompts):
      with jax.set_mesh(mesh):
        chunks = local_sampler.sample(
          current, [prompt], jax.random.key(key + u), CONFIG
        )
        expected = dict(itertools.chain(*chunks))
      for g in range(3):
        r = drawn[3 * u + g]
        np.testing.assert_array_equal(r.tokens, expected[g].tokens)
        assert r.tokens.dtype == np.int32
        assert r.text == expected[g].text and r.prompt is prompt
        assert r.finished == expected[g].finished
        np.testing.assert_allclose(
          r.drawn_logprobs, expected[g].drawn_logprobs, atol=1e-4
        )
    logprobs = [r.drawn_logprobs.tolist() for _, r in sorted(drawn.items())]
    assert logprobs != previous
    previous = logprobs


def test_weights_are_loaded_once_per_policy(server, policy):
  url, folder, process = server
  source = remote.RemoteSampler(section(url, folder))
  # Skips the requests of other tests.
  connection = http.client.HTTPConnection(url.removeprefix('http://'))
  connection.request('GET', '/begin')
  assert connection.getresponse().status == 200
  connection.close()
  while process.stdout.readline().strip() != 'GET /begin':
    pass
  sample(source, policy, prompts(policy, 1))
  sample(source, policy, prompts(policy, 1), seed=1)
  lines = [process.stdout.readline().strip() for _ in range(3)]
  assert lines == ['POST /collective_rpc', *['POST /v1/completions'] * 2]


@pytest.mark.parametrize('server', [('ids', 3.0)], indirect=True)
def test_training_corrects_for_the_distribution_of_a_server(server, tmp_path):
  """The server samples at three times the temperature of the training run."""
  url, folder, _ = server
  config = coderl_train.get_config('runlocal')
  config.update_from_flattened_dict(
    {
      'engine.url': url,
      'engine.folder': str(folder),
      'train.steps': 1,
      'train.prompts_per_step': 2,
      'train.microbatches': 1,
      'train.minibatches': 1,
      'sampling.group_size': 2,
      'algorithm.importance_cap': 1.05,
      'alignment.ratio': 0.0,
      'eval.problems': 2,
      'eval.batch_size': 2,
      'eval.questions': ('pass@1',),
    }
  )
  train.run(config, str(tmp_path))
  (line,) = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  step = json.loads(line)
  # Without a correction every ratio would be one. A hot sampler draws likely
  # tokens too rarely, so many ratios exceed the cap.
  assert step['importance_truncated'] > 0.1
  # The ratio is of the policy before the update: the loss sees no deviation.
  assert step['ratio_deviation'] < 1e-4
  # The server holds the weights that the run exported.
  served, exported = (
    huggingface.load(str(d))[1] for d in (folder, tmp_path / 'policy')
  )
  jax.tree.map(np.testing.assert_array_equal, served, exported)


class ScriptedServer(http.server.BaseHTTPRequestHandler):
  """Sends fixed answers, by path."""

  answers: typing.ClassVar = {}

  def log_message(self, *_):
    pass

  def do_POST(self):
    self.rfile.read(int(self.headers['Content-Length']))
    body = json.dumps(self.answers[self.path]).encode()
    self.send_response(200)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)


def choices(**fields):
  choice = {
    'index': 0,
    'finish_reason': 'stop',
    'token_ids': [1, 2],
    'logprobs': {'token_logprobs': [-0.5, -0.5]},
  }
  return {'choices': [{**choice, **fields}] * 3}


@pytest.mark.parametrize(
  ('answer', 'message'),
  [
    ({}, 'no token ids and log-probabilities'),
    (choices(token_ids=[1, 5000]), "outside the policy's range"),
    (choices(token_ids=[1]), '1 tokens and 2 log-probabilities'),
    (
      choices(logprobs={'token_logprobs': [-0.5, 0.5]}),
      "outside the policy's range",
    ),
    (choices(logprobs=None), 'no token ids and log-probabilities'),
    ({'choices': choices()['choices'][:2]}, '2 choices for n=3'),
  ],
)
def test_a_malformed_answer_stops_the_run(policy, tmp_path, answer, message):
  ScriptedServer.answers = {'/collective_rpc': {}, '/v1/completions': answer}
  with http.server.ThreadingHTTPServer(
    ('127.0.0.1', 0), ScriptedServer
  ) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_address[1]}'
    source = remote.RemoteSampler(section(url, tmp_path, model='m'))
    with pytest.raises(errors.ServiceError, match=f'engine http.*{message}'):
      sample(source, policy, prompts(policy, 1))
    server.shutdown()


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'url': 'localhost:8000'}, r"engine\.url='localhost:8000': must be like"),
    ({'folder': ''}, r"engine\.folder='': name a folder"),
    ({'reload_body': '{'}, r"engine\.reload_body='\{'"),
  ],
)
def test_bad_settings_are_refused(tmp_path, fields, message):
  with pytest.raises(errors.UserError, match=message):
    url = 'http://127.0.0.1:1'
    remote.RemoteSampler(section(**{'url': url, 'folder': tmp_path} | fields))
