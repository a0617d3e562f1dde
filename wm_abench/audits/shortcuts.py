"""Ways to answer without understanding, and how far above chance they come.

A rule gives each option of an item a score; its credit is 1 on the best option,
shared among equals. A learner is a ridge regression whose scores of a group are
learned from other groups alone. Either is tested against the draw that a group
stands for: within it the answers are dealt to the members at random. So a rule
that leaves the varied factor unread gets exactly its share, and is no finding.
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from wm_abench.audits import picture_features
from wm_abench.core import records
from wm_abench.statistics import group_permutations
from wm_abench.worlds.tabletop import props

_FOLDS = 5
_RIDGE = 0.1  # Of the rows, on features of unit variance.
_TOKENS = 40  # The commonest that a learner tells apart.
_CROSSED = 12  # Words of the prompt that may change what an option is worth.


# Rules: of a sample the scores [N, options], or None where there is nothing to
# go by.

Rule = Callable[[picture_features.Sample], np.ndarray | None]


def _gaps(sample: picture_features.Sample, kind: str) -> np.ndarray | None:
  """Mean differences of the options to the last picture."""
  if sample.words:
    return None
  gaps = np.empty((len(sample.items), sample.options))
  for i in range(len(sample.items)):
    last = getattr(sample.shown(i)[-1], kind)
    gaps[i] = [
      np.abs(getattr(o, kind) - last).mean() for o in sample.offered(i)
    ]
  return gaps


def _spread(sample: picture_features.Sample) -> np.ndarray | None:
  """Mean differences of each option to the others."""
  if sample.words or sample.options < 3:
    return None
  gaps, known = [], {}
  for i, order in enumerate(sample.order):
    if order not in known:
      pixels = [o.pixels for o in sample.offered(i)]
      known[order] = [
        sum(np.abs(a - b).mean(dtype=np.float64) for b in pixels)
        for a in pixels
      ]
    gaps.append(known[order])
  return np.array(gaps)


def _areas(sample: picture_features.Sample) -> np.ndarray | None:
  """How many pixels are of the colour that each option names."""
  if not sample.words:
    return None
  named = [[_color_in(o) for o in order] for order in sample.order]
  # An option without a colour, such as 'both', has an area that is never best.
  known = [i for i, n in enumerate(named) if sum(map(bool, n)) > 1]
  if len(known) < len(named):
    return None
  areas = np.empty((len(named), sample.options))
  for i, colors in enumerate(named):
    seen = sum(_named_areas(p) for p in sample.shown(i))
    areas[i] = [seen[_NAMES.index(c)] if c else np.nan for c in colors]
  return areas


_NAMES = (*props.COLORS,)
_LIT = (1.0, 0.6)  # A colour in the light, and in the shade.
_PALETTE = np.array(
  [[lit * x for x in rgb] for rgb in props.COLORS.values() for lit in _LIT]
)
_NEAR = 0.25  # Farther from every named colour, a pixel has none.


def _color_in(option: str) -> str:
  found = [w for w in picture_features.tokens(option) if w in props.COLORS]
  return found[0] if len(found) == 1 else ''


def _named_areas(picture: picture_features.Picture) -> np.ndarray:
  flat = picture.pixels.reshape(-1, 3)
  gap = np.square(flat[:, None] - _PALETTE).sum(-1)
  nearest = gap.argmin(-1)[gap.min(-1) < _NEAR**2] // len(_LIT)
  return np.bincount(nearest, minlength=len(_NAMES))


def _ring_wide(sample: picture_features.Sample) -> np.ndarray | None:
  """Whether a ring is wide for the thing that is to go into it."""
  wanted = {'ring_m', 'share', 'hole_to_prop', 'changed'}
  if any(wanted - set(item.factors) for item in sample.items):
    return None
  ratios = []
  for item in sample.items:
    f = item.factors
    prop = f['share'] / (f['hole_to_prop'] if f['changed'] == 'prop' else 1)
    ratios.append(1 / prop)
  wide = np.array(ratios) > np.median(ratios)
  yes = np.array([[o == 'yes' for o in order] for order in sample.order])
  return (yes == wide[:, None]).astype(float)


def _scored(
  measure: Callable[..., np.ndarray | None], sign: int, *arguments
) -> Rule:
  def rule(sample: picture_features.Sample) -> np.ndarray | None:
    value = measure(sample, *arguments)
    if value is None:
      return None
    return np.nan_to_num(sign * value, nan=-np.inf)

  return rule


RULES: dict[str, Rule] = {
  'pixels nearest the last picture': _scored(_gaps, -1, 'pixels'),
  'pixels farthest from the last picture': _scored(_gaps, 1, 'pixels'),
  'colours nearest the last picture': _scored(_gaps, -1, 'colors'),
  'colours farthest from the last picture': _scored(_gaps, 1, 'colors'),
  'most like the other options': _scored(_spread, -1),
  'least like the other options': _scored(_spread, 1),
  'most of its colour': _scored(_areas, 1),
  'least of its colour': _scored(_areas, -1),
  'a ring wide for the object': _ring_wide,
}


# Learners: of a sample the features of each option [N, options, D].


def _blind(sample: picture_features.Sample) -> np.ndarray:
  """The prompt and the options, and no picture of the state."""
  if sample.words:
    own = _option_tokens(sample)
    said = [set(picture_features.tokens(item.prompt)) for item in sample.items]
    shared = [
      [
        len(words & set(picture_features.tokens(o)))
        / max(1, len(picture_features.tokens(o)))
        for o in order
      ]
      for words, order in zip(said, sample.order, strict=True)
    ]
    sizes = [[len(o) for o in order] for order in sample.order]
    more = np.stack([shared, sizes], -1)
  else:
    own = np.array(
      [[_summary(o) for o in sample.offered(i)] for i in _range(sample)]
    )
    more = np.empty((*own.shape[:2], 0))
  prompts = _bag(
    [picture_features.tokens(item.prompt) for item in sample.items], _CROSSED
  )
  crossed = own[:, :, None] * prompts[:, None, :, None]
  crossed = crossed.reshape(*own.shape[:2], -1)
  return np.concatenate([own, more, crossed], -1)


def _option_tokens(sample: picture_features.Sample) -> np.ndarray:
  flat = [picture_features.tokens(o) for order in sample.order for o in order]
  return _bag(flat, _TOKENS).reshape(len(sample.items), sample.options, -1)


def _summary(picture: picture_features.Picture) -> np.ndarray:
  """A few numbers on a picture, where things are among them, [49]."""
  side = picture_features.SIZE_PX // 4
  coarse = picture.pixels.mean(-1).reshape(4, side, 4, side).mean((1, 3))
  means = picture.pixels.mean((0, 1))
  shares = picture.colors.reshape((2, picture_features.LEVELS // 2) * 3).sum(
    (1, 3, 5)
  )
  return np.concatenate([picture.simple, means, shares.ravel(), coarse.ravel()])


def _range(sample: picture_features.Sample) -> range:
  return range(len(sample.items))


def _bag(texts: Sequence[Sequence[str]], most: int) -> np.ndarray:
  """Which of the words that only some texts have, each has, [texts, words]."""
  counts = collections.Counter(w for text in texts for w in set(text))
  telling = [w for w, n in counts.items() if n < len(texts)]
  telling.sort(key=lambda w: (-min(counts[w], len(texts) - counts[w]), w))
  sets = [set(text) for text in texts]
  kept = telling[:most]
  return np.array([[w in s for w in kept] for s in sets], float).reshape(
    len(texts), len(kept)
  )


def _shown_colors(sample: picture_features.Sample) -> np.ndarray:
  return np.array(
    [
      np.concatenate([np.sqrt(p.colors) for p in sample.shown(i)])
      for i in _range(sample)
    ]
  )


def _shown_simple(sample: picture_features.Sample) -> np.ndarray:
  return np.array(
    [
      np.concatenate([p.simple for p in sample.shown(i)])
      for i in _range(sample)
    ]
  )


BLIND = 'blind'
# Of the pictures of the state, what a learner reads to choose among words.
_READ = {
  'learned from colours': _shown_colors,
  'learned from simple statistics': _shown_simple,
}
SHORTCUTS: tuple[str, ...] = (BLIND, *RULES, *_READ)


def run(items: Sequence[records.Item]) -> dict[str, picture_features.Outcome]:
  """Tries every shortcut that there is something to go by for.

  Args:
    items: of one cell.

  Returns:
    By names of SHORTCUTS.
  """
  sample = picture_features.Sample(items)
  outcomes = {}
  for name, rule in RULES.items():
    scores = rule(sample)
    if scores is not None:
      credit = picture_features.credit(scores)
      p = group_permutations.p_value(credit, sample.which, sample.lots)
      outcomes[name] = picture_features.outcome(
        sample, group_permutations.credit_of_keys(credit, sample.which), p
      )
  folds = _folds(sample.groups)
  if folds.max() > 0:
    outcomes[BLIND] = _learn_options(sample, _blind(sample), folds)
    if sample.words:
      tokens = _option_tokens(sample)
      for name, read in _READ.items():
        outcomes[name] = _learn_words(sample, read(sample), tokens, folds)
  return {name: outcomes[name] for name in SHORTCUTS if name in outcomes}


def _folds(groups: Sequence[str]) -> np.ndarray:
  """Of each item its fold, [N]; a group is in one."""
  index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
  return np.array([index[group] % _FOLDS for group in groups])


def _learn_options(
  sample: picture_features.Sample, features_NKD: np.ndarray, folds: np.ndarray
) -> picture_features.Outcome:
  """A linear score of each option's features."""
  x = features_NKD - features_NKD.mean(1, keepdims=True)
  scale = x.std((0, 1))
  x = x[..., scale > 1e-9] / scale[scale > 1e-9]
  dealt = picture_features.redeal(sample)
  target = _target(dealt, sample.options)
  scores = np.zeros_like(target)
  for fold in range(folds.max() + 1):
    held = folds == fold
    rows = x[~held].reshape(-1, x.shape[-1])
    known = target[~held].reshape(len(rows), -1)
    gram = rows.T @ rows + _RIDGE * len(rows) * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, rows.T @ known)
    scores[held] = x[held] @ weights
  return _learned(sample, scores, dealt)


def _learn_words(
  sample: picture_features.Sample,
  features_ND: np.ndarray,
  tokens_NKT: np.ndarray,
  folds: np.ndarray,
) -> picture_features.Outcome:
  """A linear score of each word, added up over an option's words."""
  x = features_ND - features_ND.mean(0)
  scale = x.std(0)
  x = x[:, scale > 1e-9] / scale[scale > 1e-9]
  kernel = x @ x.T / max(1, x.shape[1])
  own = tokens_NKT - tokens_NKT.mean(1, keepdims=True)
  dealt = picture_features.redeal(sample)
  target = np.einsum('nkd,nkt->ntd', _target(dealt, sample.options), own)
  scores = np.zeros((*own.shape[:2], len(dealt)))
  for fold in range(folds.max() + 1):
    held = folds == fold
    inner = kernel[~held][:, ~held] + _RIDGE * np.eye((~held).sum())
    hat = np.linalg.solve(inner, kernel[~held][:, held]).T
    known = target[~held].reshape(len(inner), -1)
    values = (hat @ known).reshape(-1, *target.shape[1:])
    scores[held] = np.einsum('ntd,nkt->nkd', values, own[held])
  return _learned(sample, scores, dealt)


def _target(dealt_DN: np.ndarray, options: int) -> np.ndarray:
  """1 - 1 / options for an answer and -1 / options for others, [N, K, D]."""
  return np.eye(options)[dealt_DN.T].swapaxes(1, 2) - 1 / options


def _learned(
  sample: picture_features.Sample, scores_NKD: np.ndarray, dealt_DN: np.ndarray
) -> picture_features.Outcome:
  """Tests the hits of the true answers against those of the redealt ones.

  Learners are tested for more hits than that alone: held-out scores lie below
  chance where there is nothing to learn.
  """
  credit = picture_features.credit(scores_NKD.swapaxes(1, 2))
  right = np.take_along_axis(credit, dealt_DN.T[..., None], 2)[..., 0]
  hits, *null = right.sum(0)
  spread = np.std(null)
  if spread < 1e-9:
    p = 1.0 if hits <= null[0] + 1e-9 else 0.0
  else:
    p = stats.norm.sf((hits - np.mean(null) - 0.5) / spread)
  return picture_features.outcome(sample, right[:, 0], p)
