"""Each planted fault is found by its audit; clean data pass."""

import dataclasses
import io
import json

import numpy as np
from PIL import Image
import pytest

from wm_abench.audits import audits, shortcuts
from wm_abench.core import dimensions, records

SIDE = 64
PICTURED, WORDED, PAIRED = 'm_nav_indoor', 'v_s_tabletop', 'cq_tabletop'
WORDS = ('a cube', 'a ball', 'a cone', 'a ring')
NOISE = 18  # Standard deviation of the grey levels of every picture.


def _picture(rng, corners=(), shades=None):
  """Returns squares of 16 px at corners (x, y) on noise."""
  frame = rng.normal(128, NOISE, (SIDE, SIDE, 3))
  for n, (x, y) in enumerate(corners):
    frame[y : y + 16, x : x + 16] = (
      (230, 30, 30) if shades is None else shades[n]
    )
  stream = io.BytesIO()
  frame = np.clip(frame, 0, 255).astype(np.uint8)
  Image.fromarray(frame).save(stream, 'jpeg', quality=90)
  return records.Picture.encoded(stream.getvalue())


def _item(rng, cell, group, member, options, answer, **changes):
  item = records.Item(
    name=f'{cell}/{group}/{member}',
    cell=cell,
    group=f'{cell}/{group}',
    prompt='What is it?',
    images=(_picture(rng), _picture(rng)),
    options=tuple(options),
    answer=int(answer),
    varies='what',
    factors={
      'what': str(member),
      'background': f'room{group % 3}',
      'size_m': round(float(np.random.default_rng(group).uniform()), 3),
      'places_m': [group % 2, group % 5],
    },
  )
  return dataclasses.replace(item, **changes)


def _worded(seed, groups=24, words=WORDS, cell=WORDED, **changes):
  """Returns a clean cell with words: pictures do not depend on keys."""
  rng = np.random.default_rng(seed)
  items = []
  for group in range(groups):
    options = rng.permutation(words).tolist()
    answers = rng.permutation(len(words))
    items += [
      _item(rng, cell, group, m, options, a, **changes)
      for m, a in enumerate(answers)
    ]
  return items


def _pictured(seed, groups=24, near=False):
  """Returns a clean cell with pictures; `near` makes the key the nearest."""
  rng = np.random.default_rng(seed)
  corners = [(4, 4), (44, 4), (4, 44), (44, 44)]
  items = []
  for group in range(groups):
    options = [_picture(rng, [c]) for c in corners]
    order, lasts = rng.permutation(4), rng.permutation(4)
    for m in range(4):
      last = m if near else lasts[m]
      images = (_picture(rng), _picture(rng, [corners[last]]))
      answer = np.flatnonzero(order == m)[0]
      shuffled = [options[i] for i in order]
      items.append(
        _item(rng, PICTURED, group, m, shuffled, answer, images=images)
      )
  return items


def _found(items, cells=1):
  """Returns the names of all significant tests and broken laws."""
  report = audits.audit(items, cells=cells)
  json.dumps(report)
  tests = report['independence'] | report['shortcuts']
  laws = {name for name, broken in report['laws'].items() if broken}
  found = laws | {name for name, test in tests.items() if test['found']}
  assert (report['verdict'] == 'ok') == (not found), report['verdict']
  for name in found:
    assert name in report['verdict']
  return found


@pytest.mark.parametrize('make', [_worded, _pictured])
def test_clean_items_pass(make):
  wrong = [bool(_found(make(seed, groups=16))) for seed in range(30, 50)]
  assert sum(wrong) <= 1  # 5% over all tests of a cell.


def test_answers_without_groups_pass():
  """Items drawn one by one break the group law and nothing else."""
  wrong = 0
  for seed in range(20):
    rng = np.random.default_rng(seed)
    items = [
      dataclasses.replace(i, answer=int(rng.integers(4)), group=i.name)
      for i in _worded(seed, groups=16)
    ]
    found = _found(items)
    assert 'groups of minimal pairs' in found
    wrong += len(found) > 1
  assert wrong <= 1


def test_one_position_is_found():
  items = []
  for item in _worded(0):
    turned = item.options[item.answer :] + item.options[: item.answer]
    items.append(dataclasses.replace(item, options=turned, answer=0))
  assert _found(items) == {'position'}


def test_an_option_near_the_last_picture_is_found():
  found = _found(_pictured(0, near=True))
  assert 'pixels nearest the last picture' in found
  assert found <= {
    'pixels nearest the last picture',
    'pixels farthest from the last picture',
    'colours nearest the last picture',
    'colours farthest from the last picture',
  }


def test_a_leak_in_the_prompt_is_found():
  leaky = [
    dataclasses.replace(i, prompt=f'Is {i.options[i.answer]} there?')
    for i in _worded(0)
  ]
  assert _found(leaky) == {'blind'}


def test_the_same_item_twice_is_found():
  items = _worded(0)
  copy = dataclasses.replace(items[5], name='other', group='other')
  assert 'no item twice' in _found([*items[:8], copy, *items[8:]])
  shuffled = dataclasses.replace(
    items[5],
    name=f'{items[5].name}b',
    options=items[5].options[::-1],
    answer=3 - items[5].answer,
  )
  assert _found([*items[:8], shuffled, *items[8:]]) == {'no item twice'}


def test_a_missing_member_is_found():
  items = _worded(0)
  assert _found(items[:5] + items[6:]) == {'groups of minimal pairs'}


def test_a_sample_may_end_within_a_group():
  items = _worded(0)
  report = audits.audit(items[:-1])
  assert report['verdict'] == 'ok'
  assert report['items'] == len(items) - 4


def test_a_factor_that_does_not_change_the_answer_is_found():
  items = _worded(0)
  items[5] = dataclasses.replace(items[5], factors=items[4].factors)
  assert _found(items) == {'groups of minimal pairs'}
  items = _worded(0)
  items[5] = dataclasses.replace(items[5], answer=items[4].answer)
  assert 'groups of minimal pairs' in _found(items)


def test_a_factor_that_goes_with_a_position_is_found():
  """In half of the rooms the key is in the first half of the positions."""
  items = []
  for n, item in enumerate(_worded(0, groups=48)):
    word = item.options[item.answer]
    others = [o for o in item.options if o != word]
    at = 2 * (n // 4 % 2) + n % 2
    options = (*others[:at], word, *others[at:])
    items.append(dataclasses.replace(item, options=options, answer=at))
  found = _found(items)
  assert found == {'places_m[0] by position'}


def test_a_factor_that_goes_with_a_word_is_found():
  """One room has only two of the keys, which whole groups cannot have."""
  items = []
  for item in _worded(0, groups=48):
    half = int(item.factors['background'] == 'room0')
    word = WORDS[2 * half + int(item.factors['what']) % 2]
    at = item.options.index(word)
    items.append(dataclasses.replace(item, answer=at))
  assert 'background by word' in _found(items) - {'groups of minimal pairs'}


def _sized(larger_is_right):
  rng = np.random.default_rng(0)
  items = []
  for group in range(24):
    options = ['the red cube', 'the blue cube']
    for m in range(2):
      sizes = [28, 14] if m == 0 else [14, 28]
      frame = rng.normal(150, 4, (SIDE, SIDE, 3))
      for x, size, color in zip(
        (2, 34), sizes, ((200, 15, 15), (15, 43, 200)), strict=True
      ):
        frame[10 : 10 + size, x : x + size] = color
      stream = io.BytesIO()
      Image.fromarray(frame.astype(np.uint8)).save(stream, 'png')
      answer = m if larger_is_right else rng.permutation(2)[m]
      item = _item(rng, PAIRED, group, m, options, answer)
      picture = records.Picture.encoded(stream.getvalue())
      items.append(dataclasses.replace(item, images=(picture,)))
  return items


def test_the_larger_thing_being_right_is_found():
  found = _found(_sized(larger_is_right=True))
  assert 'most of its colour' in found
  assert found <= {
    'most of its colour',
    'least of its colour',
    'learned from colours',
    'learned from simple statistics',
  }


def test_a_rule_that_is_always_wrong_is_found_too():
  report = audits.audit(_sized(larger_is_right=True))
  test = report['shortcuts']['least of its colour']
  assert test['accuracy'] == 0.0 and test['found']


def test_a_known_shortcut_is_reported_as_known(monkeypatch):
  names = [*shortcuts.SHORTCUTS]
  known = {('CQ', name): 'so it is' for name in names}
  monkeypatch.setattr(audits, 'KNOWN', known)
  report = audits.audit(_sized(larger_is_right=True))
  assert report['verdict'].startswith('known: ')
  assert report['shortcuts']['most of its colour']['known'] == 'so it is'
  assert report['shortcuts']['blind']['known'] == ''


def test_known_shortcuts_exist():
  names = {*dimensions.CELLS, *dimensions.DIMENSIONS}
  for (name, shortcut), reason in audits.KNOWN.items():
    assert name in names and shortcut in shortcuts.SHORTCUTS and reason


def test_more_cells_need_stronger_evidence():
  """A finding in one cell may be chance among many cells."""
  items = _worded(0)
  position = [i.answer for i in items]
  moved = [
    dataclasses.replace(
      i, answer=0, options=(i.options[a], *i.options[:a], *i.options[a + 1 :])
    )
    if n % 4 == 0
    else i
    for n, (i, a) in enumerate(zip(items, position, strict=True))
  ]
  p = audits.audit(moved)['independence']['position']['p']
  assert _found(moved, cells=1) == {'position'}
  assert p * 1e9 > audits.LEVEL
  assert _found(moved, cells=10**9) == set()


def test_too_few_groups_are_reported():
  verdict = audits.audit(_worded(0, groups=1))['verdict']
  assert verdict == 'too few groups to tell: 1'


def test_a_blind_rule_scores_chance_on_lawful_groups():
  items = _pictured(0, groups=8)
  outcomes = shortcuts.run(items)
  for name in ('most like the other options', 'blind'):
    outcome = outcomes[name]
    assert outcome.accuracy == pytest.approx(0.25)
    assert outcome.p == 1.0


def test_a_ring_whose_size_gives_the_key_away_is_found():
  items = []
  for item in _worded(0, words=('no', 'yes'), cell='se_v_tabletop'):
    fits = item.options[item.answer] == 'yes'
    factors = {
      'hole_to_prop': 2.0 if fits else 0.5,
      'ring_m': 0.2,
      'share': 0.5,
      'changed': 'prop',
    }
    changed = {'factors': factors, 'varies': 'hole_to_prop'}
    items.append(dataclasses.replace(item, **changed))
  report = audits.audit(items)
  assert report['shortcuts']['a ring wide for the object']['accuracy'] == 1.0
  assert report['verdict'] == 'known: a ring wide for the object 1.00'
