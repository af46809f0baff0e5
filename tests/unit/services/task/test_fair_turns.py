"""Who waits for whom, on the node's own line and turns with a made-up engine."""

from __future__ import annotations

import pytest

from edge.clock import NS_PER_MS
from edge.tasks.lengths import ENOUGH
from tests.support.day import Asked, Day, Sort, step_ms

ANSWER = 100
TOKENS = Sort(lambda _: 50, ANSWER, lambda _: ANSWER)
LONG = Sort(lambda _: 50, 4_000, lambda _: 4_000)
SHORT = Sort(lambda _: 50, 10, lambda _: 10)
URGENT = Sort(lambda _: 50, ANSWER, lambda _: ANSWER, priority=1)
ONE_TASK_MS = ANSWER * step_ms(4) * 1.1 + 50 * 4
"""What a running task may still take, when the other slots read their prompts meanwhile."""


@pytest.fixture
def day() -> Day:
    """Nobody comes by itself, and nothing dies."""
    return Day(7, hours=0, engine_dies_s=None, node_dies_s=None)


def ask_at(day: Day, at_s: float, name: str, sort: Sort, count: int) -> None:
    """So many at once."""

    def ask() -> None:
        for _ in range(count):
            day.ask(name, sort)

    day.at(at_s, ask)


def ask_in_turn(day: Day, name: str, times: int, from_s: float) -> list[Asked]:
    """One question after the other, each once the one before is answered."""
    asked: list[Asked] = []

    def ask() -> None:
        asked.append(day.ask(name, TOKENS))
        if len(asked) < times:
            asked[-1].then = ask

    day.at(from_s, ask)
    return asked


def test_a_chat_waits_for_one_running_task_however_long_a_batch_is(day: Day) -> None:
    alone = ask_in_turn(day, "chat", 5, 10)
    ask_at(day, 100, "batch", TOKENS, 1_000)
    beside = ask_in_turn(day, "chat", 30, 130)
    # By then all of the batch has waited for longer than any priority lets it.
    late = ask_in_turn(day, "chat", 30, 400)
    day.run()
    alone_ms = max(each.waited_ms for each in alone)
    assert len(late) == 30
    for each in (*beside, *late):
        assert each.waited_ms <= 2 * alone_ms + ONE_TASK_MS


def test_what_counts_more_begins_beside_a_stream_of_others(day: Day) -> None:
    for number in range(40):
        # Ever new clients, faster than they can be served.
        ask_at(day, 10 + number, f"client {number}", TOKENS, 2)
    ask_at(day, 40, "urgent", URGENT, 1)
    day.run()
    (urgent,) = (each for each in day.asked if each.sort is URGENT)
    assert urgent.waited_ms <= ONE_TASK_MS


def test_a_long_answer_costs_its_client_as_much_as_it_is_long(day: Day) -> None:
    for _ in range(ENOUGH):
        day.turns.forecast.estimator.lengths.saw("long", 4_000, 4_000)
        day.turns.forecast.estimator.lengths.saw("short", 10, 10)
    ask_at(day, 10, "long", LONG, 8)
    ask_at(day, 11, "short", SHORT, 600)
    day.run()
    long = [each for each in day.asked if each.sort is LONG]
    short = [each for each in day.asked if each.sort is SHORT]
    # The first four begin at once; before each later one the other client has as many tokens.
    for number in range(5, 8):
        before, after = long[number - 1].started_ns or 0, long[number].started_ns or 0
        between = sum(before <= (each.started_ns or 0) < after for each in short)
        assert between == pytest.approx(4_050 / 60, abs=3)


def test_a_restart_of_the_node_rebuilds_nothing(day: Day) -> None:
    ask_at(day, 10, "batch", TOKENS, 60)
    ask_at(day, 12, "other", TOKENS, 10)
    orders: list[list[str]] = []

    def die() -> None:
        orders.append([each.task_id for each in day.turns.line.in_order()])
        lost = {each.task.task_id for each in day.asked if each.task.state == "executing"}
        day._node_dies()
        order = [each.task_id for each in day.turns.line.in_order()]
        orders.append([each for each in order if each not in lost])
        assert set(order[: len(lost)]) == lost, "who had its turn is first"

    day.at(30, die)
    day.run()
    assert len(orders[0]) > 20
    assert orders[0] == orders[1]
    assert day.clock.now_ns() > 30_000 * NS_PER_MS
