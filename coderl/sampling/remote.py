"""An engine for those who outgrow the sampler here: a server, by its URL.

The server speaks OpenAI's /v1/completions with prompts as token ids, and gives
back token ids and their log-probabilities: `token_ids` of a choice, or tokens
named `token_id:N` (vLLM's return_token_ids, return_tokens_as_token_ids). Before
it samples from a policy that it has not been given, the policy is written to a
folder as a Hugging Face model and the server is asked to load it.

Its numbers are not those of the trainer: log-probabilities are scored anew at
the start of an update, and the ratio corrects for the rest (losses.importance).
"""

from collections.abc import Iterator, Sequence
from concurrent import futures
import json
import math
import pathlib
from typing import Any

import jax
import ml_collections

from coderl import types
from coderl.distributed import processes
from coderl.models import load as load_lib
from coderl.models.checkpoints import huggingface
from coderl.sampling import base, sampler
from coderl.sandbox.service import client as client_lib
from commons import errors

_COMPLETIONS, _MODELS = '/v1/completions', '/v1/models'
_NAMED = 'token_id:'
_ATTEMPTS = 5
_ROUNDING = 1e-3  # By which a server's log-probability may be above zero.
_TOKEN = 'CODERL_ENGINE_TOKEN'


class Remote:
  """A server that samples; see the module.

  Args:
    section: the config's `engine`: url; folder that weights are handed over
      in, which the server can read; reload_path and reload_body, how it is
      asked to load them ('{folder}' stands for the folder); model, its name
      there, '' for the first that it lists; concurrency, requests at a time;
      timeout_s, of silence.

  Raises:
    UserError: an address that is none, or a body that is no JSON.
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
      self._reload = json.loads(
        section.reload_body.replace('{folder}', str(self._folder))
      )
    except ValueError as error:
      raise errors.UserError(
        f'engine.reload_body={section.reload_body!r}: {error}'
      ) from error
    self._client = client_lib.Client(
      client_lib.parse(section.url, 'engine.url', _TOKEN),
      client_lib.token_from_environment(_TOKEN),
      attempts=_ATTEMPTS,
      timeout_s=section.timeout_s,
      patience_s=section.timeout_s,
      seed=0,
      what='engine',
    )
    self._model = section.model or self._client.ask(
      'GET', _MODELS, None, self._first_model
    )
    self._held: types.Params | None = None

  def sample(
    self,
    policy: load_lib.Policy,
    prompts: Sequence[types.Prompt],
    key: types.Array,
    config: sampler.SamplingConfig,
  ) -> Iterator[list[base.Numbered]]:
    """See base.Engine; each process asks for its share of the prompts.

    Raises: ServiceError, where the server fails or answers otherwise.
    """
    self._hand_over(policy)
    stops = base.stops_of(prompts)
    # So that what a server draws is a function of the run's seed.
    (seed,) = jax.random.key_data(key).ravel()[-1:].tolist()
    share = range(jax.process_index(), len(prompts), jax.process_count())

    def ask(i):
      said = {
        'model': self._model,
        'prompt': list(prompts[i].tokens),
        'n': config.group_size,
        'max_tokens': config.max_len_tokens,
        'temperature': config.temperature,
        'top_p': config.top_p,
        'top_k': config.top_k or -1,
        'min_p': config.min_p,
        'stop': list(stops),
        'seed': (seed + i) % 2**31,
        'logprobs': 0,
        'return_token_ids': True,
        'return_tokens_as_token_ids': True,
      }
      body = json.dumps(said).encode()
      read = lambda answer: self._read(answer, policy, prompts[i], config)
      rollouts = self._client.ask('POST', _COMPLETIONS, body, read)
      return [(i * config.group_size + g, r) for g, r in enumerate(rollouts)]

    with futures.ThreadPoolExecutor(self._section.concurrency) as pool:
      asked = [pool.submit(ask, i) for i in share]
      try:
        for done in futures.as_completed(asked):
          yield done.result()
      finally:
        for each in asked:
          each.cancel()

  def _hand_over(self, policy: load_lib.Policy) -> None:
    """Has the server load the policy, where it does not hold it already."""
    if policy.params is self._held:
      return
    params = jax.tree.map(processes.whole, policy.params)

    def load():
      if not processes.is_first():
        return
      huggingface.save(
        self._folder, policy.model, params, dtype=policy.model.dtype
      )
      policy.tokenizer.save(self._folder)
      body = json.dumps(self._reload).encode()
      path = self._section.reload_path
      self._client.ask('POST', path, body, lambda answer: None)

    processes.together(load)
    self._held = policy.params

  def _first_model(self, answer: Any) -> str:
    try:
      return answer['data'][0]['id']
    except (TypeError, KeyError, IndexError):
      raise ValueError('no model at all') from None

  def _read(
    self,
    answer: Any,
    policy: load_lib.Policy,
    prompt: types.Prompt,
    config: sampler.SamplingConfig,
  ) -> list[types.Rollout]:
    """A group. Raises ValueError where the answer is none."""
    try:
      choices = sorted(answer['choices'], key=lambda c: c['index'])
      rollouts = [_rollout(c, policy, prompt, config) for c in choices]
    except (TypeError, KeyError, AttributeError) as error:
      raise ValueError(
        f'no token ids and log-probabilities ({type(error).__name__}: {error})'
      ) from None
    if len(rollouts) != config.group_size:
      raise ValueError(f'{len(rollouts)} choices for n={config.group_size}')
    return rollouts


def _rollout(
  choice: dict[str, Any],
  policy: load_lib.Policy,
  prompt: types.Prompt,
  config: sampler.SamplingConfig,
) -> types.Rollout:
  told = choice['logprobs']
  tokens = choice.get('token_ids')
  if tokens is None:
    tokens = [int(name.removeprefix(_NAMED)) for name in told['tokens']]
  logprobs = [float(x) for x in told['token_logprobs']]
  known = range(policy.model.vocab_size)
  if (
    not tokens
    or len(tokens) > config.max_len_tokens
    or len(tokens) != len(logprobs)
    or not all(type(t) is int and t in known for t in tokens)
    or not all(math.isfinite(x) and x < _ROUNDING for x in logprobs)
  ):
    raise ValueError(
      f'{len(tokens)} tokens and {len(logprobs)} log-probabilities, of which'
      ' some are none of this policy'
    )
  # The trainer's own log-probabilities are scored before they are needed.
  return base.rollout(
    policy.tokenizer,
    prompt,
    tokens,
    logprobs,
    logprobs,
    finished=choice['finish_reason'] == 'stop',
  )
