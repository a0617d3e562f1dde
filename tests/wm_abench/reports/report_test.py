import re

import numpy as np
import pytest

from tests import browser
from tests.wm_abench import synthetic
from wm_abench.core import records
from wm_abench.reports import report
from wm_abench.statistics import comparisons, scores

CELLS = ('sr_tabletop', 'cq_tabletop', 'm_nav_street')
REPLY = 'I <b>think</b> it is "B" & no more'


def _replies(items, ability):
  rng = np.random.default_rng(0)
  for item in items:
    right = rng.random() < ability
    chosen = item.answer if right else (item.answer + 1) % len(item.options)
    order = range(len(item.options))[::-1]
    yield records.reply_to(item, order, chosen, text=REPLY)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run')
  items = [item for cell in CELLS for item in synthetic.items(cell, 18)]
  replies = {
    'good/model': [*_replies(items, 0.9)],
    'weak': [*_replies(items, 0.3)],
  }
  results = {
    'manifest': {
      'items': len(items),
      'protocol': 'strict',
      'circular': False,
      'seed': 0,
    },
    'models': scores.summarise(replies, 0),
    'analyses': comparisons.analyse(replies, 0),
  }
  named = {item.name: item for item in items}
  wrong = [r for r in replies['weak'] if not r.right]
  shown = {'weak': [report.Shown(named[r.item], r) for r in wrong[::5]]}
  return folder, results, shown, report.write(folder, results, shown)


def test_the_same_results_give_the_same_bytes(written):
  folder, results, shown, page = written
  files = [page, *sorted((folder / 'figures').glob('*.png'))]
  before = [path.read_bytes() for path in files]
  report.write(folder, results, shown)
  assert [path.read_bytes() for path in files] == before
  assert [p.stem for p in files[1:]] == ['curves', 'dimensions', 'entanglement']


def test_the_page_makes_no_request(written):
  text = written[-1].read_text()
  sources = re.findall(r'(?:src|href)="([^"]*)"', text)
  assert sources and all(
    s.startswith('data:image/') or s == 'logs/' for s in sources
  )
  assert '<script' not in text and 'url(' not in text


def test_numbers_on_the_page_are_those_of_the_results(written):
  _, results, _, page = written
  text = page.read_text()
  for model in results['models'].values():
    score = model['all']
    interval = f'{score["corrected"]:.3f} [{score["corrected_low"]:.3f}'
    assert interval in text
  assert 'published (arXiv 2506.21876), on the original data' in text
  assert f'{results["models"]["weak"]["all"]["accuracy"]:.3f}' in report.table(
    results
  )


def test_known_dimensions_are_those_above_chance_and_not_below(written):
  _, results, _, page = written
  weak = results['models']['weak']['dimensions']['CQ']
  assert weak['accuracy'] < weak['chance'] and weak['p'] > 0.99
  good, bad = report.table(results).splitlines()[1:3]
  # 0.69 of eighteen CQ pairs are right, which is not significant.
  assert results['models']['good/model']['dimensions']['CQ']['p'] > 0.01
  assert '1/2 1/1' in good and '0/2 0/1' in bad
  assert '<td>1/2 1/1</td>' in page.read_text()


def test_the_text_of_a_reply_is_escaped(written):
  assert REPLY not in written[-1].read_text()
  assert 'I &lt;b&gt;think&lt;/b&gt;' in written[-1].read_text()


def test_a_browser_shows_the_page(written, tmp_path):
  with browser.started(tmp_path) as tab:
    tab.open(written[-1].as_uri())
    requests = [u for u in tab.requested if not u.startswith('data:')]
    assert requests == [written[-1].as_uri()] and not tab.messages
    heads = 'document.querySelectorAll("h2").length'
    assert tab.run(heads) == 10
    widths = tab.run(
      'Promise.all([...document.images].map(i =>'
      ' i.decode().then(() => i.naturalWidth)))'
    )
    assert len(widths) > 3 and min(widths) > 0
