"""Measures what asking costs: this project, plain Inspect, an asyncio loop.

  python benchmarks/evaluation.py --data runs/mini --json evaluation.json

All three send the same prompts, texts and pictures in order, to one service on
loopback (chat_service.py), with several numbers of concurrent requests. The
systems take turns, each round in a new process, and medians are reported.

  items/s      from the first request to the last reply, without start-up
  CPU-ms/item  processor time of the asking process in that time

`ours` is the task of wm_abench/evaluation/inspect_tasks.py, with parsing,
scoring and cache. `bare` runs the same samples with Inspect's own generate()
and match(). `loop` reads the pictures and calls the `openai` client under a
semaphore. An assertion checks that all get the same reply to every item.
"""

import argparse
import asyncio
import base64
from collections.abc import Callable, Sequence
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import inspect_ai
from inspect_ai import log, model, scorer, solver
import openai

from wm_abench.core import records
from wm_abench.evaluation import inspect_tasks, item_metadata, prompts

_SERVICE = pathlib.Path(__file__).with_name('chat_service.py')
_MODEL, _KEY = 'rule', 'unused'
_MAX_TOKENS = 16

# Id of the sample -> text of the reply.
Replies = dict[str, str]


def ours(task: inspect_ai.Task, url: str, connections: int) -> Replies:
  return _inspected(task, url, connections)


def bare(task: inspect_ai.Task, url: str, connections: int) -> Replies:
  task.solver, task.scorer = solver.generate(), [scorer.match()]
  return _inspected(task, url, connections)


def _inspected(task: inspect_ai.Task, url: str, connections: int) -> Replies:
  logs = inspect_ai.eval(
    task,
    model=model.get_model(f'openai-api/{_MODEL}/{_MODEL}', base_url=url),
    log_dir='logs',
    display='none',
    log_images=False,
    max_connections=connections,
    max_samples=connections,
  )
  samples = log.read_eval_log_samples(logs[0].location)
  return {sample.id: sample.output.completion for sample in samples}


def loop(task: inspect_ai.Task, url: str, connections: int) -> Replies:
  return asyncio.run(_loop(task, url, connections))


async def _loop(task: inspect_ai.Task, url: str, connections: int) -> Replies:
  limit = asyncio.Semaphore(connections)
  async with openai.AsyncOpenAI(api_key=_KEY, base_url=url) as client:

    async def ask(sample) -> str:
      async with limit:
        reply = await client.chat.completions.create(
          model=_MODEL,
          messages=[{'role': 'user', 'content': _content(sample)}],
          temperature=0.0,
          max_tokens=_MAX_TOKENS,
        )
      return reply.choices[0].message.content

    texts = await asyncio.gather(*map(ask, task.dataset))
  ids = [sample.id for sample in task.dataset]
  return dict(zip(ids, texts, strict=True))


def _content(sample) -> list[dict[str, Any]]:
  item = item_metadata.decode(sample.metadata['item'])
  order = sample.metadata['order']
  content: list[dict[str, Any]] = []
  for part in prompts.parts(item, order, prompts.STRICT):
    if isinstance(part, str):
      content.append({'type': 'text', 'text': part})
      continue
    encoded = base64.b64encode(part.read()).decode()
    url = {'url': f'data:image/jpeg;base64,{encoded}', 'detail': 'auto'}
    content.append({'type': 'image_url', 'image_url': url})
  return content


SYSTEMS: dict[str, Callable[..., Replies]] = {
  'loop': loop,
  'bare': bare,
  'ours': ours,
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--json', type=pathlib.Path, help='file for the results')
  parser.add_argument(
    '--data', default='runs/mini', help='workdir of a generation'
  )
  parser.add_argument(
    '--cells', default='M-Nav', help='as in dimensions.select'
  )
  parser.add_argument('--items', type=int, default=300)
  parser.add_argument(
    '--connections', type=int, nargs='+', default=[1, 16, 128]
  )
  parser.add_argument(
    '--delay_s', type=float, default=0.0, help='delay of each reply'
  )
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--one', help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  if min(args.rounds, args.items, *args.connections) < 1:
    parser.error('--rounds, --items and --connections: must be 1 or more')
  return args


def main(argv: Sequence[str]) -> None:
  args = parse_args(argv)
  if args.one:
    print(json.dumps(_measure(args, **json.loads(args.one))))
    return
  service = subprocess.Popen(
    [sys.executable, _SERVICE, '--delay_s', str(args.delay_s)],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    url = f'http://127.0.0.1:{int(service.stdout.readline())}/v1'
    rows = [_row(args, url, n) for n in args.connections]
  finally:
    service.kill()
  if args.json:
    args.json.write_text(json.dumps({'rows': rows}, indent=1) + '\n')


def _row(args, url: str, connections: int) -> dict[str, Any]:
  """Measures all systems with `connections` concurrent requests."""
  runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
  for _ in range(args.rounds):
    for name in SYSTEMS:
      case = {'system': name, 'url': url, 'connections': connections}
      runs[name].append(_in_new_process(args, case))
  first = runs['loop'][0]['replies']
  assert all(run['replies'] == first for own in runs.values() for run in own)
  row: dict[str, Any] = {'connections': connections, 'items': len(first)}
  for name, own in runs.items():
    row[name] = {
      key: statistics.median(run[key] for run in own)
      for key in ('items_per_s', 'cpu_ms_per_item')
    }
    print(
      f'{connections:>4} concurrent  {name:<5}'
      f' {row[name]["items_per_s"]:8.1f} items/s'
      f' {row[name]["cpu_ms_per_item"]:8.1f} CPU-ms/item',
      flush=True,
    )
  more = row['ours']['cpu_ms_per_item'] / row['bare']['cpu_ms_per_item'] - 1
  print(f'{connections:>4} concurrent  ours over bare: {more:+.1%} CPU')
  return row


def _in_new_process(args, case: dict[str, Any]) -> dict[str, Any]:
  command = [
    *(sys.executable, os.path.abspath(__file__), '--one', json.dumps(case)),
    *('--data', os.path.abspath(args.data), '--cells', args.cells),
    *('--items', str(args.items)),
  ]
  with tempfile.TemporaryDirectory() as folder:
    environment = os.environ | {
      'INSPECT_CACHE_DIR': os.path.join(folder, 'cache'),
      f'{_MODEL.upper()}_API_KEY': _KEY,
    }
    done = subprocess.run(
      command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
    )
  return json.loads(done.stdout.splitlines()[-1])


def _setup(args) -> inspect_tasks.Setup:
  return inspect_tasks.Setup(data=args.data, cells=args.cells)


def _measure(args, system: str, url: str, connections: int) -> dict[str, Any]:
  (code, items), *_ = inspect_tasks.items_of(_setup(args)).items()
  # Items are repeated under other names if the data has too few.
  many = [items[i % len(items)] for i in range(args.items)]
  task = inspect_tasks.dimension_task(code, _renamed(many), _setup(args))
  task.config = model.GenerateConfig(temperature=0.0, max_tokens=_MAX_TOKENS)
  start, cpu = time.perf_counter(), time.process_time()
  replies = SYSTEMS[system](task, url, connections)
  seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
  assert len(replies) == args.items
  return {
    'items_per_s': args.items / seconds,
    'cpu_ms_per_item': 1000 * cpu / args.items,
    'replies': replies,
  }


def _renamed(items: Sequence[records.Item]) -> list[records.Item]:
  return [
    dataclasses.replace(x, name=f'{x.name}/{i}', prompt=f'{x.prompt} ({i})')
    for i, x in enumerate(items)
  ]


if __name__ == '__main__':
  main(sys.argv[1:])
