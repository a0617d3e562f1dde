"""Accelerators by name, and pods of them that need not be present.

The figures are those of the vendors' data sheets: dense bfloat16 products, and
all links of a chip together in one direction.
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
_GPUS_PER_NODE = 8  # GPUs that NVLink connects.
# Without these, libtpu looks for a TPU host for minutes and then fails.
_NO_TPU_HOST = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_ACCELERATOR_TYPE': 'v5e-4',
  # Without it, only one process at a time can plan.
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


@dataclasses.dataclass(frozen=True)
class Chip:
  """The capacity and the peak rates of one device.

  Attributes:
    kind: TPU or GPU.
    memory_bytes: high-bandwidth memory of the device.
    flops: bfloat16 operations per second.
    memory_rate: bytes per second read from or written to memory.
    link_rate: bytes per second sent to other devices of the node or pod.
    network_rate: bytes per second sent beyond the node; 0 for TPUs, whose
      links reach the whole pod.
  """

  kind: str
  memory_bytes: float
  flops: float
  memory_rate: float
  link_rate: float
  network_rate: float = 0.0


CHIPS: Mapping[str, Chip] = {
  # A v4 chip has two cores; each is a device.
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
  """A number of connected chips of one kind.

  Attributes:
    name: chip and shape, such as 'v5p:4x4x4'.
    chip: the kind of chip.
    count: number of devices.
    devices: abstract devices for which XLA compiles; empty for GPUs, since
      XLA compiles for a GPU only where one is present.
  """

  name: str
  chip: Chip
  count: int
  devices: tuple[Any, ...] = ()

  @property
  def link_rate(self) -> float:
    """Bytes per second that a device sends when all devices communicate."""
    crosses_nodes = self.chip.kind == GPU and self.count > _GPUS_PER_NODE
    return self.chip.network_rate if crosses_nodes else self.chip.link_rate


def pod(topology: str) -> Pod:
  """Returns the pod of a chip and a shape: 'v5p:4x4x4', 'h100-80gb:8'.

  Raises:
    UserError: the chip is unknown, it has no such shape, or the compiler for
      TPUs is not installed.
  """
  name, _, shape = topology.partition(':')
  if name not in CHIPS:
    raise errors.unknown('chip of topology', name, CHIPS)
  chip = CHIPS[name]
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*){0,2}', shape):
    raise errors.UserError(
      f'topology={topology!r}: expected a chip and a shape, such as v5e:4x4,'
      ' v5p:4x4x4 or h100-80gb:8'
    )
  sizes = [int(size) for size in shape.split('x')]
  if chip.kind == GPU:
    return Pod(topology, chip, math.prod(sizes))
  for variable, value in _NO_TPU_HOST.items():
    os.environ.setdefault(variable, value)
  try:
    description = topologies.get_topology_desc(topology, platform=TPU)
  except Exception as e:  # The class differs between versions of XLA.
    raise errors.UserError(
      f'topology={topology!r} is unknown to XLA, or its compiler for TPUs is'
      " not installed (pip install -c constraints.txt -e '.[plan]'):"
      f' {str(e).splitlines()[0][:200]}'
    ) from e
  devices = tuple(description.devices)
  return Pod(topology, chip, len(devices), devices)
