"""Finds the policy that a config names and opens it on a mesh."""

import dataclasses
import functools
import pathlib

import jax
import ml_collections

from coderl import types
from coderl.distributed import sharding
from coderl.models import attention, presets, transformer
from coderl.models.checkpoints import hf_config, huggingface, packaged
from coderl.text import tokenization
from commons import errors


@dataclasses.dataclass(frozen=True)
class Policy:
  """A model that can be sampled from.

  Attributes:
    model: the transformer's config.
    params: the transformer's parameters, on devices.
    tokenizer: the model's tokenizer.
  """

  model: transformer.ModelConfig
  params: types.Params
  tokenizer: tokenization.Tokenizer


EMBEDDED_PRESET = 'tiny'
EMBEDDED = pathlib.Path(__file__).with_name('embedded')


def policy_folder(config: ml_collections.ConfigDict) -> str:
  """Returns the Hugging Face folder of the policy that a config names.

  A GGUF file, or a preset that a package carries, is converted once to a
  folder, which takes a while.

  Args:
    config: the section `model`.

  Raises:
    UserError: the preset is unknown, or it needs a path and there is none.
  """
  preset, path = config.preset, str(config.path)
  if preset and preset not in presets.PRESETS:
    raise errors.unknown('model', preset, presets.PRESETS)
  if path.endswith('.gguf'):
    return packaged.folder_of(path)
  if path:
    return path
  if preset == EMBEDDED_PRESET:
    return str(EMBEDDED)
  if preset in packaged.PACKAGES:
    return packaged.folder(preset)
  choices = ', '.join([EMBEDDED_PRESET, *packaged.PACKAGES])
  raise errors.UserError(
    f"model.path='' with model.preset={preset!r}: name a Hugging Face folder, "
    f'or a preset that needs none: {choices}'
  )


def numerics(
  config: ml_collections.ConfigDict, platform: str
) -> dict[str, str]:
  """Returns the ModelConfig fields that set how a model is computed.

  Args:
    config: the section `model`: dtype; remat, a name in transformer.REMAT;
      attention, a name in attention.METHODS, or '' for the platform's default.
    platform: cpu, gpu or tpu.

  Raises:
    UserError: a name is unknown.
  """
  if config.remat not in transformer.REMAT:
    raise errors.unknown('model.remat', config.remat, transformer.REMAT)
  method = config.attention
  if not method:
    flash = {'gpu': attention.CUDNN, 'tpu': attention.SPLASH}
    is_half = config.dtype == 'bfloat16'
    method = (
      flash.get(platform, attention.PLAIN) if is_half else attention.PLAIN
    )
  if method not in attention.METHODS:
    raise errors.unknown('model.attention', method, attention.METHODS)
  return dict(dtype=config.dtype, remat=config.remat, attention=method)


def open_policy(
  config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh
) -> Policy:
  """Opens the policy that a config names, sharded over the mesh.

  Args:
    config: the section `model`. The model must have the shape of `preset`; ''
      allows any shape. `path` is its folder, or '' (see policy_folder).
      `numerics` reads the other fields.
    mesh: the mesh over which sharding.RULES shards the parameters.

  Raises:
    UserError: there is no such folder, its model is not the preset's, its heads
      do not divide over the mesh, or its tokenizer is another model's.
  """
  path = policy_folder(config)
  tokenizer = tokenization.Tokenizer.from_dir(path)
  model = huggingface.read_config(path)
  sharding.check_heads(model.num_heads, mesh)
  tokenization.check_vocab(tokenizer, model.vocab_size)
  if config.preset:
    # A base model and its instruct model may differ in this field alone.
    expected = dataclasses.replace(
      presets.PRESETS[config.preset], norm_eps=model.norm_eps
    )
    if differing := hf_config.differences(expected, model):
      raise errors.UserError(
        f'model.path={str(config.path or path)!r} does not hold model.preset='
        f'{config.preset!r} ({"; ".join(differing)})'
      )
  shapes = jax.eval_shape(
    functools.partial(transformer.init, config=model), jax.random.key(0)
  )
  model, params = huggingface.load(path, sharding.shardings(shapes, mesh))
  model = dataclasses.replace(model, **numerics(config, jax.default_backend()))
  return Policy(model, params, tokenizer)


def check_lengths(
  model: transformer.ModelConfig, config: ml_collections.ConfigDict
) -> None:
  """Raises UserError if a prompt and its response exceed the model's length."""
  prompt, response = (
    config.data.max_prompt_len_tokens,
    config.sampling.max_len_tokens,
  )
  if prompt + response > model.max_len_tokens:
    raise errors.UserError(
      f'data.max_prompt_len_tokens={prompt} and sampling.max_len_tokens='
      f'{response} add up to more than the {model.max_len_tokens} tokens that '
      'the model was made for'
    )
