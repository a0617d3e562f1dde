"""Accelerators by name, and pods of them that need not be here.

Figures are those of the makers' data sheets: dense bfloat16, and all of a
chip's links in one direction.
"""

from collections.abc import Mapping
import dataclasses
import math
import os
import re
from typing import Any

from jax.experimental import topologies

from commons import errors

TPU, GPU = 'tpu', 'gpu'
_NODE = 8  # GPUs that NVLink joins.
# Else libtpu looks for the host of a TPU, for minutes, and then complains.
_NO_TPU_HERE = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_ACCELERATOR_TYPE': 'v5e-4',
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # Else one process plans at a time.
}


@dataclasses.dataclass(frozen=True)
class Chip:
  """What one device can do.

  Attributes:
    kind: TPU or GPU.
    memory_bytes: of its own.
    flops: a second, bfloat16.
    memory_rate: bytes a second.
    link_rate: bytes a second that it sends to others nearby.
    network_rate: likewise beyond its node; 0 where there is no beyond.
  """

  kind: str
  memory_bytes: float
  flops: float
  memory_rate: float
  link_rate: float
  network_rate: float = 0.0


CHIPS: Mapping[str, Chip] = {
  # A chip of two cores, each a device of its own.
  'v4': Chip(TPU, 16 * 2**30, 137.5e12, 614e9, 75e9),
  'v5e': Chip(TPU, 16 * 2**30, 197e12, 819e9, 100e9),
  'v5p': Chip(TPU, 95 * 2**30, 459e12, 2765e9, 300e9),
  'v6e': Chip(TPU, 32 * 2**30, 918e12, 1640e9, 224e9),
  'a100-40gb': Chip(GPU, 40e9, 312e12, 1555e9, 300e9, 25e9),
  'a100-80gb': Chip(GPU, 80e9, 312e12, 2039e9, 300e9, 25e9),
  'h100-80gb': Chip(GPU, 80e9, 989e12, 3350e9, 450e9, 50e9),
  'h200': Chip(GPU, 141e9, 989e12, 4800e9, 450e9, 50e9),
}


@dataclasses.dataclass(frozen=True)
class Pod:
  """Chips of one kind.

  Attributes:
    name: 'v5p:4x4x4'.
    chip: each of them.
    count: how many devices.
    devices: what XLA compiles for; none for GPUs, which need theirs for that.
  """

  name: str
  chip: Chip
  count: int
  devices: tuple[Any, ...] = ()

  @property
  def link_rate(self) -> float:
    """Bytes a second that a device sends where all of them talk."""
    beyond = self.chip.kind == GPU and self.count > _NODE
    return self.chip.network_rate if beyond else self.chip.link_rate


def pod(topology: str) -> Pod:
  """The pod of a name and a shape: 'v5p:4x4x4', 'h100-80gb:8'.

  Raises:
    UserError: no such chip, no such shape of it, or what compiles for TPUs is
      not installed.
  """
  name, _, shape = topology.partition(':')
  if name not in CHIPS:
    raise errors.unknown('chip of topology', name, CHIPS)
  chip = CHIPS[name]
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*){0,2}', shape):
    raise errors.UserError(
      f'topology={topology!r}: want a chip and how many, as v5e:4x4,'
      ' v5p:4x4x4 or h100-80gb:8'
    )
  sizes = [int(size) for size in shape.split('x')]
  if chip.kind == GPU:
    return Pod(topology, chip, math.prod(sizes))
  for variable, value in _NO_TPU_HERE.items():
    os.environ.setdefault(variable, value)
  try:
    described = topologies.get_topology_desc(topology, platform=TPU)
  except Exception as e:  # XLA has a class of its own for each version.
    raise errors.UserError(
      f'topology={topology!r} is none that XLA knows, or its compiler is not'
      f" here (pip install -e '.[plan]'): {str(e).splitlines()[0][:200]}"
    ) from e
  devices = tuple(described.devices)
  return Pod(topology, chip, len(devices), devices)
