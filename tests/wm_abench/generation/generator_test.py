import collections
import contextlib
import dataclasses
import io

import numpy as np
from PIL import Image
import pytest

from commons import errors
from wm_abench.core import dimensions
from wm_abench.generation import generator as generator_lib
from wm_abench.questions import group_law
from wm_abench.worlds import protocol

SETTINGS = generator_lib.Settings(seed=5, size_px=96, renderer='mujoco')
IMAGES = dimensions.CELLS['m_nav_street']
TEXTS = dimensions.CELLS['se_o_tabletop']


@pytest.fixture(scope='module')
def groups():
  """A group of each cell, with the work that it took."""
  generator = generator_lib.Generator(SETTINGS)
  found = {}
  for cell in (IMAGES, TEXTS):
    found[cell] = generator.group(cell, 1), generator.take_work()
  generator.close()
  return found


def _pictures(items):
  for item in items:
    yield from item.pictures


@pytest.mark.parametrize('cell', [IMAGES, TEXTS])
def test_members_of_a_group_differ_by_one_factor_and_the_answer(groups, cell):
  items, _ = groups[cell]
  assert len(items) == cell.of.options
  assert len({i.name for i in items}) == len(items)
  assert len({i.group for i in items}) == 1
  assert {i.cell for i in items} == {cell.name}
  assert sorted(i.answer for i in items) == [*range(len(items))]
  assert len({i.options for i in items}) == 1
  for item in items:
    assert len(item.images) == cell.images
    others = {k: v for k, v in item.factors.items() if k != item.varies}
    first = {k: v for k, v in items[0].factors.items() if k != item.varies}
    assert others == first


@pytest.mark.parametrize('cell', [IMAGES, TEXTS])
def test_every_picture_has_a_state(groups, cell):
  for item in groups[cell][0]:
    assert len(item.state['images']) == len(item.images)
    pictured = len(item.options) if item.pictured else 0
    assert len(item.state['options']) == pictured
    assert item.state['images'][0]['bodies']


def test_pictures_are_square_and_have_the_size_of_the_settings(groups):
  for items, _ in groups.values():
    for picture in set(_pictures(items)):
      assert Image.open(io.BytesIO(picture.read())).size == (96, 96)


def test_a_picture_of_several_items_is_rendered_once(groups):
  items, work = groups[IMAGES]
  pictures = [*_pictures(items)]
  assert work['rejected'] == 0
  assert work['asked'] == len(pictures) == 20
  # Four outcomes and one start, or a start per member if the starts differ.
  starts = {'moves': 1, 'start': 4}[items[0].varies]
  assert work['rendered'] == len(set(pictures)) == 4 + starts


def test_work_is_counted_and_taken_once(groups):
  for _, work in groups.values():
    for kind in ('drafting_s', 'physics_s', 'rendering_s', 'encoding_s'):
      assert work[kind] > 0
  generator = generator_lib.Generator(SETTINGS)
  assert generator.take_work() == collections.Counter()


def test_groups_do_not_depend_on_what_was_made_before(groups):
  generator = generator_lib.Generator(SETTINGS)
  generator.group(IMAGES, 0)
  generator.group(TEXTS, 0)
  for cell, (items, _) in groups.items():
    assert generator.group(cell, 1) == items
  generator.close()


def test_another_seed_makes_other_items(groups):
  generator = generator_lib.Generator(dataclasses.replace(SETTINGS, seed=6))
  content = {generator_lib.digests(i)[0] for i in generator.group(IMAGES, 1)}
  generator.close()
  assert content.isdisjoint(
    generator_lib.digests(i)[0] for i in groups[IMAGES][0]
  )


class _Simple:
  """A generator with simple groups."""

  def group(self, cell, index):
    return [(index, k) for k in range(cell.of.options)]


@pytest.mark.parametrize('cell', [IMAGES, TEXTS])
def test_members_are_the_items_from_one_number_to_another(cell):
  options = cell.of.options
  every = [divmod(i, options) for i in range(25)]
  for start in range(0, 20, 3):
    for stop in range(start, 25):
      found = generator_lib.members(_Simple(), cell, start, stop)
      assert [*found] == every[start:stop]


def test_one_digest_covers_the_texts_and_the_other_one_the_pictures(groups):
  item = groups[IMAGES][0][0]
  content, pictures = generator_lib.digests(item)
  reworded = dataclasses.replace(item, prompt='another')
  assert generator_lib.digests(reworded) == (
    generator_lib.digests(reworded)[0],
    pictures,
  )
  assert generator_lib.digests(reworded)[0] != content
  turned = dataclasses.replace(item, options=item.options[::-1])
  assert generator_lib.digests(turned)[0] == content
  assert generator_lib.digests(turned)[1] != pictures
  state = {**item.state, 'images': []}
  assert (
    generator_lib.digests(dataclasses.replace(item, state=state))[0] != content
  )
  words = groups[TEXTS][0][0]
  swapped = dataclasses.replace(words, options=words.options[::-1])
  assert generator_lib.digests(swapped)[0] != generator_lib.digests(words)[0]


def test_encoding_keeps_colours_close():
  frame = np.zeros((64, 64, 3), np.uint8)
  frame[:, ::2] = 200, 40, 40
  decoded = np.asarray(Image.open(io.BytesIO(generator_lib.encode(frame))))
  assert np.abs(decoded.astype(int) - frame).mean() < 4


def test_a_maker_that_rejects_every_draw_is_an_error(monkeypatch):
  def give_up(request):
    raise group_law.Rejected(f'attempt {request.attempt}')

  monkeypatch.setattr(generator_lib.makers, 'draft', give_up)
  generator = generator_lib.Generator(SETTINGS)
  with pytest.raises(RuntimeError, match=r'm_nav_street/3.*attempt 199'):
    generator.group(IMAGES, 3)
  assert generator.work['rejected'] == 200
  generator.close()


def test_a_simulator_makes_its_cells_and_no_others():
  every = tuple(dimensions.CELLS.values())
  assert generator_lib.made_by('', every) == every
  names = [c.name for c in generator_lib.made_by('maniskill', every)]
  assert names == [f'm_man_manipulation_{a}' for a in ('drop', 'lift', 'push')]
  with pytest.raises(errors.UserError, match=r'none.*street.*choices:.*lift'):
    generator_lib.made_by('maniskill', [dimensions.CELLS['m_nav_street']])
  for name in ('carla', 'gazebo'):
    with pytest.raises(errors.UserError, match=f"'{name}'.*maniskill"):
      generator_lib.made_by(name, every)


def test_groups_of_maniskill_obey_the_same_law():
  pytest.importorskip('mani_skill')
  settings = dataclasses.replace(SETTINGS, simulator='maniskill')
  cell = dimensions.CELLS['m_man_manipulation_lift']
  generator = generator_lib.Generator(settings)
  try:
    items = generator.group(cell, 0)
  except errors.UserError as e:
    pytest.skip(str(e))
  again = generator_lib.Generator(settings)
  assert again.group(cell, 0) == items
  assert sorted(i.answer for i in items) == [0, 1, 2, 3]
  assert {len(i.images) for i in items} == {1}
  assert protocol.digest(items[0].state)


# Cells whose makers draft the members in the order of their keys.
FIXED_ORDER = ('se_v_tabletop', 'v_m_tabletop', 'mt_tabletop', 'sr_tabletop')


def _draft(cell, index):
  for attempt in range(50):
    request = group_law.Request(cell, index, 0, attempt, simulate=None)
    with contextlib.suppress(group_law.Rejected):
      return generator_lib.makers.draft(request)
  raise AssertionError('every draw was rejected')


@pytest.mark.parametrize('name', FIXED_ORDER)
def test_names_and_order_contain_no_information_on_the_key(name):
  """Over many groups, keys are spread evenly over every sorted position.

  The three statistics that an attacker has: the position in the data set, the
  parity of the name, and which name of a group is the larger one. Each count is
  binomial; four standard deviations are allowed.
  """
  cell, groups = dimensions.CELLS[name], 200
  options = cell.of.options
  by_position = np.zeros((options, options))
  by_parity = np.zeros((2, options))
  for index in range(groups):
    group = _draft(cell, index)
    names = generator_lib.item_names(group)
    assert len(set(names)) == options
    order = np.argsort(names)
    for position, member in enumerate(order):
      by_position[position, group.drafts[member].answer] += 1
      by_parity[int(names[member], 16) % 2, group.drafts[member].answer] += 1
  share = 1 / options
  allowed = 4 * np.sqrt(groups * share * (1 - share))
  assert np.abs(by_position - groups * share).max() < allowed
  assert np.abs(by_parity - groups / 2).max() < 4 * np.sqrt(groups) / 2


def test_names_do_not_depend_on_keys_or_factors():
  cell = dimensions.CELLS['se_v_tabletop']
  group = _draft(cell, 0)
  names = generator_lib.item_names(group)
  for draft in group.drafts:
    # The options of SE-V are always yes and no.
    assert draft.options in (('yes', 'no'), ('no', 'yes'))
  changed = dataclasses.replace(
    group,
    drafts=tuple(
      dataclasses.replace(d, answer=1 - d.answer, factors={})
      for d in group.drafts
    ),
  )
  assert generator_lib.item_names(changed) == names


def test_items_are_in_the_order_of_their_names(groups):
  for items, _ in groups.values():
    names = [item.name for item in items]
    assert names == sorted(names) and all(len(n) == 16 for n in names)
