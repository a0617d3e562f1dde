"""config.json: published files give the presets, and configs round-trip."""

import dataclasses
import json

import pytest

from coderl.models import presets, transformer
from coderl.models.checkpoints import hf_config
from commons import errors

RopeScaling = transformer.RopeScaling
FULL, SLIDING = 'full_attention', 'sliding_attention'


def sizes(layers, width, heads, kv_heads, mlp, vocab):
  return {
    'num_hidden_layers': layers,
    'hidden_size': width,
    'num_attention_heads': heads,
    'num_key_value_heads': kv_heads,
    'intermediate_size': mlp,
    'vocab_size': vocab,
  }


def qwen2_5_coder(*shape, tied):
  return sizes(*shape) | {
    'architectures': ['Qwen2ForCausalLM'],
    'attention_dropout': 0.0,
    'bos_token_id': 151643,
    'eos_token_id': 151645,
    'hidden_act': 'silu',
    'initializer_range': 0.02,
    'max_position_embeddings': 32768,
    'max_window_layers': 21,
    'model_type': 'qwen2',
    'rms_norm_eps': 1e-06,
    'rope_theta': 1000000.0,
    'sliding_window': 131072,
    'tie_word_embeddings': tied,
    'torch_dtype': 'bfloat16',
    'transformers_version': '4.43.1',
    'use_cache': True,
    'use_sliding_window': False,
  }


def qwen3(*shape, tied):
  return sizes(*shape) | {
    'architectures': ['Qwen3ForCausalLM'],
    'attention_bias': False,
    'attention_dropout': 0.0,
    'head_dim': 128,
    'hidden_act': 'silu',
    'max_position_embeddings': 40960,
    'max_window_layers': 36,
    'model_type': 'qwen3',
    'rms_norm_eps': 1e-06,
    'rope_scaling': None,
    'rope_theta': 1000000,
    'sliding_window': None,
    'tie_word_embeddings': tied,
    'torch_dtype': 'bfloat16',
    'use_sliding_window': False,
  }


def llama3(*shape, factor, **more):
  return (
    sizes(*shape, 128256)
    | {
      'architectures': ['LlamaForCausalLM'],
      'attention_bias': False,
      'hidden_act': 'silu',
      'max_position_embeddings': 131072,
      'mlp_bias': False,
      'model_type': 'llama',
      'pretraining_tp': 1,
      'rms_norm_eps': 1e-05,
      'rope_scaling': {
        'factor': factor,
        'high_freq_factor': 4.0,
        'low_freq_factor': 1.0,
        'original_max_position_embeddings': 8192,
        'rope_type': 'llama3',
      },
      'rope_theta': 500000.0,
      'tie_word_embeddings': True,
      'torch_dtype': 'bfloat16',
    }
    | more
  )


def gemma3(*shape, **more):
  return (
    sizes(*shape, 262144)
    | {
      'architectures': ['Gemma3ForCausalLM'],
      'attention_bias': False,
      'attn_logit_softcapping': None,
      'cache_implementation': 'hybrid',
      'eos_token_id': [1, 106],
      'final_logit_softcapping': None,
      'head_dim': 256,
      'hidden_activation': 'gelu_pytorch_tanh',
      'max_position_embeddings': 32768,
      'model_type': 'gemma3_text',
      'query_pre_attn_scalar': 256,
      'rms_norm_eps': 1e-06,
      'rope_local_base_freq': 10000,
      'rope_scaling': None,
      'rope_theta': 1000000,
      'sliding_window': 512,
      'torch_dtype': 'bfloat16',
    }
    | more
  )


# As published by the authors, without fields that are not read.
PUBLISHED = {
  'qwen2.5-coder-0.5b': qwen2_5_coder(24, 896, 14, 2, 4864, 151936, tied=True),
  'qwen2.5-coder-1.5b': qwen2_5_coder(28, 1536, 12, 2, 8960, 151936, tied=True),
  'qwen2.5-coder-3b': qwen2_5_coder(36, 2048, 16, 2, 11008, 151936, tied=True),
  'qwen2.5-coder-7b': qwen2_5_coder(28, 3584, 28, 4, 18944, 152064, tied=False),
  'qwen2.5-coder-14b': qwen2_5_coder(
    48, 5120, 40, 8, 13824, 152064, tied=False
  ),
  'qwen2.5-coder-32b': qwen2_5_coder(
    64, 5120, 40, 8, 27648, 152064, tied=False
  ),
  'qwen3-0.6b': qwen3(28, 1024, 16, 8, 3072, 151936, tied=True),
  'qwen3-1.7b': qwen3(28, 2048, 16, 8, 6144, 151936, tied=True),
  'qwen3-4b': qwen3(36, 2560, 32, 8, 9728, 151936, tied=True),
  'qwen3-8b': qwen3(36, 4096, 32, 8, 12288, 151936, tied=False),
  'llama3.1-8b': llama3(
    32, 4096, 32, 8, 14336, factor=8.0, tie_word_embeddings=False
  ),
  'llama3.2-1b': llama3(16, 2048, 32, 8, 8192, factor=32.0, head_dim=64),
  'llama3.2-3b': llama3(28, 3072, 24, 8, 8192, factor=32.0, head_dim=128),
  'gemma3-270m': gemma3(
    18, 640, 4, 1, 2048, layer_types=([SLIDING] * 5 + [FULL]) * 3
  ),
  'gemma3-1b': gemma3(26, 1152, 4, 1, 6912, sliding_window_pattern=6),
}


def shape_of(config):
  """Returns the config with its numerics at their defaults."""
  return dataclasses.replace(
    config, remat='off', dtype='float32', param_dtype='float32'
  )


def test_every_preset_is_published_or_embedded():
  assert presets.PRESETS.keys() == PUBLISHED.keys() | {'tiny', 'small'}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_config_gives_the_preset(name):
  expected = shape_of(presets.PRESETS[name])
  assert hf_config.parse(PUBLISHED[name]) == expected


@pytest.mark.parametrize('name', presets.PRESETS)
def test_round_trip(name, tmp_path):
  config = shape_of(presets.PRESETS[name])
  json_fields = hf_config.to_json(config, 'bfloat16')
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(json_fields))
  assert hf_config.read(str(path)) == config


# The same models as written by transformers 5.


def as_version_5(fields):
  """Converts the fields of transformers 4 to those of transformers 5."""
  json_fields = dict(fields)
  rope = {'rope_theta': json_fields.pop('rope_theta'), 'rope_type': 'default'}
  rope |= json_fields.pop('rope_scaling', None) or {}
  if 'rope_local_base_freq' in json_fields:
    local = {'rope_theta': json_fields.pop('rope_local_base_freq')}
    rope = {FULL: rope, SLIDING: local | {'rope_type': 'default'}}
  json_fields['rope_parameters'] = rope
  json_fields['dtype'] = json_fields.pop('torch_dtype')
  if 'sliding_window_pattern' in json_fields:
    period = json_fields.pop('sliding_window_pattern')
    json_fields['layer_types'] = [
      FULL if (i + 1) % period == 0 else SLIDING
      for i in range(json_fields['num_hidden_layers'])
    ]
  return json_fields


@pytest.mark.parametrize('name', PUBLISHED)
def test_both_versions_give_the_same_config(name):
  json_fields = PUBLISHED[name]
  assert as_version_5(json_fields) != json_fields
  assert hf_config.parse(as_version_5(json_fields)) == hf_config.parse(
    json_fields
  )


# Single fields.

QWEN2 = sizes(6, 32, 4, 2, 64, 100) | {'model_type': 'qwen2'}
QWEN3 = QWEN2 | {'model_type': 'qwen3'}
LLAMA = QWEN2 | {'model_type': 'llama'}
GEMMA3 = QWEN2 | {'model_type': 'gemma3_text'}


def without(json_fields, *names):
  return {
    name: value for name, value in json_fields.items() if name not in names
  }


def test_absent_json_fieldshave_the_defaults_of_transformers():
  bare = lambda json_fields: hf_config.parse(
    without(json_fields, 'num_key_value_heads')
  )
  llama, gemma3 = bare(LLAMA), bare(GEMMA3)
  qwen3 = bare(QWEN3 | {'num_attention_heads': 32})
  assert (llama.num_kv_heads, llama.head_dim) == (4, 8)
  assert (qwen3.num_kv_heads, qwen3.head_dim) == (32, 128)
  assert (gemma3.num_kv_heads, gemma3.head_dim) == (4, 256)
  assert not llama.tied_embeddings and not qwen3.tied_embeddings
  assert gemma3.tied_embeddings
  lengths = [c.max_len_tokens for c in (llama, qwen3, gemma3)]
  assert lengths == [2048, 32768, 131072]
  assert [c.rope_theta for c in (llama, qwen3, gemma3)] == [1e4, 1e4, 1e6]
  assert gemma3.sliding_window == 4096
  assert gemma3.layer_kinds() == ('local',) * 5 + ('global',)


def test_heads_may_be_null():
  json_fields = QWEN2 | {'num_key_value_heads': None, 'head_dim': None}
  config = hf_config.parse(json_fields)
  assert (config.num_kv_heads, config.head_dim) == (4, 8)


def test_query_scale():
  with_scalar = lambda json_fields, n: (
    hf_config.parse(
      json_fields | {'query_pre_attn_scalar': n, 'head_dim': 16}
    ).query_scale
  )
  assert with_scalar(GEMMA3, 16) is None
  assert with_scalar(GEMMA3, 168) == 168**-0.5
  assert with_scalar(GEMMA3, 64) == 0.125
  assert with_scalar(LLAMA, 64) is None  # Llama's class does not read it.


def test_query_scale_of_any_integer_survives():
  for scalar in range(1, 400):
    config = hf_config.parse(GEMMA3 | {'query_pre_attn_scalar': scalar})
    json_fields = hf_config.to_json(config, 'bfloat16')
    assert json_fields['query_pre_attn_scalar'] == scalar


@pytest.mark.parametrize(
  'fields, pattern',
  [
    ({'layer_types': [FULL] * 6}, 'g'),
    ({'layer_types': [SLIDING] * 6}, 'l'),
    ({'layer_types': [SLIDING, FULL] * 3}, 'lg'),
    ({'layer_types': [SLIDING, FULL, FULL, SLIDING, FULL, FULL]}, 'lgg'),
    ({'layer_types': [FULL, SLIDING, FULL, FULL, SLIDING, FULL]}, 'glg'),
    ({'layer_types': [SLIDING] * 4 + [FULL, SLIDING]}, 'llllg'),
    ({'layer_types': [FULL] * 5 + [SLIDING]}, 'gggggl'),
    ({'sliding_window_pattern': 2}, 'lg'),
    ({'sliding_window_pattern': 1}, 'g'),
    ({'sliding_window_pattern': 7}, 'l'),
  ],
)
def test_pattern_is_the_shortest_period(fields, pattern):
  names = {'g': 'global', 'l': 'local'}
  config = hf_config.parse(GEMMA3 | fields)
  assert config.layer_pattern == tuple(names[c] for c in pattern)
  assert (config.sliding_window > 0) == ('l' in pattern)
  assert hf_config.parse(hf_config.to_json(config, 'float32')) == config


@pytest.mark.parametrize('first, pattern', [(6, 'g'), (0, 'l'), (4, 'ggggll')])
def test_sliding_windows_of_qwen_by_the_first_layer(first, pattern):
  names = {'g': 'global', 'l': 'local'}
  json_fields = QWEN3 | {'max_window_layers': first, 'sliding_window': 16}
  assert hf_config.parse(json_fields).layer_pattern == ('global',)
  config = hf_config.parse(
    json_fields | {'use_sliding_window': True, 'rope_theta': 7}
  )
  assert config.layer_pattern == tuple(names[c] for c in pattern)
  if 'l' in pattern:
    assert config.sliding_window == 16
    assert config.local_rope_theta == config.rope_theta == 7.0
  json_fields = hf_config.to_json(config, 'float32')
  assert hf_config.parse(json_fields) == config
  # The old fields and the new ones agree.
  assert hf_config.parse(without(json_fields, 'layer_types')) == config


LLAMA3 = {
  'rope_type': 'llama3',
  'factor': 4,
  'low_freq_factor': 2,
  'high_freq_factor': 3,
  'original_max_position_embeddings': 50,
}


@pytest.mark.parametrize(
  'rope, expected',
  [
    ({'rope_type': 'linear', 'factor': 8}, RopeScaling('linear', 8.0)),
    ({'type': 'linear', 'factor': 8}, RopeScaling('linear', 8.0)),
    ({'rope_type': 'default'}, None),
    (LLAMA3, RopeScaling('llama3', 4.0, 2.0, 3.0, 50)),
    (
      without(LLAMA3, 'original_max_position_embeddings'),
      RopeScaling('llama3', 4.0, 2.0, 3.0, 77),
    ),
  ],
)
@pytest.mark.parametrize('field', ['rope_scaling', 'rope_parameters'])
@pytest.mark.parametrize('json_fields', [LLAMA, QWEN2, GEMMA3])
def test_rope_scaling(json_fields, field, rope, expected):
  json_fields = json_fields | {
    'max_position_embeddings': 77,
    'rope_theta': 321.0,
  }
  config = hf_config.parse(json_fields | {field: rope})
  assert config.rope_scaling == expected
  assert config.rope_theta == 321.0
  assert hf_config.parse(hf_config.to_json(config, 'float32')) == config


def test_rope_by_kind_of_layer():
  rope = {FULL: {'rope_theta': 5.0}, SLIDING: {'rope_theta': 6.0}}
  config = hf_config.parse(GEMMA3 | {'rope_parameters': rope})
  assert (config.rope_theta, config.local_rope_theta) == (5.0, 6.0)
  # A base beside the kinds is the default of the kinds without one.
  rope = {FULL: {'rope_type': 'linear', 'factor': 8.0}, SLIDING: {}}
  json_fields = {
    'rope_theta': 7,
    'rope_local_base_freq': 8,
    'rope_parameters': rope,
  }
  config = hf_config.parse(GEMMA3 | json_fields)
  assert (config.rope_theta, config.local_rope_theta) == (7.0, 8.0)
  assert config.rope_scaling == RopeScaling('linear', 8.0)


def test_equal_models_have_equal_configs():
  # A model without local layers may still have their fields.
  assert hf_config.parse(
    QWEN2 | {'sliding_window': 9, 'max_window_layers': 3}
  ) == hf_config.parse(QWEN2 | {'layer_types': [FULL] * 6})


# Unsupported configs.


@pytest.mark.parametrize(
  'json_fields, words',
  [
    ({'model_type': 'gpt2'}, ['gpt2', *hf_config.FAMILIES]),
    ({'model_type': 'gemma3'}, ['gemma3_text', 'images']),
    (QWEN2 | {'hidden_act': 'gelu'}, ['hidden_act', 'gelu', 'silu']),
    (GEMMA3 | {'hidden_activation': 'silu'}, ['gelu_pytorch_tanh']),
    (LLAMA | {'attention_bias': True}, ['attention_bias']),
    (LLAMA | {'mlp_bias': True}, ['mlp_bias']),
    (QWEN3 | {'attention_bias': True}, ['attention_bias']),
    (GEMMA3 | {'attn_logit_softcapping': 50.0}, ['attn_logit', '50.0']),
    (GEMMA3 | {'final_logit_softcapping': 30.0}, ['final_logit', '30.0']),
    (GEMMA3 | {'use_bidirectional_attention': True}, ['bidirectional']),
    (LLAMA | {'quantization_config': {'bits': 4}}, ['quantization_config']),
    (LLAMA | {'partial_rotary_factor': 0.5}, ['partial_rotary_factor', '0.5']),
    (
      LLAMA | {'rope_parameters': {'partial_rotary_factor': 0.5}},
      ['partial_rotary_factor', '0.5'],
    ),
    (
      QWEN2 | {'rope_scaling': {'type': 'yarn', 'factor': 4.0}},
      ['rope_type', 'yarn', 'default', 'linear', 'llama3'],
    ),
    (QWEN2 | {'rope_parameters': {'rope_type': ['x']}}, ['rope_type', "'x'"]),
    (QWEN2 | {'rope_parameters': 'linear'}, ['rope_parameters', 'object']),
    (LLAMA | {'rope_scaling': {'rope_type': 'linear'}}, ['factor=None']),
    (
      LLAMA | {'rope_scaling': without(LLAMA3, 'low_freq_factor')},
      ['low_freq_factor=None'],
    ),
    (
      GEMMA3
      | {'rope_parameters': {SLIDING: {'rope_type': 'linear', 'factor': 2}}},
      ['linear', 'sliding_attention'],
    ),
    (
      QWEN3
      | {'use_sliding_window': True, 'max_window_layers': 3}
      | {'rope_scaling': {'rope_type': 'linear', 'factor': 2}},
      ['linear', 'sliding_attention'],
    ),
    (QWEN3 | {'layer_types': [SLIDING] * 6}, ['use_sliding_window']),
    (GEMMA3 | {'layer_types': [SLIDING] * 5}, ['layer_types', '6 layers']),
    (GEMMA3 | {'layer_types': ['chunked'] * 6}, ['chunked', FULL, SLIDING]),
    (GEMMA3 | {'layer_types': 6}, ['layer_types=6']),
    (GEMMA3 | {'sliding_window': None}, ['sliding_window=None']),
    (GEMMA3 | {'sliding_window_pattern': 0}, ['sliding_window_pattern=0']),
    (without(QWEN2, 'hidden_size'), ['hidden_size=None']),
    (QWEN2 | {'hidden_size': 32.5}, ['hidden_size=32.5', 'whole']),
    (QWEN2 | {'num_hidden_layers': True}, ['num_hidden_layers=True']),
    (QWEN2 | {'rope_theta': '1e6'}, ["rope_theta='1e6'"]),
    (QWEN2 | {'rms_norm_eps': -1}, ['rms_norm_eps=-1']),
    (QWEN2 | {'num_key_value_heads': 3}, ['4 heads', '3']),
    (QWEN2 | {'head_dim': 7}, ['heads of 7', 'even']),
  ],
)
def test_unsupported_json_fieldsare_refused(json_fields, words, tmp_path):
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(json_fields))
  with pytest.raises(errors.UserError) as info:
    hf_config.read(str(path))
  message = str(info.value)
  assert '\n' not in message
  for word in [str(path), *words]:
    assert word in message


def test_json_fieldsof_another_family_are_ignored():
  stray = {
    'use_sliding_window': True,
    'max_window_layers': 0,
    'query_pre_attn_scalar': 3,
    'rope_local_base_freq': 5.0,
    'final_logit_softcapping': 30.0,
  }
  assert hf_config.parse(LLAMA | stray) == hf_config.parse(LLAMA)


@pytest.mark.parametrize(
  'json_fields, fields, words',
  [
    (QWEN2, {'post_norms': True}, ["'post_norms': True", 'gemma3_text']),
    (LLAMA, {'layer_pattern': ('local',)}, ['llama', 'layer_pattern']),
    (QWEN3, {'query_scale': 0.5}, ['qwen3', 'query_scale: 0.5 -> None']),
    (GEMMA3, {'query_scale': 0.3}, ['query_scale: 0.3 -> ']),
    (QWEN2, {'sliding_window': 9}, ['sliding_window: 9 -> 0']),
  ],
)
def test_a_config_that_no_family_has_is_not_written(json_fields, fields, words):
  config = dataclasses.replace(hf_config.parse(json_fields), **fields)
  with pytest.raises(errors.UserError) as info:
    hf_config.to_json(config, 'float32')
  for word in words:
    assert word in str(info.value)
