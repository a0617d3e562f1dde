"""A sampler that asks an inference server, for policies that need one.

The server speaks OpenAI's /v1/completions with prompts as token ids, and
returns token ids and their log-probabilities: `token_ids` of a choice, or
tokens named `token_id:N` (vLLM's return_token_ids and
return_tokens_as_token_ids). Before it samples from new weights, they are
written to a folder as a Hugging Face model and the server is asked to load it.

A server's numerics differ from the trainer's: log-probabilities are computed
again at the start of an update, and importance weights correct for the
difference (losses.importance_weights).
"""

from collections.abc import Iterator, Sequence
from concurrent import futures
import json
import math
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from coderl import types
from coderl.distributed import processes, sharding
from coderl.models import load
from coderl.models.checkpoints import huggingface
from coderl.sampling import base, sampler
from coderl.sandbox.service import client as client_lib
from commons import errors

_COMPLETIONS, _MODELS = '/v1/completions', '/v1/models'
_TOKEN_ID_PREFIX = 'token_id:'
_ATTEMPTS = 5
_ROUNDING = 1e-3  # A server's log-probability may exceed zero by this much.
_TOKEN = 'CODERL_ENGINE_TOKEN'


class RemoteSampler:
  """Samples through a server.

  Args:
    section: the config's `engine`. url: the server. folder: where weights are
      written, readable by the server. reload_path, reload_body: the request to
      load them ('{folder}' stands for the folder). model: the model's name on
      the server, '' for the first that it lists. concurrency: requests in
      flight. timeout_s: seconds without an answer.

  Raises:
    UserError: the URL is malformed, `folder` is empty, or the body is not JSON.
    ServiceError: the server is down, or lists no model.
  """

  def __init__(self, section: ml_collections.ConfigDict):
    self._section = section
    if not section.folder:
      raise errors.UserError(
        "engine.folder='': name a folder that the server of engine.url reads"
      )
    self._folder = pathlib.Path(section.folder).absolute()
    try:
      self._reload_body = json.loads(
        section.reload_body.replace('{folder}', str(self._folder))
      )
    except ValueError as error:
      raise errors.UserError(
        f'engine.reload_body={section.reload_body!r}: {error}'
      ) from error
    self._client = client_lib.Client(
      client_lib.parse_url(section.url, 'engine.url', _TOKEN),
      client_lib.token_from_environment(_TOKEN),
      attempts=_ATTEMPTS,
      timeout_s=section.timeout_s,
      patience_s=section.timeout_s,
      seed=0,
      what='engine',
    )
    self._model = section.model or self._client.request(
      'GET', _MODELS, None, _first_model
    )
    self._loaded: types.Params | None = None

  def sample(
    self,
    policy: load.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
  ) -> Iterator[list[base.NumberedRollout]]:
    """See base.Sampler; each process requests its share of the prompts.

    Raises:
      ServiceError: the server fails, or its answer is malformed.
    """
    self._load_weights(policy)
    stops = base.common_stops(prompts)
    # What the server draws is a function of the run's seed.
    (seed,) = jax.random.key_data(key).ravel()[-1:].tolist()
    share = range(jax.process_index(), len(prompts), jax.process_count())

    def request_group(i):
      body = self._request(prompts[i], stops, (seed + i) % 2**31, config)
      parse = lambda answer: _parse_group(answer, policy, prompts[i], config)
      rollouts = self._client.request('POST', _COMPLETIONS, body, parse)
      return [(i * config.group_size + g, r) for g, r in enumerate(rollouts)]

    with futures.ThreadPoolExecutor(self._section.concurrency) as pool:
      requests = [pool.submit(request_group, i) for i in share]
      try:
        for request in futures.as_completed(requests):
          yield request.result()
      finally:
        for request in requests:
          request.cancel()

  def _request(
    self,
    prompt: types.Prompt,
    stops: tuple[str, ...],
    seed: int,
    config: sampler.SamplingConfig,
  ) -> bytes:
    """Returns the body of a request for the group of one prompt."""
    fields = {
      'model': self._model,
      'prompt': list(prompt.tokens),
      'n': config.group_size,
      'max_tokens': config.max_len_tokens,
      'temperature': config.temperature,
      'top_p': config.top_p,
      'top_k': config.top_k or -1,
      'min_p': config.min_p,
      'stop': list(stops),
      'seed': seed,
      'logprobs': 0,
      'return_token_ids': True,
      'return_tokens_as_token_ids': True,
    }
    return json.dumps(fields).encode()

  def _load_weights(self, policy: load.Policy) -> None:
    """Makes the server load the policy, unless it has loaded it already."""
    if policy.params is self._loaded:
      return
    params = jax.tree.map(sharding.fetch, policy.params)

    def write_and_reload():
      if not processes.is_first():
        return
      huggingface.save(
        self._folder, policy.model, params, dtype=policy.model.dtype
      )
      policy.tokenizer.save(self._folder)
      body = json.dumps(self._reload_body).encode()
      path = self._section.reload_path
      self._client.request('POST', path, body, lambda answer: None)

    processes.call_and_gather(write_and_reload)
    self._loaded = policy.params


def _first_model(answer: Any) -> str:
  try:
    return answer['data'][0]['id']
  except (TypeError, KeyError, IndexError):
    raise ValueError('the server lists no model') from None


def _parse_group(
  answer: Any,
  policy: load.Policy,
  prompt: types.Prompt,
  config: sampler.SamplingConfig,
) -> list[types.Rollout]:
  """Parses a completions answer; raises ValueError if it is malformed."""
  try:
    choices = sorted(answer['choices'], key=lambda c: c['index'])
    rollouts = [_parse_choice(c, policy, prompt, config) for c in choices]
  except (TypeError, KeyError, AttributeError) as error:
    raise ValueError(
      f'no token ids and log-probabilities ({type(error).__name__}: {error})'
    ) from None
  if len(rollouts) != config.group_size:
    raise ValueError(f'{len(rollouts)} choices for n={config.group_size}')
  return rollouts


def _parse_choice(
  choice: dict[str, Any],
  policy: load.Policy,
  prompt: types.Prompt,
  config: sampler.SamplingConfig,
) -> types.Rollout:
  token_ids = choice.get('token_ids')
  if token_ids is None:
    names = choice['logprobs']['tokens']
    token_ids = [int(name.removeprefix(_TOKEN_ID_PREFIX)) for name in names]
  logprobs = [float(x) for x in choice['logprobs']['token_logprobs']]
  vocabulary = range(policy.model.vocab_size)
  if (
    not token_ids
    or len(token_ids) > config.max_len_tokens
    or len(token_ids) != len(logprobs)
    or not all(type(t) is int and t in vocabulary for t in token_ids)
    or not all(math.isfinite(x) and x < _ROUNDING for x in logprobs)
  ):
    raise ValueError(
      f'{len(token_ids)} tokens and {len(logprobs)} log-probabilities, some of'
      " which are outside the policy's range"
    )
  # The trainer computes the policy's log-probabilities before it needs them.
  drawn_logprobs = np.array(logprobs, np.float32)
  return base.make_rollout(
    policy.tokenizer,
    prompt,
    np.array(token_ids, np.int32),
    drawn_logprobs,
    drawn_logprobs,
    finished=choice['finish_reason'] == 'stop',
  )
