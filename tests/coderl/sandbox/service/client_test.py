"""The client reads tokens and addresses, and keeps secrets out of errors."""

import pytest

from coderl.sandbox import api
from coderl.sandbox.service import client, remote
from commons import errors


def test_the_token_comes_from_the_environment(
  start_server, tmp_path, monkeypatch
):
  path = tmp_path / 'token'
  path.write_text('open-sesame\n')
  server = start_server('--workers=1', f'--token-file={path}')
  with pytest.raises(errors.UserError, match='HTTP 401 the token is missing'):
    remote.Sandbox(server.url, token=client.token_from_environment())
  monkeypatch.setenv('CODERL_SANDBOX_TOKEN', 'open sesame')
  with pytest.raises(errors.UserError, match='one word') as caught:
    remote.Sandbox(server.url, token=client.token_from_environment())
  assert 'sesame' not in str(caught.value)
  for name, value in (('TOKEN', 'open-sesame'), ('TOKEN_FILE', str(path))):
    monkeypatch.setenv(f'CODERL_SANDBOX_{name}', value)
    with remote.Sandbox(
      server.url, token=client.token_from_environment()
    ) as runner:
      assert runner.run([api.Program('print(1)')])[0].stdout == '1\n'
    monkeypatch.delenv(f'CODERL_SANDBOX_{name}')


@pytest.mark.parametrize(
  ('url', 'message'),
  [
    ('localhost:8080', 'must be like http'),
    ('ftp://host', 'must be like http'),
    ('http://', 'must be like http'),
    ('http://host:99999', 'out of range'),
    ('http://host/?a=b', 'must be like http'),
    ('http://h\u00f6st', 'must be like http'),
    ('http://me:secret@host', 'CODERL_SANDBOX_TOKEN'),
  ],
)
def test_a_wrong_address_is_a_user_error(url, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    remote.Sandbox(url)
  assert 'secret' not in str(caught.value)
