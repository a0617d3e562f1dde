"""Laws of a run's progress and of the lines that report its stages."""

import json

import pytest

from coderl.alignment import replay as replay_lib
from coderl.alignment import tasks
from coderl.training import progress as progress_lib
from configs import coderl_train

TASK = tasks.AlignmentTask('p', 'print(1)', '', '1\n', (), 1, step=0)


def make_progress():
  progress = progress_lib.Progress(replay_lib.Replay(10, 10))
  progress.replay.add([TASK], 0)
  progress.add_shape('sample', (8, 40))
  progress.finish_step(
    {'loss': 0.5}, tokens=30, seconds=2.0, waited_s=0.5, staleness=1
  )
  return progress


def test_a_step_is_counted_and_recorded():
  progress = make_progress()
  progress.finish_step(
    {'loss': 0.25}, tokens=10, seconds=4.0, waited_s=1.0, staleness=0
  )
  assert (progress.step, progress.tokens, progress.seconds) == (2, 40, 6.0)
  assert progress.history[1] == {
    'loss': 0.25,
    'step': 2,
    'replay_size': 1,
    'staleness': 0,
    'seconds': 4.0,
    'sandbox_wait_share': 0.25,
    'tokens': 40,
    'tokens_per_s': 2.5,
  }


def test_progress_survives_a_checkpoint():
  progress = make_progress()
  state = json.loads(json.dumps(progress.state()))
  assert progress_lib.Progress.from_state(state).state() == progress.state()


def test_a_copy_is_independent():
  progress = make_progress()
  before, copy = json.dumps(progress.state()), progress.copy()
  copy.replay.add([tasks.AlignmentTask('q', 'x', '', '1', (), 1, step=1)], 1)
  copy.add_shape('sample', (16, 40))
  copy.add_shape('train_step', (160, 80, 3))
  copy.samples += [{}]
  copy.finish_step({}, tokens=1, seconds=1.0, waited_s=0.0, staleness=0)
  assert json.dumps(progress.state()) == before


def test_shapes_are_sorted_and_unique():
  progress = make_progress()
  for shape in ((8, 80), (4, 40), (8, 40)):
    progress.add_shape('sample', shape)
  assert progress.shapes == {'sample': [[4, 40], [8, 40], [8, 80]]}


@pytest.mark.parametrize(
  ('step', 'tokens', 'max_tokens', 'done'),
  [(3, 9, 0, False), (4, 9, 0, True), (3, 9, 9, True), (3, 9, 10, False)],
)
def test_a_run_ends_by_steps_or_by_tokens(step, tokens, max_tokens, done):
  config = coderl_train.get_config()
  config.train.steps, config.train.max_tokens = 4, max_tokens
  progress = make_progress()
  progress.step, progress.tokens = step, tokens
  assert progress.is_done(config) == done


def test_stages_are_reported_on_stderr(capsys):
  progress_lib.announce('Loading the policy ...')
  output = capsys.readouterr()
  assert (output.out, output.err) == ('', 'Loading the policy ...\n')


def test_a_compilation_is_announced_once_per_shape(capsys):
  compilations = progress_lib.Compilations()
  for shape in ((16, 8, 3), (16, 8, 3), (32, 8, 3)):
    with compilations.announced('train_step', '[T, R, M]', shape):
      pass
  lines = capsys.readouterr().err.splitlines()
  assert (
    lines[0] == 'Compiling train_step for [T, R, M] = [16, 8, 3] (shape 1) ...'
  )
  assert (
    lines[2] == 'Compiling train_step for [T, R, M] = [32, 8, 3] (shape 2) ...'
  )
  for line in (lines[1], lines[3]):
    assert line.startswith('Compiled and ran train_step') and line.endswith(
      ' s.'
    )
  assert len(lines) == 4
