"""Reads which option a reply names.

Rules in order of how plain they are; what none of them reads is unparsed, never
guessed. A reply that names several options names none.
"""

from collections.abc import Sequence
import re

from wm_abench.core import records

_MARKS = re.compile(r'[*_`$#]|\\boxed|\\text|[{}]')
_CLAIM = r'(?:final\s+)?(?:answer|choice|option)\s*(?:is|would\s+be|:|=|-)*\s*'
_REFUSAL = re.compile(
  r"\b(?:i(?:'m| am)\s+(?:sorry|unable|not able)|i\s+(?:can't|cannot|can not|"
  r"won't)|unable\s+to\s+(?:assist|help|comply|answer)|as\s+an\s+ai)\b"
)


def status_of(
  text: str,
  stop_reason: str,
  refused: bool,
  labels: Sequence[str],
  options: Sequence[str],
) -> tuple[str, int | None]:
  """How a reply ended, and which option it names.

  Args:
    text: what the model wrote.
    stop_reason: Inspect's word for why it stopped.
    refused: whether its service marked the reply as a refusal.
    labels: of the options, in the order that they were shown in.
    options: their words in that order; none where they were pictures.

  Returns:
    (one of records.STATUSES, index into labels where that is ANSWERED).
  """
  if stop_reason == 'content_filter':
    return records.BLOCKED, None
  chosen = chosen_in(text, labels, options)
  if chosen is not None:
    return records.ANSWERED, chosen
  if stop_reason in ('max_tokens', 'model_length'):
    return records.CUT, None
  refused = refused or _REFUSAL.search(text.lower().replace('’', "'"))
  return (records.REFUSED if refused else records.UNPARSED), None


def chosen_in(
  text: str, labels: Sequence[str], options: Sequence[str]
) -> int | None:
  """Index into labels of the one option that a text names, if it does.

  Args:
    text: a model's.
    labels: as shown, such as 'A', 'B'.
    options: words as shown; none where options are pictures.
  """
  text = ' '.join(_MARKS.sub(' ', text).replace('’', "'").split())
  for rule in (_alone, _claimed, _first, _named):
    chosen = rule(text, labels, options)
    if chosen is not None:
      return chosen
  return None


def _alone(text, labels, options) -> int | None:
  """A label, an option's words, or both, and nothing else."""
  bare = text.strip(' ."\'()[]:,!').lower()
  for i, label in enumerate(labels):
    own = label.lower()
    if bare in (own, f'option {own}', f'image {own}', f'picture {own}'):
      return i
  words = [option.lower() for option in options]
  if bare in words:
    return words.index(bare)
  for i, (label, word) in enumerate(zip(labels, words, strict=False)):
    if re.fullmatch(rf'{label.lower()}[).:,\s-]+{re.escape(word)}', bare):
      return i
  return None


def _claimed(text, labels, options) -> int | None:
  """'The answer is B', 'Final answer: (C)'; the last where there are more."""
  names = '|'.join(map(re.escape, labels))
  # A letter that goes on as a sentence, 'answer: A red cube', is an article.
  found = re.findall(
    rf'(?i:{_CLAIM})[("\[]*(?i:option |image |picture )?({names})(?![\w-])'
    rf'(?!\s+[a-z])',
    text,
  )
  if found:
    return list(labels).index(found[-1])
  words = sorted(options, key=len, reverse=True)
  pattern = '|'.join(map(re.escape, words))
  found = words and re.findall(
    rf'{_CLAIM}(?:the )?[("\[]*({pattern})(?!\w)', text, re.IGNORECASE
  )
  if found:
    return [o.lower() for o in options].index(found[-1].lower())
  return None


def _first(text, labels, options) -> int | None:
  """The answer first, then why: 'B. Because ...', '(2) The ...', 'Yes, ...'."""
  names = '|'.join(map(re.escape, labels))
  found = re.match(rf'[("\[]*({names})[)"\].:,;](?:\s|$)', text)
  if found:
    return list(labels).index(found[1])
  for i, option in enumerate(options):
    if re.match(rf'{re.escape(option)}[.:,;!]', text, re.IGNORECASE):
      return i
  return None


def _named(text, labels, options) -> int | None:
  """Prose with the words of one option only."""
  left = text.lower()
  found = []
  # Longer ones first, so that 'left' is not read in 'front left'.
  for i in sorted(range(len(options)), key=lambda i: -len(options[i])):
    pattern = rf'(?<!\w){re.escape(options[i].lower())}(?!\w)'
    left, times = re.subn(pattern, ' ', left)
    found += [i] if times else []
  return found[0] if len(found) == 1 else None
