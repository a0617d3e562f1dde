"""Training of the small policy: losses, augmentation, one step, the loop."""

from collections.abc import Sequence
import functools
import pathlib
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import ml_collections
import optax
import tqdm

from commons import files
from wm_abench.core import records
from wm_abench.policy import batches, decoder, policy

Array = jax.Array
_LOG_EVERY_STEPS = 50


class State(NamedTuple):
  """Everything that a step changes, and the number of steps so far."""

  params: Any
  moments: Any
  step: Array


def choice_loss(logits_BO: Array, right_B: Array, group_B: Array) -> Array:
  """Returns the cross-entropy of options given items, and vice versa.

  The second one asks which item of the group an option belongs to, as CLIP does
  (arXiv 2103.00020). What all items of a group share does not affect it.

  Args:
    logits_BO: float32; -inf for options that do not exist.
    right_B: int32 index of the key.
    group_B: int32, equal within a group; -1 for padding, which is ignored.

  Returns:
    A scalar, the mean over items and over both directions.
  """
  exists_B = group_B >= 0
  key_B = jnp.take_along_axis(logits_BO, right_B[:, None], 1)[:, 0]
  key_B = jnp.where(exists_B, key_B, 0.0)
  by_option_B = jax.nn.logsumexp(
    jnp.where(exists_B[:, None], logits_BO, 0.0), axis=1
  )
  rival_BB = jnp.where(
    group_B[:, None] == group_B, logits_BO[:, right_B].T, -jnp.inf
  )
  rival_BB = jnp.where(exists_B[:, None], rival_BB, 0.0)
  by_member_B = jax.nn.logsumexp(rival_BB, axis=1)
  total = (by_option_B + by_member_B) / 2 - key_B
  return jnp.where(exists_B, total, 0.0).sum() / jnp.maximum(exists_B.sum(), 1)


def naming_loss(
  named_BPYXN: Array, object_at_BPT2: Array, object_is_BPTN: Array
) -> Array:
  """Returns the cross-entropy of names over a picture's grid, per object.

  An object belongs to the square that contains its centre. The squares around
  that one are ignored.

  Args:
    named_BPYXN: logits, from vision.Vision.
    object_at_BPT2: positions, see batches.Targets.
    object_is_BPTN: names, see batches.Targets.
  """
  side = named_BPYXN.shape[2]
  square_BPT2 = jnp.floor(object_at_BPT2 * side)
  gap_BPT2S = jnp.abs(square_BPT2[..., None] - jnp.arange(side))
  exists_BPT = object_is_BPTN.any(-1)

  def within(squares):
    x_BPTS, y_BPTS = jnp.unstack(gap_BPT2S <= squares, axis=3)
    return (
      y_BPTS[..., :, None] & x_BPTS[..., None, :] & exists_BPT[..., None, None]
    )

  target_BPYXN = jnp.einsum('bptyx,bptn->bpyxn', within(0), object_is_BPTN) > 0
  near_BPYX = within(1).any(2) & ~within(0).any(2)
  counted_BPYX = exists_BPT.any(2)[..., None, None] & ~near_BPYX
  loss_BPYXN = optax.sigmoid_binary_cross_entropy(named_BPYXN, target_BPYXN)
  total = (loss_BPYXN * counted_BPYX[..., None]).sum()
  return total / jnp.maximum(exists_BPT.sum(), 1)


def shift(
  key: Array, pictures_BPYXC: Array, object_at_BPT2: Array, max_px: int
) -> tuple[Array, Array]:
  """Shifts all pictures of a row, and the objects in them, by the same vector.

  The key is consumed.

  Args:
    key: a PRNG key.
    pictures_BPYXC: uint8.
    object_at_BPT2: positions, see batches.Targets.
    max_px: the largest shift in each direction.
  """
  edge = [(0, 0), (max_px, max_px), (max_px, max_px), (0, 0)]
  start_B2 = jax.random.randint(
    key, (len(pictures_BPYXC), 2), 0, 2 * max_px + 1
  )

  def shift_row(x_PYXC, start_2):
    padded = jnp.pad(x_PYXC, edge, mode='edge')
    return jax.lax.dynamic_slice(padded, (0, *start_2, 0), x_PYXC.shape)

  shift_B2 = (max_px - start_B2[:, ::-1]) / pictures_BPYXC.shape[2]
  return (
    jax.vmap(shift_row)(pictures_BPYXC, start_B2),
    object_at_BPT2 + shift_B2[:, None, None],
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
  """Returns the next state, and the losses before it: choice and naming."""
  key = jax.random.fold_in(jax.random.key(seed), state.step)
  pictures_BPYXC, object_at_BPT2 = shift(
    key, batch.pictures_BPYXC, targets.object_at_BPT2, shift_px
  )
  batch = batch._replace(pictures_BPYXC=pictures_BPYXC)

  def loss(params):
    logits_BO, named_BPYXN = model.apply({'params': params}, batch)
    choice = choice_loss(logits_BO, targets.right_B, targets.group_B)
    naming = naming_loss(named_BPYXN, object_at_BPT2, targets.object_is_BPTN)
    return choice + naming_weight * naming, (choice, naming)

  (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
  updates, moments = optimizer.update(gradient, state.moments, state.params)
  params = optax.apply_updates(state.params, updates)
  return State(params, moments, state.step + 1), jnp.stack(terms)


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """Returns AdamW with warm-up, cosine decay and gradient clipping."""
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.optimizer.learning_rate,
    config.optimizer.warmup_steps,
    config.train.steps,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.optimizer.max_grad_norm),
    optax.adamw(schedule, b2=0.98, weight_decay=config.optimizer.weight_decay),
  )


def fit(
  config: ml_collections.ConfigDict,
  groups: Sequence[Sequence[records.Item]],
  checkpoint: pathlib.Path,
) -> policy.Policy:
  """Trains a policy, and continues from the checkpoint if it exists.

  Args:
    config: as in configs/wm_abench_policy.py.
    groups: the training groups.
    checkpoint: a file that is replaced every `train.save_every_steps` steps.
  """
  shape = policy.Config(**config.model)
  optimizer = make_optimizer(config)
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
  if checkpoint.is_file():
    state = flax.serialization.from_bytes(state, checkpoint.read_bytes())
  done, steps = int(state.step), config.train.steps
  stream = batches.batches(
    groups, config.train.rows, shape.vocab_size, config.seed, done
  )
  progress = tqdm.tqdm(total=steps, initial=done)
  for number in range(done + 1, steps + 1):
    state, terms = step(state, *next(stream))
    progress.update()
    if number % _LOG_EVERY_STEPS == 0:
      choice, naming = terms.tolist()
      progress.set_postfix(choice=f'{choice:.3f}', naming=f'{naming:.3f}')
    if number % config.train.save_every_steps == 0 or number == steps:
      with files.replacing(checkpoint) as unfinished:
        unfinished.write_bytes(flax.serialization.to_bytes(state))
  progress.close()
  return policy.Policy(shape, jax.device_get(state.params))
