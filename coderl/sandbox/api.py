"""The data types of the sandbox: programs, limits, executions.

A `Program` describes one run, `Limits` what it may use, and an `Execution` what
it gave. `Runner` is the interface of everything that runs programs.
"""

from collections.abc import Sequence
import dataclasses
import enum
import math
from typing import Protocol

from commons import errors


class Status(str, enum.Enum):
  """How a run ended.

  FINISHED means that the program ended with exit status 0. PASSED and
  WRONG_ANSWER are verdicts that a caller gives to a finished run. Each `_LIMIT`
  belongs to a field of `Limits`. SANDBOX_FAILURE is not the program's fault.
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


# A warm interpreter alone maps about 40 MiB, so that memory_mb starts at 64.
_MINIMUMS = {
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
  """The resources that one program may use. Each limit has its own status.

  Attributes:
    cpu_s: processor seconds.
    wall_s: seconds; twice as many for a program that did not get a processor
      because other processes occupied them.
    memory_mb: address space of each process, and the resident memory of all
      of them together where the host has control groups.
    output_kb: size of stdout, and of stderr.
    file_kb: size of each written file.
    processes, threads: how many the program may start. The kernel counts both
      together, so that their sum is what it enforces.
    trace_events: definitions that a trajectory records. The final values of
      variables stay right beyond it.

  Raises:
    UserError: a limit has the wrong type or is below its minimum.
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
      minimum = _MINIMUMS.get(field.name, 1)
      kinds = (int, float) if field.type is float else (int,)
      if type(value) not in kinds or not minimum <= value < math.inf:
        raise errors.UserError(
          f'sandbox limit {field.name}={value!r}:'
          f' must be {_KINDS[field.type]} of at least {minimum}'
        )


@dataclasses.dataclass(frozen=True)
class Program:
  """One run: a program, one input, and what to observe.

  Attributes:
    source: Python source.
    stdin: text of the standard input.
    call: an expression that is evaluated in the program's namespace after the
      program ran. Its value is `Execution.value`, as canonical text.
    checker: source of assertions that call `entry_point`. They run in a second
      process, which sends each call to the program's process.
      `Execution.value` is 'True' if every assertion held.
    entry_point: name of the function that `checker` calls.
    trace: whether to record `Execution.variables` and `Execution.trajectory`.
  """

  source: str
  stdin: str = ''
  call: str | None = None
  checker: str | None = None
  entry_point: str | None = None
  trace: bool = False


@dataclasses.dataclass(frozen=True)
class Variable:
  """The value of a variable at its last definition.

  Attributes:
    scope: '' for the module, else the dotted function name ('solve.inner').
    name: the variable's name.
    value: the value as canonical text (values.canonical).
    line: line of the definition, counted from 1.
    complete: False if the text was truncated or the value has no stable text.
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
  """One definition in a trajectory: line, qualified name, canonical text."""

  line: int
  name: str
  value: str


@dataclasses.dataclass(frozen=True)
class Execution:
  """The result of running a program.

  Attributes:
    status: how the run ended.
    stdout, stderr: the output, truncated at `Limits.output_kb`.
    error: an uncaught exception, e.g. 'ValueError: ...', else ''.
    value: see `Program.call` and `Program.checker`; None if there is none.
    wall_s, cpu_s: seconds that the run took.
    variables: sorted by last definition, oldest first.
    trajectory: the definitions in the order in which they happened.
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
  """Runs programs: `sandbox.Sandbox` here, `remote.Sandbox` on other hosts."""

  def run(self, programs: Sequence[Program]) -> list[Execution]:
    """Runs programs and returns their executions in the same order."""
