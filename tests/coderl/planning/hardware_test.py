import pytest

from coderl.planning import hardware
from commons import errors


def test_gpus_are_counted_and_talk_over_the_network_beyond_a_node():
  eight, more = hardware.pod('h100-80gb:8'), hardware.pod('h100-80gb:4x4')
  assert (eight.count, more.count) == (8, 16)
  assert eight.link_rate == hardware.CHIPS['h100-80gb'].link_rate
  assert more.link_rate == hardware.CHIPS['h100-80gb'].network_rate


@pytest.mark.parametrize(
  'topology, said',
  [
    ('v7:2x2', "unknown chip of topology 'v7'; choices: a100-40gb"),
    ('v5p', 'want a chip and how many'),
    ('h100-80gb:0', 'want a chip and how many'),
    ('h100-80gb:2,2', 'want a chip and how many'),
  ],
)
def test_what_is_no_pod_is_told(topology, said):
  with pytest.raises(errors.UserError, match=said):
    hardware.pod(topology)


def test_tpus_are_those_that_xla_knows():
  pytest.importorskip('libtpu', reason="needs pip install -e '.[plan]'")
  pod = hardware.pod('v5e:2x2')
  assert pod.count == len(pod.devices) == 4
  with pytest.raises(errors.UserError, match="topology='v5p:9x9' is none"):
    hardware.pod('v5p:9x9')
