"""An OpenAI-compatible service on loopback that answers by a rule.

  python benchmarks/chat_service.py --port 8123

The reply depends only on the request: mostly a letter, sometimes prose or a
refusal. With `--faults SHARE`, that share of the requests fails the first time,
or with `--always` every time: 429 with Retry-After, 500, no response, truncated
JSON, or an empty reply. GET /stats returns the number of requests, of different
requests, of answered ones, and of answers to the most frequent one.
"""

import argparse
import asyncio
import collections
from collections.abc import Mapping, Sequence
import hashlib
import json
import re
import sys
from typing import Any

_FAULTS = ('429', '500', 'silence', 'truncated', 'empty')
_SILENCE_S = 600
_LETTERS = re.compile(r'\b([A-F]), (?:[A-F], )*(?:[A-F] )?or ([A-F])\b')


class Service:
  """The service.

  Args:
    faults: share of the requests that fail.
    always: whether they fail every time, not only the first time.
    delay_s: delay of each reply in seconds.
  """

  def __init__(self, faults: float, always: bool, delay_s: float):
    self._faults, self._always = faults, always
    self._delay_s = delay_s
    self._seen: set[str] = set()
    self._answered: collections.Counter[str] = collections.Counter()
    self._requests = 0

  async def serve(
    self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
  ) -> None:
    """Serves one connection, which may carry many requests."""
    try:
      while await self._respond(reader, writer):
        pass
    except (ConnectionError, asyncio.IncompleteReadError):
      pass
    finally:
      writer.close()

  async def _respond(self, reader, writer) -> bool:
    head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1')
    length = re.search(r'content-length: (\d+)', head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1]) if length else 0)
    if head.startswith('GET /stats'):
      _send(writer, 200, json.dumps(self._stats()))
      return True
    self._requests += 1
    key = hashlib.sha256(body).hexdigest()
    fault = self._fault(key)
    self._seen.add(key)
    await asyncio.sleep(_SILENCE_S if fault == 'silence' else self._delay_s)
    if fault in ('429', '500'):
      more = {'Retry-After': '1'} if fault == '429' else {}
      _send(writer, int(fault), json.dumps({'error': {'message': fault}}), more)
      return True
    text = '' if fault == 'empty' else _reply(json.loads(body), key)
    answer = json.dumps(_completion(text, key))
    if fault == 'truncated':
      answer = answer[: len(answer) // 2]
    self._answered[key] += fault == ''
    _send(writer, 200, answer)
    return True

  def _fault(self, key: str) -> str:
    repeated = key in self._seen and not self._always
    if repeated or int(key[:8], 16) / 16**8 >= self._faults:
      return ''
    return _FAULTS[int(key[8:16], 16) % len(_FAULTS)]

  def _stats(self) -> dict[str, int]:
    return {
      'requests': self._requests,
      'different': len(self._seen),
      'answered': len(self._answered),
      'most': max(self._answered.values(), default=0),
    }


def _reply(body: Mapping[str, Any], key: str) -> str:
  content = body['messages'][-1]['content']
  texts = [p['text'] for p in content if p['type'] == 'text']
  match = _LETTERS.search(texts[-1])
  last = match[2] if match else 'B'
  letter = chr(ord('A') + int(key[16:24], 16) % (ord(last) - ord('A') + 1))
  manner = int(key[24:32], 16) % 10
  if manner == 0:
    return "I'm sorry, but I can't help with that."
  if manner == 1:
    return f'Looking at it closely, the answer is **{letter}**, I think.'
  return letter


def _completion(text: str, key: str) -> dict[str, Any]:
  message = {'role': 'assistant', 'content': text}
  choice = {'index': 0, 'message': message, 'finish_reason': 'stop'}
  usage = {'prompt_tokens': 900, 'completion_tokens': 2, 'total_tokens': 902}
  return {
    'id': key[:12],
    'object': 'chat.completion',
    'created': 0,
    'model': 'rule',
    'choices': [choice],
    'usage': usage,
  }


def _send(writer, status: int, body: str, more: Mapping[str, str] = {}) -> None:
  lines = [
    f'HTTP/1.1 {status} {"OK" if status == 200 else "Fault"}',
    'Content-Type: application/json',
    f'Content-Length: {len(body.encode())}',
    *(f'{name}: {value}' for name, value in more.items()),
  ]
  writer.write('\r\n'.join([*lines, '', body]).encode())


async def _run(args: argparse.Namespace) -> None:
  service = Service(args.faults, args.always, args.delay_s)
  server = await asyncio.start_server(
    service.serve, '127.0.0.1', args.port, limit=2**26
  )
  print(server.sockets[0].getsockname()[1], flush=True)
  await server.serve_forever()


def main(argv: Sequence[str]) -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--port', type=int, default=0, help='0 for any free port')
  parser.add_argument('--faults', type=float, default=0.0, metavar='SHARE')
  parser.add_argument('--always', action='store_true')
  parser.add_argument('--delay_s', type=float, default=0.0)
  asyncio.run(_run(parser.parse_args(argv)))


if __name__ == '__main__':
  main(sys.argv[1:])
