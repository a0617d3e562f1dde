"""Models agree with transformers where it is installed.

The stored references (parity_test.py) have bfloat16 weights and sketches of the
gradients. Here the weights are float32, the models are others and the gradients
are complete.
"""

import jax
import pytest

from tests.coderl.models import parity_checks

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')

from tests.fixtures import make_parity  # noqa: E402

# These programs take longer to compile than to run.
jax.config.update('jax_disable_most_optimizations', True)


@pytest.fixture(scope='module', params=make_parity.CONFIGS)
def case(request, tmp_path_factory):
  built, reference = make_parity.find(
    make_parity.CONFIGS[request.param], torch.float32, first_seed=1000
  )
  folder = tmp_path_factory.mktemp(request.param)
  built.save_pretrained(folder)
  return parity_checks.load(folder, reference)


@pytest.mark.parametrize('check', parity_checks.CHECKS)
def test_parity(case, check, tmp_path):
  check(case, tmp_path)
