"""Laws of what all samplers share."""

import numpy as np
import pytest

from coderl import types
from coderl.models import load
from coderl.sampling import base
from coderl.text import tokenization

TOKENIZER = tokenization.Tokenizer.from_dir(load.EMBEDDED)
PROBLEM = types.Problem(id='p', statement='', tests=())
PROMPT = types.Prompt(types.GENERATE, '', (1,), PROBLEM)


def test_prompts_of_one_call_must_have_the_same_stops():
  other = types.Prompt(types.GENERATE, '', (1,), PROBLEM, stops=('x',))
  assert base.common_stops([other, other]) == ('x',)
  with pytest.raises(ValueError, match='same stop strings'):
    base.common_stops([PROMPT, other])


@pytest.mark.parametrize('ended', [True, False])
def test_the_text_of_a_rollout_has_no_end_of_turn_token(ended):
  token_ids = TOKENIZER.encode_plain('return a')
  token_ids = np.array([*token_ids, *[TOKENIZER.eos_id] * ended], np.int32)
  logprobs = np.zeros(len(token_ids), np.float32)
  rollout = base.make_rollout(
    TOKENIZER, PROMPT, token_ids, logprobs, logprobs, finished=ended
  )
  assert rollout.text == 'return a'
  assert rollout.tokens is token_ids and rollout.finished == ended
