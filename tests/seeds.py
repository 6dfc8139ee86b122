"""Where statistical tests take their seeds from, so that they can be tried on others.

``MANYMODES_TEST_SEED=7 make test`` runs them with other random numbers: a claim that holds for
one seed only is a fault of the test, or of the code.
"""

from __future__ import annotations

import os

# Farther apart than the seeds of one test, which may count from 0 to some hundreds.
STRIDE = 1000
_SHIFT = STRIDE * int(os.environ.get("MANYMODES_TEST_SEED") or 0)


def seeded(number: int) -> int:
    """Return a test's own seed, as it is by default, or moved by the environment."""
    return number + _SHIFT
