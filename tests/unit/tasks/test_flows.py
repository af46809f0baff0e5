"""What clients owe, and the tags that follow from it."""

from __future__ import annotations

import pytest

from edge.tasks.flows import FLOWS_KEPT_MIN, Flows


def wait(flows: Flows, task_id: str, flow: str, cost_tokens: int = 10) -> float:
    return flows.waits(task_id, flow, cost_tokens, None, None)[0]


def serve(flows: Flows, flow: str, tag: float, more_tokens: int | None = 0) -> None:
    flows.leaves(flow)
    flows.runs(flow)
    flows.serves(tag)
    flows.ran(flow, more_tokens)


def test_a_flow_pays_for_what_it_has_and_another_does_not() -> None:
    flows = Flows()
    assert [wait(flows, f"a{number}", "a") for number in range(3)] == [0.0, 10.0, 20.0]
    assert wait(flows, "b", "b") == 0.0
    assert flows.newcomer_tag("a") == 30.0
    assert flows.waiting_of("a") == 3


def test_what_was_reserved_stands_where_it_was_reserved() -> None:
    flows = Flows()
    tag = flows.reserve("one", "a", 10)
    assert (flows.coming, flows.waiting_of("a")) == (1, 0)
    assert flows.waits("one", "a", 10, tag, None) == (tag, 1)
    assert (flows.coming, flows.waiting_of("a")) == (0, 1)


def test_what_does_not_come_after_all_costs_nothing() -> None:
    flows = Flows()
    wait(flows, "stays", "b")
    flows.reserve("one", "a", 100)
    flows.refund("one")
    flows.refund("one")
    assert wait(flows, "two", "a") == 0.0


def test_a_turn_that_cost_more_than_was_charged_is_paid_for() -> None:
    flows = Flows()
    wait(flows, "stays", "b")
    tag = wait(flows, "one", "a")
    wait(flows, "two", "a")
    serve(flows, "a", tag, more_tokens=90)
    assert flows.newcomer_tag("a") == 110.0


@pytest.mark.parametrize("more_tokens", [0, 500])
def test_after_a_busy_period_nobody_owes_anything(more_tokens: int) -> None:
    flows = Flows()
    serve(flows, "a", wait(flows, "one", "a"), more_tokens)
    assert len(flows) == 0
    assert not flows.busy
    assert flows.newcomer_tag("a") == flows.newcomer_tag("b") == flows.virtual


def test_one_that_comes_back_still_counts() -> None:
    flows = Flows()
    wait(flows, "other", "b")
    tag = wait(flows, "one", "a")
    serve(flows, "a", tag, more_tokens=None)
    assert flows.newcomer_tag("a") == 10.0


def test_flows_that_have_gone_are_forgotten_and_those_that_have_something_are_not() -> None:
    flows = Flows()
    wait(flows, "stays", "stays", 10**9)
    for number in range(5 * FLOWS_KEPT_MIN):
        serve(flows, f"c{number}", wait(flows, f"t{number}", f"c{number}", 1))
    assert len(flows) <= 2 * FLOWS_KEPT_MIN
    assert flows.waiting_of("stays") == 1


def test_what_is_new_stands_behind_the_line_of_an_earlier_life() -> None:
    flows = Flows()
    flows.begin_at(70.0)
    flows.begin_at(50.0)
    assert wait(flows, "one", "a") == 70.0


def test_users_of_a_client_come_in_one_after_the_other() -> None:
    flows = Flows()
    first = [wait(flows, f"t{number}", f"a\0{number}") for number in range(3)]
    assert first == [0.0, 0.0, 10.0]
    assert flows.busy == {"a": 3}
