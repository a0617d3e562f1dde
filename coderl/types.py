"""Types of the seams, and the dimension key.

Array names end with one letter an axis:

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
REASON = 'reason'  # Predict the output of a given program.
TEST_OUTPUT = 'test_output'  # Predict a test's output from the statement.


@dataclasses.dataclass(frozen=True)
class Test:
  """One test of a problem, in one of three forms.

  stdin/stdout: `stdin` is fed and `expected` is the text to be printed.
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

  id: unique within its data set.
  statement: what is asked, in natural language.
  tests: at least one; hidden from the policy.
  entry_point: the function to be written ('Solution.f' for a method), or None
    for a stdin/stdout program.
  prefix: source put before the response's program (HumanEval's imports and
    helpers); empty elsewhere.
  reference: a right program, where the data set has one.
  source: the data set's name, or the origin it gives of the row.
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

  name: as it stands in the prompt ('total', or 'solve.total' in a function).
  value: canonical text of the value at its last definition.
  """

  name: str
  value: str


@dataclasses.dataclass(frozen=True)
class Prompt:
  """What the policy is asked, ready to be sampled from.

  kind: GENERATE, ALIGN, REASON or TEST_OUTPUT.
  text: the user's message, before the chat template; of a completion, all of
    the prompt.
  tokens: token ids of the whole prompt, chat template included.
  problem: the problem it stems from.
  program: ALIGN and REASON: the source whose run is asked about.
  stdin: ALIGN, REASON, TEST_OUTPUT: the input asked about.
  expected: ALIGN, REASON, TEST_OUTPUT: what that run prints.
  targets: ALIGN: the variables asked for, in the prompt's order.
  queries: ALIGN: for each target, the index in `tokens` of the last token of
    its name in the list of target variables.
  opening: of a completion, what its reply is read after: the beginning of the
    program, or of the answer.
  closing: of a completion, what follows the program.
  completion: the reply goes on from `text`, with no chat around it.
  stops: texts that end a response.
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


@dataclasses.dataclass(frozen=True)
class Rollout:
  """A sampled response with what became of it.

  tokens, logprobs: the response, the end-of-turn token included when reached;
    log-probabilities under the policy at the temperature of sampling.
  drawn_logprobs: under the distribution that drew the tokens, after top-k,
    top-p and min-p, by the engine that sampled.
  text: the response as text, without the end-of-turn token.
  finished: the policy ended the response itself, within the length limit.
  reward: in [0, 1].
  scores: named parts of the reward (e.g. 'passed', 'form', 'variables').
  masked: the row carries no gradient (its execution failed for reasons of
    ours, not of the program).
  executions: GENERATE: one per test that was run, in order.
  """

  prompt: Prompt
  tokens: tuple[int, ...]
  logprobs: tuple[float, ...]
  drawn_logprobs: tuple[float, ...]
  text: str
  finished: bool
  reward: float = 0.0
  scores: dict[str, float] = dataclasses.field(default_factory=dict)
  masked: bool = False
  executions: tuple[api.Execution, ...] = ()


class RolloutBatch(NamedTuple):
  """Scored responses on the host, a row each.

  tokens_BT: int32, prompt left-padded, response right-padded.
  valid_BT: bool, False on padding.
  mask_BR: bool, True on response tokens that carry gradient.
  logprobs_BR: float32, of the response under the policy that sampled it.
  advantages_BR: float32.
  returns_BR: float32, the value head's regression target (PPO only).
  values_BR: float32, the value head's output at sampling time (PPO only).
  ref_logprobs_BR: float32, under the reference policy (KL only).
  drawn_logprobs_BR: float32, under the distribution that drew the tokens.
  queries_BM: int32, positions in T the trajectory head reads.
  values_BMC: int32, token ids of the target values.
  values_mask_BMC: bool, True on value tokens that exist.
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
  """What an update is computed on: rows that several sequences share.

  A microbatch of B rows; in a batch, an axis N of microbatches comes first. A
  row has T tokens, R slots for response tokens and M for target values; those
  that nothing fills weigh nothing. Rows lie over data and fsdp.

  tokens_BT: int32. segments_BT: int32, the number of the sequence in its
    row, from 1 up; 0 on padding.
  before_BR: int32, positions in T of the tokens before the response's.
  targets_BR: int32, the response's tokens.
  logprobs_BR, advantages_BR, returns_BR, values_BR, ref_logprobs_BR: as
    in RolloutBatch.
  policy_weights_BR, token_weights_BR: float32, weights of the loss's terms
    and of token means; they sum to one over the batch.
  queries_BM: int32, positions in T the trajectory head reads.
  values_BMC: int32, token ids of the target values.
  value_weights_BMC: float32, 0 where there is no token.
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
  """What a step changes.

  step: int32 scalar, optimiser updates done.
  params: {'policy': tree, 'lora': tree?, 'trajectory': tree?, 'value': tree?}.
  opt_state: the optimiser's, of what it trains (train_step.trained).
  """

  step: Array
  params: Params
  opt_state: Any


# Named seams.
# (logprobs_BR, old_logprobs_BR, advantages_BR) -> per-token loss_BR.
PolicyLoss = Callable[[Array, Array, Array], Array]
# mask_BR -> weights_BR whose weighted sum of a per-token loss is the loss.
Aggregation = Callable[[Array], Array]
# (rewards_BG, valid_BG) -> advantages_BG.
GroupAdvantage = Callable[[Array, Array], Array]
