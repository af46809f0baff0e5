from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_MS, NS_PER_S
from edge.services.task.quotas import Limits, Quotas


def opened(quotas: Quotas, number: int, tokens: int = 1, account: str = "ada") -> bool:
    """Whether there was room; if so it has been taken."""
    if quotas.excess(account, tokens, 0) is not None:
        return False
    quotas.open(account, str(number), tokens)
    return True


def test_so_many_tasks_and_no_more() -> None:
    quotas = Quotas(Limits(3))
    assert [opened(quotas, number) for number in range(4)] == [True, True, True, False]
    assert opened(quotas, 0, account="bob")
    quotas.close("ada", "1")
    assert opened(quotas, 4)
    assert not opened(quotas, 5)


def test_a_task_counts_once() -> None:
    quotas = Quotas(Limits(2, 10))
    for _ in range(2):
        quotas.open("ada", "1", 5)
    assert (quotas.tasks("ada"), quotas.tokens("ada"), quotas.cost("ada", "1")) == (1, 5, 5)
    for _ in range(2):
        quotas.close("ada", "1")
    assert (quotas.tasks("ada"), quotas.tokens("ada"), quotas.cost("ada", "1")) == (0, 0, 0)


def test_so_many_tokens_and_no_more() -> None:
    quotas = Quotas(Limits(100, 10))
    assert opened(quotas, 1, 6)
    assert opened(quotas, 2, 4)
    excess = quotas.excess("ada", 1, 0)
    assert excess is not None
    assert (excess.wait_ns, excess.tokens) == (None, 1)
    quotas.close("ada", "2")
    assert not opened(quotas, 3, 5)
    assert opened(quotas, 3, 4)


def test_who_has_nothing_may_have_any_single_task() -> None:
    quotas = Quotas(Limits(100, 10))
    assert opened(quotas, 1, 1_000)
    assert not opened(quotas, 2)


def test_no_limit_is_none() -> None:
    quotas = Quotas(Limits(100))
    assert opened(quotas, 1, 1 << 40)
    assert opened(quotas, 2, 1 << 40)
    for _ in range(1_000):
        assert quotas.excess("ada", 1, 0) is None
        quotas.submitted("ada", 0)


def test_a_burst_then_the_rate() -> None:
    quotas = Quotas(Limits(100, per_second=4, burst=3))
    for _ in range(3):
        assert quotas.excess("ada", 1, 0) is None
        quotas.submitted("ada", 0)
    assert quotas.excess("bob", 1, 0) is None
    excess = quotas.excess("ada", 1, 0)
    assert excess is not None
    assert excess.wait_ns == 250 * NS_PER_MS
    assert quotas.excess("ada", 1, excess.wait_ns - 1) is not None
    assert quotas.excess("ada", 1, excess.wait_ns) is None


@pytest.mark.parametrize("burst", [1, 5])
@given(
    st.integers(1, 50),
    st.lists(st.integers(0, 2 * NS_PER_S), max_size=60),
)
def test_in_no_time_are_there_more_than_the_rate_and_a_burst(
    burst: int, per_second: int, pauses_ns: list[int]
) -> None:
    quotas, now_ns, taken_ns = Quotas(Limits(1, per_second=per_second, burst=burst)), 0, []
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        excess = quotas.excess("ada", 1, now_ns)
        if excess is None:
            quotas.submitted("ada", now_ns)
            taken_ns.append(now_ns)
        else:
            # It says the truth about when there is room again.
            assert excess.wait_ns is not None
            assert quotas.excess("ada", 1, now_ns + excess.wait_ns) is None
    each_ns = NS_PER_S // per_second
    for first, since_ns in enumerate(taken_ns):
        for last, until_ns in enumerate(taken_ns[first:], 1):
            assert last <= burst + (until_ns - since_ns) // each_ns


def test_nothing_is_kept_of_who_has_been_quiet() -> None:
    quotas = Quotas(Limits(100, per_second=10))
    for number in range(1_000):
        now_ns = number * NS_PER_S
        quotas.submitted(f"client {number}", now_ns)
        quotas.open(f"client {number}", "1", 1)
        quotas.close(f"client {number}", "1")
    assert len(quotas._full_ns) <= 2
    assert not quotas._open
