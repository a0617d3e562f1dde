"""Models by name: what is missing is named with the extra that installs it."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]


def test_the_extra_of_the_small_policy_is_named_without_flax():
  program = (
    'import sys\n'
    'sys.modules["flax"] = None\n'
    'from commons import errors\n'
    'from wm_abench.evaluation import models\n'
    'try:\n'
    '  models.load("small")\n'
    'except errors.UserError as e:\n'
    '  print(e)\n'
  )
  result = subprocess.run(
    [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True
  )
  assert "'small'" in result.stdout and "'.[policy]'" in result.stdout
