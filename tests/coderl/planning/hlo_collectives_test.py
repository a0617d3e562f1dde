"""Collectives counted from HLO text, compared with counts by hand."""

import json
import subprocess
import sys

import pytest

from coderl.planning import hlo_collectives

LOOP = """\
HloModule m, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%step (t: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %t = (s32[], bf16[8,128]) parameter(0)
  %x = bf16[8,32]{1,0:T(8,128)(2,1)} get-tuple-element(%t), index=1
  %all-gather.1 = bf16[8,128]{1,0:T(8,128)(2,1)} all-gather(%x), GROUPS
  ROOT %out = (s32[], bf16[8,128]) tuple(%t)
}

%bounded (t: (s32[], bf16[8,128])) -> pred[] {
  %t = (s32[], bf16[8,128]) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%t), index=0
  %bound = s32[]{:T(128)} constant(28)
  ROOT %lt = pred[]{:T(512)} compare(%i, %bound), direction=LT
}

%unbounded (t: (s32[], bf16[8,128])) -> pred[] {
  %t = (s32[], bf16[8,128]) parameter(0)
  ROOT %any = pred[] get-tuple-element(%t), index=0
}

ENTRY %main (p: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %p = (s32[], bf16[8,128]) parameter(0)
  %w = (s32[], bf16[8,128]) while(%p), condition=%bounded, body=%step
  %v = (s32[], bf16[8,128]) while(%w), condition=%unbounded, body=%step
  %s = (f32[4]{0}, f32[16]{0}) all-gather-start(%p), FOURS
  %alone = f32[4]{0} all-reduce(%p), ALONE, to_apply=%add
  ROOT %r = (s32[], bf16[8,128]) tuple(%v)
}
"""

# The notations in which XLA writes replica groups.
GROUPS = {
  'GROUPS': "replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}",
  'FOURS': 'replica_groups=[2,4]<=[8]',
  'ALONE': 'replica_groups={{0},{1}}',
}


def test_loops_multiply_and_groups_are_read_in_each_notation():
  text = LOOP
  for name, groups in GROUPS.items():
    text = text.replace(name, groups)
  collectives = hlo_collectives.collectives(text)
  gather = dict(kind='all-gather', group=4)
  assert collectives == [
    hlo_collectives.Collective(bytes=8 * 128 * 2, times=28, **gather),
    hlo_collectives.Collective(bytes=8 * 128 * 2, times=1, **gather),
    # An asynchronous start: the gathered shape counts, not the operand.
    hlo_collectives.Collective(bytes=16 * 4, times=1, **gather),
  ]


@pytest.mark.parametrize(
  ('kind', 'sent'),
  [
    ('all-gather', 75),
    ('all-to-all', 75),
    ('all-reduce', 150),
    ('reduce-scatter', 300),
    ('collective-permute', 100),
  ],
)
def test_a_ring_of_four_sends_the_known_share_of_100_bytes(kind, sent):
  assert hlo_collectives.Collective(kind, 100, 4, 2).sent == 2 * sent


def test_collectives_of_a_program_compiled_for_four_devices():
  """A scan of five steps, each with an all-reduce of float32 [8, 16]."""
  process = subprocess.run(
    [sys.executable, '-m', 'tests.coderl.planning.hlo_mesh_script'],
    capture_output=True,
    text=True,
    check=True,
  )
  assert json.loads(process.stdout) == [
    {'kind': 'all-reduce', 'bytes': 8 * 16 * 4, 'group': 4, 'times': 5}
  ]
