"""Pods by name, and the names that are refused."""

import pytest

from coderl.planning import hardware
from commons import errors


def test_gpus_are_counted_and_use_the_network_beyond_a_node():
  node, nodes = hardware.pod('h100-80gb:8'), hardware.pod('h100-80gb:4x4')
  assert (node.count, nodes.count) == (8, 16)
  assert node.link_rate == hardware.CHIPS['h100-80gb'].link_rate
  assert nodes.link_rate == hardware.CHIPS['h100-80gb'].network_rate


@pytest.mark.parametrize(
  ('topology', 'message'),
  [
    ('v7:2x2', "unknown chip of topology 'v7'; choices: a100-40gb"),
    ('v5p', 'expected a chip and a shape'),
    ('h100-80gb:0', 'expected a chip and a shape'),
    ('h100-80gb:2,2', 'expected a chip and a shape'),
  ],
)
def test_an_unknown_pod_is_refused(topology, message):
  with pytest.raises(errors.UserError, match=message):
    hardware.pod(topology)


def test_tpus_are_those_that_xla_can_compile_for():
  pytest.importorskip('libtpu', reason="needs the extra 'plan'")
  pod = hardware.pod('v5e:2x2')
  assert pod.count == len(pod.devices) == 4
  with pytest.raises(errors.UserError, match="topology='v5p:9x9' is unknown"):
    hardware.pod('v5p:9x9')
