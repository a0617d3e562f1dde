"""Trains a small policy on generated items and measures it on held-out groups.

In order: read items; hold every n-th group of a cell out; train on the others;
save the policy; answer the held-out items with it as any user would.
"""

from collections.abc import Sequence
import functools
import pathlib
import time
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import ml_collections
import optax
import tqdm

from commons import errors
from wm_abench.core import dimensions, records, run_files
from wm_abench.data import dataset
from wm_abench.evaluation import prompts
from wm_abench.policy import batches, decoder, policy
from wm_abench.statistics import scores as scores_lib

Array = jax.Array


class State(NamedTuple):
  """All that a step changes, and how many there were."""

  params: Any
  moments: Any
  step: Array


def choice_loss(logits_BO: Array, right_B: Array, group_B: Array) -> Array:
  """Cross-entropy of options given items and of items given options.

  The second asks which member of the group an option belongs to, as CLIP does
  (arXiv 2103.00020): what all members share has no part in it.

  Args:
    logits_BO: -inf for options that are not there.
    right_B: int32 option.
    group_B: int32, equal within a group; -1 is padding, which counts nothing.
  """
  there_B = group_B >= 0
  own_B = jnp.take_along_axis(logits_BO, right_B[:, None], 1)[:, 0]
  own_B = jnp.where(there_B, own_B, 0.0)
  by_option_B = jax.nn.logsumexp(
    jnp.where(there_B[:, None], logits_BO, 0.0), axis=1
  )
  rival_BB = jnp.where(
    group_B[:, None] == group_B, logits_BO[:, right_B].T, -jnp.inf
  )
  rival_BB = jnp.where(there_B[:, None], rival_BB, 0.0)
  by_member_B = jax.nn.logsumexp(rival_BB, axis=1)
  total = (by_option_B + by_member_B) / 2 - own_B
  return jnp.where(there_B, total, 0.0).sum() / jnp.maximum(there_B.sum(), 1)


def naming_loss(
  named_BPYXN: Array, thing_at_BPT2: Array, thing_is_BPTN: Array
) -> Array:
  """Cross-entropy of what stands where, over a picture's grid, for each thing.

  A thing is in the square that its centre is in; what the squares around are
  called is not asked.

  Args:
    named_BPYXN: logits.
    thing_at_BPT2: as batches.Targets has them.
    thing_is_BPTN: likewise.
  """
  side = named_BPYXN.shape[2]
  square_BPT2 = jnp.floor(thing_at_BPT2 * side)
  gap_BPT2S = jnp.abs(square_BPT2[..., None] - jnp.arange(side))
  there_BPT = thing_is_BPTN.any(-1)

  def within(squares):
    x_BPTS, y_BPTS = jnp.unstack(gap_BPT2S <= squares, axis=3)
    return (
      y_BPTS[..., :, None] & x_BPTS[..., None, :] & there_BPT[..., None, None]
    )

  target_BPYXN = jnp.einsum('bptyx,bptn->bpyxn', within(0), thing_is_BPTN) > 0
  near_BPYX = within(1).any(2) & ~within(0).any(2)
  asked_BPYX = there_BPT.any(2)[..., None, None] & ~near_BPYX
  loss_BPYXN = optax.sigmoid_binary_cross_entropy(named_BPYXN, target_BPYXN)
  total = (loss_BPYXN * asked_BPYX[..., None]).sum()
  return total / jnp.maximum(there_BPT.sum(), 1)


def shift(
  key: Array, pictures_BPYXC: Array, thing_at_BPT2: Array, most_px: int
) -> tuple[Array, Array]:
  """Moves all pictures of a row, and what is in them, by the same few pixels.

  The key is consumed.
  """
  edge = [(0, 0), (most_px, most_px), (most_px, most_px), (0, 0)]
  by_B2 = jax.random.randint(key, (len(pictures_BPYXC), 2), 0, 2 * most_px + 1)

  def one(x_PYXC, by_2):
    padded = jnp.pad(x_PYXC, edge, mode='edge')
    return jax.lax.dynamic_slice(padded, (0, *by_2, 0), x_PYXC.shape)

  moved_B2 = (most_px - by_B2[:, ::-1]) / pictures_BPYXC.shape[2]
  return (
    jax.vmap(one)(pictures_BPYXC, by_B2),
    thing_at_BPT2 + moved_B2[:, None, None],
  )


def train_step(
  state: State,
  batch: decoder.Batch,
  targets: batches.Targets,
  *,
  model: decoder.Decoder,
  optimizer: optax.GradientTransformation,
  seed: int,
  shift_px: int,
  naming_weight: float,
) -> tuple[State, Array]:
  """One update; gives the losses before it: of choices, and of naming."""
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  pictures_BPYXC, at_BPT2 = shift(
    key, batch.pictures_BPYXC, targets.thing_at_BPT2, shift_px
  )
  batch = batch._replace(pictures_BPYXC=pictures_BPYXC)

  def of(params):
    logits_BO, named_BPYXN = model.apply({'params': params}, batch)
    choice = choice_loss(logits_BO, targets.right_B, targets.group_B)
    naming = naming_loss(named_BPYXN, at_BPT2, targets.thing_is_BPTN)
    return choice + naming_weight * naming, (choice, naming)

  (_, terms), gradient = jax.value_and_grad(of, has_aux=True)(state.params)
  updates, moments = optimizer.update(gradient, state.moments, state.params)
  params = optax.apply_updates(state.params, updates)
  return State(params, moments, state.step + 1), jnp.stack(terms)


def fit(
  config: ml_collections.ConfigDict,
  groups: Sequence[Sequence[records.Item]],
  saved: pathlib.Path,
) -> policy.Policy:
  """Trains from `saved`, where that is, and keeps it up to date."""
  shape = policy.Config(**config.model)
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.optimizer.learning_rate,
    config.optimizer.warmup_steps,
    config.train.steps,
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(config.optimizer.max_grad_norm),
    optax.adamw(schedule, b2=0.98, weight_decay=config.optimizer.weight_decay),
  )
  step = jax.jit(
    functools.partial(
      train_step,
      model=policy.module(shape),
      optimizer=optimizer,
      seed=config.seed,
      shift_px=config.train.shift_px,
      naming_weight=config.train.naming_weight,
    ),
    donate_argnums=0,
  )
  params = policy.init(jax.random.key(config.seed), shape)
  state = State(params, optimizer.init(params), jnp.zeros((), jnp.int32))
  if saved.is_file():
    state = flax.serialization.from_bytes(state, saved.read_bytes())
  done = int(state.step)
  stream = batches.batches(
    groups, config.train.rows, shape.vocab_size, config.seed, done
  )
  progress = tqdm.tqdm(total=config.train.steps, initial=done)
  for at in range(done + 1, config.train.steps + 1):
    state, terms = step(state, *next(stream))
    progress.update()
    if at % 50 == 0:
      choice, naming = terms.tolist()
      progress.set_postfix(choice=f'{choice:.3f}', naming=f'{naming:.3f}')
    if at % config.train.save_every_steps == 0 or at == config.train.steps:
      unfinished = saved.with_name(f'unfinished.{saved.name}')
      unfinished.write_bytes(flax.serialization.to_bytes(state))
      unfinished.replace(saved)
  progress.close()
  return policy.Policy(shape, jax.device_get(state.params))


def answer(
  learned: policy.Policy, items: Sequence[records.Item], seed: int
) -> list[records.Reply]:
  """The policy's replies to items, their options shuffled by the seed."""
  orders = [prompts.order_of(item, seed) for item in items]
  said = learned.reply(
    [
      learned.read(batches.conversation(*asked))
      for asked in zip(items, orders, strict=True)
    ]
  )
  replies = []
  for item, order, reply in zip(items, orders, said, strict=True):
    labels = prompts.labels_of(item, prompts.STRICT)
    replies.append(
      records.Reply(
        item=item.name,
        cell=item.cell,
        group=item.group,
        order=order,
        turn=0,
        answer=item.answer,
        chosen=order[labels.index(reply.text)],
        status=records.ANSWERED,
        varies=item.varies,
        factors=item.factors,
      )
    )
  return replies


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains a policy, writes `workdir/policy` and `workdir/results.json`.

  Raises:
    UserError: no such data or cells, a bad number, or a workdir of another run.
  """
  folder = pathlib.Path(workdir)
  if config.train.steps <= config.optimizer.warmup_steps:
    raise errors.UserError(
      f'train.steps={config.train.steps}: must be more than'
      f' optimizer.warmup_steps={config.optimizer.warmup_steps}'
    )
  if not config.data:
    raise errors.UserError('data: the folder of items is missing')
  run_files.keep(folder, {'config': config.to_dict()}, 'a policy')
  wanted = {cell.name for cell in dimensions.select(config.cells)}
  cells = [c for c in dataset.cells_in(config.data) if c in wanted]
  if not cells:
    raise errors.UserError(
      f'{config.data!r} holds no finished cell of {config.cells!r}'
    )
  train, held = batches.split(
    list(dataset.read(config.data, cells)), config.hold_out
  )
  begun = time.monotonic()
  learned = fit(config, train, folder / 'state.msgpack')
  policy.save(folder / 'policy', learned)
  # What is measured is what is shipped, at its stored precision.
  learned = policy.load(folder / 'policy')
  scores = scores_lib.summarise(
    {'policy': answer(learned, held, config.seed)}, config.seed
  )
  results = {
    'seconds': time.monotonic() - begun,
    'groups': len(train),
    'models': scores,
  }
  run_files.save(folder / 'results.json', results)
  print('held out  items chance  accuracy and its 95% interval, by dimension')
  for code, of in scores['policy']['dimensions'].items():
    print(
      f'{code:8} {of["items"]:6} {of["chance"]:6.2f}  {of["accuracy"]:.3f}'
      f' [{of["low"]:.3f}, {of["high"]:.3f}]  p = {of["p"]:.2g}'
    )
