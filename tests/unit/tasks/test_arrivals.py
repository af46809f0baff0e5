"""How much work comes, and what it does to those who wait."""

from __future__ import annotations

import pytest

from edge.clock import NS_PER_S
from edge.tasks.arrivals import BURST_TASKS_MAX, FLOWS_MAX, MEMORY_MS, Arrivals, Newcomers, Rate


def come(arrivals: Arrivals, flow: str, every_s: int, until_s: int, work_ms: float = 1_000) -> None:
    for at_s in range(0, until_s, every_s):
        arrivals.came(flow, work_ms, 100, 0, at_s * NS_PER_S)


def test_a_rate_is_learnt() -> None:
    arrivals = Arrivals(0)
    come(arrivals, "ada", 10, 900)
    flows, others = arrivals.rates(900 * NS_PER_S)
    assert flows["ada"].work_ms == pytest.approx(0.1, rel=0.1)
    assert flows["ada"].token_ms == 10
    assert others == pytest.approx(0, abs=1e-9)


def test_a_rate_is_not_known_at_once() -> None:
    arrivals = Arrivals(0)
    arrivals.came("ada", 1_000, 100, 0, 0)
    flows, _ = arrivals.rates(NS_PER_S)
    assert flows["ada"].work_ms < 0.02


def test_who_comes_no_more_is_forgotten() -> None:
    arrivals = Arrivals(0)
    come(arrivals, "ada", 10, 900)
    flows, _ = arrivals.rates((900 + 5 * MEMORY_MS // 1_000) * NS_PER_S)
    assert flows["ada"].work_ms < 0.001


def test_of_a_batch_only_the_first_count() -> None:
    arrivals = Arrivals(0)
    for waiting in range(1_000):
        arrivals.came("batch", 1_000, 100, waiting, 0)
    one = Arrivals(0)
    for _ in range(BURST_TASKS_MAX):
        one.came("batch", 1_000, 100, 0, 0)
    assert arrivals.rates(NS_PER_S) == one.rates(NS_PER_S)


def test_those_who_bring_most_are_told_apart() -> None:
    arrivals = Arrivals(0)
    arrivals.came("most", 50_000, 100, 0, 0)
    for number in range(FLOWS_MAX + 8):
        arrivals.came(f"client {number}", 1_000, 100, 0, 0)
    flows, others = arrivals.rates(NS_PER_S)
    assert len(flows) == FLOWS_MAX
    assert "most" in flows
    assert others == pytest.approx(9 * flows["client 47"].work_ms if "client 47" in flows else
                                   9 * min(each.work_ms for each in flows.values()))  # fmt: skip


def test_a_wait_becomes_longer_by_those_who_come_while_it_lasts() -> None:
    # A third of the engine's work is for others: half as much again.
    one = Newcomers([(0.0, Rate(1.0, 10.0))], 0.0, 3)
    assert one.delayed_ms(1_000, 1_000, 10) == pytest.approx(1_500)
    assert one.delayed_ms(0, 1_000, 10) == 0


def test_those_who_would_start_later_pass_nobody() -> None:
    newcomers = Newcomers([(500.0, Rate(1.0, 10.0)), (100.0, Rate(1.0, 10.0))], 0.0, 4)
    assert newcomers.delayed_ms(900, 100, 10) == 900
    assert newcomers.delayed_ms(900, 500, 10) == pytest.approx(1_200)
    assert newcomers.delayed_ms(900, 900, 10) == pytest.approx(1_800)


def test_nobody_passes_with_more_than_fits_before_and_one_task() -> None:
    newcomers = Newcomers([(100.0, Rate(9.0, 10.0))], 0.0, 3)
    # 100 tokens fit, and one task of 20; each takes 10 ms, and there are three slots.
    assert newcomers.delayed_ms(1_000, 200, 20) == 1_000 + 400


def test_those_not_told_apart_pass_too_but_never_with_all_that_there_is() -> None:
    assert Newcomers([(0.0, Rate(0.5, 1.0))], 1.0, 3).delayed_ms(900, 1, 1) == pytest.approx(1_800)
    assert Newcomers([(0.0, Rate(0.5, 1.0))], 9.0, 3).delayed_ms(900, 1, 1) == pytest.approx(9_000)
    assert Newcomers([], 0.0, 3).delayed_ms(900, 1, 1) == 900
