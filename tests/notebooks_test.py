"""The notebooks run from top to bottom and are stored without outputs."""

import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / 'notebooks').glob('*.ipynb'))


def _printed(cell) -> str:
  return ''.join(output.get('text', '') for output in cell.outputs)


def test_the_rollouts_notebook_runs_on_a_workdir(workdir, monkeypatch):
  monkeypatch.setenv('CODERL_WORKDIR', str(workdir))
  monkeypatch.setenv('PYTHONPATH', str(ROOT))
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  notebook = nbformat.read(ROOT / 'notebooks/rollouts.ipynb', as_version=4)
  nbclient.NotebookClient(
    notebook, timeout=60, resources={'metadata': {'path': str(workdir)}}
  ).execute()

  printed = '\n'.join(
    _printed(cell) for cell in notebook.cells if cell.cell_type == 'code'
  )
  assert 'variable inference' in printed
  assert "finished '6\\n'" in printed
  assert 'solve.total = 6  (line 5)' in printed
  assert 'total += number' in printed
  assert 'official = 1.000' in printed
  assert 'paper = 0.000' in printed
  pages = [
    output.data['text/html']
    for cell in notebook.cells
    for output in cell.get('outputs', [])
    if 'text/html' in output.get('data', {})
  ]
  assert [text.count('</svg>') for text in pages] == [1, 8]


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_define_nothing_and_hold_no_outputs(path):
  for cell in nbformat.read(path, as_version=4).cells:
    if cell.cell_type == 'code':
      assert cell.outputs == [] and cell.execution_count is None
      assert not any(
        line.startswith(('def ', 'class ')) for line in cell.source.split('\n')
      )
