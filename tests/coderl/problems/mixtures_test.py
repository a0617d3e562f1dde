"""seqio tasks and mixtures: their prompts, rates and problems."""

import collections
import json

import pytest
import seqio
import tensorflow as tf

from coderl.problems import builder, examples, mixtures
from coderl.problems.sources.embedded import problem_set
from coderl.text import prompts, tokenization
from commons import errors

TOKENIZER = tokenization.train_bpe(['Read n. Print the sum.\n'] * 3, 300)
ROWS = 12
SEED = 1234  # No other test uses it: the suite caches its problems by seed.


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Registers tasks on a small embedded suite and rows in MBPP's layout."""
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


def test_the_embedded_suite_keeps_its_order(data_dir):
  for split in ('train', 'heldout'):
    problems = problem_set.problems(split, SEED)
    loaded = mixtures.load_problems(
      'embedded', split, seed=SEED, data_dir=data_dir
    )
    assert loaded == problems
    assert mixtures.load_problems('mix_embedded', split) == problems
  assert len(loaded) == 4


def test_an_example_holds_the_prompt_and_the_problem(data_dir):
  del data_dir
  task = seqio.get_mixture_or_task('mix_embedded')
  dataset = task.get_dataset(None, 'heldout', shuffle=False, num_epochs=1)
  for example in dataset.as_numpy_iterator():
    problem = examples.to_problem(example)
    message = prompts.generation(problem, 'compact')
    assert example['inputs_pretokenized'].decode() == message
    messages = [{'role': 'user', 'content': message}]
    text = TOKENIZER.decode(example['inputs'])
    assert text == TOKENIZER.render_chat(messages)


def test_a_task_may_use_completion_prompts(data_dir):
  configs = [builder.config('mbpp', path=str(data_dir / 'rows.jsonl'))]
  args = {'prefix': 'go_on', 'data_dir': data_dir}
  mixtures.register(configs, TOKENIZER, style='completion', **args)
  task = seqio.get_mixture_or_task('go_on_mbpp')
  dataset = task.get_dataset(None, 'train', shuffle=False, num_epochs=1)
  example = next(dataset.as_numpy_iterator())
  text = 'def f(x):\n    """Id."""\n'
  assert example['inputs_pretokenized'].decode() == text
  assert example['inputs'].tolist() == TOKENIZER.encode_completion(text)[0]
  seqio.MixtureRegistry.remove('go_on')
  seqio.TaskRegistry.remove('go_on_mbpp')


def test_a_mixture_keeps_its_rates_and_ends_with_its_first_task(data_dir):
  del data_dir
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
  # Tokens after the end of a turn are padding.
  batch = tf.constant([[*rows[1], 0, 0], [*rows[1], *rows[0][:2]]])
  assert vocabulary.decode_tf(batch).numpy().tolist() == [b'one<|im_end|>'] * 2
  assert (vocabulary.pad_id, vocabulary.eos_id) == (0, 2)
  assert vocabulary.vocab_size == TOKENIZER.vocab_size


def test_unknown_names_are_answered_with_the_choices(data_dir):
  with pytest.raises(
    errors.UserError, match=r'.nope.; choices: .*human_eval.* mix_mbpp'
  ):
    mixtures.load_problems('nope', 'train')
  with pytest.raises(
    errors.UserError, match="'embedded' 'dev'; choices: heldout, train"
  ):
    mixtures.load_problems('embedded', 'dev', data_dir=data_dir)
  with pytest.raises(
    errors.UserError, match="'mix' 'dev'; choices: heldout, prompt"
  ):
    mixtures.load_problems('mix', 'dev')
  with pytest.raises(errors.UserError, match=r"no problems of split 'test'"):
    mixtures.load_problems('mix_mbpp', 'test')
  configs = [builder.config('embedded')]
  with pytest.raises(ValueError, match=r"rates of \['embedded', 'mbpp'\]"):
    mixtures.register(configs, TOKENIZER, style='paper', rates={'mbpp': 1.0})
