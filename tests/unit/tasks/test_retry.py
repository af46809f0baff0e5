from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.tasks.retry import RetryPolicy


@given(st.integers(1, 10_000), st.integers())
def test_a_delay_is_within_its_bounds(attempt: int, seed: int) -> None:
    steady_ms = min(300_000, 1_000 * 2 ** (attempt - 1))
    assert steady_ms <= RetryPolicy().delay_ms(attempt, Random(seed)) <= steady_ms * 1.1


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        RetryPolicy().delay_ms(0, Random(1))
