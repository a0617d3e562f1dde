"""The gallery in a browser: keys are hidden, and no request is sent."""

import html.parser
import io
import itertools
import json

import numpy as np
from PIL import Image
import pytest

from tests import browser
from wm_abench.audits import audits
from wm_abench.core import dimensions, records
from wm_abench.generation import gallery

CELLS = ('m_nav_indoor', 'sr_tabletop', 'v_m_tabletop', 'mt_tabletop')


def _picture(seed):
  frame = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
  image = Image.fromarray(frame).resize((384, 384))
  stream = io.BytesIO()
  image.save(stream, 'jpeg')
  return records.Picture.encoded(stream.getvalue())


def _items(name, groups=4):
  """Returns items of a cell, with markup in everything shown as text."""
  cell, items = dimensions.CELLS[name], []
  for group, m in itertools.product(range(groups), range(cell.of.options)):
    seed = 1000 * group + 100 * list(CELLS).index(name)
    options = [f'<b>{i}</b> & so' for i in range(cell.of.options)]
    if cell.of.form == dimensions.IMAGE:
      options = [_picture(seed + 50 + i) for i in range(cell.of.options)]
    rotation = group % len(options)
    items.append(
      records.Item(
        name=f'{name}/{group}/{m}',
        cell=name,
        group=f'{name}/{group}',
        prompt=f'Which <i>one</i> of group {group}?',
        images=tuple(_picture(seed + 10 * m + i) for i in range(cell.images)),
        options=tuple(options[rotation:] + options[:rotation]),
        answer=(m - rotation) % len(options),
        varies='relation',
        factors={'relation': f'<level {m}>', 'room': 'attic', 'xy_m': [1.5, 2]},
      )
    )
  return items


def _write(folder, names=CELLS, k=3):
  cells, shown = {}, {}
  for name in names:
    items = _items(name)
    shown[name] = gallery.choose(items, k)
    cells[name] = {
      'items': len(items),
      'bytes': 2_500_000,
      'work': {'rendered': 40, 'rendering_s': 3.0, 'physics_s': 1.0},
      'digests': {'content': '0', 'pictures': '0'},
      'audits': audits.audit(items, cells=len(names)),
    }
  results = {
    'split': 'test',
    'items': 16,
    'seed': 0,
    'size_px': 384,
    'renderer': 'mujoco',
    'version': '1.0.0',
    'mujoco': '3.3.7',
    'seconds': 12.0,
    'cells': json.loads(json.dumps(cells)),
  }
  return gallery.write(folder, shown, results), shown


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  path, _ = _write(tmp_path_factory.mktemp('gallery'))
  with browser.started(tmp_path_factory.mktemp('profile')) as tab:
    tab.open(path.as_uri())
    yield tab


def test_a_page_requests_nothing_but_itself(page):
  requests = [a for a in page.requested if not a.startswith('data:')]
  assert len(requests) == 1 and requests[0].endswith('gallery.html')


def test_every_cell_has_a_heading_and_three_items(page):
  found = page.run(
    '[...document.querySelectorAll("section.cell")].map(s => [s.id,'
    ' s.querySelectorAll("h3").length, s.querySelectorAll(".item").length,'
    ' s.querySelector("h3").innerText.length > 5])'
  )
  assert sorted(found) == sorted([name, 1, 3, True] for name in CELLS)


def test_every_picture_loads(page):
  widths = page.run(
    'Promise.all([...document.images].map(i => { i.loading = "eager";'
    ' return i.decode().then(() => i.naturalWidth); }))'
  )
  pictures = sum(
    3 * (cell.images + (4 if cell.of.form == dimensions.IMAGE else 0))
    for cell in map(dimensions.CELLS.get, CELLS)
  )
  assert len(widths) >= pictures and min(widths) >= 100


def test_every_link_has_a_target(page):
  dead = page.run(
    '[...document.querySelectorAll("a")].map(a => a.getAttribute("href"))'
    '.filter(h => !h.startsWith("#") || !document.querySelector(h))'
  )
  assert dead == []
  named = page.run(
    '[...new Set([...document.querySelectorAll("nav a")].map(a => a.hash))]'
  )
  assert sorted(named) == sorted(f'#{name}' for name in CELLS)


VISIBLE = (
  '[...document.querySelectorAll(".right")].map(e => e.checkVisibility())'
)


def test_keys_are_hidden_until_a_click_or_a_key_press(page):
  assert page.run(VISIBLE) == [False] * 3 * len(CELLS)
  page.run('document.querySelector(".answer > summary").click()')
  assert page.run(VISIBLE) == [True] + [False] * (3 * len(CELLS) - 1)
  page.run('document.querySelectorAll(".answer > summary")[1].focus()')
  page.press('Enter')
  assert page.run(VISIBLE)[:3] == [True, True, False]
  page.press('Enter')
  assert page.run(VISIBLE)[:3] == [True, False, False]


def test_the_key_shown_is_the_key_of_the_item(page):
  shown_keys = page.run(
    '[...document.querySelectorAll(".item")].map(e =>'
    ' [e.querySelector(".number").textContent,'
    ' e.querySelector(".right b").textContent])'
  )
  items = {i.name: i for name in CELLS for i in _items(name)}
  assert shown_keys == [[n, 'ABCD'[items[n].answer]] for n, _ in shown_keys]


@pytest.mark.parametrize('width', [320, 400, 700, 1000, 1300])
def test_nothing_is_wider_than_the_screen(page, width):
  page.send(
    'Emulation.setDeviceMetricsOverride',
    width=width,
    height=800,
    deviceScaleFactor=1,
    mobile=False,
  )
  assert page.run('document.documentElement.scrollWidth') <= width


def test_words_are_escaped(tmp_path):
  path, _ = _write(tmp_path, ['sr_tabletop'])
  text = path.read_text()
  assert '<i>one</i>' not in text and '<level' not in text
  assert '&lt;i&gt;one' in text and '&lt;level 2&gt;' in text


def test_the_same_items_give_the_same_page(tmp_path):
  pages = []
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    pages.append(_write(tmp_path / name, ['v_m_tabletop'])[0].read_bytes())
  assert pages[0] == pages[1]


def test_the_tags_are_closed(tmp_path):
  class Tags(html.parser.HTMLParser):
    def __init__(self):
      super().__init__()
      self.stack = []

    def handle_starttag(self, tag, attrs):
      if tag not in ('meta', 'img'):
        self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
      pass  # Elements of drawings close themselves.

    def handle_endtag(self, tag):
      assert self.stack.pop() == tag, self.getpos()

  parser = Tags()
  parser.feed(_write(tmp_path)[0].read_text())
  assert parser.stack == []


def test_items_are_chosen_from_different_groups():
  shown = gallery.choose(_items('sr_tabletop', groups=6), 3)
  assert [s.item.group.split('/')[1] for s in shown] == ['0', '2', '5']
  assert len({s.item.answer for s in shown}) == 3
  for s in shown:
    assert {m.group for m in s.members} == {s.item.group}
    assert len(s.members) == 4


def test_the_chosen_items_have_different_keys():
  shown = gallery.choose(_items('sr_tabletop', groups=9), 3)
  assert [s.item.group.split('/')[1] for s in shown] == ['0', '4', '8']
  assert len({s.members[0].answer for s in shown}) == 1
  assert len({s.item.answer for s in shown}) == 3


@pytest.mark.parametrize(('groups', 'k', 'wanted'), [(1, 3, 3), (2, 99, 8)])
def test_few_groups_are_shown_more_than_once(groups, k, wanted):
  shown = gallery.choose(_items('sr_tabletop', groups=groups), k)
  assert len({s.item.name for s in shown}) == len(shown) == wanted
