from __future__ import annotations

import os
import random
import sys
from random import Random

import pytest

SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().getrandbits(32)))


@pytest.fixture
def seed() -> int:
    """The run's one seed; a test that fails shows it, and ``FAULT_SEED`` repeats it."""
    sys.stdout.write(f"FAULT_SEED={SEED}\n")
    return SEED


@pytest.fixture
def rng(seed: int) -> Random:
    return Random(seed)
