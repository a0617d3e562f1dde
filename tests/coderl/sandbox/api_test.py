"""Limits are checked when they are made."""

import pytest

from coderl.sandbox import api


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('cpu_s', -1.0),
    ('cpu_s', 0),
    ('wall_s', float('inf')),
    ('wall_s', float('nan')),
    ('wall_s', '2'),
    ('memory_mb', 16),
    ('memory_mb', 512.0),
    ('output_kb', 0),
    ('file_kb', -1),
    ('processes', -1),
    ('threads', True),
    ('trace_events', None),
  ],
)
def test_a_wrong_limit_is_refused(field, value):
  with pytest.raises(ValueError, match=f'sandbox limit {field}='):
    api.Limits(**{field: value})
