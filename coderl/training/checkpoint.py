"""Saves a run and takes it up again, on any mesh.

A step directory, `WORKDIR/checkpoints/STEP`, holds all that a run needs to go
on as if it had never stopped: the device state (arrays) and the host's (JSON:
data position, replay buffer, random generators, metrics). Writing is
asynchronous: a step counts once orbax has renamed its directory, so a run
killed at any moment goes back to the last whole step.

Files can also rot. Each array's checksum is kept beside it, and `restore` falls
back from a damaged step to the one before, says so, and sets the damaged one
aside (`checkpoints/damaged-STEP`).
"""

from collections.abc import Iterator, Sequence
import contextlib
import json
import logging as std_logging
import os
from typing import Any, NamedTuple

from absl import logging
import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import ml_collections
import orbax.checkpoint as ocp

from coderl import types
from commons import errors

_ABSENT = 'absent'


class Restored(NamedTuple):
  """What `restore` found, both as they were given to `save`.

  state: the target's tree, shapes, dtypes and shardings.
  host: the dictionary, as JSON reads it back.
  """

  state: Any
  host: dict[str, Any]


def manager(workdir: str, max_to_keep: int) -> ocp.CheckpointManager:
  """The workdir's checkpoints.

  `wait_until_finished()` ends when every save is on disk; `close()` waits too
  and must be called before the process ends.

  Args:
    workdir: the run's directory.
    max_to_keep: older steps are deleted; 2 or more, for there to be one to
      fall back to.
  """
  if max_to_keep < 2:
    raise errors.UserError(f'{max_to_keep=} checkpoints; at least 2')
  logging.get_absl_logger().addFilter(_spoken_to_the_user)
  options = ocp.CheckpointManagerOptions(
    max_to_keep=max_to_keep, cleanup_tmp_directories=True
  )
  directory = os.path.join(os.path.abspath(workdir), 'checkpoints')
  return ocp.CheckpointManager(directory, options=options)


def save(
  manager: ocp.CheckpointManager,
  step: int,
  state: types.TrainState,
  host: dict[str, Any],
) -> None:
  """Starts saving; returns once `state` may be donated and `host` changed.

  A step that is already there is left alone.

  Args:
    manager: of the workdir.
    step: optimiser updates done.
    state: a tree of jax arrays.
    host: a JSON-able dictionary; tuples come back as lists.
  """
  if step in manager.all_steps():
    return
  sums = jax.device_get(_checksums(state))
  arrays = {
    name: {'is': kind, 'sum': int(total)}
    for (name, kind), total in zip(
      _describe(state).items(), jax.tree.leaves(sums), strict=True
    )
  }
  # Through text and back: orbax writes later, the caller may change it by then.
  record = json.loads(json.dumps({'host': host, 'arrays': arrays}))
  manager.save(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(state), host=ocp.args.JsonSave(record)
    ),
    force=True,
  )


def restore(manager: ocp.CheckpointManager, target: Any) -> Restored | None:
  """The latest whole step, or None where nothing was ever saved.

  Args:
    manager: of the workdir.
    target: a tree of arrays or ShapeDtypeStructs with shardings: the structure
      and the mesh wanted, which need not be the mesh it was saved from.

  Raises:
    UserError: the checkpoint is of another structure, or every step is damaged.
  """
  damaged = []
  for step in sorted(manager.all_steps(), reverse=True):
    with _quiet():
      found, fault = _read(manager, step, target)
    if found is not None:
      _set_aside(manager, damaged)
      return Restored(*found)
    damaged.append(step)
    logging.warning(
      'checkpoint %s is damaged (%s); trying the one before it',
      manager.directory / str(step),
      fault,
    )
  if damaged:
    raise errors.UserError(
      f'every checkpoint in {manager.directory} is damaged: steps {damaged}; '
      'remove the directory to start afresh'
    )
  return None


def check_config(
  workdir: str,
  config: ml_collections.ConfigDict,
  may_differ: Sequence[str] = (),
) -> None:
  """Refuses to go on with a run under another config than it was begun with.

  Nothing is written, and a directory without `config.json` begins a run.

  Args:
    workdir: the run's directory.
    config: of this start.
    may_differ: dotted fields or sections that may change between starts.

  Raises:
    UserError: the fields that differ, `field: old -> new`, or a `config.json`
      that cannot be read.
  """
  path = os.path.join(workdir, 'config.json')
  if not os.path.exists(path):
    return
  old, new = _flatten(_read_json(path)), _flatten(json.loads(_text(config)))
  differing = [
    f'{name}: {old.get(name, _ABSENT)} -> {new.get(name, _ABSENT)}'
    for name in sorted(old.keys() | new.keys())
    if old.get(name, _ABSENT) != new.get(name, _ABSENT)
    and not any(f'{name}.'.startswith(f'{field}.') for field in may_differ)
  ]
  if differing:
    raise errors.UserError(
      f'workdir {workdir!r} was made with another config '
      f'({"; ".join(differing)}); take another workdir or the same config'
    )


def write_config(workdir: str, config: ml_collections.ConfigDict) -> None:
  """Writes `WORKDIR/config.json`, whole or not at all; the workdir exists."""
  path = os.path.join(workdir, 'config.json')
  if jax.process_index() == 0:
    with open(f'{path}.tmp', 'w', encoding='utf-8') as f:
      f.write(_text(config))
    os.replace(f'{path}.tmp', path)


def _text(config):
  return json.dumps(config.to_dict(), indent=2, sort_keys=True)


def _read_json(path):
  try:
    with open(path, encoding='utf-8') as f:
      return json.load(f)
  except (OSError, ValueError) as e:
    raise errors.UserError(f'{path!r} cannot be read: {e}') from e


def _flatten(tree, prefix=''):
  if not isinstance(tree, dict):
    return {prefix: tree}
  fields = {}
  for name, value in tree.items():
    fields |= _flatten(value, f'{prefix}.{name}' if prefix else name)
  return fields


def _read(manager, step, target):
  """(state, host) and '', or None and what is wrong with the step."""
  try:
    record = manager.restore(
      step, args=ocp.args.Composite(host=ocp.args.JsonRestore())
    ).host
    host, arrays = record['host'], record['arrays']
  except (OSError, ValueError, KeyError, TypeError) as e:
    return None, f'{type(e).__name__}: {_short(e)}'
  _check_structure(manager.directory / str(step), arrays, target)
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
    target,
  )
  try:
    state = manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    ).state
  except Exception as e:  # orbax raises Exception itself for a lost chunk.
    return None, f'{type(e).__name__}: {_short(e)}'
  sums = jax.tree.leaves(jax.device_get(_checksums(state)))
  for name, total in zip(_describe(state), sums, strict=True):
    if arrays[name]['sum'] != int(total):
      return None, f'wrong checksum of {name}'
  return (state, host), ''


def _short(error):
  return ' '.join(str(error).split())[:120]


def _check_structure(path, arrays, target):
  saved = {name: array['is'] for name, array in arrays.items()}
  wanted = _describe(target)
  differing = [
    f'{name}: {saved.get(name, _ABSENT)} -> {wanted.get(name, _ABSENT)}'
    for name in saved | wanted
    if saved.get(name) != wanted.get(name)
  ]
  if differing:
    raise errors.UserError(
      f'checkpoint {path} is of another model or optimizer: '
      f'{"; ".join(differing[:5])} ({len(differing)} arrays differ)'
    )


def _describe(tree):
  """Name -> dtype and shape of every leaf, in the tree's order."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='.'): (
      f'{x.dtype}{list(x.shape)}'
    )
    for path, x in jax.tree_util.tree_leaves_with_path(tree)
  }


@jax.jit
def _checksums(tree):
  """Sum of every leaf's bits, modulo 2^32: the same on every mesh."""

  def checksum(x):
    if x.dtype == jnp.bool_:
      x = x.astype(jnp.uint8)
    unsigned = jnp.dtype(f'uint{8 * x.dtype.itemsize}')
    bits = jax.lax.bitcast_convert_type(x, unsigned)
    return jnp.sum(bits, dtype=jnp.uint32)

  return jax.tree.map(checksum, tree)


def _set_aside(manager, steps):
  """Renames damaged steps, so that the run can save them again."""
  if not steps:
    return
  if jax.process_index() == 0:
    for step in steps:
      aside = manager.directory / f'damaged-{step}'
      aside.rmtree(missing_ok=True)  # Of an earlier time.
      (manager.directory / str(step)).rename(aside)
  multihost_utils.sync_global_devices('damaged checkpoints set aside')
  manager.reload()


def _spoken_to_the_user(record):
  """A log filter: orbax tells each of its steps, from threads of its own."""
  return '/orbax/' not in record.pathname or record.levelno >= std_logging.ERROR


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Without orbax's tracebacks: the caller says in one line what was wrong."""
  level = std_logging.root.manager.disable
  std_logging.disable(std_logging.CRITICAL)
  try:
    yield
  finally:
    std_logging.disable(level)
