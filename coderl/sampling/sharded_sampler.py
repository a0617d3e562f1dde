"""Sampling on a mesh: each part of the rows goes through a loop of its own.

`generate` samples to the end in one program. `start` and `advance` do the same
in turns, between which the host takes the rows that have ended.
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


def _on_mesh(run, replicated: int, of_rows: int, out_specs):
  """`run` on each part's own rows, or as it is without a mesh.

  Args:
    run: the first arguments are alike for all parts, then come some of rows,
      then again some that are alike.
    replicated, of_rows: how many of them.
    out_specs: of shard_map.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return run
  whole = PartitionSpec()
  return lambda *arguments: jax.shard_map(
    run,
    in_specs=(
      *[whole] * replicated,
      *[sharding.BATCH] * of_rows,
      *[whole] * (len(arguments) - replicated - of_rows),
    ),
    out_specs=out_specs,
    axis_names=set(sharding.BATCH[0]),
    check_vma=False,
  )(*arguments)


def _laid_out(state: sampler.SamplingState) -> sampler.SamplingState:
  """The state where every turn finds and leaves it: KV heads over tensor."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return state
  heads = sharding.parts(mesh, 'tensor')
  place = jax.lax.with_sharding_constraint

  def of_cache(a):
    split = 'tensor' if a.shape[1] % heads == 0 else None
    return place(a, PartitionSpec(*sharding.BATCH, split))

  cache = jax.tree.map(of_cache, state.cache)
  return place(state._replace(cache=()), sharding.BATCH)._replace(cache=cache)


def _outside(prompts: sampler.Prompts, state: sampler.SamplingState):
  """Scalars of a part as arrays of one, so that parts can be put together."""
  return prompts._replace(num_rows=prompts.num_rows[None]), state._replace(
    next_row=state.next_row[None], steps=state.steps[None]
  )


def _within(prompts: sampler.Prompts, state: sampler.SamplingState):
  """The inverse of _outside."""
  return prompts._replace(num_rows=prompts.num_rows[0]), state._replace(
    next_row=state.next_row[0], steps=state.steps[0]
  )


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
  """Prefilled prompts, for `advance`; arguments as in `generate`."""
  mesh = jax.sharding.get_abstract_mesh()
  parts = 1 if mesh.empty else sharding.parts(mesh, sharding.BATCH[0])
  weights = cache_lib.prepare(params, model)
  begin = partial(
    sampler.start, model=model, config=config, slots=-(-config.slots // parts)
  )
  run = _on_mesh(
    lambda *arguments: _outside(*begin(*arguments)), 1, 3, sharding.BATCH
  )
  prompts, state = run(weights, prompts_UP, valid_UP, index_U, key)
  return weights, prompts, _laid_out(state)


@partial(
  jax.jit,
  static_argnames=('model', 'config', 'stop_ids', 'prompt_len'),
  donate_argnames='state',
)
def advance(
  weights: cache_lib.Weights,
  prompts: sampler.Prompts,
  state: sampler.SamplingState,
  until: Array | None = None,
  stop_table_SV: Array | None = None,
  *,
  model: transformer.ModelConfig,
  config: sampler.SamplingConfig,
  stop_ids: Sequence[int],
  prompt_len: int,
) -> tuple[sampler.SamplingState, Array]:
  """Decodes until each part of the mesh has decoded so many steps.

  Args:
    weights, prompts, state: of `start`; the state of the turn before, donated.
    until: int32, steps since the start; None is to the end.
    stop_table_SV, model, config, stop_ids: as in `generate`.
    prompt_len: P.

  Returns:
    The state, and whether any row is unfinished, in any part.
  """
  decode = partial(
    sampler.advance,
    model=model,
    config=config,
    stop_ids=stop_ids,
    prompt_len=prompt_len,
  )

  def part(weights, prompts, state, until, stop_table_SV):
    prompts, state = _within(prompts, state)
    state = decode(weights, prompts, state, until, stop_table_SV)
    left = sampler.unfinished(state, prompts)[None]
    return _outside(prompts, state)[1], left

  run = _on_mesh(part, 1, 2, sharding.BATCH)
  state, left = run(weights, prompts, state, until, stop_table_SV)
  return _laid_out(state), jnp.any(left)


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

  Under a mesh (jax.set_mesh), prompts are split over data and fsdp, and each
  part is decoded on its own with the weights gathered over these axes; layers
  stay split over tensor.

  Args:
    params: the policy's.
    prompts_UP: int32, left-padded.
    valid_UP: bool, False on padding.
    index_U: int32, the number of each prompt; -1 for none, these come last in
      their part of the mesh.
    key: consumed. A row's samples depend on the key, its prompt's number and
      its place in the group, not on its neighbours, slots or the mesh.
    stop_table_SV: of stop_strings.table, or None without stop strings.
    model, config: static.
    stop_ids: tokens that end a response; a tuple.

  Returns:
    Samples of N = U x G rows, the group of prompt u at rows u G to u G + G - 1;
    and the steps decoded by each part of the mesh.
  """
  begun = start(
    params, prompts_UP, valid_UP, index_U, key, model=model, config=config
  )
  state, _ = advance(
    *begun,
    None,
    stop_table_SV,
    model=model,
    config=config,
    stop_ids=stop_ids,
    prompt_len=prompts_UP.shape[1],
  )
  return state.samples, state.steps
