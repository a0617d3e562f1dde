"""An HTTP client that repeats a request until it is answered or hopeless.

A temporary failure (no connection, silence, HTTP 5xx or 429, or an answer in
which the service reports a failure of its own) is retried after a wait that
doubles each time. If the service names a time to come back, the client waits
that long instead. Any other failure is final.
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
# The other side may have closed a connection that was kept open here.
_STALE = (http.client.RemoteDisconnected, ConnectionError)


class Unavailable(Exception):
  """An answer that asks to come back later.

  Attributes:
    wait_s: in how many seconds, or None if the answer does not say.
  """

  def __init__(self, message: str, wait_s: float | None = None):
    super().__init__(message)
    self.wait_s = wait_s


class Refused(errors.ServiceError):
  """An answer that a retry does not change; `code` is its HTTP status."""

  def __init__(self, message: str, code: int):
    super().__init__(message)
    self.code = code


_TEMPORARY = (OSError, http.client.HTTPException, Unavailable)


def token_from_environment(name: str = TOKEN) -> str:
  """Returns the variable `name`, or the content of the file `name`_FILE."""
  path = os.environ.get(f'{name}_FILE')
  return read_token(path) if path else os.environ.get(name, '')


def read_token(path: str) -> str:
  """Returns the token in a file; raises UserError if it has none."""
  try:
    token = pathlib.Path(path).read_text(encoding='utf-8').strip()
  except (OSError, UnicodeDecodeError) as error:
    raise errors.UserError(f'token file {path!r}: {error}') from error
  check_token(token, f'token file {path!r}')
  return token


def check_token(token: str, where: str) -> None:
  """Raises UserError, without the token, unless it is one word of ASCII."""
  if not re.fullmatch('[!-~]+', token):
    raise errors.UserError(f'{where}: must be one word of ASCII')


class Client:
  """Sends requests to one service, and keeps its connections open.

  It is thread-safe.

  Args:
    address: see `parse_url`.
    token: see remote.Sandbox, as for the arguments that follow.
    attempts: how often a request is sent before the client gives up.
    timeout_s: how long a connection may be silent.
    patience_s: how long the service may ask to come back later.
    seed: of the random part of the waits.
    what: name of the service in messages.
  """

  def __init__(
    self,
    address: urllib.parse.SplitResult,
    token: str,
    attempts: int,
    timeout_s: float,
    patience_s: float,
    seed: int,
    what: str = 'sandbox service',
  ):
    is_secure = address.scheme == 'https'
    self._connection_type = (
      http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
    )
    self._host, self._port = address.hostname, address.port
    self._path = address.path.rstrip('/')
    self._headers = {'Content-Type': 'application/json'}
    if token:
      check_token(token, f'the token of the {what}')
      self._headers['Authorization'] = f'Bearer {token}'
    self.name = f'{what} {address.scheme}://{address.netloc}'
    self._attempts, self._timeout_s = attempts, timeout_s
    self._patience_s = patience_s
    self._random = random.Random(seed)
    self._idle: queue.SimpleQueue[http.client.HTTPConnection] = (
      queue.SimpleQueue()
    )
    self._closing = threading.Event()

  def request(
    self, method: str, path: str, body: bytes | None, decode: Callable
  ):
    """Sends a request and returns its decoded answer.

    Args:
      method, path, body: of the HTTP request.
      decode: function of the answer's JSON value. It raises ValueError for a
        wrong answer, and Unavailable for one that is worth a retry.

    Raises:
      ServiceError: the service refuses, or has not answered in the end.
    """
    failures, deadline = 0, time.monotonic() + self._patience_s
    while True:
      try:
        return decode(protocol.loads(self._send(method, path, body)))
      except _TEMPORARY as error:
        failure = error
      except ValueError as error:
        raise errors.ServiceError(
          f'{self.name}: wrong answer to {path}: {error}'
        ) from None
      wait_s = getattr(failure, 'wait_s', None)
      failures += wait_s is None
      retry_time = time.monotonic() + (wait_s or 0.0)
      if failures == self._attempts or retry_time > deadline:
        raise errors.ServiceError(
          f'{self.name}: {_message(failure)}'
        ) from failure
      if wait_s is None:
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**failures)
        logging.warning('%s: %s; retrying', self.name, _message(failure))
      # The random factor spreads the requests that were refused together.
      if self._closing.wait(wait_s * self._random.uniform(1.0, 1.5)):
        raise errors.ServiceError(f'{self.name}: the client was closed')

  def close(self) -> None:
    """Ends all waits, and closes the connections that are not in use."""
    self._closing.set()
    while connection := self._idle_connection():
      connection.close()

  def _idle_connection(self) -> http.client.HTTPConnection | None:
    try:
      return self._idle.get_nowait()
    except queue.Empty:
      return None

  def _send(self, method: str, path: str, body: bytes | None) -> bytes:
    """Returns the body of one answer. Stale connections do not count."""
    while connection := self._idle_connection():
      try:
        return self._exchange(connection, method, path, body)
      except _STALE:
        continue
    connection = self._connection_type(
      self._host, self._port, timeout=self._timeout_s
    )
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
    message = f'HTTP {code} {_detail(data)}'
    if code not in _BUSY and code < http.client.INTERNAL_SERVER_ERROR:
      return Refused(f'{self.name}: {message}', code)
    wait = headers.get('Retry-After', '') if code in _BUSY else ''
    return Unavailable(message, float(wait) if wait.isdecimal() else None)


def _message(failure: Exception) -> str:
  return str(failure) or type(failure).__name__


def _detail(data: bytes) -> str:
  """Returns the explanation in the body of a refusal, in one short line."""
  text = data.decode('utf-8', 'replace')
  with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
    text = str(json.loads(text)['detail'])
  return ' '.join(text.split())[:300]


def parse_url(
  url: str, field: str = 'sandbox.url', token: str = TOKEN
) -> urllib.parse.SplitResult:
  """Returns the parts of an address.

  Args:
    url: what the user wrote.
    field: the config field, for errors.
    token: the environment variable for the token, for errors.

  Raises:
    UserError: it is no address, or contains a password.
  """
  try:
    parts = urllib.parse.urlsplit(url)
    port = parts.port
  except ValueError as error:
    raise errors.UserError(f'{field}={url!r}: {error}') from error
  is_plain = url.isascii() and url.isprintable() and ' ' not in url
  if (
    parts.scheme not in ('http', 'https')
    or not parts.hostname
    or port == 0
    or not is_plain
    or parts.query
    or parts.fragment
  ):
    raise errors.UserError(f'{field}={url!r}: must be like http://host:8080')
  if parts.username is not None:
    raise errors.UserError(
      f'{field}: must not contain a password; set {token} or {token}_FILE'
    )
  return parts
