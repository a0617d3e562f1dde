"""The server runs programs, rejects wrong requests, and ends cleanly."""

import contextlib
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from coderl.sandbox.service import serve

_ROOT = pathlib.Path(__file__).parents[4]
_TOKEN = 'open-sesame'


@pytest.fixture(scope='module')
def server(start_server):
  return start_server(
    *('--workers=1', '--max-body-mb=1', '--cpu-s=1', '--wall-s=1.5'),
    *('--output-kb=8', '--require', 'seccomp'),
  )


def _ask(server, method, path, body=None, headers=None):
  """Sends a request; returns the status, headers and JSON value answered."""
  host = server.url.removeprefix('http://')
  with contextlib.closing(http.client.HTTPConnection(host, timeout=20)) as c:
    if not isinstance(body, bytes | None):
      body = json.dumps(body).encode()
    c.request(method, path, body, headers or {})
    response = c.getresponse()
    return response.status, response.headers, json.loads(response.read())


def _fusion(server, code, **fields):
  body = {'code': code, 'language': 'python'} | fields
  status, _, reply = _ask(server, 'POST', '/run_code', body)
  assert status == 200, reply
  return reply


def test_the_first_line_describes_the_server(server):
  assert server.line.startswith('Sandbox at http://127.0.0.1:')
  assert '1 workers; no token; layers ' in server.line
  assert 'seccomp' in server.line.partition('without')[0]


def test_it_describes_itself(server):
  assert _ask(server, 'GET', '/v1/ping')[2] == 'pong'
  service = _ask(server, 'GET', '/v1/sandbox')[2]
  assert service['limits']['wall_s'] == 1.5
  assert service['workers'] == 1
  assert service['layers']['seccomp'] == ''


_RUN = {'programs': [{'source': ''}]}
_CODE = {'code': '', 'language': 'python'}


@pytest.mark.parametrize(
  ('path', 'body', 'status', 'message'),
  [
    ('/v1/run', b'', 400, 'not JSON'),
    ('/v1/run', b'\xff{', 400, 'not JSON'),
    ('/v1/run', b'[' * 10**5, 400, 'not JSON: nested too deep'),
    ('/v1/run', [], 400, 'request: must be an object'),
    ('/v1/run', {'programs': [{}]}, 400, 'programs[0].source is missing'),
    ('/v1/run', _RUN | {'limits': {'cpu_s': -1}}, 400, 'cpu_s=-1: must be'),
    ('/v1/run', _RUN | {'limits': {'ram': 1}}, 400, "no field 'ram'; it has"),
    ('/v1/run', b' ' * (2**20 + 1), 413, 'at most 1048576'),
    ('/v1/walk', _RUN, 404, "no POST '/v1/walk'; choices: /v1/run, /run_code"),
    ('/run_code', {'language': 'python'}, 400, 'request.code is missing'),
    ('/run_code', _CODE | {'language': 'cpp'}, 400, "'cpp'; choices: python"),
    ('/run_code', _CODE | {'files': {'a': ''}}, 400, 'files: not supported'),
    ('/run_code', _CODE | {'fetch_files': ['a']}, 400, 'fetch_files: not supp'),
    ('/run_code', _CODE | {'run_timeout': '1'}, 400, 'run_timeout: must be a'),
    ('/run_code', _CODE | {'run_timeout': 0}, 400, 'must be a finite number'),
    ('/run_code', _CODE | {'stdin': 1}, 400, 'stdin: must be a text, is 1'),
    ('/run_code', _CODE | {'lang': 1}, 400, "no field 'lang'; it has code"),
  ],
)
def test_a_wrong_request_is_answered_with_one_line(
  server, path, body, status, message
):
  code, _, reply = _ask(server, 'POST', path, body)
  assert (code, list(reply)) == (status, ['detail'])
  assert message in reply['detail']
  assert '\n' not in reply['detail']


def test_a_rejected_request_does_not_close_the_connection(server):
  host = server.url.removeprefix('http://')
  with contextlib.closing(http.client.HTTPConnection(host, timeout=20)) as c:
    c.connect()
    socket_ = c.sock
    for path, body in (('/v1/walk', b'x' * 10**6), ('/v1/run', b'x')):
      c.request('POST', path, body)
      assert b'detail' in c.getresponse().read()
      assert c.sock is socket_
    c.request('POST', '/run_code', json.dumps(_CODE).encode())
    assert json.loads(c.getresponse().read())['status'] == 'Success'


@pytest.mark.parametrize(
  ('request_', 'status'),
  [
    (b'GET /\r\n\r\n', b''),
    (b'nonsense\r\n\r\n', b''),
    (b'PUT / HTTP/1.1\r\n\r\n', b'501'),
    (b'POST /v1/run HTTP/1.1\r\nContent-Length: x\r\n\r\n', b'411'),
    (b'POST /v1/run HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n', b'411'),
    (b'POST /v1/run HTTP/1.1\r\nContent-Length: 9\r\n\r\n{', b'400'),
    (b'GET / HTTP/1.1\r\n' + b'A: b\r\n' * 200 + b'\r\n', b'431'),
  ],
)
def test_malformed_http_is_answered_without_a_traceback(
  server, request_, status
):
  address = ('127.0.0.1', int(server.url.rpartition(':')[2]))
  with socket.create_connection(address, timeout=20) as c:
    c.sendall(request_)
    c.shutdown(socket.SHUT_WR)
    answer = b''.join(iter(lambda: c.recv(1 << 16), b''))
  assert status in answer.partition(b'\r\n')[0]
  assert b'Traceback' not in answer
  assert b'<html' not in answer.lower()


def test_the_limits_of_a_request_are_reduced_to_the_servers(server):
  limits = {'wall_s': 60.0, 'cpu_s': 60.0, 'output_kb': 999}
  sources = ['import time; time.sleep(60)', 'print("x" * 10000)']
  body = {'programs': [{'source': s} for s in sources], 'limits': limits}
  executions = _ask(server, 'POST', '/v1/run', body)[2]['executions']
  statuses = [execution['status'] for execution in executions]
  assert statuses == ['wall_limit', 'output_limit']
  assert executions[0]['wall_s'] < 5


def test_a_request_may_have_lower_limits(server):
  body = {
    'programs': [{'source': 'import time; time.sleep(1)'}],
    'limits': {'wall_s': 0.2},
  }
  (execution,) = _ask(server, 'POST', '/v1/run', body)[2]['executions']
  assert execution['status'] == 'wall_limit'
  assert execution['wall_s'] < 0.9


@pytest.mark.parametrize(
  ('code', 'status', 'run_status', 'return_code'),
  [
    ('print(int(input()) + 1)', 'Success', 'Finished', 0),
    ('1 / 0', 'Failed', 'Finished', 1),
    ('import sys; sys.exit(3)', 'Failed', 'Finished', 1),
    ('while True: pass', 'Failed', 'TimeLimitExceeded', None),
    ('bytearray(10**10)', 'Failed', 'Finished', 1),
    ('x = (', 'Failed', 'Finished', 1),
  ],
)
def test_it_answers_like_sandbox_fusion(
  server, code, status, run_status, return_code
):
  reply = _fusion(server, code, stdin='41\n', run_timeout=10, files={})
  run = reply['run_result']
  assert (reply['status'], run['status']) == (status, run_status)
  assert run['return_code'] == return_code
  assert run['stdout'] == ('42\n' if status == 'Success' else '')
  if return_code == 1 and 'exit' not in code:
    assert 'Error' in run['stderr']


def test_a_fusion_request_sets_its_timeout(server):
  reply = _fusion(server, 'import time; time.sleep(1)', run_timeout=0.2)
  assert reply['run_result']['status'] == 'TimeLimitExceeded'
  assert reply['run_result']['execution_time'] < 0.9


@pytest.mark.parametrize(
  ('header', 'status'),
  [
    ({}, 401),
    ({'Authorization': 'Bearer open-sesam'}, 401),
    ({'Authorization': f'Basic {_TOKEN}'}, 401),
    ({'Authorization': 'Bearer \xfc'}, 401),
    ({'Authorization': f'Bearer {_TOKEN}'}, 200),
  ],
)
def test_without_the_token_only_a_ping_is_answered(guarded, header, status):
  for method, path, body in (
    ('GET', '/v1/sandbox', None),
    ('POST', '/v1/run', _RUN),
    ('POST', '/run_code', _CODE),
  ):
    code, headers, reply = _ask(guarded, method, path, body, header)
    assert code == status
    if status == 401:
      assert headers['WWW-Authenticate'] == 'Bearer'
      assert reply == {'detail': 'the token is missing or wrong'}
  assert _ask(guarded, 'GET', '/v1/ping')[0] == 200


@pytest.fixture(scope='module')
def guarded(start_server, tmp_path_factory):
  path = tmp_path_factory.mktemp('token') / 'token'
  path.write_text(f'{_TOKEN}\n')
  server = start_server('--workers=1', '--queue=1', f'--token-file={path}')
  assert ' a token;' in server.line
  return server


def test_a_full_queue_is_answered_with_the_time_to_retry(guarded):
  header = {'Authorization': f'Bearer {_TOKEN}'}
  slow = {'programs': [{'source': 'import time; time.sleep(1)'}]}
  first = threading.Thread(
    target=_ask, args=(guarded, 'POST', '/v1/run', slow, header)
  )
  first.start()
  time.sleep(0.4)
  status, headers, reply = _ask(guarded, 'POST', '/v1/run', _RUN, header)
  assert (status, headers['Retry-After']) == (503, '1')
  assert reply == {'detail': 'the queue is full; retry later'}
  first.join()
  assert _ask(guarded, 'POST', '/v1/run', _RUN, header)[0] == 200


def test_a_run_occupies_the_queue_even_if_its_client_has_left(guarded):
  header = {'Authorization': f'Bearer {_TOKEN}'}
  slow = {'programs': [{'source': 'import time; time.sleep(1)'}]}
  leaving = http.client.HTTPConnection(guarded.url.removeprefix('http://'))
  leaving.request('POST', '/v1/run', json.dumps(slow).encode(), header)
  time.sleep(0.3)
  leaving.close()
  assert _ask(guarded, 'POST', '/v1/run', _RUN, header)[0] == 503
  time.sleep(1.2)
  assert _ask(guarded, 'POST', '/v1/run', _RUN, header)[0] == 200


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_running_requests(start_server, number):
  server = start_server('--workers=2')
  idle = http.client.HTTPConnection(server.url.removeprefix('http://'))
  idle.request('GET', '/v1/ping')
  idle.getresponse().read()  # The connection stays open.
  answers = []
  slow = {'programs': [{'source': 'import time; time.sleep(1); print(1)'}]}
  request = threading.Thread(
    target=lambda: answers.append(_ask(server, 'POST', '/v1/run', slow))
  )
  request.start()
  time.sleep(0.4)
  children = server.children()
  assert len(children) >= 3  # Two workers and a program.
  start_s = time.monotonic()
  assert server.stop(number) == 0
  assert time.monotonic() - start_s < 5
  request.join()
  assert answers[0][2]['executions'][0]['stdout'] == '1\n'
  alive = [pid for pid in children if pathlib.Path(f'/proc/{pid}').exists()]
  assert alive == []
  with pytest.raises(ConnectionRefusedError):
    _ask(server, 'GET', '/v1/ping')
  idle.close()


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (['--port=65536'], '--port must be less than 65536'),
    (['--workers=0'], '--workers must be at least 1'),
    (['--cpu-s=0'], 'sandbox limit cpu_s=0.0: must be'),
    (['--token-file=none'], "token file 'none': "),
    (['--host=192.0.2.1'], '--host 192.0.2.1 --port 8080: '),
    (['--require', 'sekkomp'], "invalid choice: 'sekkomp'"),
  ],
)
def test_a_wrong_argument_is_reported_in_one_line(args, message):
  result = subprocess.run(
    [sys.executable, '-m', 'coderl.sandbox.service.serve', *args],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    timeout=30,
  )
  assert result.returncode == 2
  assert message in result.stderr.splitlines()[-1]
  assert 'Traceback' not in result.stderr


def test_a_token_must_be_one_word_of_ascii(tmp_path):
  path = tmp_path / 'token'
  for text in ('', 'two words', 'ein-schl\u00fcssel'):
    path.write_text(text)
    assert serve.main([f'--token-file={path}', '--workers=1']) == 2
