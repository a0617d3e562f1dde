"""Pretrains the embedded policy from random weights, by supervised learning.

The steps, in order:
  1. Make a corpus on the training problems of the embedded suite: programs in
     several styles, and answers to the other kinds of prompt.
  2. Train a byte-level BPE tokenizer on it.
  3. Train the policy by maximum likelihood, with the training step of RL: the
     policy gradient with all advantages 1.
  4. Save the policy in the Hugging Face layout and evaluate it.

The corpus has mixed quality, like code on the web: some operations mostly have
their usual mistake (problem_set.common_solution), and answers have two
notations. The policy therefore knows more than it does by default, which leaves
room for RL.
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
from coderl.alignment import tasks as alignment_tasks
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
# Input and output axes of the transformer's weights. Axis 0 is the layer.
_MATRIX_AXES = {
  'q': _Matrix(1, (2, 3)),
  'k': _Matrix(1, (2, 3)),
  'v': _Matrix(1, (2, 3)),
  'o': _Matrix((1, 2), 3),
  'gate': _Matrix(1, 2),
  'up': _Matrix(1, 2),
  'down': _Matrix(1, 2),
}
# Share of answers in Python's notation, by whether the answer has a list.
_PYTHON_SHARES = {False: 0.15, True: 0.6}


@dataclasses.dataclass(frozen=True)
class Example:
  """A training example: the text of a prompt and the reply to learn.

  Attributes:
    kind: the kind of prompt, as in types.
    prompt: the user's message.
    reply: the reply to learn.
  """

  kind: str
  prompt: str
  reply: str


def program_examples(
  problems: Sequence[types.Problem], rng: np.random.Generator, style: str
) -> list[Example]:
  """Returns one example per problem: a program with the habits of the web."""
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
  runner: api.Runner,
  bounds: alignment_tasks.Bounds,
) -> list[alignment_tasks.AlignmentTask]:
  """Traces a right or a wrong program for each problem and returns the tasks.

  Runs that are unsuitable give no task (alignment.tasks.make_task).
  """
  candidates = []
  for problem in problems:
    wrong = problem_set.wrong_solutions(problem, rng)[:1]
    sources = [problem_set.solution(problem, rng), *wrong]
    source = sources[rng.integers(len(sources))]
    test = problem.tests[rng.integers(len(problem.tests))]
    candidates.append(
      alignment_tasks.Candidate(problem, source, test.stdin, None, 0)
    )
  executions = runner.run(
    [api.Program(c.program, c.stdin, trace=True) for c in candidates]
  )
  tasks = [
    alignment_tasks.make_task(candidate, execution, step=0, bounds=bounds)
    for candidate, execution in zip(candidates, executions, strict=True)
  ]
  return [task for task in tasks if task is not None]


def inference_examples(
  tasks: Sequence[alignment_tasks.AlignmentTask],
  rng: np.random.Generator,
  style: str,
) -> Iterator[Example]:
  """Yields each task as an alignment prompt; every fifth as code reasoning."""
  for i, task in enumerate(tasks):
    if i % 5:
      names = [target.name for target in task.targets]
      text, _ = prompts.alignment(task.program, task.stdin, names, style)
      yield Example(types.ALIGN, text, answer_text(task, rng))
    else:
      steps = [f'{target.name} = {target.value}' for target in task.targets]
      yield Example(
        types.REASON,
        prompts.reasoning(task.program, task.stdin, style),
        '\n'.join([*steps, boxed_answer(task.expected)]),
      )


def answer_text(
  task: alignment_tasks.AlignmentTask, rng: np.random.Generator
) -> str:
  """Returns the right answer, in JSON or as Python prints it.

  The notation is drawn. Most answers with a list are in Python's notation, most
  others in JSON, which prompts ask for. The policy learns both; RL has to teach
  it which one earns the reward.
  """
  answer = answers.answer_json(task.expected, task.targets)
  has_list = any(target.value.startswith('[') for target in task.targets)
  if rng.random() < _PYTHON_SHARES[has_list]:
    return repr(json.loads(answer))
  return answer


def output_examples(
  problems: Sequence[types.Problem], rng: np.random.Generator, style: str
) -> list[Example]:
  """Returns one example per problem: a test's output from the statement."""
  examples = []
  for problem in problems:
    test = problem.tests[rng.integers(len(problem.tests))]
    text = prompts.test_output(problem, test.stdin, style)
    reply = boxed_answer(test.expected)
    examples.append(Example(types.TEST_OUTPUT, text, reply))
  return examples


def fenced(source: str) -> str:
  return '```python\n' + source.rstrip('\n') + '\n```'


def boxed_answer(output: str) -> str:
  return '\\boxed{' + output.rstrip('\n') + '}'


def make_corpus(
  config: ml_collections.ConfigDict, runner: api.Runner
) -> list[Example]:
  """Returns all examples; `config.corpus` has the number of each kind."""
  problems = problem_set.problems('train', config.data.seed)
  rng = np.random.default_rng([config.seed, 0])
  style = config.data.prompt_style

  def draw(n):
    return [problems[i] for i in rng.integers(len(problems), size=n)]

  tasks = traced_tasks(
    draw(config.corpus.traces),
    rng,
    runner,
    alignment_tasks.Bounds(**config.alignment.bounds),
  )
  examples = program_examples(draw(config.corpus.programs), rng, style)
  examples += inference_examples(tasks, rng, style)
  examples += output_examples(draw(config.corpus.outputs), rng, style)
  return examples


def to_rollout(
  example: Example, tokenizer: tokenization.Tokenizer
) -> types.Rollout:
  """Returns a rollout with the example's reply, as if it had been sampled."""
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
  """Yields batches of `size` examples with the same padded shape, endlessly.

  Lengths are rounded up to multiples of `bucket_len` tokens. Every epoch has a
  new random order.

  Raises:
    UserError: no shape has `size` examples.
  """
  shapes: dict[tuple[int, int], list[types.Rollout]] = {}
  for rollout in rollouts:
    lens = (len(rollout.prompt.tokens), len(rollout.tokens))
    shape = tuple(packing.bucket(n, bucket_len) for n in lens)
    shapes.setdefault(shape, []).append(rollout)
  if all(len(same_shape) < size for same_shape in shapes.values()):
    raise errors.UserError(
      f'train.batch_size={size}: no padded shape has that many examples'
    )
  while True:
    epoch = []
    for same_shape in shapes.values():
      order = rng.permutation(len(same_shape))
      for i in range(0, len(same_shape) - size + 1, size):
        epoch.append([same_shape[j] for j in order[i : i + size]])
    for i in rng.permutation(len(epoch)):
      yield epoch[i]


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Pretrains the policy, writes it to `workdir/policy` and evaluates it."""
  checkpoint.check_config(workdir, config)
  folder = pathlib.Path(workdir)
  mesh = sharding.make_mesh(config.mesh.shape)
  size, microbatches = config.train.batch_size, config.train.microbatches
  sharding.check_batch(size, 'train.batch_size', mesh, microbatches)
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
  with setup.open_sandbox(config.sandbox) as runner:
    examples = make_corpus(config, runner)
  texts = (text for e in examples for text in (e.prompt, e.reply))
  tokenizer = tokenization.train_bpe(texts, model.vocab_size)
  params = train(config, model, tokenizer, examples, mesh)
  tokenizer.save(folder / 'policy')
  huggingface.save(folder / 'policy', model, params['policy'])
  # The saved policy is evaluated, at its stored precision.
  config = config.copy_and_resolve_references()
  config.model.path = str(folder / 'policy')
  held_out.evaluate_policy(config, folder)


def matrix_axes(params: types.Params) -> types.Params:
  """Returns the axes that make a matrix of each weight; None for no matrix."""

  def of_leaf(path, leaf):
    del leaf
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    return _MATRIX_AXES.get(names[-1]) if 'layers' in names else None

  return jax.tree_util.tree_map_with_path(of_leaf, params)


def make_optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """Returns Muon for the matrices of the layers and Adam for other weights.

  In as few steps as here, AdamW for all weights learned much less.
  """
  schedule = optax.warmup_cosine_decay_schedule(
    0.0,
    config.optimizer.learning_rate,
    config.optimizer.warmup_steps,
    config.train.steps,
  )
  return optax.chain(
    optax.clip_by_global_norm(config.optimizer.max_grad_norm),
    optax.contrib.muon(
      schedule,
      weight_decay=config.optimizer.weight_decay,
      consistent_rms=0.2,
      adam_learning_rate=schedule,
      muon_weight_dimension_numbers=matrix_axes,
    ),
  )


def train(
  config: ml_collections.ConfigDict,
  model: transformer.ModelConfig,
  tokenizer: tokenization.Tokenizer,
  examples: Sequence[Example],
  mesh: jax.sharding.Mesh,
) -> types.Params:
  """Trains by maximum likelihood on the replies and returns the parameters."""
  objective = train_step.Objective(
    model=model,
    algorithm=dataclasses.replace(
      algorithms.ALGORITHMS['grpo'], policy_loss=losses.policy_gradient
    ),
  )
  optimizer = make_optimizer(config)
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
