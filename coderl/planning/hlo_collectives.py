"""The collectives of a program that XLA compiled, read from its HLO text.

XLA's cost analysis counts the body of a loop once. Here it counts once per
iteration; a loop whose number of iterations depends on data counts once.
"""

from collections.abc import Sequence
import dataclasses
import functools
import math
import re

_KINDS = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)
_BYTES = {
  **{f'{kind}8': 1 for kind in ('s', 'u')},
  **{f'{kind}16': 2 for kind in ('s', 'u', 'f', 'bf')},
  **{f'{kind}32': 4 for kind in ('s', 'u', 'f')},
  **{f'{kind}64': 8 for kind in ('s', 'u', 'f')},
  'pred': 1,
}
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
_INSTRUCTION = re.compile(r'^(?:ROOT )?%?([\w.-]+) = (.*?[\])}]) ([\w-]+)\(')
_SHAPE = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\]')
_CALLED = re.compile(
  r'(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.-]+)'
)
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')


@dataclasses.dataclass(frozen=True)
class Collective:
  """One collective operation, from the view of one device.

  Attributes:
    kind: its HLO name, such as 'all-gather'.
    bytes: size of its result.
    group: number of devices that communicate with each other.
    times: number of executions in one run of the program.
  """

  kind: str
  bytes: int
  group: int
  times: int

  @property
  def sent(self) -> float:
    """Bytes that a device sends in all executions, by ring algorithms."""
    others = (self.group - 1) / self.group
    sent_once = {
      'all-reduce': 2 * others * self.bytes,
      'reduce-scatter': (self.group - 1) * self.bytes,
      'collective-permute': self.bytes,
    }.get(self.kind, others * self.bytes)
    return sent_once * self.times


def collectives(text: str) -> list[Collective]:
  """Returns the collectives of a program, loops multiplied out.

  Args:
    text: the optimised HLO of the program, from `compiled.as_text()`.
  """
  computations, entry = _computations(text)

  @functools.cache
  def collectives_in(name: str) -> tuple[Collective, ...]:
    result: list[Collective] = []
    for line in computations[name]:
      match = _INSTRUCTION.match(line)
      if not match:
        continue
      _, shape, operation = match.groups()
      kind = operation.removesuffix('-start')
      if kind in _KINDS:
        group = _group(line)
        if group > 1:
          result.append(Collective(kind, _size(shape, operation), group, 1))
      trips = _trip_count(line, computations) if operation == 'while' else 1
      for called in _called(line):
        result += [
          dataclasses.replace(c, times=c.times * trips)
          for c in collectives_in(called)
        ]
    return tuple(result)

  return list(collectives_in(entry))


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
  """Returns the lines of each computation, and the name of the entry."""
  computations: dict[str, list[str]] = {}
  entry, lines = '', []
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      lines = computations.setdefault(match[2], [])
      entry = match[2] if match[1] else entry
    elif line.startswith('  '):
      lines.append(line.strip())
  return computations, entry


def _called(line: str) -> list[str]:
  """Returns the names of the computations that an instruction calls."""
  names = _CALLED.findall(line)
  for listed in _BRANCHES.findall(line):
    names += [name.strip().lstrip('%') for name in listed.split(',')]
  return names


def _trip_count(line: str, computations: dict[str, list[str]]) -> int:
  """Returns the iterations of a while loop; 1 where they depend on data."""
  if match := re.search(r'known_trip_count":\{"n":"(\d+)"', line):
    return int(match[1])
  condition = computations[re.search(r'condition=%?([\w.-]+)', line)[1]]
  root = next(c for c in condition if c.startswith('ROOT'))
  compared = re.search(r' compare\(([^)]*)\).*direction=LT', root)
  if not compared:
    return 1
  bound = compared[1].split(',')[1].split()[-1].lstrip('%')
  for instruction in condition:
    match = re.match(
      rf'%?{re.escape(bound)} = s32\[\]\S* constant\((\d+)\)', instruction
    )
    if match:
      return int(match[1])
  return 1


def _size(shape: str, operation: str) -> int:
  """Returns the bytes of a result.

  The result of an asynchronous start holds operand and result, of which only
  one counts.
  """
  sizes = [
    _BYTES.get(kind, 0) * math.prod(int(n) for n in dims.split(',') if n)
    for kind, dims in _SHAPE.findall(re.sub(r'\{[^}]*\}', '', shape))
  ]
  if operation == 'all-reduce-start' or not operation.endswith('-start'):
    return sum(sizes)
  if operation.startswith('reduce-scatter'):
    return min(s for s in sizes if s)
  return max(sizes)


def _group(line: str) -> int:
  """Returns the devices that communicate; 1 where no group is given."""
  if 'source_target_pairs=' in line:
    return 2
  if match := re.search(r'replica_groups=\{\{([\d,]*)\}', line):
    return len(match[1].split(','))
  if match := re.search(r'replica_groups=\[(\d+),(\d+)\]', line):
    return int(match[2])
  if match := re.search(r'replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}', line):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
    names: Sequence[str] = re.findall(r"'(\w+)'", match[2])
    return math.prod(int(sizes[name]) for name in names)
  return 1
