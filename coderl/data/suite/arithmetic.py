"""Number theory that the truths of several families share."""

import functools
import math


@functools.cache
def fibonacci(n: int) -> int:
  return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def collatz(n: int) -> list[int]:
  if n == 1:
    return [1]
  return [n, *collatz(n // 2 if n % 2 == 0 else 3 * n + 1)]


def is_prime(n: int) -> bool:
  return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def divisors(n: int) -> list[int]:
  return [d for d in range(1, n + 1) if n % d == 0]


def prime_factors(n: int) -> list[int]:
  for d in range(2, n + 1):
    if n % d == 0:
      return [d, *prime_factors(n // d)]
  return []
