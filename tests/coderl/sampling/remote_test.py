"""Sampling by a server: a real one, in a process of its own."""

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
from coderl.sampling import base, remote, sampler
from coderl.text import tokenization
from commons import errors
from configs import coderl_train

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROBLEM = types.Problem(id='p', statement='', tests=())
CONFIG = sampler.SamplingConfig(3, 24, temperature=0.8, top_p=0.9)


@pytest.fixture(scope='module', params=['ids', 'names'])
def server(request, tmp_path_factory):
  """(url, the folder it serves, the process)."""
  folder = tmp_path_factory.mktemp('served')
  shutil.copytree(load.EMBEDDED, folder, dirs_exist_ok=True)
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'tests.coderl.sampling.completions_server'),
      *(str(folder), request.param),
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


def sample(source, policy, asked, seed=0):
  parts = source.sample(policy, asked, jax.random.key(seed), CONFIG)
  return dict(itertools.chain(*parts))


def test_what_the_server_draws_is_what_the_policy_it_was_given_says(
  server, policy
):
  """And so it is after an update: a server with old weights is found out."""
  url, folder, _ = server
  source = remote.Remote(section(url, folder))
  mesh = sharding.make_mesh((1, -1, 1))
  here = base.BuiltIn(bucket_len=40, mesh=mesh)
  asked = prompts(policy, 2)
  last = None
  for step in range(3):
    moved = jax.tree.map(lambda a, s=step: a * (1 + 0.05 * s), policy.params)
    now = dataclasses.replace(policy, params=moved)
    found = sample(source, now, asked)
    assert sorted(found) == list(range(6))
    (key,) = jax.random.key_data(jax.random.key(0)).ravel()[-1:].tolist()
    for u, prompt in enumerate(asked):
      with jax.set_mesh(mesh):
        parts = here.sample(now, [prompt], jax.random.key(key + u), CONFIG)
        local = dict(itertools.chain(*parts))
      for g in range(3):
        r = found[3 * u + g]
        assert (r.tokens, r.text) == (local[g].tokens, local[g].text)
        assert r.finished == local[g].finished and r.prompt is prompt
        np.testing.assert_allclose(
          r.drawn_logprobs, local[g].drawn_logprobs, atol=1e-4
        )
    assert [r.drawn_logprobs for r in found.values()] != last
    last = [r.drawn_logprobs for r in found.values()]


def test_weights_are_handed_over_once(server, policy):
  url, folder, process = server
  source = remote.Remote(section(url, folder))
  # Whatever other tests asked before.
  marked = 'GET /mark'
  connection = http.client.HTTPConnection(url.removeprefix('http://'))
  connection.request('GET', '/mark')
  assert connection.getresponse().status == 200
  connection.close()
  while process.stdout.readline().strip() != marked:
    pass
  sample(source, policy, prompts(policy, 1))
  sample(source, policy, prompts(policy, 1), seed=1)
  lines = [process.stdout.readline().strip() for _ in range(3)]
  assert lines == ['POST /collective_rpc', *['POST /v1/completions'] * 2]


@pytest.mark.parametrize('server', ['ids'], indirect=True)
def test_training_through_a_server_corrects_for_it(server, tmp_path):
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
      'alignment.ratio': 0.0,
      'eval.problems': 2,
      'eval.batch_size': 2,
      'eval.questions': ('pass@1',),
    }
  )
  train.run(config, str(tmp_path))
  (line,) = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  step = json.loads(line)
  # The same weights in the same arithmetic: the ratio is one.
  assert step['importance'] == pytest.approx(1.0, abs=1e-3)
  assert step['importance_truncated'] == 0.0
  # The server was left with what the run exported.
  served, exported = (
    huggingface.load(str(d))[1] for d in (folder, tmp_path / 'policy')
  )
  jax.tree.map(np.testing.assert_array_equal, served, exported)


class Wrong(http.server.BaseHTTPRequestHandler):
  """Answers what it is told to."""

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
  one = {
    'index': 0,
    'finish_reason': 'stop',
    'token_ids': [1, 2],
    'logprobs': {'token_logprobs': [-0.5, -0.5]},
  }
  return {'choices': [{**one, **fields}] * 3}


@pytest.mark.parametrize(
  ('answer', 'said'),
  [
    ({}, 'no token ids and log-probabilities'),
    (choices(token_ids=[1, 5000]), 'none of this policy'),
    (choices(token_ids=[1]), '1 tokens and 2 log-probabilities'),
    (choices(logprobs={'token_logprobs': [-0.5, 0.5]}), 'none of this policy'),
    (choices(logprobs=None), 'no token ids and log-probabilities'),
    ({'choices': choices()['choices'][:2]}, '2 choices for n=3'),
  ],
)
def test_an_answer_that_is_none_stops_the_run(policy, tmp_path, answer, said):
  Wrong.answers = {'/collective_rpc': {}, '/v1/completions': answer}
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Wrong) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_address[1]}'
    source = remote.Remote(section(url, tmp_path, model='m'))
    with pytest.raises(errors.ServiceError, match=f'engine http.*{said}'):
      sample(source, policy, prompts(policy, 1))
    server.shutdown()


@pytest.mark.parametrize(
  ('fields', 'said'),
  [
    ({'url': 'localhost:8000'}, r"engine\.url='localhost:8000': must be like"),
    ({'folder': ''}, r"engine\.folder='': name a folder"),
    ({'reload_body': '{'}, r"engine\.reload_body='\{'"),
  ],
)
def test_settings_that_make_no_sense_are_met_at_the_door(
  tmp_path, fields, said
):
  with pytest.raises(errors.UserError, match=said):
    url = 'http://127.0.0.1:1'
    remote.Remote(section(**{'url': url, 'folder': tmp_path} | fields))
