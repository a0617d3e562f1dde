import dataclasses

import pytest

from tests.wm_abench import synthetic
from wm_abench.evaluation import inspect_tasks, token_costs


@pytest.mark.parametrize(
  'name, size, tokens',
  [
    # Examples of the services: 1024 x 1024 in four tiles, one of 512 px.
    ('openai (gpt-4o)', (1024, 1024), 765),
    ('openai (gpt-4o)', (512, 512), 255),
    ('openai (gpt-4o)', (2048, 4096), 1105),
    ('openai (o4-mini)', (1024, 1024), 1659),
    ('anthropic', (1000, 1000), 1334),
    ('google', (384, 384), 258),
    ('google', (960, 540), 516),
    ('Qwen2.5-VL (vllm, sglang)', (280, 560), 200),
  ],
)
def test_tokens_of_a_picture_are_as_published(name, size, tokens):
  assert token_costs.PICTURE_TOKENS[name](*size) == tokens


def test_an_estimate_counts_what_is_sent(tmp_path):
  synthetic.write(tmp_path, ['m_nav_street', 'tp_tabletop'], groups=1)
  setup = inspect_tasks.Setup(data=str(tmp_path))
  items = inspect_tasks.items_of(setup)
  estimate = token_costs.estimate(items, setup)
  # Four items of 1 + 4 pictures, three of 6.
  assert (estimate['items'], estimate['requests'], estimate['pictures']) == (
    7,
    7,
    38,
  )
  assert estimate['output_tokens'] == 7 * 5
  text = estimate['input_tokens']['google'] - 38 * 258
  circular = token_costs.estimate(
    items, dataclasses.replace(setup, circular=True)
  )
  assert (circular['requests'], circular['pictures']) == (
    4 * 4 + 3 * 3,
    80 + 54,
  )
  blind = token_costs.estimate(items, dataclasses.replace(setup, blind=True))
  assert blind['pictures'] == 16
  assert blind['input_tokens']['google'] == text + 16 * 258
  assert '38 pictures' in token_costs.table(estimate)
