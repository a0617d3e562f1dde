"""Asks a service over HTTP until it answers, or can no longer be hoped to.

A failure that may pass (no connection, silence, HTTP 5xx or 429, a service
that blames itself) is met by asking again after a wait that doubles, one that
names the time to come back by waiting so long; any other is final.
"""

from collections.abc import Callable
import contextlib
import email.message
import http.client
import json
import logging
import os
import pathlib
import queue
import random
import re
import threading
import time
import urllib.parse

from coderl.sandbox.service import protocol
from commons import errors

TOKEN = 'CODERL_SANDBOX_TOKEN'
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0
_BUSY = (429, 503)
# A connection that was kept may have been closed by the other side meanwhile.
_STALE = (http.client.RemoteDisconnected, ConnectionError)


class Unavailable(Exception):
  """An answer that says to come again; in `wait_s` seconds, where it says."""

  def __init__(self, message: str, wait_s: float | None = None):
    super().__init__(message)
    self.wait_s = wait_s


class Refused(errors.ServiceError):
  """An answer that asking again does not change; `code` is its status."""

  def __init__(self, message: str, code: int):
    super().__init__(message)
    self.code = code


_PASSING = (OSError, http.client.HTTPException, Unavailable)


def token_from_environment(name: str = TOKEN) -> str:
  """What the variable `name` holds, or the file that `name`_FILE names."""
  path = os.environ.get(f'{name}_FILE')
  return read_token(path) if path else os.environ.get(name, '')


def read_token(path: str) -> str:
  """A file's only word. Raises: UserError where there is none."""
  try:
    token = pathlib.Path(path).read_text(encoding='utf-8').strip()
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f'token file {path!r}: {error}') from error
  check_token(token, f'token file {path!r}')
  return token


def check_token(token: str, where: str) -> None:
  """Raises UserError, without the token, where it is none."""
  if not re.fullmatch('[!-~]+', token):
    raise errors.UserError(f'{where}: must be one word of ASCII')


class Client:
  """Asks one service, over connections that are kept, from any thread.

  parts: of the address. timeout_s: of silence. what: it is, for messages. The
  others: of remote.Sandbox.
  """

  def __init__(
    self,
    parts: urllib.parse.SplitResult,
    token: str,
    attempts: int,
    timeout_s: float,
    patience_s: float,
    seed: int,
    what: str = 'sandbox service',
  ):
    secure = parts.scheme == 'https'
    self._kind = (
      http.client.HTTPSConnection if secure else http.client.HTTPConnection
    )
    self._host, self._port = parts.hostname, parts.port
    self._path = parts.path.rstrip('/')
    self._headers = {'Content-Type': 'application/json'}
    if token:
      check_token(token, f'the token of the {what}')
      self._headers['Authorization'] = f'Bearer {token}'
    self.name = f'{what} {parts.scheme}://{parts.netloc}'
    self._attempts, self._timeout_s = attempts, timeout_s
    self._patience_s = patience_s
    self._random = random.Random(seed)
    self._idle: queue.SimpleQueue[http.client.HTTPConnection] = (
      queue.SimpleQueue()
    )
    self._closing = threading.Event()

  def ask(self, method: str, path: str, body: bytes | None, read: Callable):
    """`read` of the answer's JSON value; it may raise Unavailable.

    Raises: errors.ServiceError, once it makes no sense to ask again.
    """
    failures, deadline = 0, time.monotonic() + self._patience_s
    while True:
      try:
        return read(protocol.loads(self._answer(method, path, body)))
      except _PASSING as error:
        fault = error
      except ValueError as error:
        raise errors.ServiceError(
          f'{self.name} answers {path} with {error}'
        ) from None
      wait_s = getattr(fault, 'wait_s', None)
      failures += wait_s is None
      back_s = time.monotonic() + (wait_s or 0.0)
      if failures == self._attempts or back_s > deadline:
        raise errors.ServiceError(f'{self.name}: {_words(fault)}') from fault
      if wait_s is None:
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**failures)
        logging.warning('%s: %s; asked again', self.name, _words(fault))
      # Those who were turned away at once are not to come back at once.
      if self._closing.wait(wait_s * self._random.uniform(1.0, 1.5)):
        raise errors.ServiceError(f'{self.name}: closed here')

  def close(self) -> None:
    """Ends the waits and the connections that nobody uses."""
    self._closing.set()
    while connection := self._kept():
      connection.close()

  def _kept(self) -> http.client.HTTPConnection | None:
    try:
      return self._idle.get_nowait()
    except queue.Empty:
      return None

  def _answer(self, method: str, path: str, body: bytes | None) -> bytes:
    """The body of one answer; a stale connection is no failure."""
    while connection := self._kept():
      try:
        return self._exchange(connection, method, path, body)
      except _STALE:
        continue
    connection = self._kind(self._host, self._port, timeout=self._timeout_s)
    return self._exchange(connection, method, path, body)

  def _exchange(
    self,
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
  ) -> bytes:
    try:
      connection.request(method, self._path + path, body, self._headers)
      response = connection.getresponse()
      data = response.read()
    except BaseException:
      connection.close()
      raise
    self._idle.put(connection)
    if response.status != http.client.OK:
      raise self._error(response.status, response.headers, data)
    return data

  def _error(
    self, code: int, headers: email.message.Message, data: bytes
  ) -> Exception:
    said = f'HTTP {code} {_said(data)}'
    if code not in _BUSY and code < http.client.INTERNAL_SERVER_ERROR:
      return Refused(f'{self.name}: {said}', code)
    told = headers.get('Retry-After', '') if code in _BUSY else ''
    return Unavailable(said, float(told) if told.isdecimal() else None)


def _words(fault: Exception) -> str:
  return str(fault) or type(fault).__name__


def _said(data: bytes) -> str:
  """What the body of a refusal says, in short."""
  text = data.decode('utf-8', 'replace')
  with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
    text = str(json.loads(text)['detail'])
  return ' '.join(text.split())[:300]


def parse(
  url: str, field: str = 'sandbox.url', token: str = TOKEN
) -> urllib.parse.SplitResult:
  """The parts of an address. Raises: UserError where it is none.

  Args:
    url: what the user wrote.
    field: where.
    token: the environment variable that holds what no address should.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port
  except ValueError as error:
    raise errors.UserError(f'{field}={url!r}: {error}') from error
  plain = url.isascii() and url.isprintable() and ' ' not in url
  if (
    parts.scheme not in ('http', 'https')
    or not parts.hostname
    or port == 0
    or not plain
    or parts.query
    or parts.fragment
  ):
    raise errors.UserError(f'{field}={url!r}: must be like http://host:8080')
  if parts.username is not None:
    raise errors.UserError(
      f'{field}: a password is not for the config; set {token} or {token}_FILE'
    )
  return parts
