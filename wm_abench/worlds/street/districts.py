"""The districts, after which towns are built, as plain data."""

import dataclasses

from wm_abench.worlds.street import facades

_GLASS_WALL = (58, 74, 88)


@dataclasses.dataclass(frozen=True)
class District:
  """The parameters of a town.

  Attributes:
    styles: the styles of its buildings.
    floors: the least and largest number of floors above the ground floor.
    cut: the number of plots along the side of a block.
    setback_m: the distance from the pavement to the buildings.
    pitched: whether the roofs have gables; else they are flat.
    roof: the colour of the roofs.
    lawn: whether the blocks have grass; else they are paved.
    park_share: half of the blocks are parks if it is positive, else none.
    tree_gap_m: the distance between trees along the kerb; 0 for no trees.
  """

  styles: tuple[facades.Style, ...]
  floors: tuple[int, int]
  cut: int
  setback_m: float
  pitched: bool
  roof: facades.RGB
  lawn: bool
  park_share: float
  tree_gap_m: float


_Style = facades.Style
DISTRICTS: dict[str, District] = {
  'downtown': District(
    styles=(
      _Style(
        (70, 96, 118),
        'glass',
        (38, 48, 58),
        (0.96, 0.72),
        'lobby',
        (180, 40, 40),
        3.0,
        3.6,
      ),
      _Style(
        (64, 104, 96),
        'glass',
        (190, 196, 200),
        (0.94, 0.66),
        'lobby',
        (40, 60, 120),
        3.0,
        3.6,
      ),
      _Style(
        (196, 186, 166),
        'stone',
        (224, 218, 204),
        (0.5, 0.62),
        'shop',
        (28, 84, 60),
      ),
      _Style(
        (142, 82, 62),
        'brick',
        (214, 204, 188),
        (0.48, 0.6),
        'shop',
        (36, 52, 110),
      ),
      _Style(
        (150, 152, 154),
        'plaster',
        (108, 110, 114),
        (0.8, 0.5),
        'lobby',
        (214, 150, 30),
        3.0,
        3.4,
      ),
      _Style(
        (226, 222, 212),
        'plaster',
        (90, 94, 100),
        (0.36, 0.7),
        'shop',
        (150, 30, 42),
      ),
      _Style(
        (110, 92, 78),
        'stone',
        (196, 168, 110),
        (0.56, 0.64),
        'lobby',
        (196, 168, 110),
      ),
    ),
    floors=(3, 13),
    cut=2,
    setback_m=0.0,
    pitched=False,
    roof=(110, 110, 112),
    lawn=False,
    park_share=0.0,
    tree_gap_m=16.0,
  ),
  'old_town': District(
    styles=(
      _Style(
        (158, 78, 58),
        'brick',
        (226, 218, 204),
        (0.42, 0.6),
        'shop',
        (24, 72, 58),
      ),
      _Style(
        (120, 66, 52),
        'brick',
        (206, 190, 160),
        (0.44, 0.62),
        'door',
        (40, 48, 96),
      ),
      _Style(
        (226, 204, 150),
        'plaster',
        (250, 244, 228),
        (0.38, 0.6),
        'shop',
        (128, 34, 34),
      ),
      _Style(
        (206, 146, 110),
        'plaster',
        (246, 236, 220),
        (0.4, 0.6),
        'door',
        (52, 92, 70),
      ),
      _Style(
        (158, 178, 164),
        'plaster',
        (240, 240, 230),
        (0.4, 0.58),
        'shop',
        (196, 128, 30),
      ),
      _Style(
        (188, 160, 120),
        'brick',
        (240, 232, 214),
        (0.42, 0.6),
        'door',
        (110, 28, 36),
      ),
      _Style(
        (172, 190, 206),
        'plaster',
        (248, 248, 244),
        (0.4, 0.6),
        'shop',
        (30, 60, 120),
      ),
    ),
    floors=(1, 3),
    cut=3,
    setback_m=0.0,
    pitched=True,
    roof=(142, 84, 62),
    lawn=False,
    park_share=0.0,
    tree_gap_m=0.0,
  ),
  'suburb': District(
    styles=(
      _Style(
        (232, 230, 222),
        'siding',
        (250, 250, 250),
        (0.44, 0.46),
        'door',
        (130, 30, 30),
      ),
      _Style(
        (168, 190, 206),
        'siding',
        (250, 250, 250),
        (0.42, 0.46),
        'door',
        (34, 58, 92),
      ),
      _Style(
        (222, 206, 160),
        'siding',
        (252, 250, 244),
        (0.42, 0.46),
        'door',
        (60, 88, 60),
      ),
      _Style(
        (150, 84, 66),
        'brick',
        (238, 234, 224),
        (0.42, 0.46),
        'door',
        (232, 230, 224),
      ),
      _Style(
        (150, 164, 132),
        'siding',
        (244, 244, 236),
        (0.42, 0.46),
        'door',
        (96, 50, 34),
      ),
    ),
    floors=(1, 1),
    cut=2,
    setback_m=2.2,
    pitched=True,
    roof=(92, 84, 82),
    lawn=True,
    park_share=0.0,
    tree_gap_m=16.0,
  ),
  'industrial': District(
    styles=(
      _Style(
        (140, 72, 54),
        'brick',
        (96, 92, 88),
        (0.7, 0.6),
        'gate',
        (46, 74, 104),
        3.6,
        4.0,
      ),
      _Style(
        (156, 166, 174),
        'sheet',
        (110, 118, 126),
        (0.4, 0.2),
        'gate',
        (178, 52, 38),
        3.6,
        4.0,
      ),
      _Style(
        (92, 118, 138),
        'sheet',
        (180, 188, 194),
        (0.5, 0.2),
        'gate',
        (206, 206, 200),
        3.6,
        4.0,
      ),
      _Style(
        (178, 172, 160),
        'plaster',
        (120, 116, 108),
        (0.76, 0.4),
        'gate',
        (58, 96, 70),
        3.6,
        4.0,
      ),
      _Style(
        (116, 92, 76),
        'brick',
        (186, 176, 160),
        (0.6, 0.62),
        'gate',
        (96, 40, 34),
        3.6,
        4.0,
      ),
      _Style(
        (198, 170, 96),
        'sheet',
        (120, 104, 60),
        (0.4, 0.2),
        'gate',
        (70, 70, 74),
        3.6,
        4.0,
      ),
    ),
    floors=(1, 2),
    cut=2,
    setback_m=1.0,
    pitched=False,
    roof=(120, 116, 112),
    lawn=False,
    park_share=0.0,
    tree_gap_m=0.0,
  ),
  'park_side': District(
    styles=(
      _Style(
        (238, 234, 224),
        'plaster',
        (206, 198, 184),
        (0.46, 0.66),
        'door',
        (34, 60, 50),
      ),
      _Style(
        (212, 196, 168),
        'stone',
        (240, 232, 216),
        (0.44, 0.64),
        'door',
        (84, 34, 34),
      ),
      _Style(
        (170, 96, 76),
        'brick',
        (238, 230, 216),
        (0.46, 0.62),
        'shop',
        (30, 70, 60),
      ),
      _Style(
        (196, 206, 196),
        'plaster',
        (250, 250, 244),
        (0.46, 0.62),
        'door',
        (40, 46, 90),
      ),
      _Style(
        (132, 140, 150),
        'stone',
        (226, 226, 222),
        (0.5, 0.64),
        'lobby',
        (178, 138, 60),
      ),
    ),
    floors=(3, 5),
    cut=2,
    setback_m=1.0,
    pitched=False,
    roof=(98, 96, 98),
    lawn=True,
    park_share=0.45,
    tree_gap_m=12.0,
  ),
}
