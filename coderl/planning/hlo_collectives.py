"""What devices say to each other, read off a compiled program.

XLA's own cost analysis counts the body of a loop once; here it counts as often
as the loop turns. A loop whose turns depend on data counts once.
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
  """One that a program runs, as seen by a device.

  Attributes:
    kind: such as 'all-gather'.
    bytes: of its result.
    group: devices that take part together.
    times: that a device runs it in one run of the program.
  """

  kind: str
  bytes: int
  group: int
  times: int

  @property
  def sent(self) -> float:
    """Bytes that a device sends in all its runs, by ring algorithms."""
    others = (self.group - 1) / self.group
    each = {
      'all-reduce': 2 * others * self.bytes,
      'reduce-scatter': (self.group - 1) * self.bytes,
      'collective-permute': self.bytes,
    }.get(self.kind, others * self.bytes)
    return each * self.times


def collectives(text: str) -> list[Collective]:
  """All of a program's, those in loops multiplied.

  Args:
    text: of the optimised program, as `compiled.as_text()` gives it.
  """
  bodies, entry = _computations(text)

  @functools.cache
  def within(name: str) -> tuple[Collective, ...]:
    found: list[Collective] = []
    for line in bodies[name]:
      match = _INSTRUCTION.match(line)
      if not match:
        continue
      _, shape, operation = match.groups()
      kind = operation.removesuffix('-start')
      if kind in _KINDS:
        group = _group(line)
        if group > 1:
          found.append(Collective(kind, _size(shape, operation), group, 1))
      turns = _turns(line, bodies) if operation == 'while' else 1
      for called in _called(line):
        found += [
          dataclasses.replace(c, times=c.times * turns) for c in within(called)
        ]
    return tuple(found)

  return list(within(entry))


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
  """Lines of each computation, and the entry's name."""
  bodies: dict[str, list[str]] = {}
  entry, own = '', []
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      own = bodies.setdefault(match[2], [])
      entry = match[2] if match[1] else entry
    elif line.startswith('  '):
      own.append(line.strip())
  return bodies, entry


def _called(line: str) -> list[str]:
  names = _CALLED.findall(line)
  for listed in _BRANCHES.findall(line):
    names += [name.strip().lstrip('%') for name in listed.split(',')]
  return names


def _turns(line: str, bodies: dict[str, list[str]]) -> int:
  """Of a while loop; 1 where they depend on data."""
  if match := re.search(r'known_trip_count":\{"n":"(\d+)"', line):
    return int(match[1])
  condition = bodies[re.search(r'condition=%?([\w.-]+)', line)[1]]
  root = next(each for each in condition if each.startswith('ROOT'))
  compared = re.search(r' compare\(([^)]*)\).*direction=LT', root)
  if not compared:
    return 1
  bound = compared[1].split(',')[1].split()[-1].lstrip('%')
  for each in condition:
    match = re.match(
      rf'%?{re.escape(bound)} = s32\[\]\S* constant\((\d+)\)', each
    )
    if match:
      return int(match[1])
  return 1


def _size(shape: str, operation: str) -> int:
  """Bytes of a result; of one that has begun, the larger of its two ends."""
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
  """How many devices take part together; 1 where none is named."""
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
