"""Draws which room imports which, one SVG for each package.

    python -m docs.import_graph

Rooms and layers are those of tests/imports_test.py. Programs are at the top;
an arrow points from a room to a room that it imports, downwards or within its
layer. The test of this page fails if a picture is out of date.
"""

import collections
import pathlib

from tests import imports_test

FOLDER = pathlib.Path(__file__).parent
_ROOM_PX, _ROOM_HEIGHT_PX, _GAP_PX, _LAYER_PX = 104, 30, 22, 108
_MARGIN_PX = 24
_COLORS = (
  '#4477aa', '#66aa88', '#aa7744', '#8866aa', '#bb5566', '#558899', '#777777'
)  # fmt: skip


def rooms_of(package: str) -> list[list[str]]:
  """Rooms by layer, left to right; the parts of a folder in a layer are one."""
  layers = []
  for names in imports_test.LAYERS[package][:-1]:
    rooms = collections.defaultdict(list)
    for name in names:
      folder, _, module = name.partition('.')
      rooms[folder].append(module)
    layers.append(
      [
        folder if modules == [''] else f'{folder}: {", ".join(modules)}'
        for folder, modules in rooms.items()
      ]
    )
  return [*layers, ['programs']]


def edges_of(package: str) -> dict[tuple[str, str], int]:
  """Counts the imports from each room to each other room."""
  layers = rooms_of(package)

  def room_of(module: str) -> str:
    layer = imports_test.layer_of(module)
    folder = module.split('.')[1]
    named = [r for r in layers[layer] if r.partition(':')[0] == folder]
    return named[0] if named else 'programs'

  edges = collections.Counter()
  for module in imports_test.MODULES:
    if not module.startswith(f'{package}.'):
      continue
    for name in imports_test.IMPORTS[module]:
      if name in imports_test.MODULES and name.startswith(f'{package}.'):
        edges[room_of(module), room_of(name)] += 1
  return {(a, b): n for (a, b), n in sorted(edges.items()) if a != b}


def draw(package: str) -> str:
  """The SVG text of one package."""
  layers = rooms_of(package)[::-1]
  widths = [[_width(room) for room in layer] for layer in layers]
  totals = [sum(row) + _GAP_PX * (len(row) - 1) for row in widths]
  width = max(totals) + 2 * _MARGIN_PX
  height = _LAYER_PX * (len(layers) - 1) + 2 * _MARGIN_PX + _ROOM_HEIGHT_PX
  boxes = {}
  for i, layer in enumerate(layers):
    x = (width - totals[i]) / 2
    for room, room_width in zip(layer, widths[i], strict=True):
      boxes[room] = (x, _MARGIN_PX + i * _LAYER_PX, room_width, i)
      x += room_width + _GAP_PX
  lines = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} '
    f'{height:.0f}" font-family="sans-serif" font-size="12">',
    f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
  ]
  edges = edges_of(package)
  lines += [
    _arrow(boxes[a], boxes[b], count) for (a, b), count in edges.items()
  ]
  lines += [_box(room, *box) for room, box in boxes.items()]
  return '\n'.join([*lines, '</svg>', ''])


def _width(room: str) -> int:
  name, _, modules = room.partition(': ')
  return max(_ROOM_PX, 8 * len(name) + 24, 4 * len(modules) + 16)


def _arrow(source, target, count: int) -> str:
  x0, y0, w0, layer = source
  x1, y1, w1, below = target
  color = _COLORS[layer % len(_COLORS)]
  x0, x1 = x0 + w0 / 2, x1 + w1 / 2
  if layer == below:
    bend = y0 - 34
    path = f'M{x0:.0f},{y0:.0f} C{x0:.0f},{bend:.0f} {x1:.0f},{bend:.0f} '
  else:
    y0 += _ROOM_HEIGHT_PX
    middle = (y0 + y1) / 2
    path = f'M{x0:.0f},{y0:.0f} C{x0:.0f},{middle:.0f} {x1:.0f},{middle:.0f} '
    y1 -= 5
  tip_y = y1 if layer == below else y1 + 5
  tip = (
    f'M{x1 - 4:.0f},{tip_y - 6:.0f} L{x1:.0f},{tip_y:.0f} '
    f'L{x1 + 4:.0f},{tip_y - 6:.0f}'
  )
  return (
    f'<path d="{path}{x1:.0f},{tip_y:.0f} {tip}" fill="none" stroke="{color}" '
    f'stroke-opacity="0.55" stroke-width="{min(1 + count / 6, 4):.1f}"/>'
  )


def _box(room: str, x: float, y: float, width: float, layer: int) -> str:
  name, _, modules = room.partition(': ')
  color = _COLORS[layer % len(_COLORS)]
  text_y = y + (_ROOM_HEIGHT_PX / 2 + 4 if not modules else 13)
  middle = x + width / 2
  text = (
    f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" '
    f'height="{_ROOM_HEIGHT_PX}" rx="5" fill="white" stroke="{color}" '
    f'stroke-width="1.5"/>'
    f'<text x="{middle:.0f}" y="{text_y:.0f}" text-anchor="middle">'
    f'{name}</text>'
  )
  if modules:
    text += (
      f'<text x="{middle:.0f}" y="{y + 25:.0f}" text-anchor="middle" '
      f'font-size="7">{modules}</text>'
    )
  return text


def path_of(package: str) -> pathlib.Path:
  return FOLDER / f'imports_{package}.svg'


def main() -> None:
  for package in imports_test.LAYERS:
    path_of(package).write_text(draw(package), encoding='utf-8')
    rooms = sum(len(layer) for layer in rooms_of(package))
    print(f'{path_of(package)}: {rooms} rooms, {len(rooms_of(package))} layers')


if __name__ == '__main__':
  main()
