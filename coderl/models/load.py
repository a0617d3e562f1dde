"""Policies: which one a config names, and opening it on a mesh."""

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
  """What can be sampled from. params: the transformer's, on devices."""

  model: transformer.ModelConfig
  params: types.Params
  tokenizer: tokenization.Tokenizer


EMBEDDED_PRESET = 'tiny'
EMBEDDED = pathlib.Path(__file__).with_name('embedded')


def policy_folder(config: ml_collections.ConfigDict) -> str:
  """The Hugging Face folder of the policy that the section `model` names.

  A GGUF file, or a preset that a package carries, is turned into a folder
  first, which takes a while once.

  Raises:
    UserError: unknown preset, or neither a path nor a preset that has none.
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
  without = ', '.join([EMBEDDED_PRESET, *packaged.PACKAGES])
  raise errors.UserError(
    f"model.path='' with model.preset={preset!r}: name a Hugging Face folder, "
    f'or a preset that needs none: {without}'
  )


def numerics(
  config: ml_collections.ConfigDict, platform: str
) -> dict[str, str]:
  """Fields of a ModelConfig that say how it is computed, not what.

  Args:
    config: the section `model`: dtype; remat, a name in transformer.REMAT; and
      attention, a name in attention.METHODS, '' for what suits the devices.
    platform: of the devices: cpu, gpu or tpu.

  Raises:
    UserError: an unknown name.
  """
  if config.remat not in transformer.REMAT:
    raise errors.unknown('model.remat', config.remat, transformer.REMAT)
  method = config.attention
  if not method:
    flash = {'gpu': attention.CUDNN, 'tpu': attention.SPLASH}
    half = config.dtype == 'bfloat16'
    method = flash.get(platform, attention.PLAIN) if half else attention.PLAIN
  if method not in attention.METHODS:
    raise errors.unknown('model.attention', method, attention.METHODS)
  return dict(dtype=config.dtype, remat=config.remat, attention=method)


def open_policy(
  config: ml_collections.ConfigDict, mesh: jax.sharding.Mesh
) -> Policy:
  """The policy that a config names, laid out on the mesh.

  Args:
    config: the section `model`: preset, whose shape the model must have ('' is
      any); path of its folder, or '' (see policy_folder); and what `numerics`
      reads.
    mesh: over which the params are spread, by sharding.RULES.

  Raises:
    UserError: there is no such folder, its model is not the preset's, its heads
      do not split over the mesh, or its tokenizer is another model's.
  """
  path = policy_folder(config)
  tokenizer = tokenization.Tokenizer.from_dir(path)
  model = huggingface.read_config(path)
  sharding.check_heads(model.num_heads, mesh)
  tokenization.check_vocab(tokenizer, model.vocab_size)
  if config.preset:
    # Of a base model and its instruct model, this alone may differ.
    wanted = dataclasses.replace(
      presets.PRESETS[config.preset], norm_eps=model.norm_eps
    )
    if differing := hf_config.differences(wanted, model):
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
  """Raises UserError where a prompt and its response outgrow the model."""
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
