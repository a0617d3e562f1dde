"""Attention within whole sequences, by several methods with equal results.

The sequences of a batch hold segments, one after the other. A position sees
itself and the earlier positions of its segment. PLAIN is the reference and
holds the scores of all pairs. The others are flash attention (arXiv
2205.14135), which holds no scores and reads bfloat16 or float16.
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
SequenceAttention = Callable[[Array, Array, Array], Array]

PLAIN, CUDNN, SPLASH = 'plain', 'cudnn', 'splash'
_LANES = 128  # TPU lanes: heads are padded to it, blocks are multiples of it.
_BLOCKS = (1024, 512, 256, 128)


def mask(segments_BT: Array, window: int) -> Array:
  """Returns mask_BTT: whether a query (middle axis) sees a key (last axis).

  Padding sees padding, so that no softmax is empty.
  """
  positions_T = jnp.arange(segments_BT.shape[1])
  distance_TT = positions_T[:, None] - positions_T
  visible_TT = distance_TT >= 0
  if window:
    visible_TT &= distance_TT < window
  return visible_TT & (segments_BT[:, :, None] == segments_BT[:, None])


def plain(
  segments_BT: Array, *, scale: float, window: int
) -> SequenceAttention:
  """Attends with XLA's matmuls and softmax."""
  mask_B1TT = mask(segments_BT, window)[:, None]
  return functools.partial(
    jax.nn.dot_product_attention, mask=mask_B1TT, scale=scale
  )


def cudnn(
  segments_BT: Array, *, scale: float, window: int
) -> SequenceAttention:
  """Attends with cuDNN on NVIDIA GPUs; all heads and layers share one mask."""
  mask_B1TT = mask(segments_BT, window)[:, None]
  return functools.partial(
    jax.nn.dot_product_attention,
    mask=mask_B1TT,
    scale=scale,
    is_causal=True,  # Skips the blocks above the diagonal.
    implementation='cudnn',
  )


def splash(
  segments_BT: Array, *, scale: float, window: int, interpret: bool = False
) -> SequenceAttention:
  """Attends with Pallas' kernel for TPUs, each device on its own shard.

  Args:
    segments_BT: as in `make`; T must be a multiple of 128.
    scale: as in `make`.
    window: as in `make`.
    interpret: whether to run the kernel on any device, slowly.

  Raises:
    UserError: T is not a multiple of 128.
  """
  t = segments_BT.shape[1]
  if t % _LANES:
    raise errors.UserError(
      f"model.attention='splash' needs sequences of a multiple of {_LANES}"
      f' tokens, not {t}: set data.bucket_len_tokens to a multiple of {_LANES}'
    )
  on_device = functools.partial(
    _splash_shard, scale=scale, window=window, interpret=interpret
  )

  def attend(q_BTNH, k_BTKH, v_BTKH):
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
      return on_device(q_BTNH, k_BTKH, v_BTKH, segments_BT)
    heads, kv_heads = q_BTNH.shape[2], k_BTKH.shape[2]
    if kv_heads % sharding.num_shards(mesh, 'tensor'):
      k_BTKH, v_BTKH = (
        jnp.repeat(x, heads // kv_heads, axis=2) for x in (k_BTKH, v_BTKH)
      )
    batch = sharding.BATCH[0]
    spec = PartitionSpec(batch, None, 'tensor', None)
    # A kernel is opaque to XLA, so its sharding is given by hand.
    return jax.shard_map(
      on_device,
      in_specs=(spec, spec, spec, PartitionSpec(batch)),
      out_specs=spec,
      check_vma=False,
    )(q_BTNH, k_BTKH, v_BTKH, segments_BT)

  return attend


def _splash_shard(
  q_BTNH: Array,
  k_BTKH: Array,
  v_BTKH: Array,
  segments_BT: Array,
  *,
  scale: float,
  window: int,
  interpret: bool,
) -> Array:
  """Returns attended_BTNH of the sequences and heads of one device."""
  t, num_heads, head_dim = q_BTNH.shape[1:]
  if window:
    local_mask = splash_attention.LocalMask((t, t), (window - 1, 0), 0)
  else:
    local_mask = splash_attention.CausalMask((t, t))
  kernel = splash_attention.make_splash_mha_single_device(
    splash_attention.MultiHeadMask([local_mask] * num_heads),
    block_sizes=_block_sizes(t),
    interpret=interpret,
  )

  def heads_first(x_BTNH):
    padding = ((0, 0), (0, 0), (0, 0), (0, -head_dim % _LANES))
    return jnp.pad(x_BTNH, padding).swapaxes(1, 2)

  def attend_sequence(q, k, v, s):
    return kernel(q, k, v, segment_ids=splash_attention.SegmentIds(s, s))

  out_BNTH = jax.vmap(attend_sequence)(
    heads_first(q_BTNH * jnp.asarray(scale, q_BTNH.dtype)),
    heads_first(k_BTKH),
    heads_first(v_BTKH),
    segments_BT.astype(jnp.int32),
  )
  return out_BNTH.swapaxes(1, 2)[..., :head_dim].astype(q_BTNH.dtype)


def _block_sizes(length: int) -> splash_attention.BlockSizes:
  """Returns the largest blocks that divide the sequence length."""
  block = next(size for size in _BLOCKS if length % size == 0)
  return splash_attention.BlockSizes(
    block_q=block,
    block_kv=block,
    block_kv_compute=block,
    block_q_dkv=block,
    block_kv_dkv=block,
    block_kv_dkv_compute=block,
    block_q_dq=block,
    block_kv_dq=block,
  )


METHODS = {PLAIN: plain, CUDNN: cudnn, SPLASH: splash}


def make(
  method: str, segments_BT: Array, *, scale: float, window: int
) -> SequenceAttention:
  """Returns the attention function of queries, keys and values.

  Args:
    method: a name in METHODS.
    segments_BT: the number of the segment of each position, 0 for padding; or a
      bool, True in the only segment.
    scale: the factor of the scores.
    window: how many tokens a position sees, itself included; 0 means all.
  """
  return METHODS[method](segments_BT, scale=scale, window=window)
