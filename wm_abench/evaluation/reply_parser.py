"""Parses which option a reply chooses.

The rules are tried from the most to the least explicit form. A reply to which
no rule applies, or which names several options, is unparsed and not guessed.
"""

from collections.abc import Sequence
import re

from wm_abench.core import records

_MARKUP = re.compile(r'[*_`$#]|\\boxed|\\text|[{}]')
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
  """Returns how a reply ended, and which option it chooses.

  Args:
    text: the text of the reply.
    stop_reason: Inspect's name for why the model stopped.
    refused: whether the service marked the reply as a refusal.
    labels: labels of the options, in the order in which they were shown.
    options: phrases in the same order; empty if the options are pictures.

  Returns:
    One of records.STATUSES, and an index into labels, or None unless the status
    is ANSWERED.
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
  """Returns the index of the option that a text chooses, or None.

  Args:
    text: the text of a reply.
    labels: the labels as shown, such as 'A', 'B'.
    options: the phrases as shown; empty if the options are pictures.
  """
  text = ' '.join(_MARKUP.sub(' ', text).replace('’', "'").split())
  for rule in (_alone, _claimed, _first, _named):
    chosen = rule(text, labels, options)
    if chosen is not None:
      return chosen
  return None


def _alone(text, labels, options) -> int | None:
  """Matches a label, a phrase, or both, and nothing else."""
  bare = text.strip(' ."\'()[]:,!').lower()
  for i, label in enumerate(labels):
    name = label.lower()
    if bare in (name, f'option {name}', f'image {name}', f'picture {name}'):
      return i
  phrases = [option.lower() for option in options]
  if bare in phrases:
    return phrases.index(bare)
  for i, (label, phrase) in enumerate(zip(labels, phrases, strict=False)):
    if re.fullmatch(rf'{label.lower()}[).:,\s-]+{re.escape(phrase)}', bare):
      return i
  return None


def _claimed(text, labels, options) -> int | None:
  """Matches 'The answer is B' or 'Final answer: (C)'; the last match counts."""
  names = '|'.join(map(re.escape, labels))
  # A letter that starts a sentence, 'answer: A red cube', is an article.
  matches = re.findall(
    rf'(?i:{_CLAIM})[("\[]*(?i:option |image |picture )?({names})(?![\w-])'
    rf'(?!\s+[a-z])',
    text,
  )
  if matches:
    return list(labels).index(matches[-1])
  phrases = sorted(options, key=len, reverse=True)
  pattern = '|'.join(map(re.escape, phrases))
  matches = phrases and re.findall(
    rf'{_CLAIM}(?:the )?[("\[]*({pattern})(?!\w)', text, re.IGNORECASE
  )
  if matches:
    return [o.lower() for o in options].index(matches[-1].lower())
  return None


def _first(text, labels, options) -> int | None:
  """Matches an answer before its reason: 'B. Because ...', 'Yes, ...'."""
  names = '|'.join(map(re.escape, labels))
  match = re.match(rf'[("\[]*({names})[)"\].:,;](?:\s|$)', text)
  if match:
    return list(labels).index(match[1])
  for i, option in enumerate(options):
    if re.match(rf'{re.escape(option)}[.:,;!]', text, re.IGNORECASE):
      return i
  return None


def _named(text, labels, options) -> int | None:
  """Matches prose that contains the phrase of exactly one option."""
  remaining = text.lower()
  named = []
  # Longer phrases first, so that 'left' does not match in 'front left'.
  for i in sorted(range(len(options)), key=lambda i: -len(options[i])):
    pattern = rf'(?<!\w){re.escape(options[i].lower())}(?!\w)'
    remaining, count = re.subn(pattern, ' ', remaining)
    named += [i] if count else []
  return named[0] if len(named) == 1 else None
