"""A test for people: which items, in which order, and what is kept of each.

The same questions and seed give the same test. The members of a group share the
order of their options, and that order is the one that models see by this seed.
"""

import collections
from collections.abc import Iterable, Sequence
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
from typing import Any

import numpy as np

from commons import errors
from wm_abench.core import dimensions, records
from wm_abench.data import picture_files
from wm_abench.evaluation import prompts


@dataclasses.dataclass(frozen=True)
class Trial:
  """An item as a person is asked it.

  Attributes:
    question: the item.
    order: of its options, as in records.Reply.
  """

  question: picture_files.Question
  order: tuple[int, ...]

  @property
  def labels(self) -> tuple[str, ...]:
    """What the options are called, in the order that they are shown in."""
    return prompts.labels_of(self.question, prompts.STRICT)


def pick(
  cells: Iterable[Iterable[picture_files.Question]], count: int
) -> list[picture_files.Question]:
  """The first groups of each cell, one cell after the other.

  Args:
    cells: of each its questions, groups together; read as far as needed.
    count: items; as groups stay whole, there may be a few more. 0 is all.
  """
  found: list[picture_files.Question] = []
  waiting = collections.deque(
    itertools.groupby(own, key=lambda q: q.group) for own in cells
  )
  while waiting and not 0 < count <= len(found):
    groups = waiting.popleft()
    if (group := next(groups, None)) is not None:
      found += group[1]
      waiting.append(groups)
  return found


def plan(questions: Sequence[picture_files.Question], seed: int) -> list[Trial]:
  """The test: the members of each group are spread over all of it.

  Each member is due in a part of the test of its own, as many as its group has,
  and never within half such a part of another one. No two of a group are
  neighbours, but where nothing else is left to come between them.
  """
  rng = np.random.default_rng(seed)
  groups: dict[str, list[picture_files.Question]] = {}
  for question in questions:
    groups.setdefault(question.group, []).append(question)
  due = []
  for members in groups.values():
    start = rng.uniform(0, 0.5)
    for part, i in enumerate(rng.permutation(len(members))):
      when = (part + start + rng.uniform(0, 0.5)) / len(members)
      due.append((when, members[i]))
  waiting = [question for _, question in sorted(due, key=lambda d: d[0])]
  trials: list[Trial] = []
  while waiting:
    last = trials[-1].question.group if trials else ''
    fit = (i for i, q in enumerate(waiting) if q.group != last)
    question = waiting.pop(next(fit, 0))
    trials.append(Trial(question, prompts.order_of(question, seed)))
  return trials


def digest(trials: Sequence[Trial]) -> str:
  """Of all that is asked and in which order, wherever the pictures are."""
  sha = hashlib.sha256()
  for trial in trials:
    told = [*trial.question.content, trial.order]
    sha.update(json.dumps(told).encode())
  return sha.hexdigest()


def offered(trial: Trial) -> list[str]:
  """The options as they are shown: words, or names of pictures' files."""
  options = [trial.question.options[i] for i in trial.order]
  if trial.question.pictured:
    return [pathlib.Path(path).name for path in options]
  return options


def pictures(trial: Trial) -> list[str]:
  """Paths of all the pictures that are shown."""
  question = trial.question
  options = question.options if question.pictured else ()
  return [*question.images, *options]


def shown(trial: Trial) -> dict[str, Any]:
  """All that a person is told of an item, as JSON's types.

  Not the item's name, which could tell which member of its group it is.
  """
  question = trial.question
  return {
    'prompt': question.prompt,
    'images': [pathlib.Path(path).name for path in question.images],
    'labels': list(trial.labels),
    'options': offered(trial),
    'pictured': question.pictured,
  }


def answered(trial: Trial, chosen: int, seconds: float) -> records.Reply:
  """The record of an answer.

  Args:
    trial: what was asked.
    chosen: index into the options as they were shown.
    seconds: that the item was in view.
  """
  question = trial.question
  return records.Reply(
    item=question.name,
    cell=question.cell,
    group=question.group,
    order=trial.order,
    turn=0,
    answer=question.answer,
    chosen=trial.order[chosen],
    status=records.ANSWERED,
    text=trial.labels[chosen],
    seconds=seconds,
    varies=question.varies,
    factors=question.factors,
  )


def to_line(reply: records.Reply) -> str:
  return json.dumps(dataclasses.asdict(reply)) + '\n'


def from_line(line: str) -> records.Reply:
  """The reply of a line.

  Raises:
    ValueError: it holds none.
  """
  try:
    row = json.loads(line)
    reply = records.Reply(**row | {'order': tuple(row['order'])})
    options = range(len(reply.order))
    sound = (
      isinstance(reply.item, str)
      and isinstance(reply.turn, int)
      and reply.cell in dimensions.CELLS
      and sorted(reply.order) == [*options]
      and reply.answer in options
      and reply.status in records.STATUSES
      and (reply.chosen in options)
      == (reply.status == records.ANSWERED)
      == (reply.chosen is not None)
    )
  except (TypeError, KeyError) as e:
    raise ValueError(f'{e}') from e
  if not sound:
    raise ValueError('its fields are at odds with each other')
  return reply


def from_lines(data: bytes) -> list[records.Reply]:
  """The replies of a file; what follows its last line's end is left out.

  Raises:
    ValueError: a line holds none, or an item that another one has.
  """
  replies, seen = [], set()
  for i, line in enumerate(data.split(b'\n')[:-1]):
    try:
      reply = from_line(line.decode())
      if (reply.item, reply.turn) in seen:
        raise ValueError(f'{reply.item!r} has another one')
    except ValueError as e:
      raise ValueError(f'line {i + 1} is no reply: {e}') from e
    seen.add((reply.item, reply.turn))
    replies.append(reply)
  return replies


def read(path: str | os.PathLike[str]) -> list[records.Reply]:
  """The replies of a person's file, in the order that they were given in.

  What a killed process left of a line is no reply yet.

  Raises:
    UserError: the file cannot be read, a line of it is no reply, an item is in
      it twice, or it holds no reply at all.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as e:
    raise errors.UserError(
      f'{os.fspath(path)!r} cannot be read: {e.strerror}'
    ) from e
  try:
    replies = from_lines(data)
  except ValueError as e:
    raise errors.UserError(f'{os.fspath(path)!r}, {e}') from e
  if not replies:
    raise errors.UserError(f'{os.fspath(path)!r} holds no reply')
  return replies
