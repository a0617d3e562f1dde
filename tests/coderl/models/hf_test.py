"""Laws of the Hugging Face folders: round trips, parity, bad input."""

import dataclasses
import json
import os

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from coderl import errors
from coderl.models import hf, transformer

# These programs take long to compile and no time to run.
jax.config.update('jax_disable_most_optimizations', True)

CONFIG = transformer.ModelConfig(
  vocab_size=23,
  num_layers=2,
  d_model=12,
  num_heads=4,
  num_kv_heads=2,
  head_dim=6,
  mlp_dim=20,
  rope_theta=500.0,
  norm_eps=1e-5,
)


def random_params(config, seed=0):
  """Unboxed parameters, none of them at a special value (zero, one)."""
  shapes = jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, config)), jax.random.key(0)
  )
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.3, 0.4, s.shape).astype(np.float32), shapes
  )


def contents(path):
  return {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}


@pytest.fixture
def folder(tmp_path):
  hf.save(tmp_path, CONFIG, random_params(CONFIG), 'float32')
  return tmp_path


def edit_config(path, **fields):
  said = json.loads((path / hf.CONFIG).read_text()) | fields
  (path / hf.CONFIG).write_text(json.dumps(said))


@pytest.mark.parametrize('tied', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_round_trip_keeps_every_bit(tmp_path, tied, bias):
  config = dataclasses.replace(CONFIG, tied_embeddings=tied, qkv_bias=bias)
  params = random_params(config)
  hf.save(tmp_path, config, params, 'float32')
  loaded_config, loaded = hf.load(tmp_path)
  assert loaded_config == config
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  said = json.loads((tmp_path / hf.CONFIG).read_text())
  family = 'Qwen2ForCausalLM' if bias else 'LlamaForCausalLM'
  assert said['architectures'] == [family]


def test_bfloat16_round_trip_rounds_once(tmp_path):
  params = random_params(CONFIG)
  hf.save(tmp_path, CONFIG, params)
  _, loaded = hf.load(tmp_path)
  rounded = jax.tree.map(
    lambda a: np.asarray(a.astype(jnp.bfloat16), np.float32), params
  )
  jax.tree.map(np.testing.assert_array_equal, loaded, rounded)
  again = tmp_path / 'again'
  hf.save(again, CONFIG, loaded)
  assert (again / hf.WEIGHTS).read_bytes() == (
    tmp_path / hf.WEIGHTS
  ).read_bytes()


def test_saved_twice_gives_equal_bytes(tmp_path):
  hf.save(tmp_path / 'a', CONFIG, random_params(CONFIG))
  device_params = jax.tree.map(jnp.asarray, random_params(CONFIG))
  hf.save(tmp_path / 'b', CONFIG, device_params)
  assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def shard(path):
  """Turns the one file of a folder into two and an index."""
  tensors = safetensors.numpy.load_file(path / hf.WEIGHTS)
  (path / hf.WEIGHTS).unlink()
  weight_map = {}
  for i in range(2):
    part = {n: tensors[n] for n in sorted(tensors)[i::2]}
    safetensors.numpy.save_file(part, path / f'part{i}.safetensors')
    weight_map |= dict.fromkeys(part, f'part{i}.safetensors')
  (path / hf.INDEX).write_text(json.dumps({'weight_map': weight_map}))


def test_sharded_files_are_read_like_one(folder):
  _, whole = hf.load(folder)
  shard(folder)
  _, parts = hf.load(folder)
  jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_layout_puts_parameters_on_devices(folder):
  one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  layout = jax.tree.map(lambda _: one, random_params(CONFIG))
  _, loaded = hf.load(folder, layout)
  assert all(a.sharding == one for a in jax.tree.leaves(loaded))
  jax.tree.map(np.testing.assert_array_equal, loaded, random_params(CONFIG))


# The equations of Qwen2 as Hugging Face computes them, one head and one
# position at a time, on the tensors of the file.


def rms_norm(x, scale, eps):
  return x / np.sqrt(np.mean(x * x) + eps) * scale


def rotate_half(x):
  half = len(x) // 2
  return np.concatenate([-x[half:], x[:half]])


def rotary(x, position, theta):
  h = len(x)
  inverse = 1 / theta ** (np.arange(0, h, 2) / h)
  angles = np.concatenate([position * inverse] * 2)
  return x * np.cos(angles) + rotate_half(x) * np.sin(angles)


def slow_attention(xs, tensors, at, said):
  h, heads = said['head_dim'], said['num_attention_heads']
  repeats = heads // said['num_key_value_heads']

  def project(x, name):
    out = tensors[f'{at}.{name}_proj.weight'] @ x
    bias = tensors.get(f'{at}.{name}_proj.bias')
    return (out if bias is None else out + bias).reshape(-1, h)

  theta = said['rope_theta']
  q = [[rotary(y, t, theta) for y in project(x, 'q')] for t, x in enumerate(xs)]
  k = [[rotary(y, t, theta) for y in project(x, 'k')] for t, x in enumerate(xs)]
  v = [project(x, 'v') for x in xs]
  outs = []
  for t in range(len(xs)):
    per_head = []
    for n in range(heads):
      scores = np.array([q[t][n] @ k[s][n // repeats] for s in range(t + 1)])
      weights = np.exp(scores / np.sqrt(h) - np.max(scores / np.sqrt(h)))
      weights /= weights.sum()
      per_head.append(
        sum(w * v[s][n // repeats] for s, w in enumerate(weights))
      )
    outs.append(tensors[f'{at}.o_proj.weight'] @ np.concatenate(per_head))
  return outs


def slow_logits(path, tokens):
  said = json.loads((path / hf.CONFIG).read_text())
  tensors = {
    name: value.astype(np.float64)
    for name, value in safetensors.numpy.load_file(path / hf.WEIGHTS).items()
  }
  eps = said['rms_norm_eps']
  xs = [tensors['model.embed_tokens.weight'][t] for t in tokens]
  for layer in range(said['num_hidden_layers']):
    at = f'model.layers.{layer}'
    scale = tensors[f'{at}.input_layernorm.weight']
    normed = [rms_norm(x, scale, eps) for x in xs]
    attended = slow_attention(normed, tensors, f'{at}.self_attn', said)
    xs = [x + a for x, a in zip(xs, attended, strict=True)]
    scale = tensors[f'{at}.post_attention_layernorm.weight']
    for i, x in enumerate(xs):
      y = rms_norm(x, scale, eps)
      gate = tensors[f'{at}.mlp.gate_proj.weight'] @ y
      up = tensors[f'{at}.mlp.up_proj.weight'] @ y
      silu = gate / (1 + np.exp(-gate))
      xs[i] = x + tensors[f'{at}.mlp.down_proj.weight'] @ (silu * up)
  head = 'model.embed_tokens' if said['tie_word_embeddings'] else 'lm_head'
  scale = tensors['model.norm.weight']
  return np.stack(
    [tensors[f'{head}.weight'] @ rms_norm(x, scale, eps) for x in xs]
  )


@pytest.mark.parametrize('tied, bias', [(True, True), (False, False)])
def test_same_logits_as_a_slow_reading_of_the_file(tmp_path, tied, bias):
  config = dataclasses.replace(CONFIG, tied_embeddings=tied, qkv_bias=bias)
  hf.save(tmp_path, config, random_params(config), 'float32')
  config, params = hf.load(tmp_path)
  tokens = np.array([[3, 1, 4, 1, 5, 9, 2, 6]])
  hidden = transformer.hidden_states(
    params, config, tokens, np.ones_like(tokens, bool)
  )
  logits = hidden[0] @ transformer.unembedding(params, config)
  expected = slow_logits(tmp_path, tokens[0])
  scale = np.abs(expected).max()
  np.testing.assert_allclose(logits / scale, expected / scale, atol=1e-5)


# Bad input.


def fails(path, *said):
  with pytest.raises(errors.UserError) as info:
    hf.load(path)
  assert '\n' not in str(info.value)
  for text in said:
    assert text in str(info.value)


def test_not_a_checkpoint_folder(tmp_path):
  fails(tmp_path / 'absent', 'absent', hf.CONFIG)
  fails(tmp_path, str(tmp_path), hf.CONFIG)


def test_weights_absent(folder):
  (folder / hf.WEIGHTS).unlink()
  fails(folder, str(folder / hf.WEIGHTS))


@pytest.mark.parametrize('kept', [0, 4, 300, -1])
def test_truncated_weights(folder, kept):
  whole = (folder / hf.WEIGHTS).read_bytes()
  (folder / hf.WEIGHTS).write_bytes(whole[:kept])
  fails(folder, str(folder / hf.WEIGHTS))


def test_shard_absent(folder):
  shard(folder)
  (folder / 'part1.safetensors').unlink()
  fails(folder, 'part1.safetensors')


def test_index_without_a_map(folder):
  (folder / hf.INDEX).write_text('{}')
  fails(folder, hf.INDEX, 'weight_map')


def test_broken_config(folder):
  (folder / hf.CONFIG).write_text('{"model_type": ')
  fails(folder, str(folder / hf.CONFIG))
  (folder / hf.CONFIG).write_text('[]')
  fails(folder, str(folder / hf.CONFIG), 'object')


def test_unknown_family_names_the_choices(folder):
  edit_config(folder, model_type='qwen3')
  fails(folder, 'qwen3', 'llama', 'qwen2', str(folder / hf.CONFIG))


@pytest.mark.parametrize(
  'field, value',
  [
    ('rope_scaling', {'rope_type': 'yarn'}),
    ('rope_parameters', {'rope_type': 'yarn'}),
    ('hidden_act', 'gelu'),
    ('use_sliding_window', True),
    ('attention_bias', True),
  ],
)
def test_unsupported_features_are_refused(folder, field, value):
  edit_config(folder, **{field: value})
  fails(folder, str(folder / hf.CONFIG), 'supported')


def test_size_absent(folder):
  edit_config(folder, hidden_size=None)
  fails(folder, str(folder / hf.CONFIG), 'hidden_size')


def test_rotary_base_of_newer_configs(folder):
  said = json.loads((folder / hf.CONFIG).read_text())
  rope = {'rope_type': 'default', 'rope_theta': said.pop('rope_theta')}
  (folder / hf.CONFIG).write_text(json.dumps(said | {'rope_parameters': rope}))
  assert hf.load(folder)[0].rope_theta == CONFIG.rope_theta


def test_every_misfit_is_named_in_one_error(folder):
  tensors = safetensors.numpy.load_file(folder / hf.WEIGHTS)
  del tensors['model.layers.1.mlp.up_proj.weight']
  tensors['lm_head.weight'] = np.zeros((23, 12), np.float32)
  tensors['model.norm.weight'] = np.zeros(13, np.float32)
  safetensors.numpy.save_file(tensors, folder / hf.WEIGHTS)
  fails(
    folder,
    str(folder),
    'missing: model.layers.1.mlp.up_proj.weight',
    'surplus: lm_head.weight',
    'model.norm.weight is (13,) and not (12,)',
  )
