"""Attention within whole sequences, by several methods that give the same.

Rows hold segments, one after the other; a position sees itself and what
precedes it in its segment. PLAIN is the reference, which holds scores of all
pairs; the others are flash attention (arXiv 2205.14135), which holds none, and
read bfloat16 or float16.
"""

from collections.abc import Callable
import functools

import jax
from jax.experimental.pallas.ops.tpu import splash_attention
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from coderl.distributed import sharding
from commons import errors

Array = jax.Array
# (q_BTNH, k_BTKH, v_BTKH) -> attended_BTNH.
Whole = Callable[[Array, Array, Array], Array]

PLAIN, CUDNN, SPLASH = 'plain', 'cudnn', 'splash'
_LANES = 128  # Of a TPU: heads are as wide, and blocks a multiple of it.
_BLOCKS = (1024, 512, 256, 128)


def mask(segments_BT: Array, window: int) -> Array:
  """mask_BTT: True where a query (middle axis) may see a key (last axis).

  Padding sees padding, so that no softmax is empty.
  """
  at_T = jnp.arange(segments_BT.shape[1])
  behind_TT = at_T[:, None] - at_T
  seen_TT = behind_TT >= 0
  if window:
    seen_TT &= behind_TT < window
  return seen_TT & (segments_BT[:, :, None] == segments_BT[:, None])


def plain(segments_BT: Array, *, scale: float, window: int) -> Whole:
  """XLA's own matmuls and softmax."""
  mask_B1TT = mask(segments_BT, window)[:, None]
  return functools.partial(
    jax.nn.dot_product_attention, mask=mask_B1TT, scale=scale
  )


def cudnn(segments_BT: Array, *, scale: float, window: int) -> Whole:
  """cuDNN's, on NVIDIA GPUs; its mask is one array for all heads and layers."""
  mask_B1TT = mask(segments_BT, window)[:, None]
  return functools.partial(
    jax.nn.dot_product_attention,
    mask=mask_B1TT,
    scale=scale,
    is_causal=True,  # Blocks above the diagonal are left out.
    implementation='cudnn',
  )


def splash(
  segments_BT: Array, *, scale: float, window: int, interpret: bool = False
) -> Whole:
  """Pallas' kernel for TPUs; each device attends in its own rows and heads.

  Args:
    segments_BT: T a multiple of 128.
    scale, window: as in `make`.
    interpret: runs on any device, slowly.

  Raises:
    UserError: T is no multiple of 128.
  """
  t = segments_BT.shape[1]
  if t % _LANES:
    raise errors.UserError(
      f"model.attention='splash' wants rows of a multiple of {_LANES} tokens,"
      f' not {t}: set data.bucket_len_tokens to a multiple of {_LANES}'
    )
  block = next(size for size in _BLOCKS if t % size == 0)
  sizes = splash_attention.BlockSizes(
    block_q=block,
    block_kv=block,
    block_kv_compute=block,
    block_q_dkv=block,
    block_kv_dkv=block,
    block_kv_dkv_compute=block,
    block_q_dq=block,
    block_kv_dq=block,
  )
  if window:
    near = splash_attention.LocalMask((t, t), (window - 1, 0), 0)
  else:
    near = splash_attention.CausalMask((t, t))

  def on_device(q_BTNH, k_BTKH, v_BTKH, segments_BT):
    size = q_BTNH.shape[-1]
    wide = -size % _LANES
    heads_first = lambda x: jnp.pad(
      x, ((0, 0), (0, 0), (0, 0), (0, wide))
    ).swapaxes(1, 2)
    kernel = splash_attention.make_splash_mha_single_device(
      splash_attention.MultiHeadMask([near] * q_BTNH.shape[2]),
      block_sizes=sizes,
      interpret=interpret,
    )
    of_row = lambda q, k, v, s: kernel(
      q, k, v, segment_ids=splash_attention.SegmentIds(s, s)
    )
    out_BNTH = jax.vmap(of_row)(
      heads_first(q_BTNH * jnp.asarray(scale, q_BTNH.dtype)),
      heads_first(k_BTKH),
      heads_first(v_BTKH),
      segments_BT.astype(jnp.int32),
    )
    return out_BNTH.swapaxes(1, 2)[..., :size].astype(q_BTNH.dtype)

  def whole(q_BTNH, k_BTKH, v_BTKH):
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
      return on_device(q_BTNH, k_BTKH, v_BTKH, segments_BT)
    heads, kv_heads = q_BTNH.shape[2], k_BTKH.shape[2]
    if kv_heads % sharding.num_shards(mesh, 'tensor'):
      k_BTKH, v_BTKH = (
        jnp.repeat(x, heads // kv_heads, axis=2) for x in (k_BTKH, v_BTKH)
      )
    rows = sharding.BATCH[0]
    spec = PartitionSpec(rows, None, 'tensor', None)
    # A kernel is opaque to XLA: how it is split is for us to say.
    return jax.shard_map(
      on_device,
      in_specs=(spec, spec, spec, PartitionSpec(rows)),
      out_specs=spec,
      check_vma=False,
    )(q_BTNH, k_BTKH, v_BTKH, segments_BT)

  return whole


METHODS = {PLAIN: plain, CUDNN: cudnn, SPLASH: splash}


def make(
  method: str, segments_BT: Array, *, scale: float, window: int
) -> Whole:
  """A function of queries, keys and values.

  Args:
    method: one of METHODS.
    segments_BT: number of the sequence that a position is of, 0 for padding;
      or a bool, True in the only one.
    scale: what scores are multiplied by.
    window: tokens that a position sees, its own included; 0 is all.
  """
  return METHODS[method](segments_BT, scale=scale, window=window)
