"""The 23 dimensions and the 44 cells of WM-ABench, as one frozen table.

A dimension is one atomic ability: 16 are of perception and 7 of prediction. A
cell is a dimension in an environment, and with an action if the dimension has
several there (arXiv 2506.21876, Figure 2 and Table 5).
"""

import dataclasses

from commons import errors

PERCEPTION, PREDICTION = 'perception', 'prediction'
# The form of the options: phrases, or one image each.
TEXT, IMAGE = 'text', 'image'

# Environment -> the simulator of the paper for which it is a stand-in.
STANDS_FOR = {
  'tabletop': 'ThreeDWorld',
  'apartment_table': 'ManiSkill2',
  'manipulation': 'ManiSkill3',
  'intuitive_physics': 'Physion',
  'indoor': 'Habitat',
  'street': 'Carla',
}


@dataclasses.dataclass(frozen=True)
class Dimension:
  """One atomic ability.

  Attributes:
    code: the paper's abbreviation.
    name: the paper's name within the category.
    stage: PERCEPTION or PREDICTION.
    category: space, time, vision, motion or quantity; mechanistic, transitive
      or compositional.
    asks: the question in short.
    form: TEXT or IMAGE, the form of the options.
    options: the number of options.
  """

  code: str
  name: str
  stage: str
  category: str
  asks: str
  form: str
  options: int

  @property
  def chance(self) -> float:
    """The accuracy of a random guess."""
    return 1 / self.options


def _perception(category, code, name, asks, options, form=TEXT):
  return Dimension(code, name, PERCEPTION, category, asks, form, options)


def _prediction(category, code, name, asks):
  return Dimension(code, name, PREDICTION, category, asks, IMAGE, 4)


DIMENSIONS: dict[str, Dimension] = {
  d.code: d
  for d in (
    _perception('space', 'SR', 'relation', 'where A is relative to B', 4),
    _perception('space', 'SE-V', 'vacancy', 'whether A fits into B', 2),
    _perception('space', 'SE-O', 'occupancy', 'which object is larger', 2),
    _perception('space', 'SP', 'positioning', 'the top view', 4, IMAGE),
    _perception('time', 'TP', 'positioning', 'which moves first', 3),
    _perception('time', 'TE', 'extension', 'which moves for longer', 3),
    _perception('vision', 'V-C', 'colour', 'the colour of an object', 4),
    _perception('vision', 'V-S', 'shape', 'the shape of an object', 4),
    _perception('vision', 'V-M', 'material', 'whether materials are one', 2),
    _perception('motion', 'MI', 'identification', 'which object moves', 4),
    _perception('motion', 'MS', 'speed', 'which moves faster', 3),
    _perception('motion', 'MD', 'direction', 'what it moves towards', 4),
    _perception('motion', 'MT', 'trajectory', 'the shape of its path', 4),
    _perception('quantity', 'DQ', 'discrete', 'how many there are', 4),
    _perception('quantity', 'CQ', 'continuous', 'which shade is deeper', 2),
    _perception('quantity', 'RQ', 'relative', 'which colour has more', 3),
    _prediction('mechanistic', 'M-IP', 'intuitive physics', 'what comes next'),
    _prediction('mechanistic', 'M-Nav', 'navigation', 'after a move'),
    _prediction('mechanistic', 'M-Man', 'manipulation', 'after an act'),
    _prediction('transitive', 'T-Nav', 'navigation', 'after two moves'),
    _prediction('transitive', 'T-Man', 'manipulation', 'after two acts'),
    _prediction(
      'compositional', 'C-IP', 'intuitive physics', 'after two at once'
    ),
    _prediction('compositional', 'C-Man', 'manipulation', 'after two arms'),
  )
}


@dataclasses.dataclass(frozen=True)
class Cell:
  """A dimension in an environment.

  Attributes:
    dimension: the code of the dimension.
    environment: one of STANDS_FOR.
    images: the number of images of the state, without pictured options.
    cases: the number of items in the paper's Table 5 and in the split `test`.
    action: distinguishes cells with the same dimension and environment.
    release: the configuration's name in the published data set; '' if unknown.
  """

  dimension: str
  environment: str
  images: int
  cases: int
  action: str = ''
  release: str = ''

  @property
  def name(self) -> str:
    """The cell's name, such as 'm_man_manipulation_lift'."""
    parts = [self.dimension.lower().replace('-', '_'), self.environment]
    return '_'.join(filter(None, [*parts, self.action]))

  @property
  def of(self) -> Dimension:
    """The dimension."""
    return DIMENSIONS[self.dimension]


_ROWS = (
  ('SR', 'apartment_table', 2, 1600, '', 'RelativePosition_front_top'),
  ('SR', 'tabletop', 2, 8640, '', 'RelativePosition_front_top_tdw'),
  ('SE-V', 'apartment_table', 3, 2880, '', 'SpatialOccupancy_maniskill'),
  (
    'SE-V',
    'tabletop',
    1,
    324,
    '',
    'SpatialOccupancy_occupancy_fitting_tdw_top',
  ),
  (
    'SE-O',
    'apartment_table',
    1,
    1152,
    '',
    'SpatialOccupancy_volume_object_only_unfloat_top',
  ),
  (
    'SE-O',
    'tabletop',
    1,
    941,
    '',
    'SpatialOccupancy_occupancy_size_tdw_front_large',
  ),
  ('SP', 'apartment_table', 2, 6400, '', 'Multiview_maniskill'),
  ('SP', 'tabletop', 2, 2000, '', 'Multiview_tdw'),
  ('TP', 'apartment_table', 5, 2000, '', 'TemporalPositioning_maniskill'),
  ('TP', 'tabletop', 6, 5646),
  ('TE', 'apartment_table', 5, 2000),
  (
    'TE',
    'tabletop',
    6,
    7680,
    '',
    'TemporalExtension_temporal_tdw_yjx_01_05',
  ),
  ('V-C', 'apartment_table', 3, 648, '', 'VisualAttribute_color'),
  ('V-C', 'tabletop', 3, 1440, '', 'VisualAttribute_color_tdw'),
  ('V-S', 'tabletop', 3, 1000, '', 'VisualAttribute_shape_tdw'),
  ('V-M', 'tabletop', 1, 1728, '', 'VisualAttribute_material_diff_tdw'),
  ('MI', 'apartment_table', 6, 2688, '', 'MotionDirection_maniskill_subtask'),
  ('MI', 'tabletop', 4, 1913, '', 'MotionDirection_tdw_subtask'),
  ('MS', 'apartment_table', 4, 2304, '', 'MotionSpeed_maniskill'),
  ('MS', 'tabletop', 8, 2304, '', 'MotionSpeed_tdw'),
  ('MD', 'apartment_table', 6, 2688, '', 'MotionDirection_maniskill_towards'),
  ('MD', 'tabletop', 6, 1913, '', 'MotionDirection_tdw'),
  (
    'MT',
    'apartment_table',
    7,
    6912,
    '',
    'MotionTrajectory_maniskill_path_choices',
  ),
  ('MT', 'tabletop', 8, 671, '', 'MotionTrajectory_path_choices'),
  ('DQ', 'apartment_table', 1, 2520),
  ('DQ', 'tabletop', 1, 1134, '', 'DiscreteCounting_tdw_top'),
  ('CQ', 'tabletop', 1, 756, '', 'QuantityContinuous_tdw_continuous'),
  ('RQ', 'apartment_table', 1, 2880, '', 'RelativeCounting_maniskill'),
  ('RQ', 'tabletop', 1, 1701, '', 'RelativeCounting_tdw_color_letter'),
  (
    'M-IP',
    'intuitive_physics',
    3,
    2160,
    'slide',
    'MechanisticKnowledge_physion_type_slide',
  ),
  (
    'M-IP',
    'intuitive_physics',
    3,
    3456,
    'drop',
    'MechanisticKnowledge_physion_type_drop',
  ),
  (
    'M-IP',
    'intuitive_physics',
    3,
    1728,
    'collide',
    'MechanisticKnowledge_physion_type_collision_v2',
  ),
  (
    'M-Nav',
    'street',
    1,
    1575,
    '',
    'PredictionNextState_carla_next_state_prediction_02_08',
  ),
  ('M-Nav', 'indoor', 1, 1728),
  (
    'M-Man',
    'manipulation',
    1,
    2304,
    'drop',
    'MechanisticKnowledge_maniskill_drop',
  ),
  (
    'M-Man',
    'manipulation',
    1,
    2304,
    'lift',
    'MechanisticKnowledge_maniskill_lift',
  ),
  (
    'M-Man',
    'manipulation',
    1,
    2304,
    'push',
    'MechanisticKnowledge_maniskill_push',
  ),
  ('T-Nav', 'street', 1, 700),
  (
    'T-Nav',
    'indoor',
    1,
    1956,
    '',
    'Transitivity_habitat_lab_trans_ver_2_noback',
  ),
  (
    'T-Man',
    'manipulation',
    1,
    1728,
    'push_pick',
    'Transitivity_maniskill_push_pick',
  ),
  (
    'T-Man',
    'manipulation',
    1,
    576,
    'pick_rotate',
    'Transitivity_maniskill_pick_rotate',
  ),
  ('C-IP', 'tabletop', 3, 1296, '', 'Compositionality_tdw_two_sphere_2_14'),
  (
    'C-Man',
    'manipulation',
    1,
    2304,
    'push',
    'Compositionality_maniskill_push',
  ),
  (
    'C-Man',
    'manipulation',
    1,
    2304,
    'lift',
    'Compositionality_maniskill_lift',
  ),
)

CELLS: dict[str, Cell] = {cell.name: cell for cell in (Cell(*r) for r in _ROWS)}


def select(names: str) -> tuple[Cell, ...]:
  """Returns the cells that a comma-separated list names, in table order.

  Args:
    names: names of cells ('sr_tabletop'), dimensions ('SR', 'm-man'),
      environments ('street') or stages ('perception'); '' or 'all' for all.

  Raises:
    UserError: a name is unknown.
  """
  if names in ('', 'all'):
    return tuple(CELLS.values())
  chosen: dict[str, Cell] = {}
  for name in map(str.strip, names.split(',')):
    named = {c.name: c for c in CELLS.values() if _has_name(c, name)}
    if not named:
      choices = [*CELLS, *DIMENSIONS, *STANDS_FOR, PERCEPTION, PREDICTION]
      kind = 'cell, dimension, environment or stage'
      raise errors.unknown(kind, name, choices)
    chosen |= named
  return tuple(cell for cell in CELLS.values() if cell.name in chosen)


def _has_name(cell: Cell, name: str) -> bool:
  names = (cell.name, cell.environment, cell.of.stage, cell.of.category)
  return name in names or name.lower() == cell.dimension.lower()
