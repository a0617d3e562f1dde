"""Number theory for the truths of several families."""

import math


def is_prime(n: int) -> bool:
  return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def divisors(n: int) -> list[int]:
  return [d for d in range(1, n + 1) if n % d == 0]
