from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tasks.queue import FairQueue

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.booleans()), max_size=30
)


def drained(queue: FairQueue) -> list[str]:
    return list(iter(queue.pop, None))


def filled(rows: list[tuple[str, int, bool, bool]]) -> FairQueue:
    queue = FairQueue(100)
    for number, (client, priority, front, pop) in enumerate(rows):
        queue.push(str(number), client, priority, front=front)
        if pop:
            queue.pop()
    return queue


def test_clients_take_turns_within_a_priority() -> None:
    queue = FairQueue(10)
    for task_id, client, priority in [
        ("a1", "a", 1),
        ("a2", "a", 1),
        ("b1", "b", 1),
        ("x", "a", 0),
    ]:
        queue.push(task_id, client, priority)
    assert drained(queue) == ["x", "a1", "b1", "a2"]


def test_front_goes_before_other_clients_and_remove_takes_one_out() -> None:
    queue = FairQueue(3)
    queue.push("a1", "a", 0)
    queue.push("b1", "b", 0)
    queue.push("b0", "b", 0, front=True)
    assert queue.full
    assert queue.waiting_of("b") == 2
    with pytest.raises(ValueError, match="already"):
        queue.push("b0", "b", 0)
    assert queue.remove("a1")
    assert not queue.remove("a1")
    assert drained(queue) == ["b0", "b1"]


def test_those_that_come_back_go_first_in_their_order_and_take_no_turn() -> None:
    queue = FairQueue(10)
    for task_id, client, front in [
        ("a2", "a", False),
        ("b1", "b", False),
        ("a0", "a", True),
        ("a1", "a", True),
    ]:
        queue.push(task_id, client, 0, front=front)
    assert queue.waiting_of("a") == 3
    assert drained(queue) == ["a0", "a1", "a2", "b1"]


@settings(deadline=None, max_examples=80)
@given(ROWS)
def test_positions_are_the_order_of_pop(rows: list[tuple[str, int, bool, bool]]) -> None:
    queue = filled(rows)
    positions = queue.positions({str(number) for number in range(len(rows))})
    assert positions == {task_id: at for at, task_id in enumerate(drained(queue), 1)}


@settings(deadline=None, max_examples=80)
@given(ROWS, st.sampled_from("abcd"), st.integers(0, 2))
def test_the_position_foretold_is_the_position_taken(
    rows: list[tuple[str, int, bool, bool]], client: str, priority: int
) -> None:
    queue = filled(rows)
    foretold = queue.position_of_next(client, priority)
    queue.push("new", client, priority)
    assert queue.positions({"new"}) == {"new": foretold}


def test_a_pop_among_some_passes_the_others_by_and_is_fair_too() -> None:
    queue = FairQueue(10)
    for task_id in ("a1", "a2", "a3", "b1", "b2"):
        queue.push(task_id, task_id[0], 0)
    among = {"a2", "a3", "b2"}
    assert [queue.pop(among) for _ in range(4)] == ["a2", "b2", "a3", None]
    assert drained(queue) == ["b1", "a1"]
