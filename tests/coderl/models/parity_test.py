"""Models agree with stored results of transformers."""

import pathlib

import jax
import pytest

from tests.coderl.models import parity_checks
from tests.fixtures import parity_reference

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)

FOLDERS = sorted(
  path.parent
  for path in (pathlib.Path(__file__).parents[2] / 'fixtures/parity').glob(
    f'*/{parity_reference.FILE}'
  )
)


@pytest.fixture(scope='module', params=FOLDERS, ids=lambda f: f.name)
def case(request):
  return parity_checks.load(request.param, parity_reference.read(request.param))


@pytest.mark.parametrize('check', parity_checks.CHECKS)
def test_parity(case, check, tmp_path):
  check(case, tmp_path)


def test_every_family_is_there():
  families = {folder.name.split('_')[0] for folder in FOLDERS}
  assert families == {'qwen2', 'qwen3', 'llama', 'gemma3'}


def test_rounding_cannot_change_greedy_text(case):
  assert case.reference.margin > 4 * parity_checks.LOGITS_TOLERANCE
