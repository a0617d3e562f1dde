"""Plans against what they are plans of."""

import ast
import json

import jax
import pytest

from coderl import plan
from coderl.models import presets
from coderl.planning import estimates
from coderl.rl import train_step
from commons import errors
from configs import coderl_plan


def _config(arguments, **fields):
  config = coderl_plan.get_config(arguments)
  with config.unlocked():
    for name, value in fields.items():
      section, _, field = name.partition('__')
      config[section][field] = value
  return config


def _small(topology, **fields):
  """A model of 0.5B on short rows, so that tracing takes a second."""
  fields = {
    'train__prompts_per_step': 16,
    'train__microbatches': 2,
    'sampling__max_len_tokens': 384,
    'data__max_prompt_len_tokens': 128,
  } | fields
  return _config(f'model=qwen2.5-coder-0.5b,topology={topology}', **fields)


def test_one_device_holds_all_parameters_and_twice_as_much_optimizer():
  found = plan.plan(plan.make(_small('h200:1')))
  work = plan.make(_small('h200:1'))
  shapes = jax.eval_shape(
    lambda k: train_step.init_params(k, work.objective), jax.random.key(0)
  )
  size = sum(x.size for x in jax.tree.leaves(shapes))
  assert found['resident']['parameters'] == 4 * size
  # AdamW's two moments, and its counts.
  assert found['resident']['optimizer'] == pytest.approx(8 * size, abs=64)
  assert found['resident']['reference'] == pytest.approx(4 * size, rel=0.02)


def test_operations_are_those_of_a_transformer():
  """Forward, by hand: layers, scores, unembedding of responses; times three."""
  work = plan.make(_small('h200:2', trajectory__weight=0.0, model__remat='off'))
  m = presets.PRESETS['qwen2.5-coder-0.5b']
  rows, (p, r) = work.rows, work.lengths
  layer = m.d_model * m.head_dim * 2 * (m.num_heads + m.num_kv_heads)
  layer += 3 * m.d_model * m.mlp_dim
  forward = 2 * rows * (p + r) * m.num_layers * layer
  forward += 4 * rows * (p + r) ** 2 * m.num_layers * m.num_heads * m.head_dim
  unembedding = 2 * rows * r * m.d_model * m.vocab_size
  found = estimates.step_flops(work, work.objective)
  assert found == pytest.approx(3 * (forward + unembedding), rel=0.01)


def test_twice_the_devices_do_half_each():
  two, four = (plan.plan(plan.make(_small(f'h200:{n}'))) for n in (2, 4))
  # Chunks of logits are padded, otherwise for each number of devices.
  flops = [f['train']['flops'] for f in (two, four)]
  assert flops[0] == pytest.approx(2 * flops[1], rel=0.1)
  low = [f['train']['seconds'][0] for f in (two, four)]
  assert low[0] == pytest.approx(2 * low[1], rel=0.1)
  assert two['train']['mfu'][0] == pytest.approx(
    estimates.MATMUL_SHARE, rel=0.5
  )


@pytest.mark.parametrize(
  'length, slots, changed', [(3968, 64, 1), (32000, 0, 2)]
)
def test_what_it_advises_fits(length, slots, changed):
  """Of long rows the cache is too large as well."""
  config = _small(
    'a100-40gb:2',
    train__prompts_per_step=64,
    train__microbatches=1,
    sampling__max_len_tokens=length,
    sampling__slots=slots,
  )
  full = plan.plan(plan.make(config))
  assert not full['fits'] and len(full['advice']) == changed
  for said in full['advice']:
    name, _, value = said.removeprefix('--config.').partition('=')
    config.update_from_flattened_dict({name: ast.literal_eval(value)})
  found = plan.plan(plan.make(config))
  assert found['fits'] and not found['advice']


def test_layers_are_split_where_one_row_is_too_long_for_a_device():
  config = _config('model=qwen2.5-coder-32b,topology=h200:8')
  fields = estimates.fitting(plan.make(config))
  assert fields['mesh.shape'][2] > 1
  assert fields['train.microbatches'] == 512 // fields['mesh.shape'][1]


def test_what_fits_nowhere_is_told_how_many_devices_its_state_fills():
  work = plan.make(_config('model=qwen2.5-coder-32b,topology=a100-40gb:8'))
  assert estimates.fitting(work) == {}
  # 32.8B parameters of 4 bytes, AdamW's two moments, and the reference.
  assert 'state alone fills 14' in plan._advice(work)[0]


@pytest.mark.parametrize(
  'arguments, said',
  [
    ('model=qwen3-9b', "unknown model 'qwen3-9b'"),
    ('topology=h100-80gb:8,tensor=8', 'one of \\[1, 2, 4, 7, 14, 28\\]'),
    ('topology=h100-80gb:6', 'do not divide into'),
    ('topology=h100-80gb:8,tensor=3', 'each axis must be one of'),
  ],
)
def test_what_cannot_be_planned_is_told(arguments, said):
  with pytest.raises(errors.UserError, match=said):
    plan.make(coderl_plan.get_config(arguments))


def test_a_run_leaves_what_it_prints(tmp_path, capsys):
  plan.run(_small('h100-80gb:4'), str(tmp_path))
  found = json.loads((tmp_path / 'results.json').read_text())
  said = capsys.readouterr().out
  assert f'{found["most"] / 1e9:8.2f}' in said and said.rstrip().endswith(
    'fits'
  )


def test_what_does_not_fit_is_an_error_once_it_is_told(tmp_path, capsys):
  config = _small('a100-40gb:1', sampling__max_len_tokens=32000)
  with pytest.raises(errors.UserError, match=r'not fit a100-40gb:1: .* try'):
    plan.run(config, str(tmp_path))
  assert not json.loads((tmp_path / 'results.json').read_text())['fits']
  assert capsys.readouterr().out.rstrip().endswith('DOES NOT FIT')


def test_a_tpu_step_is_compiled_and_arithmetic_is_near():
  pytest.importorskip('libtpu', reason="needs pip install -e '.[plan]'")
  found = plan.plan(plan.make(_small('v5p:2x2x1', train__prompts_per_step=8)))
  train = found['train']
  assert train['compile_s'] > 0 and found['decode']['compile_s'] > 0
  assert train['sent']['all-gather'] > 0
  by_hand = train['by_arithmetic']
  assert by_hand['temporaries'] == pytest.approx(train['temporaries'], rel=0.3)
  sent = sum(train['sent'].values())
  assert sum(by_hand['sent'].values()) == pytest.approx(sent, rel=0.5)
