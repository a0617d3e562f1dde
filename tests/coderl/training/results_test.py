"""Laws of the results of a finished run."""

import pytest

from coderl.alignment import replay as replay_lib
from coderl.training import progress as progress_lib
from coderl.training import results
from configs import coderl_train


def test_figures_are_compared_item_by_item():
  config = coderl_train.get_config()
  progress = progress_lib.Progress(
    replay_lib.Replay(10, 10),
    step=2,
    tokens=30,
    before={'pass@1': [0.0, 0.0, 1.0, 1.0]},
    shapes={'sample': [[8, 40]]},
  )
  after = {'pass@1': [1.0, 0.0, 1.0, 1.0]}
  summary = results.summarise(config, progress, after)
  assert summary['evaluations']['before']['pass@1']['accuracy'] == 0.5
  assert summary['evaluations']['after']['pass@1']['accuracy'] == 0.75
  difference = summary['difference']['pass@1']
  assert difference['difference'] == pytest.approx(0.25)
  # One of four items changed, for the better, so no resample is worse.
  assert difference['low'] == 0 < difference['high'] <= 1
  assert (summary['steps'], summary['tokens']) == (2, 30)
  assert summary['shapes'] == {'sample': [[8, 40]]}
  assert summary['settings'] == config.to_dict()
