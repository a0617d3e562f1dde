"""seqio tasks: prompts, mixtures, and problems read back."""

import collections
import json

import pytest
import seqio
import tensorflow as tf

from coderl.problems import builder, mixtures
from coderl.problems.sources.embedded import problem_set
from coderl.text import prompts, tokenization
from commons import errors

TOKENIZER = tokenization.train_bpe(['Read n. Print the sum.\n'] * 3, 300)
ROWS = 12
SEED = 1234  # No other test's: the suite remembers what it made.


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """Tasks over a small embedded suite and some rows of MBPP's form."""
  folder = tmp_path_factory.mktemp('data')
  path = folder / 'rows.jsonl'
  row = {'text': 'Id.', 'code': 'def f(x): return x', 'test_setup_code': ''}
  path.write_text(
    '\n'.join(
      json.dumps(
        row | {'task_id': 601 + i, 'test_list': [f'assert f({i})=={i}']}
      )
      for i in range(ROWS)
    )
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(problem_set, '_LEVELS', {'train': {1: 40}, 'heldout': {2: 4}})
    configs = [
      builder.config('embedded', seed=SEED),
      builder.config('mbpp', path=str(path)),
    ]
    for _ in range(2):  # The second replaces the first.
      mixtures.register(
        configs,
        TOKENIZER,
        style='compact',
        rates={'mbpp': 3.0},
        prefix='mix',
        data_dir=folder,
      )
    yield folder
  seqio.MixtureRegistry.remove('mix')
  for source in ('embedded', 'mbpp'):
    seqio.TaskRegistry.remove(f'mix_{source}')


def test_the_embedded_suite_comes_back_in_its_order(place):
  for split in ('train', 'heldout'):
    problems = problem_set.problems(split, SEED)
    loaded = mixtures.load_problems(
      'embedded', split, seed=SEED, data_dir=place
    )
    assert loaded == problems
    assert mixtures.load_problems('mix_embedded', split) == problems
  assert len(loaded) == 4


def test_a_task_holds_the_prompt_and_the_problem(place):
  del place
  task = seqio.get_mixture_or_task('mix_embedded')
  dataset = task.get_dataset(None, 'heldout', shuffle=False, num_epochs=1)
  for example in dataset.as_numpy_iterator():
    problem = builder.to_problem(example)
    message = prompts.generation(problem, 'compact')
    assert example['inputs_pretokenized'].decode() == message
    turn = [{'role': 'user', 'content': message}]
    assert TOKENIZER.decode(example['inputs']) == TOKENIZER.render_chat(turn)


def test_a_task_may_hold_completions(place):
  configs = [builder.config('mbpp', path=str(place / 'rows.jsonl'))]
  args = {'prefix': 'go_on', 'data_dir': place}
  mixtures.register(configs, TOKENIZER, style='completion', **args)
  task = seqio.get_mixture_or_task('go_on_mbpp')
  dataset = task.get_dataset(None, 'train', shuffle=False, num_epochs=1)
  example = next(dataset.as_numpy_iterator())
  text = 'def f(x):\n    """Id."""\n'
  assert example['inputs_pretokenized'].decode() == text
  assert example['inputs'].tolist() == TOKENIZER.encode_completion(text)[0]
  seqio.MixtureRegistry.remove('go_on')
  seqio.TaskRegistry.remove('go_on_mbpp')


def test_a_mixture_holds_its_rates_until_a_task_is_used_up(place):
  del place
  problems = mixtures.load_problems('mix', 'train')
  assert problems == mixtures.load_problems('mix', 'train')
  assert problems != mixtures.load_problems('mix', 'train', seed=1)
  count = collections.Counter(p.source for p in problems)
  assert count['mbpp'] == ROWS
  assert 1 <= count['embedded'] <= ROWS
  ids = [p.id for p in problems if p.source == 'mbpp']
  assert ids == [f'mbpp/{601 + i}' for i in range(ROWS)]


def test_seqio_sees_the_tokenizer():
  vocabulary = mixtures.SeqioVocabulary(TOKENIZER)
  texts = ['é <|im_start|>a 12', 'one<|im_end|>']
  rows = [TOKENIZER.encode(text) for text in texts]
  dataset = tf.data.Dataset.from_tensor_slices(texts)
  encoded = dataset.map(vocabulary.encode_tf)
  assert [ids.tolist() for ids in encoded.as_numpy_iterator()] == rows
  assert [vocabulary.encode(text) for text in texts] == rows
  assert [vocabulary.decode(ids) for ids in rows] == texts
  decoded = encoded.map(vocabulary.decode_tf).as_numpy_iterator()
  assert [text.decode() for text in decoded] == texts
  # Past its end, a turn holds nothing; rows of a batch are padded there.
  batch = tf.constant([[*rows[1], 0, 0], [*rows[1], *rows[0][:2]]])
  assert vocabulary.decode_tf(batch).numpy().tolist() == [b'one<|im_end|>'] * 2
  assert (vocabulary.pad_id, vocabulary.eos_id) == (0, 2)
  assert vocabulary.vocab_size == TOKENIZER.vocab_size


def test_unknown_names_are_answered_with_the_choices(place):
  with pytest.raises(
    errors.UserError, match=r'.nope.; choices: .*human_eval.* mix_mbpp'
  ):
    mixtures.load_problems('nope', 'train')
  with pytest.raises(
    errors.UserError, match="'embedded' 'dev'; choices: heldout, train"
  ):
    mixtures.load_problems('embedded', 'dev', data_dir=place)
  with pytest.raises(
    errors.UserError, match="'mix' 'dev'; choices: heldout, prompt"
  ):
    mixtures.load_problems('mix', 'dev')
  with pytest.raises(errors.UserError, match=r"no problems of split 'test'"):
    mixtures.load_problems('mix_mbpp', 'test')
  configs = [builder.config('embedded')]
  with pytest.raises(ValueError, match=r"rates of \['embedded', 'mbpp'\]"):
    mixtures.register(configs, TOKENIZER, style='paper', rates={'mbpp': 1.0})
