"""The policies of this repository, asked through Inspect."""

import asyncio

import inspect_ai
from inspect_ai import model
import jax
import pytest

from commons import errors
from tests.wm_abench import synthetic
from wm_abench.evaluation import inspect_tasks, jax_provider, models, prompts
from wm_abench.policy import batches, policy

CELLS = ('sr_tabletop', 'se_v_tabletop', 'm_nav_street')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  config = policy.Config(
    vocab_size=64, width=16, vision_layers=1, layers=1, heads=2
  )
  params = policy.init(jax.random.key(0), config)
  path = tmp_path_factory.mktemp('policy')
  policy.save(path, policy.Policy(config, params))
  return path


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  synthetic.write(path, CELLS, groups=10)
  return path


def _asked(data, blind=False):
  return inspect_tasks.Setup(data=str(data), blind=blind)


def test_inspect_gets_the_completions_of_the_policy(
  folder, data, tmp_path, monkeypatch
):
  """Other requests in a batch have no influence."""
  monkeypatch.setenv('INSPECT_CACHE_DIR', str(tmp_path / 'cache'))
  setup = _asked(data)
  by_code = inspect_tasks.items_of(setup)
  logs = inspect_ai.eval(
    [
      inspect_tasks.dimension_task(c, items_of_code, setup)
      for c, items_of_code in by_code.items()
    ],
    model=f'jax/{folder}',
    log_dir=str(tmp_path / 'logs'),
    display='none',
    log_images=False,
  )
  replies = {
    r.item: r for log in logs for r in inspect_tasks.replies_in(log.location)
  }
  assert len(replies) == 10 * (4 + 2 + 4)
  learned = policy.load(folder)
  items = [item for items_of_code in by_code.values() for item in items_of_code]
  alone = [_alone(learned, item) for item in items]
  assert [replies[i.name].text for i in items] == [c.text for c in alone]
  assert [replies[i.name].input_tokens for i in items] == [
    completion.input_tokens for completion in alone
  ]
  assert {r.text for r in replies.values()} == {'A', 'B', 'C', 'D'}


def _alone(learned, item):
  """The completion of a conversation that is the only one in its batch."""
  order = prompts.order_of(item, 0)
  conversation = batches.conversation(item, order)
  (completion,) = learned.reply([learned.read(conversation)])
  return completion


def test_requests_that_wait_are_answered_together_and_once(folder):
  """A hundred at once: batches are as large as possible, no request is left."""
  provider = jax_provider.JaxProvider(str(folder))
  sizes = []
  answer = provider._answer
  provider._answer = lambda batch: (sizes.append(len(batch)), answer(batch))

  async def ask(i):
    messages = [
      model.ChatMessageUser(content=f'Which?\nA. {i}\nB. {i} or none')
    ]
    output = await provider.generate(
      messages, [], 'none', model.GenerateConfig()
    )
    return output.completion

  async def every():
    return await asyncio.gather(*map(ask, range(100)))

  messages = asyncio.run(every())
  learned = policy.load(folder)
  assert messages == [
    learned.reply([learned.read([f'Which?\nA. {i}\nB. {i} or none'])])[0].text
    for i in range(100)
  ]
  assert sum(sizes) == 100 and max(sizes) <= 64 and len(sizes) < 30
  assert not provider._waiting


def test_a_broken_picture_fails_without_the_rest_of_its_batch(folder):
  provider = jax_provider.JaxProvider(str(folder))
  bad = model.ContentImage(image='data:image/png;base64,bm8h')

  async def ask(content):
    messages = [model.ChatMessageUser(content=content)]
    return await provider.generate(messages, [], 'none', model.GenerateConfig())

  async def every():
    return await asyncio.gather(
      ask([bad, model.ContentText(text='A. x')]),
      ask('A. x'),
      return_exceptions=True,
    )

  failed, fine = asyncio.run(every())
  assert isinstance(failed, errors.UserError) and '3 bytes' in str(failed)
  assert fine.completion == 'A'


def test_a_name_without_a_policy_is_refused():
  with pytest.raises(errors.UserError, match="'nowhere' is not a folder"):
    models.load('jax/nowhere')
