"""Headless Chromium, controlled by its DevTools protocol over a pipe."""

import base64
from collections.abc import Callable, Iterator
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import time
from typing import Any

import pytest

BROWSER = shutil.which('chromium')
_WAIT_S = 30.0  # How long a test waits for a condition.
_CODES = {'Enter': 13, 'Backspace': 8, 'Tab': 9, 'ArrowDown': 40}


class Browser:
  """One tab.

  Attributes:
    requested: addresses that the page requested so far.
    messages: errors of the page's script, and log entries of the browser.
  """

  def __init__(self, into: int, out: int):
    self._into, self._out, self._buffer = into, out, b''
    self._numbers, self._session = itertools.count(1), ''
    self.requested: list[str] = []
    self.messages: list[str] = []
    target = self.send('Target.createTarget', url='about:blank')['targetId']
    attached = self.send('Target.attachToTarget', targetId=target, flatten=True)
    self._session = attached['sessionId']
    for domain in ('Page', 'Network', 'Log', 'Runtime'):
      self.send(f'{domain}.enable')

  def send(self, method: str, **arguments) -> dict[str, Any]:
    number = next(self._numbers)
    message = {'id': number, 'method': method, 'params': arguments}
    if self._session:
      message['sessionId'] = self._session
    os.write(self._into, json.dumps(message).encode() + b'\0')
    reply = self._read_until(lambda m: m.get('id') == number)
    assert 'result' in reply, reply
    return reply['result']

  def open(self, address: str) -> None:
    self.send('Page.navigate', url=address)
    self._read_until(lambda m: m.get('method') == 'Page.loadEventFired')

  def run(self, program: str) -> Any:
    """Returns the value of a JavaScript expression, awaited."""
    reply = self.send(
      'Runtime.evaluate',
      expression=program,
      awaitPromise=True,
      returnByValue=True,
    )
    assert 'exceptionDetails' not in reply, reply
    return reply['result'].get('value')

  def wait(self, program: str) -> None:
    """Waits until a JavaScript expression is true."""
    end = time.monotonic() + _WAIT_S
    while not self.run(program):
      assert time.monotonic() < end, (program, self.messages)
      time.sleep(0.02)

  def press(self, key: str) -> None:
    """Presses a key, by its name such as 'Enter' or by its character."""
    character = {'Enter': '\r'}.get(key, key if len(key) == 1 else '')
    for kind, text in (('keyDown', character), ('keyUp', '')):
      self.send(
        'Input.dispatchKeyEvent',
        type=kind,
        key=key,
        windowsVirtualKeyCode=_CODES.get(key) or ord(key.upper()),
        text=text,
      )

  def click(self, selector: str) -> None:
    """Clicks in the middle of an element, after scrolling to it."""
    x, y = self.run(
      '(e => { e.scrollIntoView({block: "center"});'
      ' const r = e.getBoundingClientRect();'
      ' return [r.x + r.width / 2, r.y + r.height / 2]; })'
      f'(document.querySelector({json.dumps(selector)}))'
    )
    for kind in ('mousePressed', 'mouseReleased'):
      self.send(
        'Input.dispatchMouseEvent',
        type=kind,
        x=x,
        y=y,
        button='left',
        clickCount=1,
      )

  def resize(self, width: int, height: int) -> None:
    self.send(
      'Emulation.setDeviceMetricsOverride',
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=False,
    )

  def picture(self) -> bytes:
    """Returns a PNG of the visible part of the page."""
    return base64.b64decode(self.send('Page.captureScreenshot')['data'])

  def _read_until(self, wanted: Callable[[dict], bool]) -> dict:
    while True:
      message = json.loads(self._message())
      params = message.get('params', {})
      match message.get('method'):
        case 'Network.requestWillBeSent':
          self.requested.append(params['request']['url'])
        case 'Runtime.exceptionThrown':
          self.messages.append(str(params['exceptionDetails']))
        case 'Log.entryAdded':
          self.messages.append(params['entry']['text'])
      if wanted(message):
        return message

  def _message(self) -> bytes:
    while b'\0' not in self._buffer:
      chunk = os.read(self._out, 1 << 16)
      assert chunk, 'the browser has exited'
      self._buffer += chunk
    message, _, self._buffer = self._buffer.partition(b'\0')
    return message


@contextlib.contextmanager
def started(folder: pathlib.Path) -> Iterator[Browser]:
  """Yields a browser with its profile in a folder; skips if there is none."""
  if not BROWSER:
    pytest.skip('chromium is not installed')
  to_read, to_write = os.pipe()
  from_read, from_write = os.pipe()
  arguments = [
    BROWSER,
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--window-size=1300,900',
    f'--user-data-dir={folder}',
    '--remote-debugging-pipe',
  ]
  # It reads commands from descriptor 3 and writes to descriptor 4.
  redirect = f'exec "$@" 3<&{to_read} 4>&{from_write}'
  process = subprocess.Popen(
    ['bash', '-c', redirect, 'bash', *arguments],
    pass_fds=(to_read, from_write),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  os.close(to_read)
  os.close(from_write)
  try:
    yield Browser(to_write, from_read)
  finally:
    process.terminate()
    process.wait(timeout=20)
    os.close(to_write)
    os.close(from_read)
