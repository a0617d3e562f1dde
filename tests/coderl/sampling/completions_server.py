"""A stand-in for vLLM: a completions server that samples from a folder.

  python -m tests.coderl.sampling.completions_server FOLDER ids|names HEAT

It prints its port, then the path of every request. In its answers, tokens are
`token_ids` or have names `token_id:N`. It samples at HEAT times the requested
temperature, so that another distribution than the trainer's draws the tokens.
It loads the folder at the start and at POST /collective_rpc only.
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

FOLDER, STYLE, HEAT = sys.argv[1], sys.argv[2], float(sys.argv[3])
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
    self.sampler = local.LocalSampler(bucket_len=40, mesh=mesh)


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *_):
    print(self.command, self.path, flush=True)

  def do_GET(self):
    self.answer({'data': [{'id': 'the-policy'}]})

  def do_POST(self):
    length = int(self.headers['Content-Length'])
    request = json.loads(self.rfile.read(length))
    with self.server.lock:
      if self.path == '/collective_rpc':
        assert request == {'method': 'reload_weights'}
        self.server.policy = load()
        self.answer({'results': [None]})
      else:
        assert request['model'] == 'the-policy'
        self.answer({'choices': [*map(choice, *self.sample(request))]})

  def sample(self, request):
    prompt = types.Prompt(
      types.GENERATE,
      '',
      tuple(request['prompt']),
      PROBLEM,
      stops=tuple(request['stop']),
    )
    config = sampler.SamplingConfig(
      request['n'],
      request['max_tokens'],
      request['temperature'] * HEAT,
      max(0, request['top_k']),
      request['top_p'],
      request['min_p'],
    )
    with jax.set_mesh(self.server.sampler.mesh):
      chunks = self.server.sampler.sample(
        self.server.policy, [prompt], jax.random.key(request['seed']), config
      )
      return zip(*itertools.chain(*chunks), strict=True)

  def answer(self, content):
    body = json.dumps(content).encode()
    self.send_response(200)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)


def choice(index, rollout):
  token_ids = rollout.tokens.tolist()
  fields = {
    'index': index,
    'text': rollout.text,
    'finish_reason': 'stop' if rollout.finished else 'length',
    'logprobs': {
      'tokens': [f'token_id:{token}' for token in token_ids],
      'token_logprobs': rollout.drawn_logprobs.tolist(),
    },
  }
  if STYLE == 'ids':
    fields['token_ids'] = token_ids
  return fields


if __name__ == '__main__':
  with Server() as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
