"""Who is next, as clients see it."""

from __future__ import annotations

from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.tasks.flows import FLOWS_KEPT_MIN
from edge.tasks.line import Entry, Line, Shared

STEP_MS = 1_000


@pytest.fixture
def line() -> Line:
    line = Line(step_ms=STEP_MS, shared=Shared(fallback_slots=1))
    line.slots = 1
    line.tokens_per_ms = 1.0
    return line


def entry(task_id: str, flow: str, cost: int = 100, level: int = 0, **more: Any) -> Entry:
    more = {"owner": task_id} | more
    return Entry(task_id, flow, level, cost // 2, cost - cost // 2, **more)


def served(line: Line, count: int = 1_000, now_ns: int = 0) -> list[str]:
    """Who is served, one after the other, each at its expected cost."""
    order: list[str] = []
    while len(order) < count and (grant := line.grant(now_ns)) is not None:
        order.append(grant.entry.task_id)
        line.release(grant.key, grant.entry.cost_tokens)
    return order


def fill(line: Line, *entries: Entry, now_ns: int = 0) -> None:
    for each in entries:
        line.enqueue(each, now_ns)


def test_one_client_is_served_as_it_came(line: Line) -> None:
    fill(line, *(entry(f"a{number}", "a") for number in range(5)))
    assert [each.task_id for each in line.in_order()] == ["a0", "a1", "a2", "a3", "a4"]
    assert served(line) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_single_question_goes_before_another_ones_thousand(line: Line) -> None:
    fill(line, *(entry(f"batch{number}", "batch") for number in range(1_000)))
    assert served(line, 10) == [f"batch{number}" for number in range(10)]
    held = line.grant(0)
    assert held is not None
    fill(line, entry("chat", "chat"))
    line.release(held.key, 100)
    assert served(line, 1) == ["chat"]


def test_an_answer_costs_its_client_what_it_takes(line: Line) -> None:
    fill(line, *(entry(f"long{number}", "long", 4_000) for number in range(3)))
    fill(line, *(entry(f"short{number}", "short", 10) for number in range(500)))
    order = served(line, 403)
    assert order.count("long0") == 1
    assert "long2" not in order
    # Of what was served each client had its half, give or take one task.
    assert 300 <= sum(name.startswith("short") for name in order) <= 402


def test_what_runs_counts(line: Line) -> None:
    line.slots = 2
    fill(line, entry("a0", "a", 1_000), entry("a1", "a", 10))
    first = line.grant(0)
    assert first is not None
    fill(line, entry("b0", "b", 10), entry("b1", "b", 10), entry("b2", "b", 10))
    second = line.grant(0)
    assert second is not None
    assert (first.entry.task_id, second.entry.task_id) == ("a0", "b0")


def test_the_true_cost_is_settled(line: Line) -> None:
    fill(line, entry("a0", "a", 100), entry("b0", "b", 100), entry("hold", "c", 100))
    grants = {}
    line.slots = 3
    while (grant := line.grant(0)) is not None:
        grants[grant.entry.task_id] = grant.key
    # One took a tenth of what was expected, the other ten times as much.
    line.release(grants["a0"], 10)
    line.release(grants["b0"], 1_000)
    line.slots = 1
    fill(line, entry("b1", "b"), entry("a1", "a"))
    line.release(grants["hold"], 100)
    assert served(line) == ["a1", "b1"]


def test_a_busy_period_that_is_over_is_nobodys_debt(line: Line) -> None:
    fill(line, entry("a0", "a", 100_000))
    served(line)
    fill(line, entry("a1", "a"), entry("b0", "b"))
    assert served(line) == ["a1", "b0"]


def test_a_priority_is_a_head_start(line: Line) -> None:
    fill(line, entry("low", "a", level=2), entry("high", "b", level=0))
    assert served(line) == ["high", "low"]


def test_nobody_waits_for_longer_than_the_steps_of_its_level(line: Line) -> None:
    now_ns, waited = 0, 0
    fill(line, entry("low", "low", level=3))
    # Ever new clients come with what counts more, and what costs next to nothing.
    while True:
        fill(line, entry(f"new{waited}", f"client{waited}", 1), now_ns=now_ns)
        if served(line, 1, now_ns) == ["low"]:
            break
        waited += 1
        now_ns += 10 * NS_PER_MS
    assert now_ns == 3 * STEP_MS * NS_PER_MS


def test_a_question_does_not_stand_behind_what_has_waited_long_at_its_level(line: Line) -> None:
    fill(line, *(entry(f"batch{number}", "batch", level=5) for number in range(1_000)))
    now_ns = 6 * STEP_MS * NS_PER_MS
    held = line.grant(now_ns)
    assert held is not None
    fill(line, entry("chat", "chat", level=5), now_ns=now_ns)
    line.release(held.key, 100)
    ahead = line.ahead("chat", now_ns)
    assert ahead is not None
    assert ahead.members == 0
    assert served(line, 2, now_ns) == ["chat", "batch1"]


def test_what_has_waited_long_still_goes_before_what_is_new(line: Line) -> None:
    fill(line, *(entry(f"old{number}", "old", level=5) for number in range(3)))
    fill(line, entry("late", "late", 1_000, level=5), entry("late2", "late", level=5))
    now_ns = 6 * STEP_MS * NS_PER_MS
    fill(line, *(entry(f"new{number}", "new", level=0) for number in range(3)), now_ns=now_ns)
    assert [each.task_id for each in line.in_order()][-1] == "late2"
    order = served(line, now_ns=now_ns)
    assert order.index("new0") < order.index("old1") < order.index("new2")


def test_who_lost_its_turn_comes_back_to_its_place(line: Line) -> None:
    fill(line, *(entry(f"a{number}", "a") for number in range(3)), entry("b0", "b"))
    grant = line.grant(0)
    assert grant is not None
    line.release(grant.key, None)
    line.enqueue(entry("a0", "a", tag=grant.entry.tag), 0, returning=True)
    assert served(line) == ["a0", "b0", "a1", "a2"]


def test_a_line_is_rebuilt_from_the_tags(line: Line) -> None:
    fill(line, *(entry(f"a{number}", "a") for number in range(4)))
    fill(line, *(entry(f"b{number}", "b", 50) for number in range(4)))
    tags = {each.task_id: each for each in line.in_order()}
    again = Line(step_ms=STEP_MS)
    again.slots = 1
    for task_id in sorted(tags, reverse=True):
        old = tags[task_id]
        again.enqueue(entry(task_id, old.flow, old.cost_tokens, tag=old.tag), 0)
    # The same order, but for those with equal tags.
    assert [each.tag for each in again.in_order()] == [each.tag for each in line.in_order()]
    again.enqueue(entry("a4", "a"), 0)
    assert [each.task_id for each in again.in_order()][-1] == "a4"


def test_who_may_have_ended_an_engine_runs_first_and_alone(line: Line) -> None:
    line.slots = 4
    fill(line, entry("other", "a"), entry("one", "b", alone=True), entry("two", "c", alone=True))
    line.enqueue(entry("most", "d", alone=True), 0, first=True)
    grant = line.grant(0)
    assert grant is not None
    assert grant.entry.task_id == "most"
    assert line.grant(0) is None, "nobody beside it"
    line.cleared(grant.key)
    second = line.grant(0)
    assert second is not None
    assert second.entry.task_id == "one"
    assert line.grant(0) is None
    line.release(second.key, 10)
    third = line.grant(0)
    assert third is not None
    assert third.entry.task_id == "two"


def test_an_outage_has_those_answered_otherwise_who_may_be(line: Line) -> None:
    line.slots = 0
    fill(line, entry("never", "a"), entry("may", "b", may_fall_back=True))
    assert line.grant(0) is None
    line.outage = True
    grant = line.grant(0)
    assert grant is not None
    assert (grant.entry.task_id, grant.fallback) == ("may", True)
    assert line.grant(0) is None, "one at a time"
    line.release(grant.key, 10)
    assert line.grant(0) is None


def test_what_only_the_fallback_can_answer_takes_no_slot(line: Line) -> None:
    fill(line, entry("model", "a"), entry("other", "a", fallback_only=True))
    grants = [line.grant(0), line.grant(0), line.grant(0)]
    assert [each and (each.entry.task_id, each.fallback) for each in grants] == [
        ("model", False), ("other", True), None,
    ]  # fmt: skip
    assert (line.busy_slots, line.running) == (1, 2)


def test_a_place_and_what_is_before_it(line: Line) -> None:
    fill(line, entry("s", "s", 30, alone=True), entry("a0", "a", 10), entry("a1", "a", 20))
    ahead = line.ahead("a1", 0)
    assert ahead is not None
    assert (ahead.members, ahead.prompt_tokens + ahead.output_tokens) == (2, 40)
    assert line.ahead("nobody", 0) is None


def test_who_enqueues_again_keeps_its_place(line: Line) -> None:
    fill(line, entry("a0", "a"), entry("b0", "b"), entry("a0", "a", owner=None))
    assert [each.task_id for each in line.in_order()] == ["a0", "b0"]
    grant = line.grant(0)
    assert grant is not None
    assert grant.entry.owner is None, "the successor's"


def test_a_withdrawn_task_costs_nothing(line: Line) -> None:
    fill(line, entry("hold", "c"))
    held = line.grant(0)
    fill(line, entry("a0", "a", 1_000), entry("b0", "b", 500))
    assert line.withdraw("a0")
    assert not line.withdraw("a0")
    fill(line, entry("b1", "b"), entry("a1", "a"))
    assert held is not None
    line.release(held.key, 100)
    assert served(line) == ["b0", "a1", "b1"]


def test_a_line_that_is_paused_gives_no_turn(line: Line) -> None:
    fill(line, entry("a0", "a"))
    line.paused = True
    assert line.grant(0) is None
    line.paused = False
    assert served(line) == ["a0"]


def test_clients_that_have_gone_are_forgotten(line: Line) -> None:
    fill(line, entry("stays", "stays", 10**9))
    line.grant(0)
    line.slots = 2
    for number in range(5 * FLOWS_KEPT_MIN):
        fill(line, entry(f"task{number}", f"client{number}", 1))
        served(line)
    assert len(line.flows) <= 2 * FLOWS_KEPT_MIN


# ---- users of one client


def user(number: int) -> str:
    return f"many\0user {number}"


def test_one_users_batch_does_not_stand_before_anothers_question(line: Line) -> None:
    fill(line, *(entry(f"batch{number}", user(1)) for number in range(1_000)))
    fill(line, entry("chat", user(2)))
    assert "chat" in served(line, 2)


@pytest.mark.parametrize("how", ["in turns", "one after the other"])
def test_who_asks_for_many_users_gets_little_more_than_who_asks_for_none(
    line: Line, how: str
) -> None:
    users, each_has = 10, 30
    numbers = [(one, task) for one in range(users) for task in range(each_has)]
    if how == "in turns":
        numbers.sort(key=lambda pair: pair[1])
    fill(line, *(entry(f"many {one} {task}", user(one)) for one, task in numbers))
    fill(line, *(entry(f"other{number}", "other") for number in range(100)))
    others = sum(name.startswith("other") for name in served(line, 80))
    # With a share for each user it would be one in eleven.
    assert others >= 80 // 4


def test_a_thousand_users_with_a_question_each_are_like_one_with_a_thousand(line: Line) -> None:
    fill(line, *(entry(f"many{number}", user(number)) for number in range(1_000)))
    fill(line, *(entry(f"other{number}", "other") for number in range(50)))
    assert sum(name.startswith("other") for name in served(line, 80)) >= 35


def test_users_of_one_client_share_alike(line: Line) -> None:
    fill(line, *(entry(f"{one} {task}", user(one)) for task in range(50) for one in range(3)))
    first = served(line, 60)
    for one in range(3):
        assert sum(name.startswith(f"{one} ") for name in first) == pytest.approx(20, abs=4)


def test_what_users_did_not_use_is_given_back(line: Line) -> None:
    """Each charge is taken back by as much as it was made for, whoever came and went meanwhile."""
    for one in range(2):
        line.flows.reserve(f"coming{one}", user(one), 100)
    fill(line, entry("waits", user(0)), entry("runs", "other"))
    held = line.grant(0)
    assert held is not None
    for one in range(2):
        line.flows.refund(f"coming{one}")
    line.withdraw("waits")
    line.release(held.key, 0)
    assert line.flows.virtual == 0.0
    assert not line.flows.busy
