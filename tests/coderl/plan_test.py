"""Plans compared with counts by hand and with compiled steps."""

import ast
import json

import jax
import pytest

from coderl import plan
from coderl.models import presets
from coderl.planning import estimates
from coderl.planning import workload as workload_lib
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
  """A model of 0.5B on short sequences, so that tracing takes a second."""
  fields = {
    'train__prompts_per_step': 16,
    'train__microbatches': 2,
    'sampling__max_len_tokens': 384,
    'data__max_prompt_len_tokens': 128,
  } | fields
  return _config(f'model=qwen2.5-coder-0.5b,topology={topology}', **fields)


def test_one_device_holds_all_parameters_and_twice_as_much_optimizer():
  result = plan.make_plan(plan.make_workload(_small('h200:1')))
  work = plan.make_workload(_small('h200:1'))
  shapes = jax.eval_shape(
    lambda k: train_step.init_params(k, work.objective), jax.random.key(0)
  )
  size = sum(x.size for x in jax.tree.leaves(shapes))
  assert result['resident']['parameters'] == 4 * size
  # AdamW's two moments, and its counts.
  assert result['resident']['optimizer'] == pytest.approx(8 * size, abs=64)
  assert result['resident']['reference'] == pytest.approx(4 * size, rel=0.02)


def test_operations_are_those_of_a_transformer():
  """The forward pass by hand: layers, scores, unembedding; times three."""
  work = plan.make_workload(
    _small('h200:2', trajectory__weight=0.0, model__remat='off')
  )
  m = presets.PRESETS['qwen2.5-coder-0.5b']
  sequences, (p, r) = work.sequences_per_update, work.lengths
  layer = m.d_model * m.head_dim * 2 * (m.num_heads + m.num_kv_heads)
  layer += 3 * m.d_model * m.mlp_dim
  forward = 2 * sequences * (p + r) * m.num_layers * layer
  forward += (
    4 * sequences * (p + r) ** 2 * m.num_layers * m.num_heads * m.head_dim
  )
  unembedding = 2 * sequences * r * m.d_model * m.vocab_size
  flops = estimates.step_flops(work, work.objective)
  assert flops == pytest.approx(3 * (forward + unembedding), rel=0.01)


def test_with_twice_the_devices_each_does_half():
  two, four = (
    plan.make_plan(plan.make_workload(_small(f'h200:{n}'))) for n in (2, 4)
  )
  # The padding of chunks of logits depends on the number of devices.
  flops = [f['train']['flops'] for f in (two, four)]
  assert flops[0] == pytest.approx(2 * flops[1], rel=0.1)
  low = [f['train']['seconds'][0] for f in (two, four)]
  assert low[0] == pytest.approx(2 * low[1], rel=0.1)
  assert two['train']['mfu'][0] == pytest.approx(
    workload_lib.MATMUL_SHARE, rel=0.5
  )


@pytest.mark.parametrize(
  ('length', 'slots', 'changed'), [(3968, 64, 1), (32000, 0, 2)]
)
def test_the_advice_fits(length, slots, changed):
  """Long responses also need a smaller cache."""
  config = _small(
    'a100-40gb:2',
    train__prompts_per_step=64,
    train__microbatches=1,
    sampling__max_len_tokens=length,
    sampling__slots=slots,
  )
  full = plan.make_plan(plan.make_workload(config))
  assert not full['fits'] and len(full['advice']) == changed
  for override in full['advice']:
    name, _, value = override.removeprefix('--config.').partition('=')
    config.update_from_flattened_dict({name: ast.literal_eval(value)})
  result = plan.make_plan(plan.make_workload(config))
  assert result['fits'] and not result['advice']


def test_layers_are_split_where_one_sequence_does_not_fit_on_a_device():
  config = _config('model=qwen2.5-coder-32b,topology=h200:8')
  fields = estimates.fields_that_fit(plan.make_workload(config))
  assert fields['mesh.shape'][2] > 1
  assert fields['train.microbatches'] == 512 // fields['mesh.shape'][1]


def test_advice_without_a_fit_says_how_many_devices_the_state_fills():
  work = plan.make_workload(
    _config('model=qwen2.5-coder-32b,topology=a100-40gb:8')
  )
  assert estimates.fields_that_fit(work) == {}
  # 32.8B parameters of 4 bytes, AdamW's two moments, and the reference.
  assert 'state alone fills 14' in plan._advice(work)[0]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ('model=qwen3-9b', "unknown model 'qwen3-9b'"),
    ('topology=h100-80gb:8,tensor=8', 'one of \\[1, 2, 4, 7, 14, 28\\]'),
    ('topology=h100-80gb:6', 'do not divide into'),
    ('topology=h100-80gb:8,tensor=3', 'each axis must be one of'),
  ],
)
def test_a_config_that_cannot_be_planned_is_refused(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    plan.make_workload(coderl_plan.get_config(arguments))


def test_a_run_writes_the_plan_that_it_prints(tmp_path, capsys):
  plan.run(_small('h100-80gb:4'), str(tmp_path))
  result = json.loads((tmp_path / 'results.json').read_text())
  output = capsys.readouterr().out
  assert f'{result["most"] / 1e9:8.2f}' in output
  assert output.rstrip().endswith('\nfits')


def test_a_run_that_does_not_fit_is_printed_and_then_an_error(tmp_path, capsys):
  config = _small('a100-40gb:1', sampling__max_len_tokens=32000)
  with pytest.raises(errors.UserError, match=r'not fit on a100-40gb:1: .* try'):
    plan.run(config, str(tmp_path))
  assert not json.loads((tmp_path / 'results.json').read_text())['fits']
  assert capsys.readouterr().out.rstrip().endswith('DOES NOT FIT')


def test_estimates_are_close_to_a_step_compiled_for_tpus():
  pytest.importorskip('libtpu', reason="needs the extra 'plan'")
  result = plan.make_plan(
    plan.make_workload(_small('v5p:2x2x1', train__prompts_per_step=8))
  )
  train = result['train']
  assert train['compile_s'] > 0 and result['decode']['compile_s'] > 0
  assert train['sent']['all-gather'] > 0
  estimated = train['by_arithmetic']
  assert estimated['temporaries'] == pytest.approx(
    train['temporaries'], rel=0.3
  )
  sent = sum(train['sent'].values())
  assert sum(estimated['sent'].values()) == pytest.approx(sent, rel=0.5)
