"""Scores of replies: accuracy with intervals, minimal pairs, positions, means.

A reply that names no option is wrong. The paper's rule, which leaves such
replies out (arXiv 2506.21876, section 3), is given beside. Averages are plain
means over cells, of accuracy and of the chance-corrected score

    (accuracy - chance) / (1 - chance),

which is 0 for a guess, whether a cell has two options or four. If an item was
asked in several rotations of its options, its score is the mean over them.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from scipy import stats

from commons import estimates
from wm_abench.core import dimensions, records
from wm_abench.statistics import group_permutations

RESAMPLES = 1000
TAILS = (0.025, 0.975)


@dataclasses.dataclass(frozen=True)
class Table:
  """Replies of one cell as arrays over its N items.

  Attributes:
    right: share of an item's replies that are right, [N].
    always: whether all of an item's replies are right, bool [N].
    group: index of an item's group, int [N]; groups count from 0.
    chosen: share of an item's replies that chose each option, [N, K]; nan where
      the item has fewer than K = len(records.LABELS) options.
    answer: index of an item's key, int [N].
    chance: accuracy of a random guess.
  """

  right: np.ndarray
  always: np.ndarray
  group: np.ndarray
  chosen: np.ndarray
  answer: np.ndarray
  chance: float

  @property
  def groups(self) -> int:
    """The number of groups."""
    return int(self.group[-1]) + 1


def by_cell(
  replies: Sequence[records.Reply],
) -> dict[str, list[records.Reply]]:
  """Returns the replies of each cell, in the order of dimensions.CELLS."""
  cells: dict[str, list[records.Reply]] = {}
  for reply in replies:
    cells.setdefault(reply.cell, []).append(reply)
  return {name: cells[name] for name in dimensions.CELLS if name in cells}


def tabulate(replies: Sequence[records.Reply]) -> Table:
  """Returns the table of one cell's replies; items of a group are adjacent.

  Args:
    replies: replies of one cell, at least one.
  """
  groups: dict[str, dict[str, list[records.Reply]]] = {}
  for reply in replies:
    items_of_group = groups.setdefault(reply.group, {})
    items_of_group.setdefault(reply.item, []).append(reply)
  items = [
    rotations for group in groups.values() for rotations in group.values()
  ]
  rights = [[reply.right for reply in rotations] for rotations in items]
  chosen = np.full((len(items), len(records.LABELS)), np.nan)
  for i, rotations in enumerate(items):
    chosen[i, : len(rotations[0].order)] = 0
    for reply in rotations:
      if reply.chosen is not None:
        chosen[i, reply.chosen] += 1 / len(rotations)
  return Table(
    right=np.array([np.mean(flags) for flags in rights]),
    always=np.array([all(flags) for flags in rights]),
    group=np.repeat(
      np.arange(len(groups)), [len(group) for group in groups.values()]
    ),
    chosen=chosen,
    answer=np.array([rotations[0].answer for rotations in items]),
    chance=replies[0].chance,
  )


def above_chance(tables: Sequence[Table]) -> float:
  """Returns the p-value of the score over all tables, by group permutations."""
  answer = np.concatenate([table.answer for table in tables])
  chosen = np.concatenate([table.chosen for table in tables])
  groups = [(i, g) for i, table in enumerate(tables) for g in table.group]
  return group_permutations.tail_probabilities(
    chosen, answer, group_permutations.blocks(groups, answer)
  )[1]


def group_of(replies: Sequence[records.Reply]) -> np.ndarray:
  """Returns the index of each reply's group, int [N], by first appearance."""
  names = dict.fromkeys(reply.group for reply in replies)
  index = {name: i for i, name in enumerate(names)}
  return np.array([index[reply.group] for reply in replies])


def draw(groups: int, rng: np.random.Generator, samples: int) -> np.ndarray:
  """Draws bootstrap samples of groups.

  Returns:
    How often each group is in each sample, int [1 + samples, groups]. Line 0 is
    the sample itself, with each group once.
  """
  probability = np.full(groups, 1 / groups)
  drawn = rng.multinomial(groups, probability, size=samples)
  return np.concatenate([np.ones((1, groups), drawn.dtype), drawn])


def resample(table: Table, rng: np.random.Generator) -> np.ndarray:
  """Returns the accuracy, then that of bootstrap samples, [1 + RESAMPLES].

  Whole groups are drawn.
  """
  totals = np.bincount(table.group, weights=table.right)
  counts = np.bincount(table.group)
  drawn = draw(table.groups, rng, RESAMPLES)
  return (drawn @ totals) / (drawn @ counts)


def resample_cells(
  replies: Sequence[records.Reply], seed: int
) -> dict[str, tuple[Table, np.ndarray]]:
  """Returns each cell's table and `resample` of it.

  A cell's random numbers depend on the seed and the cell alone, so that all
  statistics of a cell use the same bootstrap samples.
  """
  cells = by_cell(replies)
  resampled = {}
  for index, name in enumerate(dimensions.CELLS):
    if name in cells:
      table = tabulate(cells[name])
      rng = np.random.default_rng([seed, index])
      resampled[name] = table, resample(table, rng)
  return resampled


def summarise(
  replies_of: Mapping[str, Sequence[records.Reply]], seed: int
) -> dict[str, Any]:
  """Scores each model; the result consists of JSON types.

  Args:
    replies_of: model -> replies, of any cells.
    seed: seed of the bootstrap; the same seed gives the same intervals.

  Returns:
    Model -> 'cells', 'dimensions', 'categories' and 'stages' (each name ->
    score), 'all' (a score), 'statuses', 'tokens' and 'positions'. A score has

      items, accuracy  the share that is right, or the mean over cells
      low, high        95% bootstrap interval; draws whole groups in each cell
      corrected, corrected_low, corrected_high   the chance-corrected score
      chance           mean over cells
      p                probability of at least this accuracy under permutations
                       of the keys within groups
      answered, answered_accuracy   replies that name an option, and the share
                       of them that is right: the paper's rule
      pairs, pairs_chance   share of minimal pairs with both items right, and
                       the same for a guess; None if there are no pairs
      groups, groups_chance   the same for whole groups
      wilson           only for a cell: Wilson's interval over replies
      always           only for a cell: share of items right in every rotation
  """
  return {name: _model(replies, seed) for name, replies in replies_of.items()}


def _model(replies: Sequence[records.Reply], seed: int) -> dict[str, Any]:
  replies_of_cell = by_cell(replies)
  cells, tables, draws = {}, {}, {}
  for name, (table, resampled) in resample_cells(replies, seed).items():
    tables[name], draws[name] = table, resampled[1:]
    cells[name] = _cell(replies_of_cell[name], table, draws[name])

  def averaged(kind: str) -> dict[str, Any]:
    members: dict[str, list[str]] = {}
    for name in cells:
      cell = dimensions.CELLS[name]
      key = cell.dimension if kind == 'dimension' else getattr(cell.of, kind)
      members.setdefault(key, []).append(name)
    return {
      key: _average(names, cells, tables, draws)
      for key, names in members.items()
    }

  return {
    'all': _average([*cells], cells, tables, draws),
    'stages': averaged('stage'),
    'categories': averaged('category'),
    'dimensions': averaged('dimension'),
    'cells': cells,
    'statuses': {
      status: sum(reply.status == status for reply in replies)
      for status in records.STATUSES
    },
    'tokens': {
      'input': sum(reply.input_tokens for reply in replies),
      'output': sum(reply.output_tokens for reply in replies),
    },
    'positions': positions(replies),
  }


def _cell(
  replies: Sequence[records.Reply], table: Table, draws: np.ndarray
) -> dict[str, Any]:
  answered = [r.right for r in replies if r.status == records.ANSWERED]
  right_count = sum(reply.right for reply in replies)
  accuracy, chance = float(table.right.mean()), table.chance
  low, high = np.quantile(draws, TAILS)
  return {
    'items': len(table.right),
    'accuracy': accuracy,
    'low': float(low),
    'high': float(high),
    'wilson': estimates.wilson_interval(right_count, len(replies)),
    'corrected': _corrected(accuracy, chance),
    'corrected_low': _corrected(float(low), chance),
    'corrected_high': _corrected(float(high), chance),
    'chance': chance,
    'p': above_chance([table]),
    'answered': len(answered),
    'answered_accuracy': float(np.mean(answered)) if answered else None,
    'always': float(table.always.mean()),
    **_pairs(table),
  }


def _corrected(accuracy: float, chance: float) -> float:
  return (accuracy - chance) / (1 - chance)


def _pairs(table: Table) -> dict[str, Any]:
  """Returns the shares of minimal pairs and of groups that are all right."""
  rights_G = np.bincount(table.group, weights=table.always)
  members_G = np.bincount(table.group)
  rights_G, members_G = rights_G[members_G > 1], members_G[members_G > 1]
  if not len(members_G):
    return dict.fromkeys(('pairs', 'pairs_chance', 'groups', 'groups_chance'))
  pairs = (rights_G * (rights_G - 1)).sum()
  return {
    'pairs': float(pairs / (members_G * (members_G - 1)).sum()),
    'pairs_chance': table.chance**2,
    'groups': float((rights_G == members_G).mean()),
    'groups_chance': float((table.chance**members_G).mean()),
  }


# The entries of a score that an average takes as a plain mean over cells.
_MEANS = (
  'accuracy',
  'corrected',
  'chance',
  'answered_accuracy',
  'pairs',
  'pairs_chance',
  'groups',
  'groups_chance',
)


def _average(
  names: Sequence[str],
  cells: Mapping[str, Mapping[str, Any]],
  tables: Mapping[str, Table],
  draws: Mapping[str, np.ndarray],
) -> dict[str, Any]:
  members = [cells[name] for name in names]
  score: dict[str, Any] = {
    'cells': len(members),
    'items': sum(cell['items'] for cell in members),
    'answered': sum(cell['answered'] for cell in members),
    'p': above_chance([tables[name] for name in names]),
  }
  for key in _MEANS:
    values = [cell[key] for cell in members if cell[key] is not None]
    score[key] = float(np.mean(values)) if values else None
  # Cells are resampled independently, so the draws of a mean are mean draws.
  draws_CR = np.stack([draws[name] for name in names])
  chance_C1 = np.array([cell['chance'] for cell in members])[:, None]
  score['low'], score['high'] = np.quantile(draws_CR.mean(0), TAILS).tolist()
  corrected_R = ((draws_CR - chance_C1) / (1 - chance_C1)).mean(0)
  low, high = np.quantile(corrected_R, TAILS).tolist()
  return score | {'corrected_low': low, 'corrected_high': high}


def positions(replies: Sequence[records.Reply]) -> dict[str, Any]:
  """Compares how often each label is chosen with how often it is right.

  Returns:
    'right' and 'chosen': label -> count, over replies that name an option;
    'even': label -> expected count if labels did not matter; 'chi_square' of
    chosen against even, and its 'p'.
  """
  answered = [r for r in replies if r.status == records.ANSWERED]
  labels = max((len(reply.order) for reply in answered), default=0)
  right_K, chosen_K, even_K = np.zeros((3, labels))
  for reply in answered:
    right_K[reply.order.index(reply.answer)] += 1
    chosen_K[reply.order.index(reply.chosen)] += 1
    even_K[: len(reply.order)] += reply.chance
  statistic = np.square(chosen_K - even_K) / even_K
  value = float(statistic.sum()) if labels else 0.0
  return {
    'right': dict(zip(records.LABELS, right_K.tolist(), strict=False)),
    'chosen': dict(zip(records.LABELS, chosen_K.tolist(), strict=False)),
    'even': dict(zip(records.LABELS, even_K.tolist(), strict=False)),
    'chi_square': value,
    'p': float(stats.chi2.sf(value, labels - 1)) if labels > 1 else 1.0,
  }
