"""A server of OpenAI's form that samples from a folder, as vLLM does.

  python -m tests.coderl.sampling.completions_server FOLDER ids|names

A process of its own. Prints its port, then every request's path. In its
answers tokens are `token_ids` or named `token_id:N`. It loads the folder at the
start and at POST /collective_rpc, and never else.
"""

import http.server
import itertools
import json
import sys
import threading

import jax

from coderl import types
from coderl.distributed import sharding
from coderl.models import load as load_lib
from coderl.models.checkpoints import huggingface
from coderl.sampling import local, sampler
from coderl.text import tokenization

FOLDER, STYLE = sys.argv[1:]
PROBLEM = types.Problem(id='', statement='', tests=())


def load():
  model, params = huggingface.load(FOLDER)
  tokenizer = tokenization.Tokenizer.from_dir(FOLDER)
  return load_lib.Policy(model, params, tokenizer)


class Server(http.server.ThreadingHTTPServer):
  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.policy, self.lock = load(), threading.Lock()
    mesh = sharding.make_mesh((1, -1, 1))
    self.engine = local.LocalSampler(bucket_len=40, mesh=mesh)


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *_):
    print(self.command, self.path, flush=True)

  def do_GET(self):
    self.answer({'data': [{'id': 'the-policy'}]})

  def do_POST(self):
    length = int(self.headers['Content-Length'])
    said = json.loads(self.rfile.read(length))
    with self.server.lock:
      if self.path == '/collective_rpc':
        assert said == {'method': 'reload_weights'}
        self.server.policy = load()
        self.answer({'results': [None]})
      else:
        assert said['model'] == 'the-policy'
        self.answer({'choices': [*map(choice, *self.sampled(said))]})

  def sampled(self, said):
    prompt = types.Prompt(
      types.GENERATE,
      '',
      tuple(said['prompt']),
      PROBLEM,
      stops=tuple(said['stop']),
    )
    config = sampler.SamplingConfig(
      said['n'],
      said['max_tokens'],
      said['temperature'],
      max(0, said['top_k']),
      said['top_p'],
      said['min_p'],
    )
    with jax.set_mesh(self.server.engine.mesh):
      parts = self.server.engine.sample(
        self.server.policy, [prompt], jax.random.key(said['seed']), config
      )
      return zip(*itertools.chain(*parts), strict=True)

  def answer(self, said):
    body = json.dumps(said).encode()
    self.send_response(200)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)


def choice(index, rollout):
  names = [f'token_id:{token}' for token in rollout.tokens]
  told = {
    'index': index,
    'text': rollout.text,
    'finish_reason': 'stop' if rollout.finished else 'length',
    'logprobs': {'tokens': names, 'token_logprobs': rollout.drawn_logprobs},
  }
  if STYLE == 'ids':
    told['token_ids'] = rollout.tokens
  return told


if __name__ == '__main__':
  with Server() as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
