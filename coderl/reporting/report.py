"""The page and the figures of a finished run; computes nothing.

`read` opens a workdir: config.json, metrics.jsonl (a training step a line),
results.json (the evaluations before and after) and rollouts.jsonl (samples).
`table` is the result as plain text, `figures` and `intervals` are drawings,
and `write` puts all of it with five rollouts into one page, report.html, that
needs no network. The same files give the same page, byte for byte. Whatever a
model or a program wrote reaches the page escaped.
"""

from collections.abc import Iterable, Sequence
import io
import json
import pathlib
import re
from typing import Any, NamedTuple

import jinja2
import markupsafe
import matplotlib
from matplotlib import figure, ticker
import numpy as np

from coderl import types
from coderl.alignment import answers
from coderl.text import replies
from commons import errors

_TEMPLATE = pathlib.Path(__file__).with_name('template.html')

Row = dict[str, Any]  # A line of a JSONL file.

# Title and key in metrics.jsonl of each learning curve.
CURVES = (
  ('Reward of programs', 'generate/reward'),
  ('Training programs that pass', 'generate/passed'),
  ('Reward of alignment answers', 'align/reward'),
  ('Variables inferred right', 'align/variables'),
  ('Trajectory loss, nats a token', 'trajectory_loss'),
  ('Entropy, nats a token', 'entropy'),
  ('KL to the sampling policy, nats', 'kl_old'),
  ('KL to the reference, nats', 'kl_reference'),
  ('Response length, tokens', 'response_len_tokens'),
  ('Tokens a second', 'tokens_per_s'),
)
# Label and dotted name of the settings at the head of the page.
SETTINGS = {
  'Policy': 'model.preset',
  'Problems': 'data.name',
  'Algorithm': 'algorithm.name',
  'Alignment share': 'alignment.ratio',
  'Alignment reward': 'alignment.reward',
  'Trajectory weight': 'trajectory.weight',
  'Prompts a step': 'train.prompts_per_step',
  'Responses a prompt': 'sampling.group_size',
  'Learning rate': 'optimizer.learning_rate',
  'Seed': 'seed',
}

# Colours of the drawings, which the page's style sheet gives anew in the dark.
_INK, _MUTED, _RULE, _ACCENT = '#1c1e21', '#666c73', '#d9d9d3', '#1b5e9e'
_VARIABLES = {
  _INK: '--ink',
  _MUTED: '--muted',
  _RULE: '--rule',
  _ACCENT: '--accent',
}
_STYLE = {
  'axes.edgecolor': _MUTED,
  'axes.labelcolor': _MUTED,
  'axes.labelsize': 8.0,
  'axes.linewidth': 0.6,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.titlecolor': _INK,
  'axes.titlelocation': 'left',
  'axes.titlesize': 9.5,
  'grid.color': _RULE,
  'grid.linewidth': 0.5,
  'svg.fonttype': 'none',  # Text stays text: small, and found by a search.
  'text.color': _INK,
  'xtick.color': _MUTED,
  'xtick.labelsize': 8.0,
  'ytick.color': _MUTED,
  'ytick.labelsize': 8.0,
}
_MAX_CHARS = 4000  # Of any one text on the page.
_MAX_VALUES = 12  # Of one variable at one line of a trace.
_SAMPLES = 5


class Run(NamedTuple):
  """What a workdir holds; every part as its file has it."""

  config: Row
  metrics: list[Row]
  results: Row
  rollouts: list[Row]


def read(workdir: str | pathlib.Path) -> Run:
  """Opens the workdir of a finished run.

  Raises:
    UserError: a file is missing or is not JSON; it is named.
  """
  root = pathlib.Path(workdir)
  return Run(
    _parse(root / 'config.json')[0],
    _parse(root / 'metrics.jsonl'),
    _parse(root / 'results.json')[0],
    _parse(root / 'rollouts.jsonl'),
  )


def write(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes report.html into the workdir of a finished run; gives its path."""
  root = pathlib.Path(workdir)
  run = read(root)
  config = dict(_flat(run.config))
  environment = jinja2.Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters['clip'] = _clip
  page = environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
    name=root.resolve().name,
    results=run.results,
    evaluations=_evaluations(run.results),
    intervals=markupsafe.Markup(svg(intervals(run.results))),
    curves=[markupsafe.Markup(svg(f)) for f in figures(run.metrics).values()],
    samples=[_sample(row) for row in samples(run.rollouts)],
    settings={k: config[v] for k, v in SETTINGS.items() if v in config},
    config=config,
  )
  path = root / 'report.html'
  # Lone surrogates, which a program may print, have no bytes in UTF-8.
  path.write_bytes(page.encode('utf-8', 'backslashreplace'))
  return path


def table(results: Row) -> str:
  """The evaluations as plain text, each with its interval.

  One column an evaluation ('before' and 'after' of a training run), and one
  of the differences where the results have them.
  """
  evaluations = results['evaluations']
  changes = results.get('difference', {})
  rows = [['', *evaluations, *['difference'] * bool(changes), 'n']]
  last = list(evaluations.values())[-1]
  for task in last:
    cells = [
      _spread('{:.3f}', e[task], 'accuracy') for e in evaluations.values()
    ]
    if changes:
      cells.append(_spread('{:+.3f}', changes[task], 'difference'))
    rows.append([task, *cells, str(last[task]['n'])])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
    '  '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
    for row in rows
  ]
  note = 'Held-out split; 95 % intervals in brackets.'
  return '\n'.join(line.rstrip() for line in [*lines, note])


def figures(metrics: Sequence[Row]) -> dict[str, figure.Figure]:
  """The learning curves by metric; one that no step reported is left out."""
  drawn = {}
  for title, key in CURVES:
    rows = [row for row in metrics if row.get(key) is not None]
    if rows:
      steps = [row['step'] for row in rows]
      drawn[key] = _curve(title, steps, [row[key] for row in rows])
  return drawn


def intervals(results: Row) -> figure.Figure:
  """Dots with intervals: every evaluation, before (hollow) and after."""
  rows = _evaluations(results)
  with matplotlib.rc_context(_STYLE):
    drawing = figure.Figure(
      figsize=(4.8, 0.5 + 0.4 * len(rows)), layout='constrained'
    )
    axes = drawing.subplots()
    for at, (_, before, after, _) in enumerate(rows):
      for offset, entry, color, face in (
        (-0.14, before, _MUTED, 'none'),
        (0.14, after, _ACCENT, _ACCENT),
      ):
        y = at + offset
        axes.plot([entry['low'], entry['high']], [y, y], color=color, lw=1.6)
        axes.plot(entry['accuracy'], y, 'o', ms=5, mec=color, mfc=face)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.tick_params(axis='y', length=0, labelcolor=_INK, labelsize=9)
    axes.spines['left'].set_visible(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.grid(axis='x')
    axes.set_axisbelow(True)
  return drawing


def svg(drawing: figure.Figure) -> str:
  """A drawing as an <svg> element whose colours follow the page's."""
  text = io.StringIO()
  # Ids differ between a page's drawings, and are the same in every run.
  salt = drawing.axes[0].get_title('left')
  with matplotlib.rc_context(_STYLE | {'svg.hashsalt': salt}):
    drawing.savefig(
      text, format='svg', transparent=True, metadata={'Date': None}
    )
  element = text.getvalue()
  element = element[element.index('<svg') :]
  element = re.sub(r'<metadata>.*?</metadata>', '', element, flags=re.DOTALL)
  element = re.sub(r'<g id="[^"]*"', '<g', element)
  for color, name in _VARIABLES.items():
    element = element.replace(color, f'var({name}, {color})')
  return element


def samples(rollouts: Sequence[Row]) -> list[Row]:
  """Five telling rollouts, in the order of training.

  A failed program and an alignment answer from the start; a passed program,
  a failed one and an alignment answer from the end. What does not exist is
  made up for by the earliest of the others.
  """
  failed = [r for r in rollouts if _is_program(r) and r['reward'] < 1]
  passed = [r for r in rollouts if _is_program(r) and r['reward'] >= 1]
  aligned = [r for r in rollouts if r['kind'] == types.ALIGN]
  wanted = [
    *failed[:1],
    *aligned[:1],
    *passed[-1:],
    *failed[-1:],
    *aligned[-1:],
  ]
  order = {id(row): i for i, row in enumerate(rollouts)}
  chosen = {id(row): row for row in [*wanted, *rollouts]}
  return sorted(
    list(chosen.values())[:_SAMPLES],
    key=lambda row: (row['step'], order[id(row)]),
  )


def _is_program(row: Row) -> bool:
  return row['kind'] == types.GENERATE


def _parse(path: pathlib.Path) -> list[Row]:
  """The rows of a JSONL file; a JSON file is its one row."""
  if not path.is_file():
    raise errors.UserError(f'{str(path)!r} is not there: has the run ended?')
  text = path.read_text(encoding='utf-8')
  parts = text.split('\n') if path.suffix == '.jsonl' else [text]
  try:
    return [json.loads(part) for part in parts if part.strip()]
  except json.JSONDecodeError as e:
    raise errors.UserError(
      f'{str(path)!r} is not {path.suffix[1:]}: {e}'
    ) from e


def _evaluations(results: Row) -> list[tuple[str, Row, Row, Row]]:
  """(task, before, after, difference) for the tasks that have all three."""
  before, after = (results['evaluations'][k] for k in ('before', 'after'))
  return [
    (name, before[name], after[name], change)
    for name, change in results['difference'].items()
  ]


def _spread(form: str, entry: Row, key: str) -> str:
  value, low, high = (form.format(entry[k]) for k in (key, 'low', 'high'))
  return f'{value} [{low}, {high}]'


def _curve(
  title: str, steps: Sequence[int], values: Sequence[float]
) -> figure.Figure:
  """One learning curve: faint dots, and their running median."""
  with matplotlib.rc_context(_STYLE):
    drawing = figure.Figure(figsize=(2.9, 1.9))
    # Margins of one size line up the curves on the page.
    axes = drawing.add_axes((0.18, 0.21, 0.8, 0.63))
    axes.plot(steps, values, 'o', ms=2.4, mew=0, color=_MUTED, alpha=0.5)
    axes.plot(steps, _running_median(values), color=_ACCENT, lw=1.5)
    axes.set_title(title, x=-0.225, pad=7)
    axes.set_xlabel('step', labelpad=2)
    axes.grid(axis='y')
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.08)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f'{v:g}'))
  return drawing


def _running_median(values: Sequence[float]) -> np.ndarray:
  """Centred, over a tenth of the values on either side and at least two."""
  reach = max(2, len(values) // 10)
  return np.array(
    [
      np.median(values[max(0, i - reach) : i + reach + 1])
      for i in range(len(values))
    ]
  )


def _sample(row: Row) -> Row:
  """A rollout as the page shows it."""
  source = _reply(row) if _is_program(row) else ''
  before, found, after = row['response'].rpartition(source or '\n')
  if not source.strip():
    before, source, after = row['response'], '', ''
  elif not found:  # A completion's response is but part of its program.
    before, after = '', ''
  return row | {
    'before': before.strip(),
    'source': source.split('\n') if source else [],
    'after': after.strip(),
    'answers': _answers(row),
    'events': _events(row['trace']) if row['trace'] else [],
  }


def _reply(row: Row) -> str:
  """The program in a response, or the answer; '' where there is none."""
  if 'reply' in row:
    return row['reply'] or ''
  if _is_program(row):
    return replies.extract_program(row['response']) or ''
  return row['response']


def _answers(row: Row) -> list[Row]:
  """The variables asked for, each with what was answered and the truth."""
  targets = [types.Target(**target) for target in row['targets']]
  reply = _reply(row)
  answer = answers.parse_answer(reply)
  form = answers.score_answer(reply, '', targets).form
  return [
    {
      'name': target.name,
      'value': target.value,
      'answer': _answered(answer, target.name),
      'right': form and _is_right(reply, target),
    }
    for target in targets
  ]


def _answered(answer: Row | None, name: str) -> str:
  if answer is None or name not in answer['variables']:
    return ''
  return json.dumps(answer['variables'][name], ensure_ascii=False)


def _is_right(reply: str, target: types.Target) -> bool:
  return answers.score_answer(reply, '', [target]).variables_right == 1


def _events(trace: Row) -> list[tuple[int, str, list[tuple[str, str]]]]:
  """(line, its source, [(name, its values in turn)]) of the lines that ran."""
  lines = re.split(r'\r\n?|\n', trace['program'])  # As Python counts them.
  found: dict[int, dict[str, list[str]]] = {}
  for event in trace['trajectory']:
    names = found.setdefault(event['line'], {})
    names.setdefault(event['name'], []).append(event['value'])
  return [
    (line, lines[line - 1], [(n, _arrows(v)) for n, v in names.items()])
    for line, names in sorted(found.items())
  ]


def _arrows(values: list[str]) -> str:
  if len(values) > _MAX_VALUES:
    half = _MAX_VALUES // 2
    skipped = f'({len(values) - 2 * half} more)'
    values = [*values[:half], skipped, *values[-half:]]
  return ' → '.join(values)


def _clip(text: str) -> str:
  """The start of a text; how much of it was left out is said."""
  left = len(text) - _MAX_CHARS
  return text if left <= 0 else f'{text[:_MAX_CHARS]}\n[{left} more characters]'


def _flat(config: Row, prefix: str = '') -> Iterable[tuple[str, str]]:
  for key, value in config.items():
    if isinstance(value, dict):
      yield from _flat(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', str(value)
