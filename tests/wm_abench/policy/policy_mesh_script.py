"""Prints a policy's scores on the number of devices in its argument.

It is a separate program, because JAX fixes the number of devices at first use.
"""

import json
import sys

import jax

from tests.wm_abench.policy import policy_test
from wm_abench.policy import policy


def main():
  jax.config.update('jax_num_cpu_devices', int(sys.argv[1]))
  config = policy_test.CONFIG
  learned = policy.Policy(config, policy.init(jax.random.key(0), config))
  readings = policy_test.questions(9)
  scores = learned.scores(readings[:1]), learned.scores(readings)
  print(
    json.dumps(
      {
        'devices': jax.device_count(),
        'scores': [s[:, :2].tolist() for s in scores],
      }
    )
  )


if __name__ == '__main__':
  main()
