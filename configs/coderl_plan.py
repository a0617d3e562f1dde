"""Plans a run for a pod that is not present: does it fit, and how fast is it?

  python -m main --workdir=runs/plan \\
      --config=configs/coderl_plan.py:model=qwen2.5-coder-7b,topology=v5p:4x4x4

compiles the training step and the sampler of configs/coderl_train.py for that
pod on this machine, which takes some minutes, and writes results.json; nothing
is trained. TPUs (v4, v5e, v5p, v6e) need `pip install -e '.[plan]'`. For GPUs
(a100-80gb, h100-80gb, h200, ...) the plan is an estimate by arithmetic.

Arguments, after the colon: model and algo as in coderl_train; topology, a chip
and a shape (v5e:4x4) or a number (h100-80gb:8); tensor, the number of devices
over which a layer is split; and runlocal, for the short run of the embedded
policy. Every field of coderl_train can be set too. train.microbatches=0, the
default here, means as many as leave one sequence per device and microbatch.
"""

import ml_collections

from configs import coderl_train, common


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the plan; the module's docstring lists the arguments."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='qwen2.5-coder-7b',
    algo='grpo',
    topology='v5p:4x4x4',
    tensor=1,
  )
  runlocal = ',runlocal' if arg.runlocal else ''
  model = 'tiny' if arg.runlocal else arg.model
  config = coderl_train.get_config(f'model={model},algo={arg.algo}{runlocal}')
  with config.unlocked():
    config.program = 'coderl.plan'
    config.plan = dict(topology=arg.topology, compile_decode=True)
    config.mesh.shape = (1, -1, arg.tensor)
    config.train.microbatches = 0
  return config
