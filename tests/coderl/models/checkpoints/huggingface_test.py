"""Hugging Face folders round-trip, agree with a reference, or are refused."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from coderl.models import transformer
from coderl.models.checkpoints import huggingface
from commons import errors
from tests.coderl.models.checkpoints import hf_memory_script

ROOT = pathlib.Path(__file__).parents[4]

# These programs take longer to compile than to run.
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
_change = lambda **fields: dataclasses.replace(CONFIG, **fields)
# By model_type.
CONFIGS = {
  'llama': _change(qkv_bias=False, tied_embeddings=False),
  'qwen2': _change(num_layers=6),
  'qwen3': _change(qkv_bias=False, qk_norm=True),
  'gemma3_text': _change(
    num_layers=3,
    qkv_bias=False,
    qk_norm=True,
    post_norms=True,
    norm_offset=True,
    activation='gelu_tanh',
    scaled_embeddings=True,
    query_scale=0.25,
    layer_pattern=('local', 'local', 'global'),
    sliding_window=4,
    local_rope_theta=50.0,
  ),
}


def shapes_of(config):
  """Returns the tree of the parameters' shapes."""
  return jax.eval_shape(
    lambda key: nn.unbox(transformer.init(key, config)), jax.random.key(0)
  )


def random_params(config, seed=0):
  """Draws unboxed parameters, none of them at a special value (zero, one)."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda s: rng.normal(0.3, 0.4, s.shape).astype(np.float32),
    shapes_of(config),
  )


def contents(path):
  """Returns the files of a folder, without those of its subfolders."""
  return {f.name: f.read_bytes() for f in sorted(path.iterdir()) if f.is_file()}


@pytest.fixture
def folder(tmp_path):
  huggingface.save(tmp_path, CONFIG, random_params(CONFIG), 'float32')
  return tmp_path


def edit_config(path, **fields):
  fields = json.loads((path / huggingface.CONFIG).read_text()) | fields
  (path / huggingface.CONFIG).write_text(json.dumps(fields))


@pytest.mark.parametrize('tied', [True, False])
@pytest.mark.parametrize('family', CONFIGS)
def test_round_trip_keeps_every_bit(tmp_path, tied, family):
  config = dataclasses.replace(CONFIGS[family], tied_embeddings=tied)
  params = random_params(config)
  huggingface.save(tmp_path, config, params, 'float32')
  loaded_config, loaded = huggingface.load(tmp_path)
  assert loaded_config == config == huggingface.read_config(tmp_path)
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  fields = json.loads((tmp_path / huggingface.CONFIG).read_text())
  assert fields['model_type'] == family


# The names of norms, one of which has two meanings.
NORMS = {
  'llama': {
    'input_layernorm': 'attention_norm',
    'post_attention_layernorm': 'mlp_norm',
  },
  'qwen3': {
    'input_layernorm': 'attention_norm',
    'self_attn.q_norm': 'q_norm',
    'self_attn.k_norm': 'k_norm',
    'post_attention_layernorm': 'mlp_norm',
  },
  'gemma3_text': {
    'input_layernorm': 'attention_norm',
    'self_attn.q_norm': 'q_norm',
    'self_attn.k_norm': 'k_norm',
    'post_attention_layernorm': 'attention_post_norm',
    'pre_feedforward_layernorm': 'mlp_norm',
    'post_feedforward_layernorm': 'mlp_post_norm',
  },
}


@pytest.mark.parametrize('family', NORMS)
def test_names_of_norms(tmp_path, family):
  params = random_params(CONFIGS[family])
  huggingface.save(tmp_path, CONFIGS[family], params, 'float32')
  tensors = safetensors.numpy.load_file(tmp_path / huggingface.WEIGHTS)
  start, end = 'model.layers.1.', '.weight'
  scales = {
    name.removeprefix(start).removesuffix(end): value
    for name, value in tensors.items()
    if name.startswith(start) and 'norm' in name
  }
  assert scales.keys() == NORMS[family].keys()
  for tensor, param in NORMS[family].items():
    expected = params['layers'][param]['scale'][1]
    np.testing.assert_array_equal(scales[tensor], expected)


def test_bfloat16_round_trip_rounds_once(tmp_path):
  params = random_params(CONFIG)
  huggingface.save(tmp_path, CONFIG, params)
  _, loaded = huggingface.load(tmp_path)
  rounded = jax.tree.map(
    lambda a: np.asarray(a.astype(jnp.bfloat16), np.float32), params
  )
  jax.tree.map(np.testing.assert_array_equal, loaded, rounded)
  again = tmp_path / 'again'
  huggingface.save(again, CONFIG, loaded)
  assert (again / huggingface.WEIGHTS).read_bytes() == (
    tmp_path / huggingface.WEIGHTS
  ).read_bytes()


def test_saved_twice_gives_equal_bytes(tmp_path):
  huggingface.save(tmp_path / 'a', CONFIG, random_params(CONFIG))
  device_params = jax.tree.map(jnp.asarray, random_params(CONFIG))
  huggingface.save(tmp_path / 'b', CONFIG, device_params)
  assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def shard(path):
  """Replaces the single file of a folder by two files and an index."""
  tensors = safetensors.numpy.load_file(path / huggingface.WEIGHTS)
  (path / huggingface.WEIGHTS).unlink()
  weight_map = {}
  for i in range(2):
    half = {n: tensors[n] for n in sorted(tensors)[i::2]}
    safetensors.numpy.save_file(half, path / f'part{i}.safetensors')
    weight_map |= dict.fromkeys(half, f'part{i}.safetensors')
  (path / huggingface.INDEX).write_text(json.dumps({'weight_map': weight_map}))


def test_sharded_files_are_read_like_one(folder):
  _, expected = huggingface.load(folder)
  shard(folder)
  _, loaded = huggingface.load(folder)
  jax.tree.map(np.testing.assert_array_equal, expected, loaded)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16', 'float64'])
def test_any_float_is_read_as_any(tmp_path, dtype):
  params = random_params(CONFIG)
  huggingface.save(tmp_path, CONFIG, params, dtype)
  for param_dtype in ('float32', 'bfloat16'):
    config, loaded = huggingface.load(tmp_path, param_dtype=param_dtype)
    assert config.param_dtype == param_dtype
    cast = lambda a, to=param_dtype: a.astype(dtype).astype(to)
    expected = jax.tree.map(cast, params)
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)
    assert {str(a.dtype) for a in jax.tree.leaves(loaded)} == {param_dtype}


def test_layout_puts_parameters_on_devices(folder):
  one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  layout = jax.tree.map(lambda _: one, random_params(CONFIG))
  _, loaded = huggingface.load(folder, layout)
  assert all(a.sharding == one for a in jax.tree.leaves(loaded))
  jax.tree.map(np.testing.assert_array_equal, loaded, random_params(CONFIG))


@pytest.mark.skipif(
  not os.path.exists('/proc/self/clear_refs'),
  reason='needs the kernel to report the peak memory',
)
def test_many_devices_share_one_copy_in_memory(tmp_path):
  script = pathlib.Path(__file__).with_name('hf_memory_script.py')
  config = hf_memory_script.CONFIG
  rng = np.random.default_rng(0)
  # Bits of bfloat16 from 0 to 2.
  params = jax.tree.map(
    lambda s: rng.integers(0, 2**14, s.shape, np.uint16).view(jnp.bfloat16),
    shapes_of(config),
  )
  huggingface.save(tmp_path, config, params)
  out = subprocess.run(
    [sys.executable, str(script), str(tmp_path)],
    env=os.environ | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  ).stdout
  result = json.loads(out.splitlines()[-1])
  assert result['size'] > 1e8
  assert result['equal'] == [True, True]
  # In units of the model's size. Loading takes the model and one parameter,
  # saving a chunk of a parameter and the programs that slice it.
  assert result['loaded'] < 1.5
  assert result['saved'] < 0.7


# Folders like another one.


def halve(path, name=huggingface.WEIGHTS):
  """Makes every other tensor of a file bfloat16, with unusual metadata."""
  tensors = safetensors.numpy.load_file(path / name)
  for tensor in sorted(tensors)[::2]:
    tensors[tensor] = tensors[tensor].astype(jnp.bfloat16)
  metadata = {'format': 'pt', 'made': 'hére', 'a': 'b'}
  safetensors.numpy.save_file(tensors, path / name, metadata=metadata)


def untidy(path):
  """Rewrites config.json in another style and with an unknown field."""
  fields = json.loads((path / huggingface.CONFIG).read_text()) | {
    'z': [1, {'é': None}]
  }
  (path / huggingface.CONFIG).write_text(json.dumps(fields, ensure_ascii=False))


@pytest.mark.parametrize('family', CONFIGS)
def test_saving_like_the_source_gives_its_bytes(tmp_path, family):
  config = CONFIGS[family]
  huggingface.save(tmp_path / 'a', config, random_params(config), 'float32')
  halve(tmp_path / 'a')
  untidy(tmp_path / 'a')
  if family != 'llama':  # Llama stays a single file.
    shard(tmp_path / 'a')
  huggingface.save(
    tmp_path / 'b', *huggingface.load(tmp_path / 'a'), like=tmp_path / 'a'
  )
  assert contents(tmp_path / 'a') == contents(tmp_path / 'b')


def test_saving_like_the_source_over_the_source(folder):
  halve(folder)
  shard(folder)
  before = contents(folder)
  config, params = huggingface.load(folder)
  huggingface.save(folder, config, params, like=folder)
  assert contents(folder) == before
  huggingface.save(
    folder, config, jax.tree.map(np.zeros_like, params), like=folder
  )
  assert before.keys() == contents(folder).keys()
  assert not any(a.any() for a in jax.tree.leaves(huggingface.load(folder)[1]))


def test_another_dtype_keeps_the_rest_of_the_source(folder):
  shard(folder)
  untidy(folder)
  huggingface.save(
    folder / 'half', *huggingface.load(folder), 'bfloat16', like=folder
  )
  fields, halved = (
    {
      name: json.loads((at / name).read_text())
      for name in (huggingface.CONFIG, huggingface.INDEX)
    }
    for at in (folder, folder / 'half')
  )
  assert halved[huggingface.CONFIG] == fields[huggingface.CONFIG] | {
    'dtype': 'bfloat16',
    'torch_dtype': 'bfloat16',
  }
  assert (
    halved[huggingface.INDEX]['weight_map']
    == fields[huggingface.INDEX]['weight_map']
  )
  tensors = [
    tensor
    for i in range(2)
    for tensor in safetensors.numpy.load_file(
      folder / f'half/part{i}.safetensors'
    ).values()
  ]
  assert {t.dtype for t in tensors} == {jnp.dtype('bfloat16')}
  assert halved[huggingface.INDEX]['metadata']['total_size'] == sum(
    t.nbytes for t in tensors
  )
  # The dtype may be the one that the files have already.
  huggingface.save(
    folder / 'same', *huggingface.load(folder), 'float32', like=folder
  )
  assert contents(folder / 'same') == contents(folder)


def test_a_source_with_another_model_is_refused(folder):
  config = dataclasses.replace(CONFIG, mlp_dim=24)
  with pytest.raises(errors.UserError) as info:
    huggingface.save(folder / 'x', config, random_params(config), like=folder)
  assert 'mlp_dim: 20 -> 24' in str(info.value)
  assert str(folder) in str(info.value)
  assert not (folder / 'x').exists()


# New folders.


@pytest.fixture
def small_files(monkeypatch):
  """Sets a small limit for the size of a file."""
  most = 5000
  monkeypatch.setattr(huggingface, '_MAX_FILE_BYTES', most)
  return most


def test_large_models_have_several_files(tmp_path, small_files):
  config = dataclasses.replace(CONFIG, num_layers=11)
  params = random_params(config)
  huggingface.save(tmp_path, config, params, 'float32')
  files = sorted(tmp_path.glob('*.safetensors'))
  count = len(files)
  assert count > 3 and [f.name for f in files] == [
    f'model-{i + 1:05}-of-{count:05}.safetensors' for i in range(count)
  ]
  sizes, layers = [], []
  for file in files:
    tensors = safetensors.numpy.load_file(file)
    sizes.append(sum(t.nbytes for t in tensors.values()))
    layers += sorted({int(n.split('.')[2]) for n in tensors if '.layers.' in n})
  assert max(sizes) <= small_files
  # No file has room for the first tensor of the next one.
  assert min(sizes[:-1]) > small_files - 4 * 20 * 12
  assert layers == sorted(layers)  # Neighbouring layers share a file.
  index = json.loads((tmp_path / huggingface.INDEX).read_text())
  assert index['metadata'] == {'total_size': sum(sizes)}
  jax.tree.map(
    np.testing.assert_array_equal, huggingface.load(tmp_path)[1], params
  )


def test_the_files_of_an_earlier_model_are_removed(
  tmp_path, small_files, monkeypatch
):
  others = ['tokenizer.json', 'adapter.safetensors']
  for name in others:
    (tmp_path / name).write_text('mine')
  huggingface.save(tmp_path, CONFIG, random_params(CONFIG), 'float32')
  assert (tmp_path / huggingface.INDEX).exists()
  monkeypatch.undo()
  params = random_params(CONFIG, seed=1)
  huggingface.save(tmp_path, CONFIG, params, 'float32')
  assert contents(tmp_path).keys() == {
    *others,
    huggingface.CONFIG,
    huggingface.WEIGHTS,
  }
  jax.tree.map(
    np.testing.assert_array_equal, huggingface.load(tmp_path)[1], params
  )
  monkeypatch.setattr(huggingface, '_MAX_FILE_BYTES', small_files)
  params = random_params(CONFIG, seed=2)
  huggingface.save(tmp_path, CONFIG, params, 'float32')
  assert not (tmp_path / huggingface.WEIGHTS).exists()
  jax.tree.map(
    np.testing.assert_array_equal, huggingface.load(tmp_path)[1], params
  )


def test_params_of_another_config_are_not_saved(tmp_path):
  other = dataclasses.replace(CONFIG, mlp_dim=24)
  with pytest.raises(ValueError, match='mlp_dim=20'):
    huggingface.save(tmp_path, CONFIG, random_params(other))


# Output matrices of tied models.


def add_head(path, change=0.0):
  tensors = safetensors.numpy.load_file(path / huggingface.WEIGHTS)
  table = tensors['model.embed_tokens.weight']
  tensors['lm_head.weight'] = table + np.float32(change)
  safetensors.numpy.save_file(
    tensors, path / huggingface.WEIGHTS, {'format': 'pt'}
  )


def test_a_head_that_is_the_embedding_is_kept(folder):
  _, expected = huggingface.load(folder)
  add_head(folder)
  config, params = huggingface.load(folder)
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  huggingface.save(folder / 'b', config, params, like=folder)
  there = (folder / 'b' / huggingface.WEIGHTS).read_bytes()
  assert there == (folder / huggingface.WEIGHTS).read_bytes()


def test_a_head_that_is_not_the_embedding_is_refused(folder):
  add_head(folder, 1.0)
  fails(folder, 'not tied', 'lm_head.weight', 'tie_word_embeddings')


# The equations of Qwen2 in Hugging Face, one head and one position at a time,
# on the tensors of the file.


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


def slow_attention(xs, tensors, at, fields):
  h, heads = fields['head_dim'], fields['num_attention_heads']
  repeats = heads // fields['num_key_value_heads']

  def project(x, name):
    out = tensors[f'{at}.{name}_proj.weight'] @ x
    bias = tensors.get(f'{at}.{name}_proj.bias')
    return (out if bias is None else out + bias).reshape(-1, h)

  theta = fields['rope_theta']
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
  fields = json.loads((path / huggingface.CONFIG).read_text())
  tensors = {
    name: value.astype(np.float64)
    for name, value in safetensors.numpy.load_file(
      path / huggingface.WEIGHTS
    ).items()
  }
  eps = fields['rms_norm_eps']
  xs = [tensors['model.embed_tokens.weight'][t] for t in tokens]
  for layer in range(fields['num_hidden_layers']):
    at = f'model.layers.{layer}'
    scale = tensors[f'{at}.input_layernorm.weight']
    normed = [rms_norm(x, scale, eps) for x in xs]
    attended = slow_attention(normed, tensors, f'{at}.self_attn', fields)
    xs = [x + a for x, a in zip(xs, attended, strict=True)]
    scale = tensors[f'{at}.post_attention_layernorm.weight']
    for i, x in enumerate(xs):
      y = rms_norm(x, scale, eps)
      gate = tensors[f'{at}.mlp.gate_proj.weight'] @ y
      up = tensors[f'{at}.mlp.up_proj.weight'] @ y
      silu = gate / (1 + np.exp(-gate))
      xs[i] = x + tensors[f'{at}.mlp.down_proj.weight'] @ (silu * up)
  head = 'model.embed_tokens' if fields['tie_word_embeddings'] else 'lm_head'
  scale = tensors['model.norm.weight']
  return np.stack(
    [tensors[f'{head}.weight'] @ rms_norm(x, scale, eps) for x in xs]
  )


@pytest.mark.parametrize('tied, bias', [(True, True), (False, False)])
def test_logits_equal_the_slow_equations(tmp_path, tied, bias):
  config = dataclasses.replace(CONFIG, tied_embeddings=tied, qkv_bias=bias)
  huggingface.save(tmp_path, config, random_params(config), 'float32')
  config, params = huggingface.load(tmp_path)
  tokens = np.array([[3, 1, 4, 1, 5, 9, 2, 6]])
  hidden = transformer.hidden_states(
    params, config, tokens, np.ones_like(tokens, bool)
  )
  logits = hidden[0] @ transformer.unembedding(params, config)
  expected = slow_logits(tmp_path, tokens[0])
  scale = np.abs(expected).max()
  np.testing.assert_allclose(logits / scale, expected / scale, atol=1e-5)


# Bad input.


def fails(path, *words):
  with pytest.raises(errors.UserError) as info:
    huggingface.load(path)
  assert '\n' not in str(info.value)
  for text in words:
    assert text in str(info.value)


def test_not_a_checkpoint_folder(tmp_path):
  fails(tmp_path / 'absent', 'absent', huggingface.CONFIG)
  fails(tmp_path, str(tmp_path), huggingface.CONFIG)


def test_weights_absent(folder):
  (folder / huggingface.WEIGHTS).unlink()
  fails(folder, str(folder / huggingface.WEIGHTS))


@pytest.mark.parametrize('kept', [0, 4, 300, -1])
def test_truncated_weights(folder, kept):
  content = (folder / huggingface.WEIGHTS).read_bytes()
  (folder / huggingface.WEIGHTS).write_bytes(content[:kept])
  fails(folder, str(folder / huggingface.WEIGHTS))


def test_shard_absent(folder):
  shard(folder)
  (folder / 'part1.safetensors').unlink()
  fails(folder, 'part1.safetensors')


@pytest.mark.parametrize(
  'index, words',
  [
    ({}, ['weight_map']),
    ({'weight_map': {}}, ['weight_map']),
    ({'weight_map': {'a': 'b/c.safetensors'}}, ['a is in', 'b/c.safetensors']),
    ({'weight_map': {'a': '../c.safetensors'}}, ['a is in', '../c.safe']),
    ({'weight_map': {'a': 3}}, ['a is in 3']),
    ({'weight_map': {'a': '..'}}, ['..']),
  ],
)
def test_an_invalid_index_is_refused(folder, index, words):
  (folder / huggingface.WEIGHTS).unlink()
  (folder / huggingface.INDEX).write_text(json.dumps(index))
  fails(folder, str(folder), *words)


def test_a_single_file_precedes_an_index(folder):
  # transformers has the same rule.
  (folder / huggingface.INDEX).write_text('{}')
  huggingface.load(folder)


def test_tensor_in_another_file_than_the_index_says(folder):
  shard(folder)
  index = json.loads((folder / huggingface.INDEX).read_text())
  name = 'model.norm.weight'
  right = index['weight_map'][name]
  wrong = {'part0.safetensors', 'part1.safetensors'} - {right}
  index['weight_map'][name] = wrong.pop()
  (folder / huggingface.INDEX).write_text(json.dumps(index))
  fails(folder, huggingface.INDEX, name, right, index['weight_map'][name])
  del index['weight_map'][name]
  (folder / huggingface.INDEX).write_text(json.dumps(index))
  fails(folder, huggingface.INDEX, f'{name} is in {right!r}')


def test_integer_tensors_are_named(folder):
  tensors = safetensors.numpy.load_file(folder / huggingface.WEIGHTS)
  name = 'model.layers.0.mlp.up_proj.weight'
  tensors[name] = tensors[name].astype(np.int8)
  safetensors.numpy.save_file(tensors, folder / huggingface.WEIGHTS)
  fails(folder, f'{name} is I8', 'BF16', 'F32')


def test_broken_config(folder):
  (folder / huggingface.CONFIG).write_text('{"model_type": ')
  fails(folder, str(folder / huggingface.CONFIG))
  (folder / huggingface.CONFIG).write_text('[]')
  fails(folder, str(folder / huggingface.CONFIG), 'object')


def test_an_unsupported_config_is_refused(folder):
  edit_config(folder, model_type='gpt2')
  fails(folder, 'gpt2', 'qwen2', str(folder / huggingface.CONFIG))


def test_one_error_names_every_misfit(folder):
  tensors = safetensors.numpy.load_file(folder / huggingface.WEIGHTS)
  del tensors['model.layers.1.mlp.up_proj.weight']
  tensors['model.rotary'] = np.zeros(3, np.float32)
  tensors['model.norm.weight'] = np.zeros(13, np.float32)
  safetensors.numpy.save_file(tensors, folder / huggingface.WEIGHTS)
  fails(
    folder,
    str(folder),
    'missing: model.layers.1.mlp.up_proj.weight',
    'surplus: model.rotary',
    'model.norm.weight is (13,) and not (12,)',
  )
