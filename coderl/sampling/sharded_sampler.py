"""Sampling on a mesh: each shard of the sequences runs a separate loop.

`generate` samples to the end in one program. `start` and `advance` do the same
in several calls, between which the host reads the sequences that have ended.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from coderl import types
from coderl.distributed import sharding
from coderl.models import cache as cache_lib
from coderl.models import transformer
from coderl.sampling import sampler

Array = types.Array


def _per_shard(function, replicated: int, sharded: int, out_specs):
  """Returns `function` run on each shard; without a mesh, as it is.

  Args:
    function: takes replicated arguments, then sharded ones, then again
      replicated ones.
    replicated: the number of leading replicated arguments.
    sharded: the number of arguments sharded over data and fsdp.
    out_specs: as in shard_map.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return function
  same = PartitionSpec()
  return lambda *arguments: jax.shard_map(
    function,
    in_specs=(
      *[same] * replicated,
      *[sharding.BATCH] * sharded,
      *[same] * (len(arguments) - replicated - sharded),
    ),
    out_specs=out_specs,
    axis_names=set(sharding.BATCH[0]),
    check_vma=False,
  )(*arguments)


def _constrain_layout(state: sampler.SamplingState) -> sampler.SamplingState:
  """Fixes the state's sharding between calls: KV heads over `tensor`."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return state
  tensor = sharding.num_shards(mesh, 'tensor')
  constrain = jax.lax.with_sharding_constraint

  def constrain_cache(a):
    heads = 'tensor' if a.shape[1] % tensor == 0 else None
    return constrain(a, PartitionSpec(*sharding.BATCH, heads))

  cache = jax.tree.map(constrain_cache, state.cache)
  return constrain(state._replace(cache=()), sharding.BATCH)._replace(
    cache=cache
  )


def _add_shard_axis(prompts: sampler.Prompts, state: sampler.SamplingState):
  """Makes a shard's scalars arrays of one, which shard_map can concatenate."""
  return prompts._replace(
    num_sequences=prompts.num_sequences[None]
  ), state._replace(
    next_sequence=state.next_sequence[None], steps=state.steps[None]
  )


def _drop_shard_axis(prompts: sampler.Prompts, state: sampler.SamplingState):
  """Inverts `_add_shard_axis`."""
  return prompts._replace(
    num_sequences=prompts.num_sequences[0]
  ), state._replace(next_sequence=state.next_sequence[0], steps=state.steps[0])


@partial(jax.jit, static_argnames=('model', 'config'))
def start(
  params: types.Params,
  prompts_UP: Array,
  valid_UP: Array,
  index_U: Array,
  key: Array,
  *,
  model: transformer.ModelConfig,
  config: sampler.SamplingConfig,
) -> tuple[cache_lib.Weights, sampler.Prompts, sampler.SamplingState]:
  """Prefills the prompts for `advance`; arguments as in `generate`."""
  mesh = jax.sharding.get_abstract_mesh()
  shards = 1 if mesh.empty else sharding.num_shards(mesh, sharding.BATCH[0])
  weights = cache_lib.prepare(params, model)
  start_shard = partial(
    sampler.start, model=model, config=config, slots=-(-config.slots // shards)
  )
  run = _per_shard(
    lambda *arguments: _add_shard_axis(*start_shard(*arguments)),
    1,
    3,
    sharding.BATCH,
  )
  prompts, state = run(weights, prompts_UP, valid_UP, index_U, key)
  return weights, prompts, _constrain_layout(state)


@partial(
  jax.jit,
  static_argnames=('model', 'config', 'stop_ids', 'prompt_len'),
  donate_argnames='state',
)
def advance(
  weights: cache_lib.Weights,
  prompts: sampler.Prompts,
  state: sampler.SamplingState,
  until_step: Array | None = None,
  stop_table_SV: Array | None = None,
  *,
  model: transformer.ModelConfig,
  config: sampler.SamplingConfig,
  stop_ids: Sequence[int],
  prompt_len: int,
) -> tuple[sampler.SamplingState, Array]:
  """Decodes until each shard has done `until_step` steps since the start.

  Args:
    weights, prompts: from `start`.
    state: from `start` or the call before; donated.
    until_step: int32; None decodes to the end.
    stop_table_SV, model, config, stop_ids: as in `generate`.
    prompt_len: P.

  Returns:
    The state, and whether a sequence of any shard is unfinished.
  """
  advance_shard = partial(
    sampler.advance,
    model=model,
    config=config,
    stop_ids=stop_ids,
    prompt_len=prompt_len,
  )

  def run_shard(weights, prompts, state, until_step, stop_table_SV):
    prompts, state = _drop_shard_axis(prompts, state)
    state = advance_shard(weights, prompts, state, until_step, stop_table_SV)
    unfinished = sampler.unfinished(state, prompts)[None]
    return _add_shard_axis(prompts, state)[1], unfinished

  run = _per_shard(run_shard, 1, 2, sharding.BATCH)
  state, unfinished = run(weights, prompts, state, until_step, stop_table_SV)
  return _constrain_layout(state), jnp.any(unfinished)


@partial(jax.jit, static_argnames=('model', 'config', 'stop_ids'))
def generate(
  params: types.Params,
  prompts_UP: Array,
  valid_UP: Array,
  index_U: Array,
  key: Array,
  stop_table_SV: Array | None = None,
  *,
  model: transformer.ModelConfig,
  config: sampler.SamplingConfig,
  stop_ids: Sequence[int],
) -> tuple[sampler.Samples, Array]:
  """Samples G responses to each of U prompts.

  Under a mesh (jax.set_mesh), prompts are sharded over data and fsdp. Each
  shard is decoded separately, with the weights gathered over these axes; layers
  stay sharded over tensor.

  Args:
    params: the policy's parameters.
    prompts_UP: int32, left-padded.
    valid_UP: bool, False on padding.
    index_U: int32, the number of each prompt; -1 where there is none. Real
      prompts come first within a shard.
    key: consumed. The samples of a sequence depend on the key, its prompt's
      number and its position in the group; neither on its neighbours nor on
      the slots or the mesh.
    stop_table_SV: from stop_strings.table, or None without stop strings.
    model, config: static.
    stop_ids: token ids that end a response; a tuple.

  Returns:
    Samples of N = U x G sequences, the group of prompt u at u G to u G + G - 1;
    and the number of steps that each shard decoded.
  """
  weights, prompts, state = start(
    params, prompts_UP, valid_UP, index_U, key, model=model, config=config
  )
  state, _ = advance(
    weights,
    prompts,
    state,
    None,
    stop_table_SV,
    model=model,
    config=config,
    stop_ids=stop_ids,
    prompt_len=prompts_UP.shape[1],
  )
  return state.samples, state.steps
