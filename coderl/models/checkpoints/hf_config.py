"""Converts config.json of a Hugging Face folder to a ModelConfig and back.

A model family is an entry of FAMILIES; no code asks for one by name. The
formats of `transformers` 4 (rope_theta, rope_scaling) and 5 (rope_parameters)
are both read. A feature that the transformer lacks is refused.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from coderl.models import transformer
from coderl.models.checkpoints import hf_files
from commons import errors

ModelConfig = transformer.ModelConfig
GLOBAL, LOCAL = transformer.GLOBAL, transformer.LOCAL

# The kinds of layers by their names in config.json.
_KINDS = {'full_attention': GLOBAL, 'sliding_attention': LOCAL}
_KIND_NAMES = {kind: name for name, kind in _KINDS.items()}

# Required fields of config.json, all integers, by field of ModelConfig.
_SIZES = {
  'vocab_size': 'vocab_size',
  'num_layers': 'num_hidden_layers',
  'd_model': 'hidden_size',
  'num_heads': 'num_attention_heads',
  'mlp_dim': 'intermediate_size',
}

# Fields of RopeScaling and their names in config.json, by kind.
_SCALINGS = {
  'linear': {'factor': 'factor'},
  'llama3': {
    'factor': 'factor',
    'low_freq_factor': 'low_freq_factor',
    'high_freq_factor': 'high_freq_factor',
    'original_len_tokens': 'original_max_position_embeddings',
  },
}

# Fields of ModelConfig that config.json does not have.
_NUMERICS = ('remat', 'attention', 'lora', 'dtype', 'param_dtype')


class Family(NamedTuple):
  """The meaning of a model_type.

  Attributes:
    architecture: the model's class in `transformers`.
    fixed: fields of ModelConfig that all models of the family share.
    only: fields of config.json, each with its only supported value.
    absent: default values of absent fields of config.json, from the family's
      configuration class in `transformers`.
    windows: whether layers may be local.
  """

  architecture: str
  fixed: Mapping[str, Any]
  only: Mapping[str, Any]
  absent: Mapping[str, Any]
  windows: bool


_PLAIN = {
  'qkv_bias': False,
  'qk_norm': False,
  'post_norms': False,
  'norm_offset': False,
  'activation': 'silu',
  'scaled_embeddings': False,
}
_ABSENT = {
  'num_key_value_heads': None,
  'head_dim': None,
  'rms_norm_eps': 1e-6,
  'rope_theta': 1e4,
  'rope_scaling': None,
  'rope_parameters': None,
  'tie_word_embeddings': False,
}
_QWEN_ABSENT = _ABSENT | {
  'num_key_value_heads': 32,
  'max_position_embeddings': 32768,
  'layer_types': None,
  'sliding_window': 4096,
  'use_sliding_window': False,
  'max_window_layers': 28,
}

FAMILIES: Mapping[str, Family] = {
  'llama': Family(
    'LlamaForCausalLM',
    fixed=_PLAIN,
    only={'hidden_act': 'silu', 'attention_bias': False, 'mlp_bias': False},
    absent=_ABSENT | {'max_position_embeddings': 2048},
    windows=False,
  ),
  'qwen2': Family(
    'Qwen2ForCausalLM',
    fixed=_PLAIN | {'qkv_bias': True},
    only={'hidden_act': 'silu'},
    absent=_QWEN_ABSENT,
    windows=True,
  ),
  'qwen3': Family(
    'Qwen3ForCausalLM',
    fixed=_PLAIN | {'qk_norm': True},
    only={'hidden_act': 'silu', 'attention_bias': False},
    absent=_QWEN_ABSENT | {'head_dim': 128},
    windows=True,
  ),
  'gemma3_text': Family(
    'Gemma3ForCausalLM',
    fixed={
      'qkv_bias': False,
      'qk_norm': True,
      'post_norms': True,
      'norm_offset': True,
      'activation': 'gelu_tanh',
      'scaled_embeddings': True,
    },
    only={
      'hidden_activation': 'gelu_pytorch_tanh',
      'attention_bias': False,
      'attn_logit_softcapping': None,
      'final_logit_softcapping': None,
      'use_bidirectional_attention': False,
    },
    absent=_ABSENT
    | {
      'num_key_value_heads': 4,
      'head_dim': 256,
      'max_position_embeddings': 131072,
      'rope_theta': 1e6,
      'rope_local_base_freq': 1e4,
      'query_pre_attn_scalar': 256,
      'layer_types': None,
      'sliding_window': 4096,
      'sliding_window_pattern': 6,
      'tie_word_embeddings': True,
    },
    windows=True,
  ),
}
# Like Family.only, for every family.
_ONLY = {'quantization_config': None, 'partial_rotary_factor': 1.0}
# Hints for families whose other checkpoints are supported.
_HINTS = {
  'gemma3': 'it has images, of Gemma 3 only text checkpoints are read; '
}


def read(path: str) -> ModelConfig:
  """Returns the config in a file, with its numerics at their defaults.

  Raises:
    UserError: there is no such file, or its model is not supported.
  """
  fields = hf_files.read_json(path)
  try:
    return parse(fields)
  except errors.UserError as e:
    raise errors.UserError(f'{path!r}: {e}') from e


def parse(fields: Mapping[str, Any]) -> ModelConfig:
  """Returns the config of the fields of a config.json; raises like `read`."""
  model_type = str(fields.get('model_type'))
  if model_type not in FAMILIES:
    raise errors.UserError(
      _HINTS.get(model_type, '')
      + str(errors.unknown('model_type', model_type, FAMILIES))
    )
  family = FAMILIES[model_type]
  only = _ONLY | family.only
  # Fields of other families are ignored.
  known = {*_SIZES.values(), *only, *family.absent}
  fields = family.absent | {k: v for k, v in fields.items() if k in known}
  for name, value in only.items():
    if fields.get(name) not in (value, None):
      raise errors.UserError(
        f'{name}={fields[name]!r} is not supported, only {value!r}'
      )
  sizes = {
    ours: _number(fields, name, is_integer=True)
    for ours, name in _SIZES.items()
  }
  heads = sizes['num_heads']
  # These may be null and then follow from other fields.
  fields['num_key_value_heads'] = fields['num_key_value_heads'] or heads
  fields['head_dim'] = fields['head_dim'] or sizes['d_model'] // heads
  kv_heads = _number(fields, 'num_key_value_heads', is_integer=True)
  head_dim = _number(fields, 'head_dim', is_integer=True)
  if heads % kv_heads or head_dim % 2:
    raise errors.UserError(
      f'{heads} heads of {head_dim} with {kv_heads} for keys and values: the'
      ' numbers of heads must divide, and the size of a head be even'
    )
  config = ModelConfig(
    **sizes,
    **family.fixed,
    num_kv_heads=kv_heads,
    head_dim=head_dim,
    max_len_tokens=_number(fields, 'max_position_embeddings', is_integer=True),
    norm_eps=_number(fields, 'rms_norm_eps'),
    tied_embeddings=bool(fields['tie_word_embeddings']),
    query_scale=_query_scale(fields, head_dim),
  )
  if family.windows:
    config = dataclasses.replace(config, **_windows(fields, config.num_layers))
  return dataclasses.replace(config, **_rope(fields, config))


def _number(fields, name: str, is_integer: bool = False, above: int = 0) -> Any:
  """Returns a number of the fields; raises UserError if it is not valid."""
  value = fields.get(name)
  kinds = int if is_integer else (int, float)
  if type(value) is bool or not isinstance(value, kinds) or not value > above:
    kind = 'whole number' if is_integer else 'number'
    raise errors.UserError(f'{name}={value!r} must be a {kind} above {above}')
  return value if is_integer else float(value)


def _object(fields, name: str) -> dict[str, Any]:
  """Returns an object of the fields, {} if it is absent or null."""
  value = fields.get(name) or {}
  if not isinstance(value, dict):
    raise errors.UserError(f'{name}={value!r} must be an object')
  return value


def _query_scale(fields, head_dim: int) -> float | None:
  if 'query_pre_attn_scalar' not in fields:
    return None
  scalar = _number(fields, 'query_pre_attn_scalar')
  return None if scalar == head_dim else scalar**-0.5


def _windows(fields, num_layers: int) -> dict[str, Any]:
  """Returns layer_pattern and sliding_window, {} if no layer is local."""
  names = fields['layer_types']
  if names is None and 'sliding_window_pattern' in fields:
    period = _number(fields, 'sliding_window_pattern', is_integer=True)
    local = [bool((i + 1) % period) for i in range(num_layers)]
  elif names is None:
    first = num_layers
    if fields['use_sliding_window']:
      first = _number(fields, 'max_window_layers', is_integer=True, above=-1)
    local = [i >= first for i in range(num_layers)]
  elif (
    not isinstance(names, list)
    or len(names) != num_layers
    or any(name not in [*_KINDS] for name in names)
  ):
    raise errors.UserError(
      f'layer_types={names!r} must be one of {", ".join(_KINDS)} for each of'
      f' the {num_layers} layers'
    )
  else:
    local = [_KINDS[name] == LOCAL for name in names]
  if not any(local):
    return {}
  if not fields.get('use_sliding_window', True):
    raise errors.UserError(
      'layer_types has sliding_attention, which use_sliding_window=False denies'
    )
  period = next(
    p
    for p in range(1, num_layers + 1)
    if all(local[i] == local[i % p] for i in range(num_layers))
  )
  return {
    'layer_pattern': tuple(LOCAL if a else GLOBAL for a in local[:period]),
    'sliding_window': _number(fields, 'sliding_window', is_integer=True),
  }


def _rope(fields, config: ModelConfig) -> dict[str, Any]:
  """Returns rope_theta, rope_scaling and local_rope_theta."""
  rope = _object(fields, 'rope_parameters')
  # rope_parameters is given by kind of layer, or for all layers at once.
  by_kind = rope if rope.keys() & _KINDS.keys() else {'full_attention': rope}
  global_rope = (
    {'rope_theta': fields['rope_theta']}
    | _object(by_kind, 'full_attention')
    | _object(fields, 'rope_scaling')
  )
  # By default, local layers have the base of the global layers.
  local_rope = global_rope
  if 'rope_local_base_freq' in fields:
    local_rope = {'rope_theta': fields['rope_local_base_freq']}
  local_rope = local_rope | _object(by_kind, 'sliding_attention')
  values = {
    'rope_theta': _number(global_rope, 'rope_theta'),
    'rope_scaling': _scaling(global_rope, config.max_len_tokens),
  }
  if LOCAL in config.layer_pattern:
    values['local_rope_theta'] = _number(local_rope, 'rope_theta')
    scaling = _scaling(local_rope, config.max_len_tokens)
    if scaling is not None:
      raise errors.UserError(
        f'rope_type={scaling.kind!r} of sliding_attention is not supported,'
        " only 'default'"
      )
  return values


def _scaling(rope, max_len_tokens: int) -> transformer.RopeScaling | None:
  if rope.get('partial_rotary_factor', 1.0) != 1.0:
    raise errors.UserError(
      f'partial_rotary_factor={rope["partial_rotary_factor"]!r} is not'
      ' supported, only 1.0'
    )
  kind = str(rope.get('rope_type', rope.get('type', 'default')))
  if kind == 'default':
    return None
  if kind not in _SCALINGS:
    raise errors.unknown('rope_type', kind, ['default', *_SCALINGS])
  rope = {'original_max_position_embeddings': max_len_tokens, **rope}
  numbers = {
    ours: _number(rope, name, is_integer=ours == 'original_len_tokens')
    for ours, name in _SCALINGS[kind].items()
  }
  return transformer.RopeScaling(kind, **numbers)


def differences(a: ModelConfig, b: ModelConfig) -> list[str]:
  """Returns 'field: a -> b' for each differing field, without numerics."""
  a, b = (dataclasses.asdict(config) for config in (a, b))
  return [
    f'{name}: {a[name]!r} -> {b[name]!r}'
    for name in a
    if name not in _NUMERICS and a[name] != b[name]
  ]


def to_json(config: ModelConfig, dtype: str) -> dict[str, Any]:
  """Returns the config.json of a model, for `transformers` and its servers.

  Args:
    config: the model's shape.
    dtype: the dtype in the files.

  Raises:
    UserError: no family has this config.
  """
  model_types = [
    model_type
    for model_type, family in FAMILIES.items()
    if all(getattr(config, k) == v for k, v in family.fixed.items())
  ]
  if not model_types:
    fixed = {name: getattr(config, name) for name in _PLAIN}
    raise errors.UserError(f'no family ({", ".join(FAMILIES)}) has {fixed}')
  family = FAMILIES[model_types[0]]
  fields = {
    'model_type': model_types[0],
    'architectures': [family.architecture],
    **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
    **family.only,
    'num_key_value_heads': config.num_kv_heads,
    'head_dim': config.head_dim,
    'max_position_embeddings': config.max_len_tokens,
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tied_embeddings,
    # The tokenizer names these, not the defaults of the family's class.
    'bos_token_id': None,
    'eos_token_id': None,
    # transformers 5 and 4 name it differently.
    'dtype': dtype,
    'torch_dtype': dtype,
    **_rope_json(config, family),
    **_windows_json(config, family),
  }
  if 'query_pre_attn_scalar' in family.absent:
    scale = config.query_scale
    scalar = config.head_dim if scale is None else round(scale**-2)
    fields['query_pre_attn_scalar'] = scalar
  lost = differences(config, parse(fields))
  if lost:
    raise errors.UserError(
      f'config.json of a {model_types[0]} cannot describe this model and would'
      f' be read back differently: {"; ".join(lost)}'
    )
  return fields


def _rope_json(config: ModelConfig, family: Family) -> dict[str, Any]:
  scaling = None
  if config.rope_scaling is not None:
    scaling = {'rope_type': config.rope_scaling.kind}
    for ours, theirs in _SCALINGS[config.rope_scaling.kind].items():
      scaling[theirs] = getattr(config.rope_scaling, ours)
  old = {'rope_theta': config.rope_theta, 'rope_scaling': scaling}
  if 'rope_local_base_freq' in family.absent:
    # vLLM on transformers 4 rejects rope_parameters by kind of layer; every
    # version reads the old form.
    return old | {'rope_local_base_freq': config.local_rope_theta}
  new = {'rope_type': 'default'} | (scaling or {})
  return old | {'rope_parameters': new | {'rope_theta': config.rope_theta}}


def _windows_json(config: ModelConfig, family: Family) -> dict[str, Any]:
  if not family.windows:
    return {}
  kinds, pattern = config.layer_kinds(), config.layer_pattern
  fields = {
    'layer_types': [_KIND_NAMES[kind] for kind in kinds],
    'sliding_window': config.sliding_window or None,
  }
  # The form of versions before layer_types, if it can express the pattern.
  if 'use_sliding_window' in family.absent:
    fields['use_sliding_window'] = LOCAL in kinds
    fields['max_window_layers'] = (*kinds, LOCAL).index(LOCAL)
  elif pattern == (LOCAL,) * (len(pattern) - 1) + (GLOBAL,):
    fields['sliding_window_pattern'] = len(pattern)
  return fields
