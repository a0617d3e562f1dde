"""Plans a run for chips that are not here: does it fit, and how fast is it.

  python -m main --workdir=runs/plan \\
      --config=configs/coderl_plan.py:model=qwen2.5-coder-7b,topology=v5p:4x4x4

compiles the training step and the sampler of configs/coderl_train.py for that
pod on this machine, in some minutes, and writes results.json; nothing is
trained. TPUs (v4, v5e, v5p, v6e) need `pip install -e '.[plan]'`; for GPUs
(a100-80gb, h100-80gb, h200, ...) it is arithmetic. Arguments, after the colon:
model and algo as in coderl_train; topology, a chip and a shape (v5e:4x4) or a
number (h100-80gb:8); tensor, over how many devices a layer is split; and
runlocal, for the embedded policy's short run. Every field of coderl_train can
be set too; --config.train.microbatches=0, the default here, is as many as leave
each device one row at a time.
"""

import ml_collections

from configs import coderl_train, common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """The plan; see the module for its arguments."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='qwen2.5-coder-7b',
    algo='grpo',
    topology='v5p:4x4x4',
    tensor=1,
  )
  local = ',runlocal' if arg.runlocal else ''
  model = 'tiny' if arg.runlocal else arg.model
  config = coderl_train.get_config(f'model={model},algo={arg.algo}{local}')
  with config.unlocked():
    config.program = 'coderl.plan'
    config.plan = dict(topology=arg.topology, compile_decode=True)
    config.mesh.shape = (1, -1, arg.tensor)
    config.train.microbatches = 0
  return config
