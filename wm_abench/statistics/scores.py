"""Replies -> scores: accuracy with intervals, pairs, positions, averages.

Whatever names no option is wrong; beside it stands the paper's rule, which
leaves such replies out (arXiv 2506.21876, section 3). Averages are plain means
over cells, of accuracy and of the chance-corrected score

    (accuracy - chance) / (1 - chance),

0 for a guess whether a cell has two options or four. Where an item was asked in
several rotations, its score is the mean over them.
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
_TAILS = (0.025, 0.975)
_LABELS = 'ABCDEF'


@dataclasses.dataclass(frozen=True)
class Table:
  """Replies of one cell as arrays.

  Attributes:
    right: of each item the share of its replies that are right, [N].
    always: whether all are, bool [N].
    group: index of its group, int [N]; groups count from 0.
    chosen: of each item the share of its replies that chose each option, nan
      where it has fewer, [N, MAX_OPTIONS].
    answer: index of its right option, int [N].
    chance: accuracy of a guess.
  """

  right: np.ndarray
  always: np.ndarray
  group: np.ndarray
  chosen: np.ndarray
  answer: np.ndarray
  chance: float

  @property
  def groups(self) -> int:
    return int(self.group[-1]) + 1


def tabulate(replies: Sequence[records.Reply]) -> Table:
  """The table of a cell's replies, at least one; groups stand together."""
  groups: dict[str, dict[str, list[records.Reply]]] = {}
  for reply in replies:
    own = groups.setdefault(reply.group, {}).setdefault(reply.item, [])
    own.append(reply)
  items = [own for group in groups.values() for own in group.values()]
  rights = [[reply.right for reply in own] for own in items]
  chosen = np.full((len(items), len(_LABELS)), np.nan)
  for i, own in enumerate(items):
    chosen[i, : len(own[0].order)] = 0
    for reply in own:
      if reply.chosen is not None:
        chosen[i, reply.chosen] += 1 / len(own)
  return Table(
    right=np.array([np.mean(own) for own in rights]),
    always=np.array([all(own) for own in rights]),
    group=np.repeat(
      np.arange(len(groups)), [len(group) for group in groups.values()]
    ),
    chosen=chosen,
    answer=np.array([own[0].answer for own in items]),
    chance=replies[0].chance,
  )


def above_chance(tables: Sequence[Table]) -> float:
  """Chance of so much or more that is right; see the module `deals`."""
  answer = np.concatenate([table.answer for table in tables])
  chosen = np.concatenate([table.chosen for table in tables])
  keys = [(i, g) for i, table in enumerate(tables) for g in table.group]
  return group_permutations.tails(
    chosen, answer, group_permutations.lots(keys, answer)
  )[1]


def group_of(replies: Sequence[records.Reply]) -> np.ndarray:
  """Index of each reply's group, int [N]; groups count from 0 as they come."""
  names = dict.fromkeys(reply.group for reply in replies)
  index = {name: i for i, name in enumerate(names)}
  return np.array([index[reply.group] for reply in replies])


def draw(groups: int, rng: np.random.Generator, samples: int) -> np.ndarray:
  """How often each group is in a bootstrap sample, int [1 + samples, groups].

  First comes the sample as it is, each group once.
  """
  share = np.full(groups, 1 / groups)
  drawn = rng.multinomial(groups, share, size=samples)
  return np.concatenate([np.ones((1, groups), drawn.dtype), drawn])


def resample(table: Table, rng: np.random.Generator) -> np.ndarray:
  """Accuracy, and then those of bootstrap samples, [1 + RESAMPLES].

  Groups are drawn whole.
  """
  totals = np.bincount(table.group, weights=table.right)
  counts = np.bincount(table.group)
  drawn = draw(table.groups, rng, RESAMPLES)
  return (drawn @ totals) / (drawn @ counts)


def summarise(
  replies_of: Mapping[str, Sequence[records.Reply]], seed: int
) -> dict[str, Any]:
  """Scores of each model, as JSON's types.

  Args:
    replies_of: by model, of any cells.
    seed: of the bootstrap; the same seed gives the same intervals.

  Returns:
    By model 'cells', 'dimensions', 'categories' and 'stages', of each of those
    that there are replies of a score, 'all', a score too, 'statuses', 'tokens'
    and 'positions'. A score has

      items, accuracy  of a cell the share that is right, else a mean over cells
      low, high        95% bootstrap interval, whole groups drawn in each cell
      corrected, corrected_low, corrected_high   of the chance-corrected score
      chance           mean over cells
      p                of so much accuracy or more by chance, answers dealt
                       anew in each group
      answered, answered_accuracy   those that name an option, and of them the
                       share that is right: the paper's rule
      pairs, pairs_chance   share of the minimal pairs whose members are both
                       right, and that of a guess; None where there are none
      groups, groups_chance   likewise of whole groups
      wilson           of a cell, Wilson's interval of the replies
      always           of a cell, share of the items that are right in every
                       rotation
  """
  return {name: _model(replies, seed) for name, replies in replies_of.items()}


def _model(replies: Sequence[records.Reply], seed: int) -> dict[str, Any]:
  by_cell: dict[str, list[records.Reply]] = {}
  for reply in replies:
    by_cell.setdefault(reply.cell, []).append(reply)
  cells, tables, draws = {}, {}, {}
  for index, name in enumerate(dimensions.CELLS):
    if name in by_cell:
      table = tables[name] = tabulate(by_cell[name])
      rng = np.random.default_rng([seed, index])
      draws[name] = resample(table, rng)[1:]
      cells[name] = _cell(by_cell[name], table, draws[name])

  def averaged(kind: str) -> dict[str, Any]:
    groups: dict[str, list[str]] = {}
    for name in cells:
      cell = dimensions.CELLS[name]
      key = cell.dimension if kind == 'dimension' else getattr(cell.of, kind)
      groups.setdefault(key, []).append(name)
    return {
      key: _average(own, cells, tables, draws) for key, own in groups.items()
    }

  return {
    'all': _average([*cells], cells, tables, draws),
    'stages': averaged('stage'),
    'categories': averaged('category'),
    'dimensions': averaged('dimension'),
    'cells': cells,
    'statuses': {
      s: sum(r.status == s for r in replies) for s in records.STATUSES
    },
    'tokens': {
      'input': sum(r.input_tokens for r in replies),
      'output': sum(r.output_tokens for r in replies),
    },
    'positions': positions(replies),
  }


def _cell(
  replies: Sequence[records.Reply], table: Table, draws: np.ndarray
) -> dict[str, Any]:
  answered = [r.right for r in replies if r.status == records.ANSWERED]
  rights = sum(r.right for r in replies)
  accuracy, chance = float(table.right.mean()), table.chance
  low, high = np.quantile(draws, _TAILS)
  return {
    'items': len(table.right),
    'accuracy': accuracy,
    'low': float(low),
    'high': float(high),
    'wilson': estimates.wilson_interval(rights, len(replies)),
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
  """Of minimal pairs, and of groups, those that are right in all members."""
  rights = np.bincount(table.group, weights=table.always)
  members = np.bincount(table.group)
  rights, members = rights[members > 1], members[members > 1]
  if not len(members):
    return dict.fromkeys(('pairs', 'pairs_chance', 'groups', 'groups_chance'))
  pairs = (rights * (rights - 1)).sum() / (members * (members - 1)).sum()
  return {
    'pairs': float(pairs),
    'pairs_chance': table.chance**2,
    'groups': float((rights == members).mean()),
    'groups_chance': float((table.chance**members).mean()),
  }


# Keys whose plain mean over cells an average has.
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
  own = [cells[name] for name in names]
  found: dict[str, Any] = {
    'cells': len(own),
    'items': sum(cell['items'] for cell in own),
    'answered': sum(cell['answered'] for cell in own),
    'p': above_chance([tables[name] for name in names]),
  }
  for key in _MEANS:
    values = [cell[key] for cell in own if cell[key] is not None]
    found[key] = float(np.mean(values)) if values else None
  # Cells are drawn independently; their average is that of the draws.
  drawn = np.stack([draws[name] for name in names])
  chance = np.array([cell['chance'] for cell in own])[:, None]
  found['low'], found['high'] = np.quantile(drawn.mean(0), _TAILS).tolist()
  corrected = ((drawn - chance) / (1 - chance)).mean(0)
  low, high = np.quantile(corrected, _TAILS).tolist()
  return found | {'corrected_low': low, 'corrected_high': high}


def positions(replies: Sequence[records.Reply]) -> dict[str, Any]:
  """How often each label is chosen, beside how often it is right.

  Returns:
    'right' and 'chosen', by label, of the replies that name an option;
    'even', how often each would be chosen if labels did not matter; the
    chi-square statistic of chosen beside even, and its p-value.
  """
  answered = [r for r in replies if r.status == records.ANSWERED]
  most = max((len(r.order) for r in answered), default=0)
  right, chosen, even = np.zeros((3, most))
  for reply in answered:
    right[reply.order.index(reply.answer)] += 1
    chosen[reply.order.index(reply.chosen)] += 1
    even[: len(reply.order)] += reply.chance
  value = float((np.square(chosen - even) / even).sum()) if most else 0.0
  return {
    'right': dict(zip(_LABELS, right.tolist(), strict=False)),
    'chosen': dict(zip(_LABELS, chosen.tolist(), strict=False)),
    'even': dict(zip(_LABELS, even.tolist(), strict=False)),
    'chi_square': value,
    'p': float(stats.chi2.sf(value, most - 1)) if most > 1 else 1.0,
  }
