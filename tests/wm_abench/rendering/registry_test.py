import builtins
import sys

import pytest

from commons import errors
from wm_abench.rendering import registry


def test_an_unknown_renderer_is_answered_with_the_choices():
  with pytest.raises(errors.UserError, match=r"'mujoko'.*mitsuba, mujoco"):
    registry.open_renderer('mujoko', 64)


@pytest.mark.parametrize(
  ('name', 'extra'), [('mujoco', 'wm'), ('mitsuba', 'wm,mitsuba')]
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
  monkeypatch, name, extra
):
  real = builtins.__import__

  def without(module, *arguments, **keywords):
    if module == name:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    return real(module, *arguments, **keywords)

  for module in ('mujoco', 'mitsuba', 'finishes'):
    monkeypatch.delitem(
      sys.modules, f'wm_abench.render.{module}', raising=False
    )
  monkeypatch.setattr(builtins, '__import__', without)
  with pytest.raises(errors.UserError) as raised:
    registry.open_renderer(name, 64)
  assert f'package {name!r}' in str(raised.value)
  assert f"pip install 'coderl[{extra}]'" in str(raised.value)


def test_every_name_opens_a_renderer_of_the_size():
  for name in registry.RENDERERS:
    pytest.importorskip(name)
    renderer = registry.open_renderer(name, 48)
    assert renderer.size_px == 48
    assert registry.way(name).lower().startswith(name)
    renderer.close()
