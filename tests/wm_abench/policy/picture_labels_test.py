"""Labelled objects are visible in rendered pictures."""

import collections
import io

import numpy as np
from PIL import Image
import pytest

from tests.wm_abench import synthetic
from wm_abench.core import dimensions
from wm_abench.generation import generator as generator_lib
from wm_abench.policy import picture_labels
from wm_abench.worlds.tabletop import props

SETTINGS = generator_lib.Settings(seed=3, size_px=128, renderer='mujoco')
CELLS = (
  *('sr_tabletop', 'v_c_apartment_table', 'v_s_tabletop', 'tp_tabletop'),
  *('te_apartment_table', 'mi_tabletop', 'ms_tabletop', 'md_apartment_table'),
  'mt_tabletop',
)


@pytest.fixture(scope='module')
def groups():
  generator = generator_lib.Generator(SETTINGS)
  yield {
    name: generator.group(dimensions.CELLS[name], 0)
    + generator.group(dimensions.CELLS[name], 1)
    for name in sorted(CELLS, key=lambda n: dimensions.CELLS[n].environment)
  }
  generator.close()


def _votes(pixels):
  """Counts the pixels nearest to each colour, in light or shade."""
  known = np.array([*props.COLORS.values()])
  lit = np.concatenate([known, 0.6 * known])
  gaps = np.square(pixels[:, None] - lit).sum(-1)
  names = [*props.COLORS] * 2
  return collections.Counter(names[i] for i in gaps.argmin(-1))


@pytest.mark.parametrize('cell', CELLS)
def test_an_object_has_its_colour_at_its_labelled_position(groups, cell):
  right = []
  for item in groups[cell]:
    found = picture_labels.labels_of(item)
    assert len(found) == len(item.images)
    for picture, things in zip(item.images, found, strict=True):
      image = Image.open(io.BytesIO(picture.read())).convert('RGB')
      image = np.asarray(image) / 255
      assert things
      for thing in things:
        x, y = int(thing.x * 128), int(thing.y * 128)
        patch = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        right.append(_votes(patch)[thing.color] >= 4)
  # Lamps tint objects, and objects may occlude each other.
  assert np.mean(right) > 0.75


def test_shapes_are_those_of_the_state(groups):
  item = groups['v_s_tabletop'][0]
  first = picture_labels.labels_of(item)[0][0]
  assert item.options[item.answer].endswith(
    first.shape.replace('torus', 'ring')
  )


def test_unknown_views_have_no_labels():
  (item, *_) = synthetic.items('cq_tabletop', 1)
  assert picture_labels.labels_of(item) == [[]]


def test_an_object_moves_in_its_labelled_direction(groups):
  """In MD only the first object moves, towards its target."""
  for item in groups['md_apartment_table']:
    films = picture_labels.labels_of(item)
    first, last = films[0], films[-1]
    named = [f'the {t.color} {t.shape}'.replace('torus', 'ring') for t in last]
    target = named.index(item.options[item.answer])
    way = np.subtract(last[0][:2], first[0][:2])
    to = np.subtract(first[target][:2], first[0][:2])
    assert way @ to > 0.9 * np.linalg.norm(way) * np.linalg.norm(to)
    horizontal = abs(way[0]) > abs(way[1])
    names = ('left', 'right') if horizontal else ('up', 'down')
    moved = {things[0].moved for things in films} - {''}
    assert moved == {names[int(way[0 if horizontal else 1] > 0)]}
    assert not any(t.moved for things in films for t in things[1:])
    assert not any(t.moved for t in first)
