"""Shortcuts: ways to answer without understanding, tested against chance.

A rule gives each option of an item a score; the best option gets credit 1,
shared among ties. A learner is a ridge regression that scores a group after
training on other groups. Both are tested by permuting the keys among the
members of a group. A rule that does not read the varied factor scores exactly
chance under every permutation, and is never significant.
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
_RIDGE = 0.1  # Penalty per training example, on features of unit variance.
_TOKENS = 40  # A learner sees so many of the most frequent words of options.
_CROSSED = 12  # So many words of the prompt interact with an option's features.


# A rule returns scores [N, options], or None if it does not apply.

Rule = Callable[[picture_features.Sample], np.ndarray | None]


def _gaps(sample: picture_features.Sample, kind: str) -> np.ndarray | None:
  """Returns each option's mean difference from the last image."""
  if sample.words:
    return None
  gaps = np.empty((len(sample.items), sample.options))
  for i in range(len(sample.items)):
    last = getattr(sample.shown(i)[-1], kind)
    gaps[i] = [
      np.abs(getattr(option, kind) - last).mean()
      for option in sample.offered(i)
    ]
  return gaps


def _spread(sample: picture_features.Sample) -> np.ndarray | None:
  """Returns each option's summed mean difference from the other options."""
  if sample.words or sample.options < 3:
    return None
  gaps, gaps_of_order = [], {}
  for i, order in enumerate(sample.order):
    if order not in gaps_of_order:
      pixels = [o.pixels for o in sample.offered(i)]
      gaps_of_order[order] = [
        sum(np.abs(a - b).mean(dtype=np.float64) for b in pixels)
        for a in pixels
      ]
    gaps.append(gaps_of_order[order])
  return np.array(gaps)


def _areas(sample: picture_features.Sample) -> np.ndarray | None:
  """Returns the number of pixels of the colour that each option names."""
  if not sample.words:
    return None
  named = [[_color_in(o) for o in order] for order in sample.order]
  if any(sum(map(bool, colors)) < 2 for colors in named):
    return None
  areas = np.empty((len(named), sample.options))
  for i, colors in enumerate(named):
    area = sum(_named_areas(picture) for picture in sample.shown(i))
    # An option without a colour, such as 'both', never scores best.
    areas[i] = [area[_NAMES.index(c)] if c else np.nan for c in colors]
  return areas


_NAMES = (*props.COLORS,)
_LIT = (1.0, 0.6)  # Brightness of a colour in the light, and in the shade.
_PALETTE = np.array(
  [[lit * x for x in rgb] for rgb in props.COLORS.values() for lit in _LIT]
)
_NEAR = 0.25  # A pixel farther from every named colour has no colour.


def _color_in(option: str) -> str:
  words = [w for w in picture_features.tokens(option) if w in props.COLORS]
  return words[0] if len(words) == 1 else ''


def _named_areas(picture: picture_features.Picture) -> np.ndarray:
  """Returns the number of pixels of each named colour, [colours]."""
  flat = picture.pixels.reshape(-1, 3)
  gap = np.square(flat[:, None] - _PALETTE).sum(-1)
  nearest = gap.argmin(-1)[gap.min(-1) < _NEAR**2] // len(_LIT)
  return np.bincount(nearest, minlength=len(_NAMES))


def _ring_wide(sample: picture_features.Sample) -> np.ndarray | None:
  """Scores 'yes' where the ring is wide compared with the object."""
  required = {'ring_m', 'share', 'hole_to_prop', 'changed'}
  if any(required - set(item.factors) for item in sample.items):
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


# Learners read features of each option, [N, options, D].


def _blind(sample: picture_features.Sample) -> np.ndarray:
  """Returns features of the prompt and the options, and of no image."""
  if sample.words:
    features = _option_tokens(sample)
    prompt_words = [
      set(picture_features.tokens(item.prompt)) for item in sample.items
    ]
    shared = [
      [
        len(words & set(picture_features.tokens(o)))
        / max(1, len(picture_features.tokens(o)))
        for o in order
      ]
      for words, order in zip(prompt_words, sample.order, strict=True)
    ]
    sizes = [[len(o) for o in order] for order in sample.order]
    more = np.stack([shared, sizes], -1)
  else:
    features = np.array(
      [[_summary(o) for o in sample.offered(i)] for i in _range(sample)]
    )
    more = np.empty((*features.shape[:2], 0))
  prompts = _bag(
    [picture_features.tokens(item.prompt) for item in sample.items], _CROSSED
  )
  crossed = features[:, :, None] * prompts[:, None, :, None]
  crossed = crossed.reshape(*features.shape[:2], -1)
  return np.concatenate([features, more, crossed], -1)


def _option_tokens(sample: picture_features.Sample) -> np.ndarray:
  flat = [picture_features.tokens(o) for order in sample.order for o in order]
  return _bag(flat, _TOKENS).reshape(len(sample.items), sample.options, -1)


def _summary(picture: picture_features.Picture) -> np.ndarray:
  """Returns 49 numbers of a picture, its coarse layout included."""
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
  """Returns which informative words each text contains, [texts, words].

  A word that every text contains is not informative. The `most` words that
  split the texts most evenly are kept.
  """
  counts = collections.Counter(w for text in texts for w in set(text))
  informative = [w for w, n in counts.items() if n < len(texts)]
  informative.sort(key=lambda w: (-min(counts[w], len(texts) - counts[w]), w))
  sets = [set(text) for text in texts]
  kept = informative[:most]
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
# Features of the images from which a learner chooses among words.
_READ = {
  'learned from colours': _shown_colors,
  'learned from simple statistics': _shown_simple,
}
SHORTCUTS: tuple[str, ...] = (BLIND, *RULES, *_READ)


def run(items: Sequence[records.Item]) -> dict[str, picture_features.Outcome]:
  """Tries every shortcut that applies to the items of one cell.

  Returns:
    Name in SHORTCUTS -> outcome.
  """
  sample = picture_features.Sample(items)
  outcomes = {}
  for name, rule in RULES.items():
    scores = rule(sample)
    if scores is not None:
      credit = picture_features.credit(scores)
      p = group_permutations.p_value(credit, sample.key, sample.blocks)
      outcomes[name] = picture_features.outcome(
        sample, group_permutations.credit_of_keys(credit, sample.key), p
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
  """Returns each item's fold, [N]; a group lies in one fold."""
  index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
  return np.array([index[group] % _FOLDS for group in groups])


def _learn_options(
  sample: picture_features.Sample, features_NKD: np.ndarray, folds: np.ndarray
) -> picture_features.Outcome:
  """Learns a linear score of an option's features."""
  x = features_NKD - features_NKD.mean(1, keepdims=True)
  scale = x.std((0, 1))
  x = x[..., scale > 1e-9] / scale[scale > 1e-9]
  keys_RN = picture_features.permuted_keys(sample)
  target = _target(keys_RN, sample.options)
  scores = np.zeros_like(target)
  for fold in range(folds.max() + 1):
    held = folds == fold
    rows = x[~held].reshape(-1, x.shape[-1])
    trained = target[~held].reshape(len(rows), -1)
    gram = rows.T @ rows + _RIDGE * len(rows) * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, rows.T @ trained)
    scores[held] = x[held] @ weights
  return _learned(sample, scores, keys_RN)


def _learn_words(
  sample: picture_features.Sample,
  features_ND: np.ndarray,
  tokens_NKT: np.ndarray,
  folds: np.ndarray,
) -> picture_features.Outcome:
  """Learns a linear score of each word; an option's score is their sum.

  The score depends on the images' features, by kernel ridge regression.
  """
  x = features_ND - features_ND.mean(0)
  scale = x.std(0)
  x = x[:, scale > 1e-9] / scale[scale > 1e-9]
  kernel = x @ x.T / max(1, x.shape[1])
  centred_NKT = tokens_NKT - tokens_NKT.mean(1, keepdims=True)
  keys_RN = picture_features.permuted_keys(sample)
  target = np.einsum(
    'nkd,nkt->ntd', _target(keys_RN, sample.options), centred_NKT
  )
  scores = np.zeros((*centred_NKT.shape[:2], len(keys_RN)))
  for fold in range(folds.max() + 1):
    held = folds == fold
    inner = kernel[~held][:, ~held] + _RIDGE * np.eye((~held).sum())
    hat = np.linalg.solve(inner, kernel[~held][:, held]).T
    trained = target[~held].reshape(len(inner), -1)
    values = (hat @ trained).reshape(-1, *target.shape[1:])
    scores[held] = np.einsum('ntd,nkt->nkd', values, centred_NKT[held])
  return _learned(sample, scores, keys_RN)


def _target(keys_RN: np.ndarray, options: int) -> np.ndarray:
  """Returns 1 - 1/options for a key and -1/options for others, [N, K, R]."""
  return np.eye(options)[keys_RN.T].swapaxes(1, 2) - 1 / options


def _learned(
  sample: picture_features.Sample, scores_NKR: np.ndarray, keys_RN: np.ndarray
) -> picture_features.Outcome:
  """Tests the hits of the true keys against those of permuted keys.

  The test is one-sided, because held-out scores lie below chance if there is
  nothing to learn. The null distribution is approximated by a normal one.
  """
  credit = picture_features.credit(scores_NKR.swapaxes(1, 2))
  right = np.take_along_axis(credit, keys_RN.T[..., None], 2)[..., 0]
  hits, *null = right.sum(0)
  spread = np.std(null)
  if spread < 1e-9:
    p = 1.0 if hits <= null[0] + 1e-9 else 0.0
  else:
    p = stats.norm.sf((hits - np.mean(null) - 0.5) / spread)
  return picture_features.outcome(sample, right[:, 0], p)
