"""Greedy evaluation on held-out problems, up to four questions to each.

  pass@1              write a program; all hidden tests pass
  code reasoning      predict what a given program prints
  test output         predict a test's output from the statement alone
  variable inference  the share of a run's last variables inferred right

Code reasoning and variable inference are asked of the reference and its traced
run; a problem without a reference or a runnable test is asked fewer questions.
`eval.questions` of the config names those that are asked at all.
Two more figures tell a gain in notation from one in understanding: the answer
form is the share of the answers on variables that can be read, and the last is
variable inference with answers in Python's notation read as well.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from coderl import types
from coderl.alignment import answers, tasks
from coderl.distributed import sharding
from coderl.models import load
from coderl.problems import mixtures
from coderl.reporting import report
from coderl.rewards import programs
from coderl.rl import batching
from coderl.sampling import base, sampler
from coderl.sandbox import api
from coderl.text import prompts as prompts_lib
from coderl.text import tokenization
from coderl.training import async_rewards, checkpoint, setup
from commons import estimates

PASS, REASONING, TEST_OUTPUT, VARIABLES = setup.QUESTIONS
FORM, ANY_NOTATION = 'answer form', 'in any notation'

Suite = Mapping[str, Sequence[types.Prompt]]


def make_suite(
  problems: Sequence[types.Problem],
  tokenizer: tokenization.Tokenizer,
  box: api.Runner,
  config: ml_collections.ConfigDict,
) -> Suite:
  """The questions to each problem; prompts too long are left out.

  Args:
    problems: what is asked about.
    tokenizer: the policy's.
    box: runs the references.
    config: its `eval.questions`, prompt style and limits.
  """
  style = config.data.prompt_style
  limit = config.data.max_prompt_len_tokens
  suite = {name: [] for name in setup.QUESTIONS}
  asks = suite.keys() & set(config.eval.questions)
  if PASS in asks:
    suite[PASS] = batching.generation_prompts(problems, tokenizer, style, limit)
  if asks & {REASONING, VARIABLES}:
    for problem, task in reference_runs(problems, box, config):
      suite[REASONING].append(reasoning(problem, task, tokenizer, style))
      prompt = tasks.to_prompt(
        task, problem, tokenizer, style=style, max_prompt_len_tokens=limit
      )
      suite[VARIABLES] += [prompt] if prompt else []
  if TEST_OUTPUT in asks:
    suite[TEST_OUTPUT] = [
      test_output(problem, tokenizer, style)
      for problem in problems
      if problem.tests[0].checker is None
    ]
  return {
    name: [p for p in asked if len(p.tokens) <= limit]
    for name, asked in suite.items()
    if name in asks
  }


def reasoning(
  problem: types.Problem,
  task: tasks.AlignmentTask,
  tokenizer: tokenization.Tokenizer,
  style: str,
) -> types.Prompt:
  """Asks what the task's program prints."""
  prompt, _ = prompts_lib.make(
    types.REASON,
    prompts_lib.reasoning(task.program, task.stdin, style),
    problem,
    tokenizer,
    style,
    program=task.program,
    stdin=task.stdin,
    expected=task.expected,
  )
  return prompt


def test_output(
  problem: types.Problem, tokenizer: tokenization.Tokenizer, style: str
) -> types.Prompt:
  """Asks what the problem's first test gives."""
  test = problem.tests[0]
  given = test.call or test.stdin
  prompt, _ = prompts_lib.make(
    types.TEST_OUTPUT,
    prompts_lib.test_output(problem, given, style),
    problem,
    tokenizer,
    style,
    stdin=given,
    expected=test.expected,
  )
  return prompt


def reference_runs(
  problems: Sequence[types.Problem],
  box: api.Runner,
  config: ml_collections.ConfigDict,
) -> list[tuple[types.Problem, tasks.AlignmentTask]]:
  """Each problem's reference, run and traced on its first test."""
  found = []
  for problem in problems:
    run = problem.reference and tasks.runnable(
      problem, problem.reference, problem.tests[0]
    )
    if run:
      found.append(tasks.Candidate(problem, *run, None, 0))
  executions = box.run(
    [api.Program(c.program, c.stdin, trace=True) for c in found]
  )
  bounds = tasks.Bounds(**config.alignment.bounds)
  made = [
    tasks.make_task(c, execution, step=0, bounds=bounds)
    for c, execution in zip(found, executions, strict=True)
  ]
  pairs = zip(found, made, strict=True)
  return [(c.problem, task) for c, task in pairs if task is not None]


def answer(
  source: base.Engine,
  policy: load.Policy,
  prompts: Sequence[types.Prompt],
  judge: async_rewards.Judge,
  config: ml_collections.ConfigDict,
) -> list[types.Rollout]:
  """One greedy, scored rollout a prompt, in the prompts' order."""
  size = config.eval.batch_size
  greedy = sampler.SamplingConfig(
    max_len_tokens=config.sampling.max_len_tokens,
    temperature=0.0,
    slots=config.sampling.slots,
    cache_dtype=config.sampling.cache_dtype,
  )
  # Neighbours in length share a batch, so that little of it is padding.
  order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].tokens))
  batches = []
  for start in range(0, len(order), size):
    part = order[start : start + size]
    asked = [prompts[i] for i in part]
    asked += asked[-1:] * (size - len(asked))
    key = jax.random.key(0)  # Greedy: never used.
    pending = async_rewards.begin(source, policy, asked, key, greedy, judge)
    batches.append((part, pending))
  answered = {}
  for part, pending in batches:
    answered |= zip(part, pending.scored(), strict=False)
  return [answered[i] for i in range(len(prompts))]


def scores(
  answered: Mapping[str, Sequence[types.Rollout]],
) -> dict[str, list[float]]:
  """Each rollout's score in its evaluation, in [0, 1]."""
  found = {
    name: [
      r.scores['variables'] if name == VARIABLES else r.reward for r in rollouts
    ]
    for name, rollouts in answered.items()
  }
  inferred = answered.get(VARIABLES, ())
  if inferred:
    found[FORM] = [r.scores['form'] for r in inferred]
    found[ANY_NOTATION] = [in_any_notation(r) for r in inferred]
  return found


def in_any_notation(r: types.Rollout) -> float:
  """The share of variables right, whether in JSON or in Python's notation."""
  reply = answers.as_json(prompts_lib.read(r.prompt, r.text))
  return programs.paper(
    answers.score_answer(reply, r.prompt.expected, r.prompt.targets)
  )


def summary(values: Sequence[float]) -> dict[str, float]:
  """Mean and 95 % interval: Wilson's of 0-1 scores, else the bootstrap's."""
  n = len(values)
  if not n:
    return {'accuracy': 0.0, 'low': 0.0, 'high': 1.0, 'n': 0}
  if set(values) <= {0.0, 1.0}:
    low, high = estimates.wilson_interval(sum(values), n)
  else:
    low, high = estimates.bootstrap_interval(np.asarray(values), seed=0)
  return {
    'accuracy': float(np.mean(values)),
    'low': float(low),
    'high': float(high),
    'n': n,
  }


def evaluate(
  source: base.Engine,
  policy: load.Policy,
  suite: Suite,
  judge: async_rewards.Judge,
  config: ml_collections.ConfigDict,
) -> dict[str, list[types.Rollout]]:
  """Scored greedy rollouts of every question of the suite."""
  return {
    name: answer(source, policy, asked, judge, config)
    for name, asked in suite.items()
    if asked
  }


def held_out_problems(
  config: ml_collections.ConfigDict,
) -> list[types.Problem]:
  """The first `eval.problems` held-out problems of `data.eval_name`."""
  problems = mixtures.load_problems(
    config.data.eval_name,
    config.data.eval_split,
    seed=config.data.seed,
    path=config.data.eval_path or None,
    data_dir=config.data.dir or None,
  )
  return problems[: config.eval.problems]


def passes(rollouts: Sequence[types.Rollout]) -> dict[str, Any]:
  """Counts of programs, and the ids of the problems that were solved."""
  solved = [r.prompt.problem.id for r in rollouts if r.reward == 1]
  return {'passed': len(solved), 'n': len(rollouts), 'solved': solved}


def run(config: ml_collections.ConfigDict, workdir: str) -> None:
  """Evaluates the policy `model.path`: results.json and a table.

  results.json holds the evaluations' means and intervals and, under the name
  of the data set, how many and which programs passed.
  """
  setup.check_evaluation(config)
  checkpoint.check_config(workdir, config)
  checkpoint.write_config(workdir, config)
  report_on(config, pathlib.Path(workdir))


def report_on(config: ml_collections.ConfigDict, folder: pathlib.Path) -> None:
  """Evaluates, writes `folder/results.json` and prints the table."""
  mesh = sharding.make_mesh(config.mesh.shape)
  policy = load.open_policy(config.model, mesh)
  load.check_lengths(policy.model, config)
  with (
    setup.open_sandbox(config.sandbox) as box,
    jax.set_mesh(mesh),
  ):
    suite = make_suite(held_out_problems(config), policy.tokenizer, box, config)
    source = base.BuiltIn(config.data.bucket_len_tokens, mesh)
    answered = evaluate(source, policy, suite, async_rewards.Judge(box), config)
  found = {name: summary(s) for name, s in scores(answered).items()}
  results = {'evaluations': {'policy': found}}
  if PASS in answered:
    results[config.data.eval_name] = passes(answered[PASS])
  (folder / 'results.json').write_text(json.dumps(results, indent=2) + '\n')
  print(report.table(results))
