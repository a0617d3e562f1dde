"""Laws of the small policy: what its completions depend on."""

import io
import json
import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest

from commons import errors
from wm_abench.policy import policy

CONFIG = policy.Config(
  vocab_size=64, width=16, vision_layers=1, layers=2, heads=2
)


def _picture(seed, kind='png'):
  patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
  stream = io.BytesIO()
  Image.fromarray(patches).resize((48, 48), 0).save(stream, kind)
  return stream.getvalue()


def _worded(*pictures, question='Which is it?', options=('red', 'green one')):
  lines = [f'{"ABCDEF"[i]}. {option}' for i, option in enumerate(options)]
  return [*pictures, question, '\n'.join(lines), 'Answer with the letter.']


def _pictured(shown, options):
  parts = [shown, 'Which comes next?']
  for label, option in zip('ABCDEF', options, strict=False):
    parts += [f'{label}.', option]
  return [*parts, 'Answer with the letter.']


def _read(*conversations):
  return [policy.read(c, CONFIG.vocab_size) for c in conversations]


def questions(count):
  return _read(*(_worded(_picture(i)) for i in range(count)))


@pytest.fixture(scope='module')
def learned():
  params = policy.init(jax.random.key(0), CONFIG)
  return policy.Policy(CONFIG, params)


def test_options_are_the_labelled_lines_and_the_pictures_behind_labels():
  worded = policy.read(_worded(b'shown'), 64, len)
  assert worded.labels == ('A', 'B')
  # "red" and "green one", not the question or the instruction.
  assert [of for of in worded.word_of if of >= 0] == [0, 1, 1]
  assert worded.picture_of == (-1,)
  pictured = policy.read(_pictured(b'shown', [b'x', b'y', b'z']), 64, len)
  assert pictured.labels == ('A', 'B', 'C')
  assert pictured.picture_of == (-1, 0, 1, 2)
  assert set(pictured.word_of) == {-1}


def test_places_follow_the_order_of_the_conversation():
  reading = policy.read(['two words', b'shown', 'one'], 64, len)
  assert reading.word_at == (0, 1, 3)
  assert reading.picture_at == (2,)


def test_other_rows_and_padding_do_not_change_scores(learned):
  readings = _read(*(_worded(_picture(i)) for i in range(3)))
  (longer,) = _read(_worded(*map(_picture, range(5)), question='and ' * 70))
  alone = np.concatenate([learned.scores([one]) for one in readings])
  np.testing.assert_allclose(
    learned.scores([*readings, longer])[:3], alone, rtol=1e-4, atol=1e-5
  )


@pytest.mark.slow
def test_padding_is_not_attended_to(learned):
  readings = _read(_worded(_picture(0)))
  batches = [policy.pack(readings, shape, 1) for shape in ((1, 64), (3, 128))]
  batches[1].pictures_BPYXC[:, 1:] = 200
  model = policy.module(CONFIG)
  a, b = (
    model.apply({'params': learned.params}, batch)[0] for batch in batches
  )
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_only_existing_options_have_a_probability(learned):
  readings = _read(_worded(_picture(0), options=('x', 'y', 'z')))
  scores = learned.scores(readings)[0]
  assert np.isfinite(scores[:3]).all()
  assert np.isneginf(scores[3:]).all()
  assert np.exp(scores[:3]).sum() == pytest.approx(1, abs=1e-5)


def test_labels_have_no_parameters(learned):
  """With other labels, the same option is chosen."""
  lettered = _pictured(_picture(0), [_picture(1), _picture(2)])
  numbered = [
    {'A.': '1.', 'B.': '2.'}.get(part, part) if isinstance(part, str) else part
    for part in lettered
  ]
  readings = _read(lettered, numbered)
  a, b = learned.reply(readings)
  assert ('A', 'B').index(a.text) == ('1', '2').index(b.text)
  np.testing.assert_array_equal(*learned.scores(readings))


def test_order_of_pictures_matters(learned):
  one, two = _picture(0), _picture(1)
  a, b = learned.scores(_read(_worded(one, two), _worded(two, one)))
  assert np.abs(a[:2] - b[:2]).max() > 1e-4


def test_order_of_words_matters(learned):
  a, b = learned.scores(
    _read(_worded(question='left of right'), _worded(question='right of left'))
  )
  assert np.abs(a[:2] - b[:2]).max() > 1e-6


def test_unseen_words_get_a_reply(learned):
  replies = learned.reply(_read(_worded(question='Qwyjibo ñandú 漢字 \x00?')))
  assert replies[0].text in ('A', 'B')
  assert replies[0].output_tokens == 1


def test_a_question_without_labels_gets_no_reply(learned):
  completion = learned.reply(_read(['What do you see?', _picture(0)]))[0]
  assert completion.text == ''
  assert completion.output_tokens == 0


def test_tokens_are_words_and_parts_of_pictures(learned):
  completion = learned.reply(_read(['three small words', _picture(0), 'A. x']))[
    0
  ]
  assert completion.input_tokens == 3 + 16 + 1


def test_a_loaded_policy_has_the_same_scores(learned, tmp_path):
  policy.save(tmp_path, learned)
  loaded = policy.load(tmp_path)
  again = policy.load(tmp_path)
  policy.save(tmp_path / 'twice', loaded)
  twice = policy.load(tmp_path / 'twice')
  readings = _read(_worded(_picture(0)))
  assert loaded.config == CONFIG
  np.testing.assert_array_equal(loaded.scores(readings), again.scores(readings))
  np.testing.assert_array_equal(loaded.scores(readings), twice.scores(readings))
  np.testing.assert_allclose(  # Stored in half precision.
    loaded.scores(readings)[:, :2], learned.scores(readings)[:, :2], atol=0.02
  )


def test_jpeg_and_png_are_read():
  for kind in ('jpeg', 'png'):
    assert policy.small(_picture(0, kind)).shape == (64, 64, 3)


def test_bytes_that_are_not_a_picture_are_refused():
  with pytest.raises(errors.UserError, match='3 bytes are not a picture'):
    _read([b'no!', 'A. x'])


def test_a_missing_policy_is_refused():
  with pytest.raises(errors.UserError, match="'smal' is not a folder"):
    policy.load('smal')


@pytest.mark.parametrize(
  'change',
  [
    lambda folder: (folder / 'config.json').write_text('{"depth": 1}'),
    lambda folder: (folder / 'config.json').write_text('{"width": 32}'),
    lambda folder: (folder / 'model.safetensors').write_bytes(b'rotten'),
    lambda folder: (folder / 'model.safetensors').unlink(),
  ],
)
def test_a_damaged_folder_is_refused(learned, tmp_path, change):
  policy.save(tmp_path, learned)
  change(tmp_path)
  with pytest.raises(errors.UserError, match=str(tmp_path)):
    policy.load(tmp_path)


def test_several_devices_give_the_scores_of_one():
  outputs = []
  script = 'tests.wm_abench.policy.policy_mesh_script'
  for devices in ('1', '4'):
    done = subprocess.run(
      [sys.executable, '-m', script, devices],
      capture_output=True,
      text=True,
      check=True,
    )
    outputs.append(json.loads(done.stdout))
  assert [s['devices'] for s in outputs] == [1, 4]
  for one, four in zip(*(s['scores'] for s in outputs), strict=True):
    np.testing.assert_allclose(four, one, rtol=1e-4, atol=1e-5)
