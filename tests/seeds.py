"""What tests that throw dice begin with: the same in each run of the suite, others in each run of `make fuzz`."""

from __future__ import annotations

import os
import random
from typing import Final

SHIFT: Final = "CLAWD_TEST_SEED"


def seeded(usual: int) -> int:
    """Return the seed that stands in the test, moved by the whole number in $CLAWD_TEST_SEED."""
    return usual + int(os.environ.get(SHIFT) or 0)


def dice(usual: int) -> random.Random:
    """Return dice that fall alike for the same seed."""
    return random.Random(seeded(usual))
