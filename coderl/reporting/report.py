"""The page and the table of a finished run, made from the files it left.

`read` opens a workdir: config.json, metrics.jsonl (one line per training step),
results.json (the evaluations before and after) and rollouts.jsonl (samples).
`table` is the results as plain text. `write` makes one page, report.html, of
the results, the figures and five rollouts; it needs no network. Equal files
give an equal page. Everything that a model or a program wrote is escaped.
"""

from collections.abc import Iterable, Sequence
import json
import pathlib
import re
from typing import Any, NamedTuple

import jinja2
import markupsafe

from coderl import types
from coderl.alignment import answers
from coderl.reporting import figures
from coderl.text import replies
from commons import errors, files

_TEMPLATE = pathlib.Path(__file__).with_name('template.html')

Record = dict[str, Any]  # One line of a JSONL file.

# Label and dotted name of the settings at the head of the page.
SETTINGS = {
  'Policy': 'model.preset',
  'Problems': 'data.name',
  'Algorithm': 'algorithm.name',
  'Alignment share': 'alignment.ratio',
  'Alignment reward': 'alignment.reward',
  'Trajectory weight': 'trajectory.weight',
  'Prompts per step': 'train.prompts_per_step',
  'Responses per prompt': 'sampling.group_size',
  'Learning rate': 'optimizer.learning_rate',
  'Seed': 'seed',
}

_MAX_CHARS = 4000  # Longest text on the page.
_MAX_VALUES = 12  # Values shown of one variable at one line of a trace.
_SAMPLES = 5


class Run(NamedTuple):
  """The contents of a workdir, file by file."""

  config: Record
  metrics: list[Record]
  results: Record
  rollouts: list[Record]


def read(workdir: str | pathlib.Path) -> Run:
  """Opens the workdir of a finished run.

  Raises:
    UserError: a file is missing or is not JSON.
  """
  root = pathlib.Path(workdir)
  return Run(
    _parse(root / 'config.json')[0],
    _parse(root / 'metrics.jsonl'),
    _parse(root / 'results.json')[0],
    _parse(root / 'rollouts.jsonl'),
  )


def write(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes report.html into the workdir of a finished run; returns its path."""
  root = pathlib.Path(workdir)
  run = read(root)
  config = dict(_flatten(run.config))
  environment = jinja2.Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters['clip'] = _clip
  svg = lambda drawing: markupsafe.Markup(figures.svg(drawing))
  page = environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
    name=root.resolve().name,
    results=run.results,
    evaluations=[
      (*names, run.results['difference'][names[0]])
      for names in evaluations(run.results)
    ],
    intervals=svg(figures.intervals(evaluations(run.results))),
    curves=[svg(drawing) for drawing in figures.curves(run.metrics).values()],
    samples=[_sample(record) for record in samples(run.rollouts)],
    settings={k: config[v] for k, v in SETTINGS.items() if v in config},
    config=config,
  )
  path = root / 'report.html'
  with files.replacing(path) as unfinished:
    # A program may print lone surrogates, which UTF-8 cannot encode.
    unfinished.write_bytes(page.encode('utf-8', 'backslashreplace'))
  return path


def table(results: Record) -> str:
  """Returns the evaluations as plain text, each value with its interval.

  There is one column per evaluation ('before' and 'after' of a training run),
  and one of the differences where the results have them.
  """
  columns = results['evaluations']
  differences = results.get('difference', {})
  rows = [['', *columns, *['difference'] * bool(differences), 'n']]
  last = list(columns.values())[-1]
  for name in last:
    cells = [
      _with_interval('{:.3f}', column[name], 'accuracy')
      for column in columns.values()
    ]
    if differences:
      cells.append(_with_interval('{:+.3f}', differences[name], 'difference'))
    rows.append([name, *cells, str(last[name]['n'])])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
    '  '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
    for row in rows
  ]
  note = 'Held-out split; 95 % intervals in brackets.'
  return '\n'.join(line.rstrip() for line in [*lines, note])


def evaluations(results: Record) -> list[tuple[str, Record, Record]]:
  """Returns each figure's name, its values before training and after."""
  before, after = (results['evaluations'][k] for k in ('before', 'after'))
  return [(name, before[name], after[name]) for name in results['difference']]


def samples(rollouts: Sequence[Record]) -> list[Record]:
  """Returns five rollouts that show the course of training, in its order.

  These are a failed program and an alignment answer from the start; and a
  passed program, a failed one and an alignment answer from the end. The
  earliest of the remaining rollouts stand in for those that do not exist.
  """
  failed = [r for r in rollouts if _is_program(r) and r['reward'] < 1]
  passed = [r for r in rollouts if _is_program(r) and r['reward'] >= 1]
  aligned = [r for r in rollouts if r['kind'] == types.ALIGN]
  preferred = [
    *failed[:1],
    *aligned[:1],
    *passed[-1:],
    *failed[-1:],
    *aligned[-1:],
  ]
  order = {id(record): i for i, record in enumerate(rollouts)}
  chosen = {id(record): record for record in [*preferred, *rollouts]}
  return sorted(
    list(chosen.values())[:_SAMPLES],
    key=lambda record: (record['step'], order[id(record)]),
  )


def _is_program(record: Record) -> bool:
  return record['kind'] == types.GENERATE


def _parse(path: pathlib.Path) -> list[Record]:
  """Returns the records of a JSONL file, or the one record of a JSON file."""
  if not path.is_file():
    raise errors.UserError(f'{str(path)!r} does not exist: has the run ended?')
  text = path.read_text(encoding='utf-8')
  lines = text.split('\n') if path.suffix == '.jsonl' else [text]
  try:
    return [json.loads(line) for line in lines if line.strip()]
  except json.JSONDecodeError as e:
    raise errors.UserError(
      f'{str(path)!r} is not {path.suffix[1:]}: {e}'
    ) from e


def _with_interval(form: str, entry: Record, key: str) -> str:
  value, low, high = (form.format(entry[k]) for k in (key, 'low', 'high'))
  return f'{value} [{low}, {high}]'


def _sample(record: Record) -> Record:
  """Returns a rollout with the fields that the page shows."""
  source = _reply(record) if _is_program(record) else ''
  before, separator, after = record['response'].rpartition(source or '\n')
  if not source.strip():
    before, source, after = record['response'], '', ''
  elif not separator:  # The response of a completion is part of its program.
    before, after = '', ''
  return record | {
    'before': before.strip(),
    'source': source.split('\n') if source else [],
    'after': after.strip(),
    'answers': _answers(record),
    'events': _events(record['trace']) if record['trace'] else [],
  }


def _reply(record: Record) -> str:
  """Returns the program or the answer in a response; '' without one."""
  if 'reply' in record:
    return record['reply'] or ''
  if _is_program(record):
    return replies.extract_program(record['response']) or ''
  return record['response']


def _answers(record: Record) -> list[Record]:
  """Returns the target variables, each with the answer and the true value."""
  targets = [types.Target(**target) for target in record['targets']]
  reply = _reply(record)
  answer = answers.parse_answer(reply)
  form = answers.score_answer(reply, '', targets).form
  return [
    {
      'name': target.name,
      'value': target.value,
      'answer': _answer_text(answer, target.name),
      'correct': form and _is_correct(reply, target),
    }
    for target in targets
  ]


def _answer_text(answer: Record | None, name: str) -> str:
  if answer is None or name not in answer['variables']:
    return ''
  return json.dumps(answer['variables'][name], ensure_ascii=False)


def _is_correct(reply: str, target: types.Target) -> bool:
  return answers.score_answer(reply, '', [target]).variables_right == 1


def _events(trace: Record) -> list[tuple[int, str, list[tuple[str, str]]]]:
  """Returns (line number, source, [(name, values)]) of the executed lines."""
  lines = re.split(r'\r\n?|\n', trace['program'])  # As Python counts them.
  values: dict[int, dict[str, list[str]]] = {}
  for event in trace['trajectory']:
    names = values.setdefault(event['line'], {})
    names.setdefault(event['name'], []).append(event['value'])
  return [
    (line, lines[line - 1], [(n, _arrows(v)) for n, v in names.items()])
    for line, names in sorted(values.items())
  ]


def _arrows(values: list[str]) -> str:
  if len(values) > _MAX_VALUES:
    half = _MAX_VALUES // 2
    skipped = f'({len(values) - 2 * half} more)'
    values = [*values[:half], skipped, *values[-half:]]
  return ' → '.join(values)


def _clip(text: str) -> str:
  """Returns the start of a text, and how many characters are left out."""
  left = len(text) - _MAX_CHARS
  return text if left <= 0 else f'{text[:_MAX_CHARS]}\n[{left} more characters]'


def _flatten(config: Record, prefix: str = '') -> Iterable[tuple[str, str]]:
  for key, value in config.items():
    if isinstance(value, dict):
      yield from _flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', str(value)
