"""Stop strings on the device: an automaton over the bytes of tokens.

A response ends with the token that completes a stop string, wherever the
token boundaries lie. The automaton of Aho and Corasick (1975) over bytes is
run over every token's bytes in advance, so that sampling only looks up
state x token.
"""

from collections.abc import Sequence

import numpy as np

START = 0


def table(token_bytes: Sequence[bytes], stops: Sequence[str]) -> np.ndarray:
  """Returns next_SV, int32: the automaton's state after each token.

  A response begins in state START. State S - 1 means that a stop string has
  occurred; it is never left.

  Args:
    token_bytes: for each token, the UTF-8 bytes that it adds to the text.
    stops: the stop strings; at least one, none of them empty.

  Raises:
    ValueError: there is no stop string, or one is empty.
  """
  if not stops or not all(stops):
    raise ValueError(f'stops={stops!r}: must be strings that are not empty')
  next_SC = _automaton([stop.encode() for stop in stops])
  lens_V = np.array([len(b) for b in token_bytes])
  bytes_VC = np.zeros((len(token_bytes), max(lens_V.max(), 1)), np.uint8)
  for row, b in zip(bytes_VC, token_bytes, strict=True):
    row[: len(b)] = np.frombuffer(b, np.uint8)
  states = len(next_SC)
  next_SV = np.repeat(np.arange(states)[:, None], len(token_bytes), axis=1)
  for i in range(bytes_VC.shape[1]):
    stepped_SV = next_SC[next_SV, bytes_VC[:, i]]
    next_SV = np.where(i < lens_V, stepped_SV, next_SV)
  return next_SV.astype(np.int32)


def _automaton(stops: Sequence[bytes]) -> np.ndarray:
  """Returns next_SC over the 256 bytes: one state per proper prefix of a stop.

  A state is the longest suffix of the text that begins a stop string. The last
  state accepts.
  """
  prefixes = {s[:n] for s in stops for n in range(len(s))}
  ordered = sorted(prefixes, key=lambda p: (len(p), p))  # b'' is START.
  index = {prefix: i for i, prefix in enumerate(ordered)}
  accept = len(ordered)
  next_SC = np.full((accept + 1, 256), accept)
  for prefix, i in index.items():
    for byte in range(256):
      text = prefix + bytes([byte])
      ended = any(text.endswith(stop) for stop in stops)
      suffixes = (text[n:] for n in range(len(text) + 1))
      next_SC[i, byte] = (
        accept if ended else index[next(t for t in suffixes if t in index)]
      )
  return next_SC
