"""The models of an evaluation: their names, and asking one through Inspect."""

from collections.abc import Mapping, Sequence
import dataclasses
import os
import pathlib
import re

import inspect_ai
from inspect_ai import model
import ml_collections

from commons import errors
from wm_abench.core import records
from wm_abench.evaluation import (
  inspect_plugins,  # noqa: F401  Importing it registers the providers.
  inspect_tasks,
)

# Short names of models that need no key.
SHORT_NAMES = {
  'random': 'baseline/random',
  'blind': 'jax/embedded',
  'nearest': 'baseline/nearest',
  'small': 'jax/embedded',
  'oracle': 'baseline/oracle',
}
# The one of them that never gets the pictures of the state.
_BLIND = 'blind'
# Inspect's best-known providers. Each one reports a missing key or package.
PROVIDERS = (
  'anthropic',
  'azureai',
  'bedrock',
  'google',
  'grok',
  'hf',
  'mistral',
  'ollama',
  'openai',
  'openai-api',
  'openrouter',
  'sglang',
  'together',
  'vllm',
)
# Retries of a sample without a reply, in addition to retries of a request.
_SAMPLE_RETRIES = 2


def load(name: str, base_url: str = '') -> model.Model:
  """Returns a model whose provider is loaded; no request is sent.

  Args:
    name: one of SHORT_NAMES, or PROVIDER/MODEL.
    base_url: address of a compatible service; '' for the provider's own.

  Raises:
    UserError: the provider does not exist, or lacks a key or a package.
  """
  full_name = SHORT_NAMES.get(name, name)
  if '/' not in full_name:
    raise errors.unknown('model', name, (*SHORT_NAMES, 'PROVIDER/MODEL'))
  try:
    return model.get_model(full_name, base_url=base_url or None)
  except errors.UserError:
    raise
  except ModuleNotFoundError as e:  # The provider `jax` imports it on demand.
    raise errors.UserError(
      f'model {name!r} needs the package {e.name!r}: pip install -c'
      " constraints.txt -e '.[policy]'"
    ) from e
  # Inspect's own class of such errors, for a missing key or package, derives
  # from Exception alone and is not public.
  except Exception as e:
    if 'not recognized' in str(e):
      provider = full_name.partition('/')[0]
      raise errors.unknown('provider', provider, PROVIDERS) from e
    message = re.sub(r'\[/?[a-z]+\]|ERROR:', '', str(e))
    raise errors.UserError(f'model {name!r} cannot be asked: {message}') from e


def ask(
  config: ml_collections.ConfigDict,
  name: str,
  loaded: model.Model,
  items: Mapping[str, Sequence[records.Item]],
  setup: inspect_tasks.Setup,
  folder: pathlib.Path,
) -> dict[str, list[records.Reply]]:
  """Asks a model every item, and continues where an earlier run stopped.

  Args:
    config: as in configs/wm_abench_eval.py.
    name: the model's name in the config.
    loaded: the model.
    items: the items by code of dimension.
    setup: how they are asked.
    folder: the workdir.

  Returns:
    The replies by path of their log in `folder`/logs.
  """
  # Inspect looks for earlier replies in this folder.
  os.environ['INSPECT_CACHE_DIR'] = os.fspath(folder / 'cache')
  if name == _BLIND:
    setup = dataclasses.replace(setup, blind=True)
  logs_folder = folder / 'logs' / file_name(name)
  _, logs = inspect_ai.eval_set(
    [
      inspect_tasks.dimension_task(code, items_of_code, setup)
      for code, items_of_code in items.items()
    ],
    model=loaded,
    log_dir=os.fspath(logs_folder),
    display=config.display,
    log_images=False,
    # A failed sample is scored, but its log is marked as unfinished, so that
    # the same command asks it again.
    fail_on_error=True,
    continue_on_fail=True,
    score_on_error=True,
    retry_on_error=_SAMPLE_RETRIES,
    retry_attempts=1,
    max_connections=config.connections or None,
    max_samples=config.connections or None,
    attempt_timeout=config.try_s,
    timeout=config.all_tries_s,
  )
  return {
    f'{logs_folder.name}/{pathlib.Path(log.location).name}': [
      *inspect_tasks.replies_in(log.location)
    ]
    for log in logs
  }


def file_name(model_name: str) -> str:
  """Returns a model's name with other characters than \\w.- replaced by _."""
  return re.sub(r'[^\w.-]', '_', model_name)
