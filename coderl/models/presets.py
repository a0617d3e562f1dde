"""Shapes of policies by name, as published by their authors."""

from collections.abc import Mapping
from functools import partial

from coderl.models import transformer

# Small policies for a vocabulary trained on the embedded problems.
_embedded = partial(transformer.ModelConfig, vocab_size=1024)

_qwen2_5 = partial(
  transformer.ModelConfig,
  vocab_size=151936,
  head_dim=128,
  rope_theta=1e6,
  remat='full',
  dtype='bfloat16',
)

_qwen3 = partial(
  _qwen2_5,
  num_kv_heads=8,
  max_len_tokens=40960,
  qkv_bias=False,
  qk_norm=True,
)


def _llama3(factor: float, **sizes) -> transformer.ModelConfig:
  return transformer.ModelConfig(
    vocab_size=128256,
    num_kv_heads=8,
    max_len_tokens=131072,
    rope_theta=5e5,
    rope_scaling=transformer.RopeScaling('llama3', factor),
    norm_eps=1e-5,
    qkv_bias=False,
    remat='full',
    dtype='bfloat16',
    **sizes,
  )


_gemma3 = partial(
  transformer.ModelConfig,
  vocab_size=262144,
  num_heads=4,
  num_kv_heads=1,
  head_dim=256,
  rope_theta=1e6,
  qkv_bias=False,
  qk_norm=True,
  post_norms=True,
  norm_offset=True,
  activation='gelu_tanh',
  scaled_embeddings=True,
  layer_pattern=(*[transformer.LOCAL] * 5, transformer.GLOBAL),
  sliding_window=512,
  remat='full',
  dtype='bfloat16',
)

PRESETS: Mapping[str, transformer.ModelConfig] = {
  'tiny': _embedded(
    num_layers=4,
    d_model=128,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    mlp_dim=512,
  ),
  'small': _embedded(
    num_layers=9,
    d_model=576,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    mlp_dim=1536,
  ),
  'qwen2.5-coder-0.5b': _qwen2_5(
    num_layers=24,
    d_model=896,
    num_heads=14,
    num_kv_heads=2,
    head_dim=64,
    mlp_dim=4864,
  ),
  'qwen2.5-coder-1.5b': _qwen2_5(
    num_layers=28, d_model=1536, num_heads=12, num_kv_heads=2, mlp_dim=8960
  ),
  'qwen2.5-coder-3b': _qwen2_5(
    num_layers=36, d_model=2048, num_heads=16, num_kv_heads=2, mlp_dim=11008
  ),
  'qwen2.5-coder-7b': _qwen2_5(
    vocab_size=152064,
    num_layers=28,
    d_model=3584,
    num_heads=28,
    num_kv_heads=4,
    mlp_dim=18944,
    tied_embeddings=False,
  ),
  'qwen2.5-coder-14b': _qwen2_5(
    vocab_size=152064,
    num_layers=48,
    d_model=5120,
    num_heads=40,
    num_kv_heads=8,
    mlp_dim=13824,
    tied_embeddings=False,
  ),
  'qwen2.5-coder-32b': _qwen2_5(
    vocab_size=152064,
    num_layers=64,
    d_model=5120,
    num_heads=40,
    num_kv_heads=8,
    mlp_dim=27648,
    tied_embeddings=False,
  ),
  'qwen3-0.6b': _qwen3(num_layers=28, d_model=1024, num_heads=16, mlp_dim=3072),
  'qwen3-1.7b': _qwen3(num_layers=28, d_model=2048, num_heads=16, mlp_dim=6144),
  'qwen3-4b': _qwen3(num_layers=36, d_model=2560, num_heads=32, mlp_dim=9728),
  'qwen3-8b': _qwen3(
    num_layers=36,
    d_model=4096,
    num_heads=32,
    mlp_dim=12288,
    tied_embeddings=False,
  ),
  'llama3.1-8b': _llama3(
    factor=8.0,
    num_layers=32,
    d_model=4096,
    num_heads=32,
    head_dim=128,
    mlp_dim=14336,
    tied_embeddings=False,
  ),
  'llama3.2-1b': _llama3(
    factor=32.0,
    num_layers=16,
    d_model=2048,
    num_heads=32,
    head_dim=64,
    mlp_dim=8192,
  ),
  'llama3.2-3b': _llama3(
    factor=32.0,
    num_layers=28,
    d_model=3072,
    num_heads=24,
    head_dim=128,
    mlp_dim=8192,
  ),
  'gemma3-270m': _gemma3(num_layers=18, d_model=640, mlp_dim=2048),
  'gemma3-1b': _gemma3(num_layers=26, d_model=1152, mlp_dim=6912),
}
