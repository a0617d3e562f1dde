"""The page shows the files of a run, escaped, and needs nothing else."""

import html.parser
import json
import re

import pytest

from coderl.reporting import report
from commons import errors


class _Page(html.parser.HTMLParser):
  """The tags of a page, and its text."""

  def __init__(self, text: str):
    super().__init__()
    self.tags, self.text = [], ''
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text += data


def _write(workdir) -> str:
  return report.write(workdir).read_text(encoding='utf-8')


def _change(workdir, index, **fields):
  """Changes fields of one rollout in the workdir."""
  path = workdir / 'rollouts.jsonl'
  records = [json.loads(line) for line in path.read_text().splitlines()]
  records[index] |= fields
  path.write_text(''.join(json.dumps(r) + '\n' for r in records))


def test_table_aligns_numbers_with_intervals():
  results = {
    'evaluations': {
      'before': {'pass@1': _entry(0.25), 'code reasoning': _entry(0.5)},
      'after': {'pass@1': _entry(0.75), 'code reasoning': _entry(0.5)},
    },
    'difference': {
      'pass@1': {'difference': 0.5, 'low': 0.25, 'high': 0.75},
      'code reasoning': {'difference': 0.0, 'low': -0.125, 'high': 0.125},
    },
  }
  lines = report.table(results).split('\n')
  assert re.split(r'\s{2,}', lines[1]) == [
    'pass@1',
    '0.250 [0.125, 0.375]',
    '0.750 [0.625, 0.875]',
    '+0.500 [+0.250, +0.750]',
    '400',
  ]
  assert lines[2].endswith('+0.000 [-0.125, +0.125]  400')
  assert len({line.index('[') for line in lines[1:3]}) == 1


def test_table_of_one_policy_has_no_difference():
  results = {'evaluations': {'policy': {'pass@1': _entry(0.5)}}}
  lines = report.table(results).split('\n')
  assert lines[0].split() == ['policy', 'n']
  assert lines[1] == 'pass@1  0.500 [0.375, 0.625]  400'


def _entry(p):
  return {'accuracy': p, 'low': p - 0.125, 'high': p + 0.125, 'n': 400}


def test_the_page_is_complete_and_needs_no_network(workdir):
  page = _Page(_write(workdir))
  tags = [tag for tag, _ in page.tags]
  assert tags.count('svg') == 9
  assert tags.count('article') == 5
  assert not {'script', 'link', 'img', 'iframe', 'object'} & set(tags)
  for _, attributes in page.tags:
    for name in ('src', 'href', 'xlink:href'):
      assert attributes.get(name, '#').startswith('#')
  style = page.text
  assert '@import' not in style and 'url(' not in style
  assert 'prefers-color-scheme: dark' in style


def test_ids_are_unique_and_every_reference_has_one(workdir):
  text = _write(workdir)
  ids = re.findall(r'\sid="([^"]*)"', text)
  used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text)
  assert len(ids) == len(set(ids))
  assert {a or b for a, b in used} <= set(ids)


def test_same_files_give_the_same_page(workdir):
  assert _write(workdir) == _write(workdir)


def test_text_of_a_model_makes_no_tag(workdir):
  attack = '</pre><script>alert(1)</script><img src=x onerror=y> {{ 7 * 7 }}'
  execution = {
    'stdin': attack,
    'call': None,
    'expected': attack,
    'stdout': attack,
    'value': None,
    'status': 'runtime_error',
    'error': attack,
  }
  trace = {
    'stdin': attack,
    'program': f'x = 1  # {attack}',
    'stdout': attack,
    'variables': [{'name': 'x', 'value': attack, 'line': 1}],
    'trajectory': [{'line': 1, 'name': 'x', 'value': attack}],
  }
  _change(
    workdir,
    0,
    prompt=attack,
    response=f'{attack}\n```python\nx = 1  # {attack}\n```\n{attack}',
    problem=attack,
    executions=[execution],
    trace=trace,
  )
  text = _write(workdir)
  assert '<script' not in text and '<img' not in text
  # Prompt, three parts of the response, problem, four fields of the execution,
  # four of the trace and a final value.
  assert _Page(text).text.count(attack) == 14


def test_lone_surrogates_and_long_texts_are_written(workdir):
  _change(workdir, 0, response='\ud800' + 'z' * 9000)
  text = _write(workdir)
  assert '\\ud800' in text
  assert '[5001 more characters]' in text


def test_a_trace_shows_the_values_of_a_line_in_order(workdir):
  text = _Page(_write(workdir)).text
  assert 'solve.number = 4 → -1 → 2' in text
  assert 'wrong answer' in text and 'passed' in text


def test_a_completion_is_shown_with_its_opening(workdir):
  _change(
    workdir,
    0,
    response='    return 1 < 2\nprint',
    reply='def f():\n    return 1 < 2',
  )
  answer = '{"final_output": "6", "variables": {"solve.number": 2, '
  _change(
    workdir,
    2,
    response='2, "solve.total": 6}}\n\nmore',
    reply=f'{answer}"solve.total": 6}}}}',
  )
  text = _write(workdir)
  lines = '<span>def f():</span><span>    return 1 &lt; 2</span></code></pre>'
  assert lines in text
  verdicts = re.findall(r'>\s*(correct|wrong)\s*</span>', text)
  assert verdicts == ['correct', 'correct', 'correct', 'correct']


def test_a_completion_without_a_program_is_shown_as_it_is(workdir):
  _change(workdir, 0, response='\n\nno body', reply=None)
  assert '<pre><span>no body</span></pre>' in _write(workdir)


def test_lines_of_a_trace_are_counted_as_in_python(workdir):
  trace = {
    'stdin': '',
    'program': 'a = 1\rb = 2\r\nc = 3\n',
    'stdout': '',
    'variables': [],
    'trajectory': [{'line': 3, 'name': 'c', 'value': '3'}],
  }
  _change(workdir, 0, trace=trace)
  assert '<td>3</td><td><code>c = 3</code></td>' in _write(workdir)


def test_alignment_answers_have_verdicts(workdir):
  text = _write(workdir)
  first = text[text.index('Target variables') :]
  verdicts = re.findall(r'>\s*(correct|wrong)\s*</span>', first)
  assert verdicts == ['correct', 'wrong', 'correct', 'correct']


def test_an_answer_that_cannot_be_parsed_has_nothing_correct(workdir):
  _change(
    workdir,
    2,
    response='{"final_output": "6", "variables": {"solve.number": 2}}',
  )
  verdicts = re.findall(r'>\s*(correct|wrong)\s*</span>', _write(workdir))
  assert verdicts == ['wrong', 'wrong', 'correct', 'correct']


def test_samples_span_training_and_both_outcomes(workdir):
  rollouts = report.read(workdir).rollouts
  chosen = report.samples(rollouts)
  assert [(r['step'], r['kind'], r['reward']) for r in chosen] == [
    (0, 'generate', 0.0),
    (1, 'align', 0.5),
    (59, 'generate', 1.0),
    (59, 'generate', 0.0),
    (59, 'align', 1.0),
  ]
  assert report.samples(rollouts[:1]) == rollouts[:1]
  assert len(report.samples(rollouts[:1] * 3 + rollouts[1:2] * 6)) <= 5


@pytest.mark.parametrize('name', ['results.json', 'metrics.jsonl'])
def test_a_missing_or_broken_file_is_named(workdir, name):
  (workdir / name).write_text('{"step": ')
  with pytest.raises(errors.UserError, match=f'{name}.*is not'):
    report.write(workdir)
  (workdir / name).unlink()
  with pytest.raises(errors.UserError, match=f'{name}.*does not exist'):
    report.write(workdir)
