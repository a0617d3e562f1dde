"""The embedded policy, from nothing: tokenizer, supervised training, export.

In order: write programs for the embedded suite's training problems in several
styles, and answers to the other kinds of prompt on right and wrong programs;
train a byte-level BPE on all of it; train the policy by maximum likelihood with
the train step of RL (the policy gradient with every advantage one); save it in
the Hugging Face layout.

The corpus is of mixed quality, as code on the web is: some operations mostly
stand with their usual mistake (problem_set.common_solution), and answers come in
two notations. So the policy can do better than it does: what RL is for.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import json
import pathlib

import jax
import ml_collections
import numpy as np
import optax
import optax.contrib
import tqdm

from coderl import types
from coderl.alignment import answers
from coderl.alignment import tasks as tasks_lib
from coderl.distributed import sharding
from coderl.evaluators import held_out
from coderl.models import presets, transformer
from coderl.models.checkpoints import huggingface
from coderl.problems.sources.embedded import problem_set
from coderl.rl import algorithms, batching, losses, packing, train_step
from coderl.sandbox import api
from coderl.text import prompts, tokenization
from coderl.training import checkpoint, setup
from commons import errors

_Matrix = optax.contrib.MuonDimensionNumbers
# Input and output axes of the transformer's weights; axis 0 is the layer.
MATRICES = {
  'q': _Matrix(1, (2, 3)),
  'k': _Matrix(1, (2, 3)),
  'v': _Matrix(1, (2, 3)),
  'o': _Matrix((1, 2), 3),
  'gate': _Matrix(1, 2),
  'up': _Matrix(1, 2),
  'down': _Matrix(1, 2),
}
# Of answers in Python's notation, by whether the answer holds a list.
_PYTHON_SHARES = {False: 0.15, True: 0.6}


@dataclasses.dataclass(frozen=True)
class Example:
  """A prompt's text and the reply to learn, as texts."""

  kind: str
  prompt: str
  reply: str


def program_examples(
  problems: Sequence[types.Problem], rng: np.random.Generator, style: str
) -> list[Example]:
  """One program a problem, as such programs are commonly written."""
  return [
    Example(
      types.GENERATE,
      prompts.generation(problem, style),
      fenced(problem_set.common_solution(problem, rng)),
    )
    for problem in problems
  ]


def traced_tasks(
  problems: Sequence[types.Problem],
  rng: np.random.Generator,
  box: api.Runner,
  bounds: tasks_lib.Bounds,
) -> list[tasks_lib.AlignmentTask]:
  """A right or usual wrong program of each problem, run and traced."""
  found = []
  for problem in problems:
    wrong = problem_set.wrong_solutions(problem, rng)[:1]
    sources = [problem_set.solution(problem, rng), *wrong]
    source = sources[rng.integers(len(sources))]
    test = problem.tests[rng.integers(len(problem.tests))]
    found.append(tasks_lib.Candidate(problem, source, test.stdin, None, 0))
  runs = box.run([api.Program(c.program, c.stdin, trace=True) for c in found])
  tasks = [
    tasks_lib.make_task(c, run, step=0, bounds=bounds)
    for c, run in zip(found, runs, strict=True)
  ]
  return [task for task in tasks if task is not None]


def inference_examples(
  tasks: Sequence[tasks_lib.AlignmentTask],
  rng: np.random.Generator,
  style: str,
) -> Iterator[Example]:
  """Each task as an alignment prompt or, one in five, as code reasoning."""
  for i, task in enumerate(tasks):
    if i % 5:
      names = [target.name for target in task.targets]
      text, _ = prompts.alignment(task.program, task.stdin, names, style)
      yield Example(types.ALIGN, text, noted(task, rng))
    else:
      steps = [f'{target.name} = {target.value}' for target in task.targets]
      yield Example(
        types.REASON,
        prompts.reasoning(task.program, task.stdin, style),
        '\n'.join([*steps, boxed(task.expected)]),
      )


def noted(task: tasks_lib.AlignmentTask, rng: np.random.Generator) -> str:
  """The right answer, in JSON or as Python would print it.

  Answers that hold a list are mostly found in Python's notation, all others
  mostly in JSON. The policy learns both; which one is asked for is left to RL.
  """
  answer = answers.answer_json(task.expected, task.targets)
  holds_list = any(target.value.startswith('[') for target in task.targets)
  if rng.random() < _PYTHON_SHARES[holds_list]:
    return repr(json.loads(answer))
  return answer


def output_examples(
  problems: Sequence[types.Problem], rng: np.random.Generator, style: str
) -> list[Example]:
  """One test's output a problem, from the statement alone."""
  found = []
  for problem in problems:
    test = problem.tests[rng.integers(len(problem.tests))]
    text = prompts.test_output(problem, test.stdin, style)
    found.append(Example(types.TEST_OUTPUT, text, boxed(test.expected)))
  return found


def fenced(source: str) -> str:
  return '```python\n' + source.rstrip('\n') + '\n```'


def boxed(output: str) -> str:
  return '\\boxed{' + output.rstrip('\n') + '}'


def corpus(config: ml_collections.ConfigDict, box: api.Runner) -> list[Example]:
  """All examples; the shares of the kinds are the config's."""
  problems = problem_set.problems('train', config.data.seed)
  rng = np.random.default_rng([config.seed, 0])
  style = config.data.prompt_style
  draw = lambda n: [problems[i] for i in rng.integers(len(problems), size=n)]
  tasks = traced_tasks(
    draw(config.corpus.traces),
    rng,
    box,
    tasks_lib.Bounds(**config.alignment.bounds),
  )
  examples = program_examples(draw(config.corpus.programs), rng, style)
  examples += inference_examples(tasks, rng, style)
  examples += output_examples(draw(config.corpus.outputs), rng, style)
  return examples


def to_rollout(
  example: Example, tokenizer: tokenization.Tokenizer
) -> types.Rollout:
  """The reply as if the policy had sampled it."""
  tokens, _ = tokenizer.encode_chat(example.prompt)
  token_ids = [*tokenizer.encode_plain(example.reply), tokenizer.eos_id]
  reply = np.array(token_ids, np.int32)
  problem = types.Problem(id='', statement='', tests=())
  prompt = types.Prompt(example.kind, example.prompt, tuple(tokens), problem)
  logprobs = np.zeros(len(reply), np.float32)
  return types.Rollout(prompt, reply, logprobs, logprobs, example.reply, True)


def batches(
  rollouts: Sequence[types.Rollout],
  size: int,
  bucket_len: int,
  rng: np.random.Generator,
) -> Iterator[list[types.Rollout]]:
  """Batches of equal padded shape, in an order drawn anew each epoch."""
  shapes: dict[tuple[int, int], list[types.Rollout]] = {}
  for r in rollouts:
    lens = (len(r.prompt.tokens), len(r.tokens))
    shape = tuple(packing.bucket(n, bucket_len) for n in lens)
    shapes.setdefault(shape, []).append(r)
  if all(len(rows) < size for rows in shapes.values()):
    raise errors.UserError(
      f'train.batch_size={size}: no padded shape has so many examples'
    )
  while True:
    epoch = []
    for rows in shapes.values():
      order = rng.permutation(len(rows))
      for i in range(0, len(rows) - size + 1, size):
        epoch.append([rows[j] for j in order[i : i + size]])
    for i in rng.permutation(len(epoch)):
      yield epoch[i]


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Trains the embedded policy, writes `workdir/policy` and evaluates it."""
  checkpoint.check_config(workdir, config)
  folder = pathlib.Path(workdir)
  mesh = sharding.make_mesh(config.mesh.shape)
  size, parts = config.train.batch_size, config.train.microbatches
  sharding.check_batch(size, 'train.batch_size', mesh, parts)
  if config.model.preset not in presets.PRESETS:
    raise errors.unknown('model', config.model.preset, presets.PRESETS)
  model = presets.PRESETS[config.model.preset]
  sharding.check_heads(model.num_heads, mesh)
  if config.train.steps <= config.optimizer.warmup_steps:
    raise errors.UserError(
      f'train.steps={config.train.steps}: must be more than'
      f' optimizer.warmup_steps={config.optimizer.warmup_steps}'
    )
  checkpoint.write_config(workdir, config)
  with setup.open_sandbox(config.sandbox) as box:
    examples = corpus(config, box)
  texts = (text for e in examples for text in (e.prompt, e.reply))
  tokenizer = tokenization.train_bpe(texts, model.vocab_size)
  params = fit(config, model, tokenizer, examples, mesh)
  tokenizer.save(folder / 'policy')
  huggingface.save(folder / 'policy', model, params['policy'])
  # What is evaluated is what is shipped, at its stored precision.
  config = config.copy_and_resolve_references()
  config.model.path = str(folder / 'policy')
  held_out.evaluate_policy(config, folder)


def matrices(params: types.Params):
  """Which axes of each layer's weights make a matrix; None for the rest."""

  def of_leaf(path, leaf):
    del leaf
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    return MATRICES.get(names[-1]) if 'layers' in names else None

  return jax.tree_util.tree_map_with_path(of_leaf, params)


def fit(
  config: ml_collections.ConfigDict,
  model: transformer.ModelConfig,
  tokenizer: tokenization.Tokenizer,
  examples: Sequence[Example],
  mesh: jax.sharding.Mesh,
) -> types.Params:
  """Maximum likelihood on the replies; returns the params."""
  objective = train_step.Objective(
    model=model,
    algorithm=dataclasses.replace(
      algorithms.ALGORITHMS['grpo'], policy_loss=losses.policy_gradient
    ),
  )
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.optimizer.learning_rate,
    config.optimizer.warmup_steps,
    config.train.steps,
  )
  # Muon: in so few steps AdamW learned much less.
  optimizer = optax.chain(
    optax.clip_by_global_norm(config.optimizer.max_grad_norm),
    optax.contrib.muon(
      schedule,
      weight_decay=config.optimizer.weight_decay,
      consistent_rms=0.2,
      adam_learning_rate=schedule,
      muon_weight_dimension_numbers=matrices,
    ),
  )
  layout = batching.Layout(config.data.bucket_len_tokens, 0, 0)
  rng = np.random.default_rng([config.seed, 1])
  rollouts = [to_rollout(e, tokenizer) for e in examples]
  stream = batches(
    rollouts, config.train.batch_size, config.data.bucket_len_tokens, rng
  )
  with jax.set_mesh(mesh):
    state, shardings = train_step.init_state(
      jax.random.key(config.seed), objective, optimizer, mesh
    )
    step = train_step.compile_step(objective, optimizer, shardings, mesh)
    progress = tqdm.trange(config.train.steps)
    for _ in progress:
      batch = batching.padded(next(stream), layout, tokenizer)
      batch = batch._replace(advantages_BR=batch.mask_BR.astype(np.float32))
      packed, _ = batching.pack(
        batch, layout, objective.algorithm, config.train.microbatches
      )
      packed = sharding.put(packed, mesh, sharding.MICROBATCHES)
      state, metrics = step(state, packed)
      if progress.n % 20 == 0:
        progress.set_postfix(loss=f'{float(metrics["loss"]):.3f}')
  return state.params
