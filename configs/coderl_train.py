"""CodeRL+ training (arXiv 2510.18471): code policies learn from executions.

  python -m main --config=configs/coderl_train.py --workdir=runs/coderl

trains the embedded policy (1.1M parameters) on the embedded problems on two CPU
cores, without a download. Arguments after a colon choose the experiment:

  runlocal      the same experiment, shrunk to a minute, or to some minutes
                where a pretrained model runs on the CPU
  model=NAME    tiny (the embedded policy), small (a larger one of its kind), or
                another preset of coderl/models/presets.py; gemma3-* has
                settings for two CPU cores, all others have the paper's
  path=DIR      a local Hugging Face folder: weights, config, tokenizer. Without
                model= it may hold any model; the settings are the paper's
                unless its vocabulary is as small as that of tiny
  style=NAME    style of the prompts, if not the model's: compact, paper (for
                chat models), completion (for base models)
  algo=NAME     grpo, dr_grpo, dapo, rloo, reinforce_pp, ppo
  data=NAME     embedded, mbpp, leetcode, prime, codeio, or a mixture such as
                embedded+prime; file=PATH is the file that it is read from
  seed=N

Any field below is set by --config.section.field=value.
"""

import json
import pathlib

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common

# The settings of each preset; presets that are not listed have the paper's.
_SETTINGS = {
  'tiny': 'embedded',
  'small': 'embedded',
  'gemma3-270m': 'base',
  'gemma3-1b': 'base',
}
_EMBEDDED_VOCAB_SIZE = 1024
# Data sets that have a test split.
_TESTED = ('mbpp', 'human_eval', 'humaneval_shortest48')
# Evaluators; see coderl/evaluators/suite.py.
_ALL_QUESTIONS = (
  'pass@1',
  'code reasoning',
  'test output',
  'variable inference',
)


def settings(model: str, path: str) -> str:
  """Returns the kind of settings that suit a model.

  'embedded' is for the project's policies, 'base' for pretrained base models on
  CPUs, and 'paper' for the paper's runs.
  """
  if model or not path:
    return _SETTINGS.get(model or 'tiny', 'paper')
  try:
    config = json.loads((pathlib.Path(path) / 'config.json').read_bytes())
    return (
      'embedded' if config['vocab_size'] <= _EMBEDDED_VOCAB_SIZE else 'paper'
    )
  except (OSError, ValueError, TypeError, KeyError):
    # The folder holds no model, which is an error where it is opened.
    return 'paper'


def get_config(arg: str = '') -> ml_collections.ConfigDict:
  """Returns the experiment; the values of `paper` are those of the paper."""
  arg = common.parse_arg(
    arg,
    runlocal=False,
    model='',
    path='',
    style='',
    algo='grpo',
    data='embedded',
    file='',
    seed=0,
  )
  kind = settings(arg.model, arg.path)
  pick = lambda embedded, base, paper: dict(
    embedded=embedded, base=base, paper=paper
  )[kind]
  # PRIME has no held-out split, so that HumanEval is evaluated.
  first = arg.data.split('+')[0]
  evaluated = 'human_eval' if first == 'prime' else first
  config = ml_collections.ConfigDict()
  config.program = 'coderl.train'
  config.seed = arg.seed

  config.model = dict(
    # '' accepts any model that the path holds.
    preset=arg.model or ('' if arg.path else 'tiny'),
    # Hugging Face folder of the initial policy; '' is the embedded one.
    path=arg.path,
    dtype=pick('float32', 'float32', 'bfloat16'),  # dtype of activations.
    # What a layer stores for the backward pass: off (everything), full
    # (nothing), dots, attention.
    remat=pick('off', 'off', 'full'),
    attention='',  # plain, cudnn (GPU), splash (TPU); '' suits the devices.
  )
  config.data = dict(
    name=arg.data,  # 'embedded+prime' mixes both at equal rates.
    path=arg.file,  # File of a data set that is read from one.
    eval_name=evaluated,
    eval_path=arg.file if evaluated in (arg.data, 'mbpp') else '',
    dir='',  # Folder of prepared data sets; '' is the user's cache.
    seed=0,  # Seed of the embedded problems.
    train_split='train',
    eval_split='test' if evaluated in _TESTED else 'heldout',
    prompt_style=arg.style or pick('compact', 'completion', 'paper'),
    max_prompt_len_tokens=pick(320, 512, 1024),
    # Prompts and responses are padded to a multiple of this length.
    bucket_len_tokens=pick(40, 128, 256),
  )
  config.sampling = dict(
    group_size=8,
    max_len_tokens=pick(120, 128, 8192),
    temperature=pick(1.0, 0.6, 1.0),  # At 1, small base models ramble.
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    slots=pick(64, 16, 256),  # Sequences decoded at once; 0 is all.
    # dtype of cached keys and values: float32, bfloat16, int8; '' as the model.
    cache_dtype='',
  )
  # With a url, a server with OpenAI's API, such as vLLM, samples the responses
  # (coderl/sampling/remote.py); without one, the sampler of this package does.
  config.engine = dict(
    url='',
    model='',  # Name of the model; '' is the first that the server lists.
    # Folder where the server finds new weights, and the request to load them.
    folder='',
    reload_path='/collective_rpc',
    reload_body='{"method": "reload_weights"}',
    concurrency=64,  # Concurrent requests.
    timeout_s=600.0,
  )
  # With rank > 0, adapters are trained instead of the weights.
  config.lora = dict(
    rank=0, alpha=32.0, targets=('q', 'k', 'v', 'o', 'gate', 'up', 'down')
  )
  config.algorithm = dict(
    name=arg.algo,
    # None keeps the value of the algorithm's paper (coderl/rl/algorithms.py).
    clip_low=placeholder(float),
    clip_high=placeholder(float),
    dual_clip=placeholder(float),
    aggregation=placeholder(str),
    kl_weight=0.0 if arg.algo in ('dapo', 'dr_grpo') else pick(0.0, 0.0, 0.001),
    kl_estimator='k3',
    gamma=1.0,
    lam=0.95,
    value_weight=0.5,
    value_clip=0.2,
    overlong_buffer_len_tokens=(
      pick(32, 32, 4096) if arg.algo == 'dapo' else 0
    ),
    # Sample more code prompts than are trained on, and prefer groups whose
    # rewards differ. Training tiny costs more than sampling from it.
    dynamic_sampling=arg.algo == 'dapo' or kind == 'embedded',
    oversampling=2,
    # Bound of the importance ratio where the distribution that is sampled from
    # is not the policy: a server, top-p, weights of the previous step.
    importance_cap=2.0,
  )
  config.alignment = dict(
    ratio=0.4,  # Share of alignment prompts in a batch; rho of the paper.
    reward='official',  # Or 'paper': the fraction of variables alone.
    start_step=pick(2, 2, 10),
    # Which failed programs become alignment tasks (tasks.Bounds).
    bounds=dict(
      min_complexity=0,
      max_complexity=100,
      max_variables=3,
      max_output_chars=pick(60, 100, 1000),
      max_value_chars=pick(60, 60, 1000),
    ),
    buffer_capacity=20000,
    max_age_steps=pick(20, 50, 50),
  )
  config.trajectory = dict(
    weight=pick(0.02, 0.1, 0.1),  # Lambda; 0 is without the auxiliary head.
    max_value_tokens=16,
  )
  config.train = dict(
    steps=40,
    max_tokens=0,  # Stop after this many response tokens; 0 is no limit.
    prompts_per_step=pick(32, 8, 128),
    minibatches=pick(2, 1, 2),
    microbatches=pick(8, 16, 16),
    # With 1, the next step is sampled before the update, while programs run.
    staleness=0,
  )
  config.optimizer = dict(
    learning_rate=pick(6e-4, 2e-6, 1e-6),
    warmup_steps=pick(10, 0, 0),
    weight_decay=pick(0.0, 0.0, 0.01),
    max_grad_norm=1.0,
    b1=0.9,
    b2=pick(0.99, 0.999, 0.999),
  )
  config.sandbox = dict(
    limits=dict(
      cpu_s=pick(1.0, 5.0, 6.0),
      wall_s=pick(2.0, 5.0, 10.0),
      memory_mb=512,
      output_kb=pick(64, 64, 1024),
      file_kb=64,
      processes=16,
      threads=32,
      trace_events=256,
    ),
    workers=0,  # Processes on this host; 0 is one per core.
    # Server that runs programs (coderl/sandbox/service/serve.py); '' is this
    # host.
    url='',
    # Layers of the sandbox (docs/sandbox.md) without which no program may run.
    require=(),
  )
  # Axes data, fsdp, tensor; -1 is all remaining devices.
  config.mesh = dict(shape=(1, -1, 1))
  # Runs of several processes: coderl/distributed/processes.py and launch/.
  config.hosts = dict(coordinator='', count=0, index=-1, wait_s=300)
  config.checkpoint = dict(every_steps=pick(10, 20, 50), keep=2)
  config.eval = dict(
    problems=pick(400, 48, 400),
    batch_size=pick(200, 48, 200),
    questions=_ALL_QUESTIONS[: pick(4, 1, 4)],
  )
  config.log = dict(samples_every_steps=10, samples=4)

  if arg.runlocal:
    config.train.steps = pick(3, 2, 3)
    config.train.prompts_per_step = pick(6, 4, 6)
    config.train.microbatches = pick(2, 4, 2)
    config.alignment.ratio = 0.34
    config.log.samples_every_steps = 1
    config.sampling.group_size = 4
    config.alignment.start_step = 1
    config.eval.problems = pick(32, 8, 32)
    config.eval.batch_size = pick(32, 8, 32)
    config.checkpoint.every_steps = 2
  config.lock()
  return config
