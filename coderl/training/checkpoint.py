"""Saves and restores a run, on any mesh.

A step directory, `WORKDIR/checkpoints/STEP`, holds all that a run needs to
resume as if it had never stopped: the device state (arrays) and the host state
(JSON: data position, replay buffer, metrics). Writing is asynchronous. A step
is complete once orbax has renamed its directory, so a run that is killed at any
moment resumes from the last complete step.

Files can also be damaged. Each array is saved with a checksum; `restore` falls
back from a damaged step to the one before, logs a warning, and renames the
damaged one to `checkpoints/damaged-STEP`.
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
from commons import errors, files

_ABSENT = 'absent'


class Restored(NamedTuple):
  """A restored step, as it was passed to `save`.

  Attributes:
    state: with the tree, shapes, dtypes and shardings of the target.
    host: the dictionary, after a round trip through JSON.
  """

  state: Any
  host: dict[str, Any]


def manager(workdir: str, max_to_keep: int) -> ocp.CheckpointManager:
  """Opens the checkpoints of a workdir.

  `wait_until_finished()` returns once every save is on disk; `close()` waits as
  well and must be called before the process ends.

  Args:
    workdir: the run's directory.
    max_to_keep: older steps are deleted; at least 2, so that there is one to
      fall back to.

  Raises:
    UserError: max_to_keep is below 2.
  """
  if max_to_keep < 2:
    raise errors.UserError(f'checkpoint.keep={max_to_keep}: must be 2 or more')
  logging.get_absl_logger().addFilter(_is_for_the_user)
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

  A step that exists already is not written again.

  Args:
    manager: the workdir's checkpoints.
    step: training steps done.
    state: a tree of jax arrays.
    host: a JSON-serialisable dictionary; tuples are restored as lists.
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
  # A copy, because orbax writes later and the caller may change it before.
  record = json.loads(json.dumps({'host': host, 'arrays': arrays}))
  manager.save(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(state), host=ocp.args.JsonSave(record)
    ),
    force=True,
  )


def restore(manager: ocp.CheckpointManager, target: Any) -> Restored | None:
  """Returns the latest complete step, or None if there is no checkpoint.

  Args:
    manager: the workdir's checkpoints.
    target: a tree of arrays or ShapeDtypeStructs with shardings: the expected
      structure, and the mesh to restore to, which may differ from that of the
      save.

  Raises:
    UserError: the checkpoint has another structure, or every step is damaged.
  """
  damaged = []
  for step in sorted(manager.all_steps(), reverse=True):
    with _quiet():
      restored, fault = _read(manager, step, target)
    if restored is not None:
      _set_aside(manager, damaged)
      return restored
    damaged.append(step)
    logging.warning(
      'checkpoint %s is damaged (%s); trying the one before it',
      manager.directory / str(step),
      fault,
    )
  if damaged:
    raise errors.UserError(
      f'every checkpoint in {manager.directory} is damaged: steps {damaged}; '
      'remove the directory to start from the beginning'
    )
  return None


def check_config(
  workdir: str,
  config: ml_collections.ConfigDict,
  may_differ: Sequence[str] = (),
) -> None:
  """Raises UserError if the workdir holds a run of another config.

  Writes nothing. A directory without `config.json` holds no run.

  Args:
    workdir: the run's directory.
    config: the config of this start.
    may_differ: dotted fields or sections that may change between starts.

  Raises:
    UserError: fields differ, which are named as `field: old -> new`; or
      `config.json` cannot be read.
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
  """Writes `WORKDIR/config.json` completely or not at all (first process)."""
  if jax.process_index() == 0:
    files.write_text(os.path.join(workdir, 'config.json'), _text(config))


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
  """Returns (Restored, ''), or (None, fault) if the step is damaged."""
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
  return Restored(state, host), ''


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
  """Returns name -> dtype and shape of every leaf, in the tree's order."""
  return {
    jax.tree_util.keystr(path, simple=True, separator='.'): (
      f'{x.dtype}{list(x.shape)}'
    )
    for path, x in jax.tree_util.tree_leaves_with_path(tree)
  }


@jax.jit
def _checksums(tree):
  """Returns the sum of every leaf's bits modulo 2^32; no mesh changes it."""

  def checksum(x):
    if x.dtype == jnp.bool_:
      x = x.astype(jnp.uint8)
    unsigned = jnp.dtype(f'uint{8 * x.dtype.itemsize}')
    bits = jax.lax.bitcast_convert_type(x, unsigned)
    return jnp.sum(bits, dtype=jnp.uint32)

  return jax.tree.map(checksum, tree)


def _set_aside(manager, steps):
  """Renames damaged steps, so that the run can save these steps again."""
  if not steps:
    return
  if jax.process_index() == 0:
    for step in steps:
      aside = manager.directory / f'damaged-{step}'
      aside.rmtree(missing_ok=True)  # A step may be damaged twice.
      (manager.directory / str(step)).rename(aside)
  multihost_utils.sync_global_devices('damaged checkpoints set aside')
  manager.reload()


def _is_for_the_user(record):
  """Log filter that drops orbax's messages below ERROR."""
  return '/orbax/' not in record.pathname or record.levelno >= std_logging.ERROR


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences orbax's tracebacks; the caller logs the fault in one line."""
  level = std_logging.root.manager.disable
  std_logging.disable(std_logging.CRITICAL)
  try:
    yield
  finally:
    std_logging.disable(level)
