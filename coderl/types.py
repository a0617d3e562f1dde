"""Types that the rooms exchange, and the key of array dimensions.

Array names end with one letter per axis:

  B sequences           G samples per prompt (a group)
  T positions (P + R)   P prompt positions, left-padded
  R response positions  S cache slots
  D model               N query heads         K key-value heads
  H head size           F mlp                 V vocabulary
  L layers              M traced variables    C tokens of a variable's value
  N microbatches

A prompt occupies the first P positions of a sequence, padded on the left; its
response occupies the last R, padded on the right. So response token r sits at
position P + r and is predicted from position P + r - 1.
"""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple

import flax.struct
import jax
import numpy as np

from coderl.sandbox import api

Array = jax.Array
Params = Any  # A tree of arrays.

# Prompt kinds.
GENERATE = 'generate'  # Write a program for a statement.
ALIGN = 'align'  # Infer the variables and the output of a failed program.
REASON = 'reason'  # Predict the output of a program.
TEST_OUTPUT = 'test_output'  # Predict a test's output from the statement.


@dataclasses.dataclass(frozen=True)
class Test:
  """One test of a problem, in one of three forms.

  stdin/stdout: `stdin` is the input and `expected` the text to be printed.
  Call: `call` is an expression, such as 'add(1, 2)', evaluated after the
    program ran; `expected` is the value's canonical text (values.canonical).
  Checker: `checker` is the source of assertions that call the problem's
    `entry_point`, for tests that cannot be split into calls.
  """

  stdin: str = ''
  expected: str = ''
  call: str | None = None
  checker: str | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
  """A programming problem.

  Attributes:
    id: unique within its data set.
    statement: the task in natural language.
    tests: at least one; hidden from the policy.
    entry_point: the name of the required function ('Solution.f' for a method),
      or None for a stdin/stdout program.
    prefix: source put before the response's program (HumanEval's imports and
      helpers); empty elsewhere.
    reference: a correct program, where the data set has one.
    source: the name of the data set, or the origin that it names.
    level: difficulty from 1 up; 0 where unknown.
  """

  id: str
  statement: str
  tests: tuple[Test, ...]
  entry_point: str | None = None
  prefix: str = ''
  reference: str | None = None
  source: str = ''
  level: int = 0


@dataclasses.dataclass(frozen=True)
class Target:
  """A variable to be inferred: its qualified name and its value.

  Attributes:
    name: as written in the prompt ('total', or 'solve.total' in a function).
    value: canonical text of the value at its last definition.
  """

  name: str
  value: str


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A prompt of the policy, tokenized.

  A chat prompt goes through the model's chat template. A completion prompt
  does not: the model continues `text`.

  Attributes:
    kind: GENERATE, ALIGN, REASON or TEST_OUTPUT.
    text: the user's message before the chat template, or the whole completion
      prompt.
    tokens: token ids of the whole prompt, chat template included.
    problem: the problem it was made from.
    program: ALIGN and REASON: the source of the program asked about.
    stdin: ALIGN, REASON, TEST_OUTPUT: the input asked about.
    expected: ALIGN, REASON, TEST_OUTPUT: the text that this input gives.
    targets: ALIGN: the variables to infer, in the prompt's order.
    queries: ALIGN: for each target, the index in `tokens` of the last token of
      its name in the list of target variables.
    opening: text put before a completion when it is parsed: the beginning of
      the program, or of the answer.
    closing: text put after the program of a completion.
    completion: whether this is a completion prompt.
    stops: strings that end a response.
  """

  kind: str
  text: str
  tokens: tuple[int, ...]
  problem: Problem
  program: str = ''
  stdin: str = ''
  expected: str = ''
  targets: tuple[Target, ...] = ()
  queries: tuple[int, ...] = ()
  opening: str = ''
  closing: str = ''
  completion: bool = False
  stops: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Rollout:
  """A sampled response, its verdict and its reward.

  Rollouts compare and hash by identity, since arrays have no truth value.

  Attributes:
    prompt: the prompt it responds to.
    tokens: int32 [length], the end-of-turn token included when reached.
    logprobs: float32 [length], log-probabilities of the tokens under the
      policy at the sampling temperature, before top-k, top-p and min-p.
    drawn_logprobs: float32 [length], under the distribution that the sampler
      drew from, after these filters.
    text: the response as text, without the end-of-turn token.
    finished: the policy ended the response itself, within the length limit.
    reward: in [0, 1].
    passed: the verdict. A program passes if it passes all tests of its problem,
      an answer if all of it is right.
      Other kinds: the whole answer is right, whatever credit `reward` gives.
    scores: named components of the reward (e.g. 'form', 'variables').
    masked: the response gets no gradient, because the sandbox failed.
    executions: GENERATE: one per test that was run, in order.
  """

  prompt: Prompt
  tokens: np.ndarray
  logprobs: np.ndarray
  drawn_logprobs: np.ndarray
  text: str
  finished: bool
  reward: float = 0.0
  passed: bool = False
  scores: dict[str, float] = dataclasses.field(default_factory=dict)
  masked: bool = False
  executions: tuple[api.Execution, ...] = ()


class RolloutBatch(NamedTuple):
  """Scored responses on the host, padded, one row per response.

  Attributes:
    tokens_BT: int32, prompt left-padded, response right-padded.
    valid_BT: bool, False on padding.
    mask_BR: bool, True on response tokens that get a gradient.
    logprobs_BR: float32, under the policy at the start of the update.
    advantages_BR: float32.
    returns_BR: float32, the value head's regression target (PPO only).
    values_BR: float32, the value head's output at the start of the update (PPO
      only).
    ref_logprobs_BR: float32, under the reference policy (with KL only).
    drawn_logprobs_BR: float32, under the distribution that drew the tokens.
    queries_BM: int32, positions in T that the trajectory head reads.
    values_BMC: int32, token ids of the target values.
    values_mask_BMC: bool, False on padding of the values.
  """

  tokens_BT: Array | np.ndarray
  valid_BT: Array | np.ndarray
  mask_BR: Array | np.ndarray
  logprobs_BR: Array | np.ndarray
  advantages_BR: Array | np.ndarray
  returns_BR: Array | np.ndarray
  values_BR: Array | np.ndarray
  ref_logprobs_BR: Array | np.ndarray
  drawn_logprobs_BR: Array | np.ndarray
  queries_BM: Array | np.ndarray
  values_BMC: Array | np.ndarray
  values_mask_BMC: Array | np.ndarray


class PackedBatch(NamedTuple):
  """The input of the training step: rows that several sequences share.

  A microbatch has B rows; a batch has a leading axis of N microbatches. A row
  holds T tokens, R response tokens and M target values. Unused entries have
  weight 0. Rows are sharded over data and fsdp.

  Attributes:
    tokens_BT: int32.
    segments_BT: int32, the number of the sequence within its row, from 1 up; 0
      on padding.
    before_BR: int32, the position in T from which a response token is
      predicted.
    targets_BR: int32, the response tokens.
    logprobs_BR, advantages_BR, returns_BR, values_BR, ref_logprobs_BR: as in
      RolloutBatch.
    policy_weights_BR: float32, weights of the policy-gradient and KL terms.
    token_weights_BR: float32, weights of token means; they sum to one over the
      batch.
    queries_BM: int32, positions in T that the trajectory head reads.
    values_BMC: int32, token ids of the target values.
    value_weights_BMC: float32, weights of the value tokens; 0 on padding.
  """

  tokens_BT: Array | np.ndarray
  segments_BT: Array | np.ndarray
  before_BR: Array | np.ndarray
  targets_BR: Array | np.ndarray
  logprobs_BR: Array | np.ndarray
  advantages_BR: Array | np.ndarray
  returns_BR: Array | np.ndarray
  values_BR: Array | np.ndarray
  ref_logprobs_BR: Array | np.ndarray
  policy_weights_BR: Array | np.ndarray
  token_weights_BR: Array | np.ndarray
  queries_BM: Array | np.ndarray
  values_BMC: Array | np.ndarray
  value_weights_BMC: Array | np.ndarray


class TrainState(flax.struct.PyTreeNode):
  """The device state that a training step changes.

  Attributes:
    step: int32 scalar, the number of optimizer updates done.
    params: {'policy': tree}, with 'lora', 'trajectory' and 'value' where there
      are adapters and heads.
    opt_state: the optimizer's state of the trained trees (train_step.trained).
  """

  step: Array
  params: Params
  opt_state: Any


# Function types.
# (logprobs_BR, old_logprobs_BR, advantages_BR) -> loss_BR, per token.
PolicyLoss = Callable[[Array, Array, Array], Array]
# mask_BR -> weights_BR; the loss is the weighted sum of the per-token losses.
Aggregation = Callable[[Array], Array]
# (rewards_BG, valid_BG) -> advantages_BG.
GroupAdvantage = Callable[[Array, Array], Array]
