"""Pretraining: the corpus has every kind of example; runs are repeatable."""

import ast
import json

import jax
import numpy as np
import pytest

from coderl import pretrain, types
from coderl.alignment import answers, tasks
from coderl.distributed import sharding
from coderl.models import transformer
from coderl.sandbox import sandbox
from coderl.text import tokenization
from configs import coderl_pretrain


def _config():
  config = coderl_pretrain.get_config('runlocal').copy_and_resolve_references()
  config.corpus = dict(programs=40, traces=30, outputs=10)
  config.train.steps = 3
  return config


def _corpus(config):
  limits = sandbox.Limits(**config.sandbox.limits)
  with sandbox.Sandbox(limits, workers=1) as runner:
    return pretrain.make_corpus(config, runner)


def _task(*targets):
  return tasks.AlignmentTask(
    'p', 'program', '', '3\n', tuple(types.Target(*t) for t in targets), 1, 0
  )


def test_answers_are_json_or_as_python_prints_them():
  rng = np.random.default_rng(0)
  scalar, with_list = _task(('n', '3')), _task(('n', '3'), ('a', '[1, 2]'))
  for task, share in ((scalar, 0.15), (with_list, 0.6)):
    replies = [pretrain.answer_text(task, rng) for _ in range(400)]
    right = answers.answer_json(task.expected, task.targets)
    python = [r for r in replies if r != right]
    assert abs(len(python) / 400 - share) < 0.06
    for reply in set(python):
      assert not answers.score_answer(reply, task.expected, task.targets).form
      assert ast.literal_eval(reply) == json.loads(right)


def test_the_corpus_has_every_kind_and_depends_on_the_seed():
  config = _config()
  examples = _corpus(config)
  assert examples == _corpus(config)
  kinds = [example.kind for example in examples]
  assert kinds.count(types.GENERATE) == 40
  assert kinds.count(types.TEST_OUTPUT) == 10
  assert kinds.count(types.ALIGN) > 2 * kinds.count(types.REASON) > 0
  config.seed = 1
  assert examples != _corpus(config)


@pytest.mark.slow
def test_the_same_examples_give_the_same_policy():
  config = _config()
  examples = _corpus(config)
  texts = [text for e in examples for text in (e.prompt, e.reply)]
  tokenizer = tokenization.train_bpe(texts, 512)
  model = transformer.ModelConfig(tokenizer.vocab_size, 2, 32, 2, 1, 16, 64)
  mesh = sharding.make_mesh(config.mesh.shape)
  first, second = (
    pretrain.train(config, model, tokenizer, examples, mesh) for _ in range(2)
  )
  same = jax.tree.map(lambda a, b: bool((a == b).all()), first, second)
  assert all(jax.tree.leaves(same))
