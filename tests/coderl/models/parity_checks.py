"""Compares models with a reference of tests/fixtures."""

from collections.abc import Callable, Mapping
from functools import partial
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from coderl import types
from coderl.models import transformer
from coderl.models.checkpoints import hf_files, huggingface
from coderl.sampling import sampler, sharded_sampler
from tests.fixtures import parity_reference

# The tolerances allow for float32 rounding and no more.
LOGITS_TOLERANCE = 1e-4  # Absolute; logits are of order 1 to 10.
GRADIENTS_TOLERANCE = 1e-3  # Relative to each tensor's norm.


class Case(NamedTuple):
  """A loaded checkpoint, and the results of a reference implementation."""

  config: transformer.ModelConfig
  params: types.Params
  reference: parity_reference.Reference


def load(folder: pathlib.Path, reference: parity_reference.Reference) -> Case:
  """Returns the case of a checkpoint folder."""
  return Case(*huggingface.load(folder), reference)


def _logprobs(logits_BTV, tokens_BT):
  return jnp.take_along_axis(
    jax.nn.log_softmax(logits_BTV), tokens_BT[..., None], axis=-1
  )[..., 0]


@partial(jax.jit, static_argnames='config')
@partial(jax.grad, has_aux=True)
def _gradients_and_logits(
  params, config, tokens_BT, valid_BT, targets_BT, counted_BT
):
  hidden_BTD = transformer.hidden_states(params, config, tokens_BT, valid_BT)
  logits_BTV = hidden_BTD @ transformer.unembedding(params, config)
  logprobs_BT = _logprobs(logits_BTV, targets_BT)
  return -jnp.mean(logprobs_BT, where=counted_BT), logits_BTV


def compute(
  case: Case, padding: int = 0
) -> tuple[types.Params, np.ndarray, np.ndarray]:
  """Returns gradients, logits_BTV of the prompts, logits_BRV of greedy text.

  A single program without cache reads prompts and text. More columns of padding
  may precede them, in exchange for the end of the text.
  """
  r = case.reference
  batch, length = r.tokens_BT.shape
  before = np.arange(batch * padding).reshape(batch, padding)
  after = r.greedy_BR[:, : r.greedy_BR.shape[1] - padding]

  def around(first, array_BT, last):
    return np.concatenate(
      [first + 0 * before, array_BT, last + 0 * after], axis=1
    )

  gradients, logits = _gradients_and_logits(
    case.params,
    case.config,
    around(before, r.tokens_BT, after),
    around(0, r.valid_BT, 1) > 0,
    around(0, r.targets_BT, 0),
    around(0, r.valid_BT, 0) > 0,
  )
  end = padding + length
  logits = np.asarray(logits)
  return gradients, logits[:, padding:end], logits[:, end - 1 : -1]


def logits_error(case: Case, padding: int = 0) -> float:
  """Returns the largest difference of a logit."""
  difference_BTV = compute(case, padding)[1] - case.reference.logits_BTV
  return float(np.abs(difference_BTV[case.reference.valid_BT]).max())


def gradient_errors(case: Case, scratch: pathlib.Path) -> Mapping[str, float]:
  """Returns the relative error of each tensor's gradient, in norms.

  The gradients are saved to `scratch` like a model, which gives them the names
  of the checkpoint.
  """
  theirs = case.reference.gradients
  huggingface.save(scratch, case.config, compute(case)[0], 'float32')
  ours = safetensors.numpy.load_file(scratch / hf_files.WEIGHTS)
  assert ours.keys() == theirs.keys()
  errors = {}
  for name, right in theirs.items():
    # A fixture holds sketches of large gradients.
    is_full = right.shape == ours[name].shape
    gradient = ours[name] if is_full else parity_reference.sketch(ours[name])
    error = np.linalg.norm(gradient - right) / np.linalg.norm(right)
    errors[name] = float(error)
  return errors


def check_logits(case: Case, scratch: pathlib.Path) -> None:
  assert logits_error(case) < LOGITS_TOLERANCE


def check_padding(case: Case, scratch: pathlib.Path) -> None:
  assert logits_error(case, padding=3) < LOGITS_TOLERANCE


def check_gradients(case: Case, scratch: pathlib.Path) -> None:
  errors = gradient_errors(case, scratch)
  wrong = {n: e for n, e in errors.items() if not e < GRADIENTS_TOLERANCE}
  assert not wrong


def check_greedy_text(case: Case, scratch: pathlib.Path) -> None:
  """Checks the greedy text without cache, each token given the earlier ones."""
  np.testing.assert_array_equal(
    np.argmax(compute(case)[2], axis=-1), case.reference.greedy_BR
  )


def check_sampler(case: Case, scratch: pathlib.Path) -> None:
  """Checks text and probabilities with a cache and fewer slots than prompts."""
  r = case.reference
  rows, length = r.greedy_BR.shape
  samples, _ = sharded_sampler.generate(
    case.params,
    r.tokens_BT.astype(np.int32),
    r.valid_BT,
    np.arange(rows, dtype=np.int32),
    jax.random.key(0),
    model=case.config,
    config=sampler.SamplingConfig(
      max_len_tokens=length, temperature=0, slots=rows - 1
    ),
    stop_ids=(),
  )
  np.testing.assert_array_equal(samples.tokens_NR, r.greedy_BR)
  np.testing.assert_allclose(
    samples.logprobs_NR,
    _logprobs(compute(case)[2], r.greedy_BR),
    atol=LOGITS_TOLERANCE,
  )


CHECKS: tuple[Callable[[Case, pathlib.Path], None], ...] = (
  check_logits,
  check_padding,
  check_gradients,
  check_greedy_text,
  check_sampler,
)
