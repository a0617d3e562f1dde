"""config.json of a Hugging Face folder <-> ModelConfig.

A family is a row of FAMILIES; nothing here asks for one by name. What version 4
of `transformers` writes is read (rope_theta, rope_scaling) and what version 5
does (rope_parameters). A feature that the transformer lacks is refused.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any, NamedTuple

from coderl.models import transformer
from coderl.models.checkpoints import hf_files
from commons import errors

ModelConfig = transformer.ModelConfig
GLOBAL, LOCAL = transformer.GLOBAL, transformer.LOCAL

# Names of the kinds of layers there.
_KINDS = {'full_attention': GLOBAL, 'sliding_attention': LOCAL}
_KIND_NAMES = {kind: name for name, kind in _KINDS.items()}

# Fields that config.json must have, all whole numbers, by ours.
_SIZES = {
  'vocab_size': 'vocab_size',
  'num_layers': 'num_hidden_layers',
  'd_model': 'hidden_size',
  'num_heads': 'num_attention_heads',
  'mlp_dim': 'intermediate_size',
}

# Fields of RopeScaling and their names there, by kind.
_SCALINGS = {
  'linear': {'factor': 'factor'},
  'llama3': {
    'factor': 'factor',
    'low_freq_factor': 'low_freq_factor',
    'high_freq_factor': 'high_freq_factor',
    'original_len_tokens': 'original_max_position_embeddings',
  },
}

# Fields of ModelConfig that config.json does not tell of.
_NUMERICS = ('remat', 'attention', 'lora', 'dtype', 'param_dtype')


class Family(NamedTuple):
  """What a model_type stands for.

  architecture: its class in `transformers`.
  fixed: fields of ModelConfig.
  only: fields of config.json, each with the one value that is supported.
  absent: what other fields of config.json are where they are absent, by the
    family's configuration class in `transformers`.
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
# Of every family.
_ONLY = {'quantization_config': None, 'partial_rotary_factor': 1.0}
# Families of which some checkpoints hold more than text.
_HINTS = {
  'gemma3': 'it has images, of Gemma 3 only text checkpoints are read; '
}


def read(path: str) -> ModelConfig:
  """The config in a file, its numerics at their defaults.

  Raises:
    UserError: no such file, or a model that is not supported.
  """
  said = hf_files.read_json(path)
  try:
    return parse(said)
  except errors.UserError as e:
    raise errors.UserError(f'{path!r}: {e}') from e


def parse(said: Mapping[str, Any]) -> ModelConfig:
  """The config that the fields of a config.json tell, as `read` raises."""
  model_type = str(said.get('model_type'))
  if model_type not in FAMILIES:
    raise errors.UserError(
      _HINTS.get(model_type, '')
      + str(errors.unknown('model_type', model_type, FAMILIES))
    )
  family = FAMILIES[model_type]
  only = _ONLY | family.only
  # Another family's fields have no say.
  known = {*_SIZES.values(), *only, *family.absent}
  said = family.absent | {k: v for k, v in said.items() if k in known}
  for name, value in only.items():
    if said.get(name) not in (value, None):
      raise errors.UserError(
        f'{name}={said[name]!r} is not supported, only {value!r}'
      )
  sizes = {
    ours: _number(said, name, whole=True) for ours, name in _SIZES.items()
  }
  heads = sizes['num_heads']
  # What may be null, and is told by other fields then.
  said['num_key_value_heads'] = said['num_key_value_heads'] or heads
  said['head_dim'] = said['head_dim'] or sizes['d_model'] // heads
  kv_heads = _number(said, 'num_key_value_heads', whole=True)
  head_dim = _number(said, 'head_dim', whole=True)
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
    max_len_tokens=_number(said, 'max_position_embeddings', whole=True),
    norm_eps=_number(said, 'rms_norm_eps'),
    tied_embeddings=bool(said['tie_word_embeddings']),
    query_scale=_query_scale(said, head_dim),
  )
  if family.windows:
    config = dataclasses.replace(config, **_windows(said, config.num_layers))
  return dataclasses.replace(config, **_rope(said, config))


def _number(said, name: str, whole: bool = False, above: int = 0) -> Any:
  value = said.get(name)
  kinds = int if whole else (int, float)
  if type(value) is bool or not isinstance(value, kinds) or not value > above:
    kind = 'whole number' if whole else 'number'
    raise errors.UserError(f'{name}={value!r} must be a {kind} above {above}')
  return value if whole else float(value)


def _object(said, name: str) -> dict[str, Any]:
  value = said.get(name) or {}
  if not isinstance(value, dict):
    raise errors.UserError(f'{name}={value!r} must be an object')
  return value


def _query_scale(said, head_dim: int) -> float | None:
  if 'query_pre_attn_scalar' not in said:
    return None
  scalar = _number(said, 'query_pre_attn_scalar')
  return None if scalar == head_dim else scalar**-0.5


def _windows(said, num_layers: int) -> dict[str, Any]:
  """layer_pattern and sliding_window."""
  names = said['layer_types']
  if names is None and 'sliding_window_pattern' in said:
    period = _number(said, 'sliding_window_pattern', whole=True)
    local = [bool((i + 1) % period) for i in range(num_layers)]
  elif names is None:
    first = num_layers
    if said['use_sliding_window']:
      first = _number(said, 'max_window_layers', whole=True, above=-1)
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
  if not said.get('use_sliding_window', True):
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
    'sliding_window': _number(said, 'sliding_window', whole=True),
  }


def _rope(said, config: ModelConfig) -> dict[str, Any]:
  """rope_theta, rope_scaling and local_rope_theta."""
  told = _object(said, 'rope_parameters')
  # Told by kind of layer, or of all layers at once.
  by_kind = told if told.keys() & _KINDS.keys() else {'full_attention': told}
  of_global = (
    {'rope_theta': said['rope_theta']}
    | _object(by_kind, 'full_attention')
    | _object(said, 'rope_scaling')
  )
  # Without a base of their own, local layers turn as the global ones do.
  of_local = of_global
  if 'rope_local_base_freq' in said:
    of_local = {'rope_theta': said['rope_local_base_freq']}
  of_local = of_local | _object(by_kind, 'sliding_attention')
  found = {
    'rope_theta': _number(of_global, 'rope_theta'),
    'rope_scaling': _scaling(of_global, config.max_len_tokens),
  }
  if LOCAL in config.layer_pattern:
    found['local_rope_theta'] = _number(of_local, 'rope_theta')
    scaling = _scaling(of_local, config.max_len_tokens)
    if scaling is not None:
      raise errors.UserError(
        f'rope_type={scaling.kind!r} of sliding_attention is not supported,'
        " only 'default'"
      )
  return found


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
    ours: _number(rope, name, whole=ours == 'original_len_tokens')
    for ours, name in _SCALINGS[kind].items()
  }
  return transformer.RopeScaling(kind, **numbers)


def differences(a: ModelConfig, b: ModelConfig) -> list[str]:
  """Where two configs differ, numerics aside: 'field: value -> value'."""
  a, b = (dataclasses.asdict(config) for config in (a, b))
  return [
    f'{name}: {a[name]!r} -> {b[name]!r}'
    for name in a
    if name not in _NUMERICS and a[name] != b[name]
  ]


def to_json(config: ModelConfig, dtype: str) -> dict[str, Any]:
  """The config.json of a model for `transformers` and servers on top of it.

  Args:
    config: the shape.
    dtype: of the tensors in the files.

  Raises:
    UserError: there is no family with this config.
  """
  fits = [
    model_type
    for model_type, family in FAMILIES.items()
    if all(getattr(config, k) == v for k, v in family.fixed.items())
  ]
  if not fits:
    fixed = {name: getattr(config, name) for name in _PLAIN}
    raise errors.UserError(
      f'no family ({", ".join(FAMILIES)}) has a model of {fixed}'
    )
  family = FAMILIES[fits[0]]
  said = {
    'model_type': fits[0],
    'architectures': [family.architecture],
    **{theirs: getattr(config, ours) for ours, theirs in _SIZES.items()},
    **family.only,
    'num_key_value_heads': config.num_kv_heads,
    'head_dim': config.head_dim,
    'max_position_embeddings': config.max_len_tokens,
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tied_embeddings,
    # Not what the family's class takes them for: the tokenizer tells.
    'bos_token_id': None,
    'eos_token_id': None,
    # The new name and the old one.
    'dtype': dtype,
    'torch_dtype': dtype,
    **_rope_json(config, family),
    **_windows_json(config, family),
  }
  if 'query_pre_attn_scalar' in family.absent:
    scale = config.query_scale
    scalar = config.head_dim if scale is None else round(scale**-2)
    said['query_pre_attn_scalar'] = scalar
  lost = differences(config, parse(said))
  if lost:
    raise errors.UserError(
      f'config.json of a {fits[0]} cannot tell of this model, and would be read'
      f' back otherwise: {"; ".join(lost)}'
    )
  return said


def _rope_json(config: ModelConfig, family: Family) -> dict[str, Any]:
  scaling = None
  if config.rope_scaling is not None:
    scaling = {'rope_type': config.rope_scaling.kind}
    for ours, theirs in _SCALINGS[config.rope_scaling.kind].items():
      scaling[theirs] = getattr(config.rope_scaling, ours)
  old = {'rope_theta': config.rope_theta, 'rope_scaling': scaling}
  if 'rope_local_base_freq' in family.absent:
    # Only so, since vLLM on version 4 of transformers takes rope_parameters by
    # kind of layer for broken ones; every version reads the old form.
    return old | {'rope_local_base_freq': config.local_rope_theta}
  new = {'rope_type': 'default'} | (scaling or {})
  return old | {'rope_parameters': new | {'rope_theta': config.rope_theta}}


def _windows_json(config: ModelConfig, family: Family) -> dict[str, Any]:
  if not family.windows:
    return {}
  kinds, pattern = config.layer_kinds(), config.layer_pattern
  said = {
    'layer_types': [_KIND_NAMES[kind] for kind in kinds],
    'sliding_window': config.sliding_window or None,
  }
  # How versions before layer_types tell, where they can.
  if 'use_sliding_window' in family.absent:
    said['use_sliding_window'] = LOCAL in kinds
    said['max_window_layers'] = (*kinds, LOCAL).index(LOCAL)
  elif pattern == (LOCAL,) * (len(pattern) - 1) + (GLOBAL,):
    said['sliding_window_pattern'] = len(pattern)
  return said
