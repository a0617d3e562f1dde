"""A test for people: which items, in which order, and what is shown of each.

The same items and seed give the same test. The options of an item are in the
order in which models see them with this seed, and the items of a group share
that order.
"""

import collections
from collections.abc import Iterable, Sequence
import hashlib
import itertools
import json
from typing import Any

import numpy as np

from wm_abench.core import records
from wm_abench.evaluation import prompts


def pick(
  cells: Iterable[Iterable[records.Item]], count: int
) -> list[records.Item]:
  """Returns the first groups of each cell, in turn one group of each cell.

  Args:
    cells: the items of each cell, group after group; read as far as needed.
    count: number of items, 0 for all. Groups stay whole, so there may be a few
      more.
  """
  picked: list[records.Item] = []
  waiting = collections.deque(
    itertools.groupby(items, key=lambda item: item.group) for items in cells
  )
  while waiting and not 0 < count <= len(picked):
    groups = waiting.popleft()
    if (group := next(groups, None)) is not None:
      picked += group[1]
      waiting.append(groups)
  return picked


def plan(items: Sequence[records.Item], seed: int) -> list[records.Item]:
  """Returns the items in the order of the test, each group spread over it.

  The test is cut into K equal parts, where K is the size of a group. Each item
  of a group goes into a part of its own, at least half a part after the one
  before. Items of one group are not neighbours, unless no other item is left.
  """
  rng = np.random.default_rng(seed)
  groups: dict[str, list[records.Item]] = {}
  for item in items:
    groups.setdefault(item.group, []).append(item)
  scheduled = []
  for members in groups.values():
    start = rng.uniform(0, 0.5)
    for part, i in enumerate(rng.permutation(len(members))):
      time = (part + start + rng.uniform(0, 0.5)) / len(members)
      scheduled.append((time, members[i]))
  waiting = [item for _, item in sorted(scheduled, key=lambda pair: pair[0])]
  ordered: list[records.Item] = []
  while waiting:
    last_group = ordered[-1].group if ordered else ''
    fitting = (i for i, q in enumerate(waiting) if q.group != last_group)
    ordered.append(waiting.pop(next(fitting, 0)))
  return ordered


def digest(items: Sequence[records.Item], seed: int) -> str:
  """Returns SHA-256 of a test: its items, their order and their options'."""
  sha = hashlib.sha256()
  for item in items:
    content = [*item.content, prompts.order_of(item, seed)]
    sha.update(json.dumps(content).encode())
  return sha.hexdigest()


def shown(item: records.Item, seed: int) -> dict[str, Any]:
  """Returns what the page gets of an item, as JSON types.

  That is neither the item's name nor its key, factors or states. Pictures are
  named by their digests.
  """
  options = [item.options[i] for i in prompts.order_of(item, seed)]
  return {
    'prompt': item.prompt,
    'images': [picture.digest for picture in item.images],
    'labels': list(prompts.labels_of(item, prompts.STRICT)),
    'options': [o.digest if item.pictured else o for o in options],
    'pictured': item.pictured,
  }


def reply(
  item: records.Item, seed: int, chosen: int, seconds: float
) -> records.Reply:
  """Returns the record of an answer.

  Args:
    item: the item.
    seed: the seed of the test.
    chosen: index of the chosen option, in the order in which they were shown.
    seconds: how long the item was in view.
  """
  order = prompts.order_of(item, seed)
  label = prompts.labels_of(item, prompts.STRICT)[chosen]
  return records.reply_to(
    item, order, order[chosen], text=label, seconds=seconds
  )
