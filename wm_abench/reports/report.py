"""The page and the figures of an evaluation; no statistics are computed here.

report.html embeds its pictures, runs no script and makes no request. figures/
holds the figures as PNG. The same results give the same bytes.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import io
import json
import pathlib
from typing import Any
import urllib.parse

from matplotlib import figure
import numpy as np

from wm_abench.core import dimensions, published, records
from wm_abench.reports import pages
from wm_abench.statistics import entanglement

_TEMPLATE = pathlib.Path(__file__).with_name('template.html')
_SIZE_PX = 224
_MAX_REPLY_CHARS = 600
_DPI = 110
_STAGES = (dimensions.PERCEPTION, dimensions.PREDICTION)
_KNOWN_P = 0.01  # A dimension is known if its p-value is below this.
_VIEW = 'http://127.0.0.1:7575/'  # The default address of `inspect view`.
_MAX_CURVES = 6  # The curves of more models do not fit into one figure.


@dataclasses.dataclass(frozen=True)
class Shown:
  """An item for the page, with the reply of one model to it.

  Attributes:
    item: the item.
    reply: the reply.
    log: the path in logs/ of the log that contains the reply; '' if none does.
  """

  item: records.Item
  reply: records.Reply
  log: str = ''


def table(results: Mapping[str, Any]) -> str:
  """Returns the leaderboard of results.json as plain text."""
  width = max(len('model'), *map(len, results['models']))
  lines = [
    f'{"model":<{width}}  {"score":>6} {"95% interval":>16}  {"accuracy":>8}'
    f'  {"perception":>10}  {"prediction":>10}  {"pairs":>5}  {"known":>9}'
    '  no option'
  ]
  for name, model in results['models'].items():
    score = model['all']
    interval = f'[{score["corrected_low"]:.3f}, {score["corrected_high"]:.3f}]'
    stages = [_rounded(model['stages'].get(s, {}), 'accuracy') for s in _STAGES]
    lines.append(
      f'{name:<{width}}  {score["corrected"]:>6.3f} {interval:>16}'
      f'  {score["accuracy"]:>8.3f}  {stages[0]:>10}  {stages[1]:>10}'
      f'  {_rounded(score, "pairs"):>5}  {_known(model):>9}'
      f'  {_unanswered(model)}'
    )
  lines.append(
    'known: dimensions of perception, and of prediction, above chance with'
    f' p < {_KNOWN_P}'
  )
  return '\n'.join(lines)


def _known(model: Mapping[str, Any]) -> str:
  """Returns 'known/asked' dimensions of perception, then of prediction."""
  counts = []
  for stage in _STAGES:
    is_known = [
      score['p'] < _KNOWN_P
      for code, score in model['dimensions'].items()
      if dimensions.DIMENSIONS[code].stage == stage
    ]
    counts.append(f'{sum(is_known)}/{len(is_known)}')
  return ' '.join(counts)


def _rounded(score: Mapping[str, Any], key: str) -> str:
  value = score.get(key)
  return '-' if value is None else f'{value:.3f}'


def _unanswered(model: Mapping[str, Any]) -> int:
  counts = model['statuses']
  return sum(n for s, n in counts.items() if s != records.ANSWERED)


def write(
  folder: pathlib.Path,
  results: Mapping[str, Any],
  shown: Mapping[str, Sequence[Shown]],
) -> pathlib.Path:
  """Writes report.html and figures/ into a folder.

  Args:
    folder: an existing folder.
    results: the content of results.json.
    shown: model -> some items with the model's replies.

  Returns:
    The path of the page.
  """
  figures = {
    name: _png(plot)
    for name, plot in (
      ('dimensions', _dimensions(results)),
      ('curves', _curves(results)),
      ('entanglement', _entanglement(results)),
    )
    if plot is not None
  }
  figures_folder = folder / 'figures'
  figures_folder.mkdir(exist_ok=True)
  for name, encoded in figures.items():
    (figures_folder / f'{name}.png').write_bytes(encoded)
  values = {
    'results': results,
    'figures': {k: pages.data_uri(v, 'image/png') for k, v in figures.items()},
    'stages': _STAGES,
    'known_p': _KNOWN_P,
    'codes': _codes(results),
    'dimensions': dimensions.DIMENSIONS,
    'statuses': records.STATUSES,
    'published': _published(),
    'note': published.NOTE,
    'shown': {
      name: [_item(example) for example in examples]
      for name, examples in shown.items()
    },
  }
  filters = {
    'score': _score,
    'known': _known,
    'rounded': lambda v: '–' if v is None else f'{v:.3f}',
  }
  path = folder / 'report.html'
  pages.write(path, _TEMPLATE, values, filters)
  return path


def _score(score: Mapping[str, Any], kind: str = 'accuracy') -> str:
  """Returns a score with its interval, such as '0.512 [0.470, 0.553]'."""
  low, high = ('low', 'high')
  if kind == 'corrected':
    low, high = 'corrected_low', 'corrected_high'
  return f'{score[kind]:.3f} [{score[low]:.3f}, {score[high]:.3f}]'


def _codes(results: Mapping[str, Any]) -> list[str]:
  """Returns the dimensions that some model was asked, in table order."""
  models = results['models'].values()
  return [
    code
    for code in dimensions.DIMENSIONS
    if any(code in model['dimensions'] for model in models)
  ]


def _published() -> list[dict[str, Any]]:
  rows = [{'name': n, **published.averages(n)} for n in published.ACCURACY]
  return sorted(rows, key=lambda row: -row['all'])


def _item(shown: Shown) -> dict[str, Any]:
  item, reply = shown.item, shown.reply
  options = [
    pages.thumbnail(o, _SIZE_PX) if item.pictured else o for o in item.options
  ]
  # The path of a sample's first epoch in Inspect's view.
  sample = urllib.parse.quote(reply.sample, safe='')
  link = f'{_VIEW}#/logs/{shown.log}/samples/sample/{sample}/1/'
  return {
    'name': item.name,
    'link': link if shown.log else '',
    'prompt': item.prompt,
    'images': [pages.thumbnail(p, _SIZE_PX) for p in item.images],
    'pictured': item.pictured,
    # In the order in which the model saw them.
    'options': [
      {
        'label': records.LABELS[i],
        'shown': options[index],
        'right': index == reply.answer,
        'chosen': index == reply.chosen,
      }
      for i, index in enumerate(reply.order)
    ],
    'status': reply.status,
    'text': reply.text[:_MAX_REPLY_CHARS],
    'varies': item.varies,
    'level': json.dumps(item.factors.get(item.varies, '')),
  }


# Figures.


def _png(plot: figure.Figure) -> bytes:
  stream = io.BytesIO()
  plot.savefig(
    stream,
    format='png',
    dpi=_DPI,
    bbox_inches='tight',
    metadata={'Software': None},  # The version would change the bytes.
  )
  return stream.getvalue()


def _dimensions(results: Mapping[str, Any]) -> figure.Figure:
  """Draws a heat map of chance-corrected scores, dimensions by models."""
  codes, models = _codes(results), results['models']
  values = np.full((len(models), len(codes)), np.nan)
  for i, model in enumerate(models.values()):
    for j, code in enumerate(codes):
      if code in model['dimensions']:
        values[i, j] = model['dimensions'][code]['corrected']
  plot = figure.Figure((3 + 0.46 * len(codes), 1.2 + 0.42 * len(models)))
  axes = plot.add_subplot()
  # White is a guess; red-green colour blindness does not hide the sign.
  image = axes.imshow(values, cmap='RdBu', vmin=-1, vmax=1, aspect='auto')
  for (i, j), value in np.ndenumerate(values):
    if not np.isnan(value):
      percent = f'{100 * value:.0f}'
      color = 'white' if abs(value) > 0.6 else 'black'
      axes.text(
        j, i, percent, ha='center', va='center', fontsize=7, color=color
      )
  axes.set_xticks(range(len(codes)), codes, rotation=60, ha='right', fontsize=8)
  axes.set_yticks(range(len(models)), list(models), fontsize=8)
  first = sum(
    dimensions.DIMENSIONS[c].stage == dimensions.PERCEPTION for c in codes
  )
  if 0 < first < len(codes):
    axes.axvline(first - 0.5, color='black', linewidth=1.5)
  axes.set_title(
    'score above chance, in percent: 0 a guess, 100 all right', fontsize=9
  )
  plot.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
  return plot


def _curves(results: Mapping[str, Any]) -> figure.Figure | None:
  """Draws psychometric curves, one panel per cell."""
  models = dict(list(results['analyses']['models'].items())[:_MAX_CURVES])
  cells = [
    name
    for name in dimensions.CELLS
    if any(name in model['curves'] for model in models.values())
  ]
  if not cells:
    return None
  rows = -(-len(cells) // 4)
  plot = figure.Figure((12, 2.6 * rows), layout='constrained')
  panels = plot.subplots(rows, 4, squeeze=False).ravel()
  for axes, cell in zip(panels, cells, strict=False):
    for i, (name, model) in enumerate(models.items()):
      curve = model['curves'].get(cell)
      if curve:
        _curve(axes, curve, f'C{i}', name)
    axes.set_title(cell, fontsize=8)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=7)
  for axes in panels[len(cells) :]:
    axes.set_axis_off()
  panels[0].legend(fontsize=7)
  plot.supylabel('accuracy', fontsize=8)
  return plot


def _curve(axes, curve: Mapping[str, Any], color: str, name: str) -> None:
  points = curve['points']
  x = np.array([p['x'] for p in points])
  y = np.array([p['accuracy'] for p in points])
  ends = np.array([[p['low'] for p in points], [p['high'] for p in points]])
  gaps = np.abs(ends - y)
  axes.errorbar(x, y, gaps, fmt='o', ms=3, lw=0.8, color=color, label=name)
  fine = np.linspace(x.min(), x.max(), 60)
  grown = -np.expm1(-((fine / curve['scale']) ** curve['slope']))
  top = 1 - curve['guess'] - curve['lapse']
  axes.plot(fine, curve['guess'] + top * grown, color=color, lw=1)
  axes.set_xlabel(curve['unit'], fontsize=7)
  axes.axhline(curve['guess'], color='grey', lw=0.6, ls=':')


def _entanglement(results: Mapping[str, Any]) -> figure.Figure | None:
  """Draws effects above their floors by dimension and family of factors.

  Each model has one panel; a star is a significant effect.
  """
  models = results['analyses']['models']
  codes, families = _codes(results), list(entanglement.FAMILIES)
  panels = {}
  for name, model in models.items():
    effects = model['entanglement']['matrix']
    values = np.full((len(families), len(codes)), np.nan)
    found = np.zeros(values.shape, bool)
    for j, code in enumerate(codes):
      for i, family in enumerate(families):
        effect = effects.get(code, {}).get(family)
        if effect:
          values[i, j] = effect['effect'] - effect['floor']
          found[i, j] = effect['found']
    if not np.isnan(values).all():
      panels[name] = values, found
  if not panels:
    return None
  plot = figure.Figure(
    (3 + 0.42 * len(codes), 1.9 * len(panels) + 0.6), layout='constrained'
  )
  all_axes = plot.subplots(len(panels), 1, squeeze=False).ravel()
  for axes, (name, (values, found)) in zip(
    all_axes, panels.items(), strict=True
  ):
    image = axes.imshow(values, cmap='Purples', vmin=0, vmax=0.3, aspect='auto')
    for i, j in np.argwhere(found):
      axes.text(j, i, '*', ha='center', va='center', color='white')
    axes.set_yticks(range(len(families)), families, fontsize=7)
    axes.set_xticks(range(len(codes)), codes, rotation=60, fontsize=7)
    axes.set_title(name, fontsize=8)
  plot.colorbar(image, ax=list(all_axes), fraction=0.02)
  return plot
