"""What goes into a sandbox and what comes out of it, as plain values."""

from collections.abc import Sequence
import dataclasses
import enum
import math
from typing import Protocol

from commons import errors


class Status(str, enum.Enum):
  """How a run ended. PASSED and WRONG_ANSWER are verdicts on a finished run.

  The `_LIMIT`s are the fields of `Limits`; of SANDBOX_FAILURE the program is
  not to blame.
  """

  FINISHED = 'finished'
  PASSED = 'passed'
  WRONG_ANSWER = 'wrong_answer'
  RUNTIME_ERROR = 'runtime_error'
  CPU_LIMIT = 'cpu_limit'
  WALL_LIMIT = 'wall_limit'
  MEMORY_LIMIT = 'memory_limit'
  OUTPUT_LIMIT = 'output_limit'
  FILE_LIMIT = 'file_limit'
  PROCESS_LIMIT = 'process_limit'
  THREAD_LIMIT = 'thread_limit'
  SANDBOX_FAILURE = 'sandbox_failure'


# The least that makes sense; a warm interpreter maps some 40 MiB by itself.
_LEAST = {
  'cpu_s': 0.01,
  'wall_s': 0.01,
  'memory_mb': 64,
  'processes': 0,
  'threads': 0,
  'trace_events': 0,
}
_KINDS = {int: 'a whole number', float: 'a finite number'}


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one program may use; each breach has its own status.

  cpu_s, wall_s: seconds. memory_mb: address space of a process, and resident
  memory of all where the host has cgroups. output_kb: stdout and stderr each.
  file_kb: any file written. processes, threads: beside the first; the kernel
  counts them together, against their sum. A program that others keep from a
  processor gets up to twice wall_s. trace_events: definitions recorded in a
  trajectory; the final values stay right beyond it.

  Raises: UserError, a ValueError, where a limit makes no sense.
  """

  cpu_s: float = 2.0
  wall_s: float = 4.0
  memory_mb: int = 512
  output_kb: int = 256
  file_kb: int = 256
  processes: int = 16
  threads: int = 32
  trace_events: int = 256

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      least = _LEAST.get(field.name, 1)
      kinds = (int, float) if field.type is float else (int,)
      if type(value) not in kinds or not least <= value < math.inf:
        raise errors.UserError(
          f'sandbox limit {field.name}={value!r}:'
          f' must be {_KINDS[field.type]} of at least {least}'
        )


@dataclasses.dataclass(frozen=True)
class Program:
  """One run: a source, one input, and what to observe.

  source: Python source.
  stdin: text fed to standard input.
  call: an expression evaluated in the program's namespace after it ran; its
    value comes back as canonical text in `Execution.value`.
  checker: source of assertions that call `entry_point`; it runs in a process
    of its own, where `entry_point` is answered by the program's process.
    `Execution.value` is 'True' when every assertion held.
  entry_point: the function that `checker` calls.
  trace: record variables (`Execution.variables`, `Execution.trajectory`).
  """

  source: str
  stdin: str = ''
  call: str | None = None
  checker: str | None = None
  entry_point: str | None = None
  trace: bool = False


@dataclasses.dataclass(frozen=True)
class Variable:
  """A variable's value at its last definition.

  scope: '' for the module, else the dotted function name ('solve.inner').
  name: the variable. value: canonical text (values.canonical).
  line: 1-based line of the definition. complete: False where the text was
  cut to its bound or the value has no stable text.
  """

  scope: str
  name: str
  value: str
  line: int
  complete: bool = True

  @property
  def qualified_name(self) -> str:
    return f'{self.scope}.{self.name}' if self.scope else self.name


@dataclasses.dataclass(frozen=True)
class Event:
  """One definition in a trajectory: line, qualified name, value's text."""

  line: int
  name: str
  value: str


@dataclasses.dataclass(frozen=True)
class Execution:
  """What running a program gave.

  variables: in order of last definition, oldest first.
  error: 'ValueError: ...' of an uncaught exception, else ''.
  """

  status: Status
  stdout: str = ''
  stderr: str = ''
  error: str = ''
  value: str | None = None
  wall_s: float = 0.0
  cpu_s: float = 0.0
  variables: tuple[Variable, ...] = ()
  trajectory: tuple[Event, ...] = ()


class Runner(Protocol):
  """What runs programs: `sandbox.Sandbox` here, `remote.Sandbox` elsewhere."""

  def run(self, programs: Sequence[Program]) -> list[Execution]:
    """Runs programs; what each gave, in their order."""
