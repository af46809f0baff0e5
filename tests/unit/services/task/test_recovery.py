"""A node that dies, and the one that takes its place with what was written down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.engine.messages import Rejected
from edge.services.task.tasks import RECOVERING_SAID_MS
from edge.storage import StoredTask
from edge.tasks.task import TERMINAL, Options, Request, State
from tests.support.rows import uid
from tests.support.workshop import READY, Shelf, Workshop

DOWN_MS = 10_000


async def submit(shop: Workshop, number: int, **given: Any) -> None:
    schedule_in_ms = given.pop("schedule_in_ms", 0)
    request = Request(uid(number), "ada", str(number), None, None, Options(), **given)
    await shop.tasks.submit(request, own_id=True, schedule_in_ms=schedule_in_ms)
    shop.work()


def fail(shop: Workshop, number: int) -> None:
    """The engine can't do it this time."""
    run = shop.engine.runs.pop(str(number))
    run.reply_to.send(Rejected(run.request.key, "engine_error", "it cannot", True))
    shop.work()


def advance(shop: Workshop, ms: int) -> None:
    shop.clock.advance(ms * NS_PER_MS)
    shop.work()


async def reborn(shop: Workshop, spoilt: str = "") -> Workshop:
    """A new node, some time later."""
    new = Workshop()
    new.shelf.specs, new.shelf.rows = shop.shelf.specs, shop.shelf.rows
    new.shelf.left_behind = [
        StoredTask(
            row.task_id, row.version, row.state, row.created_ns,
            shop.shelf.specs[row.task_id], b"{" if row.task_id == spoilt else row.snapshot,
            row.client,
        )
        for row in shop.shelf.rows.values()
        if row.state not in TERMINAL
    ]  # fmt: skip
    new.clock.advance(shop.clock.now_ns() + DOWN_MS * NS_PER_MS)
    await new.tasks.recover()
    new.work()
    return new


async def state(shop: Workshop, number: int) -> dict[str, Any]:
    ref = shop.tasks.live(uid(number))
    assert ref is not None
    actor: Any = ref.actor()
    document: dict[str, Any] = actor.document()
    return document


@pytest.fixture
async def shop() -> Workshop:
    shop = Workshop()
    shop.work()
    return shop


async def test_a_running_task_goes_on_behind_its_text_and_no_attempt_is_charged(
    shop: Workshop,
) -> None:
    await submit(shop, 1)
    shop.output(1, "Once ")
    shop.output(1, "upon ")
    advance(shop, 500)  # the snapshot
    shop.output(1, "a time")  # which nobody wrote down
    again = await reborn(shop)
    request = again.engine.runs["1"].request
    assert (request.resume_tokens, request.resume_chars) == ((7, 7), len("Once upon "))
    assert (await state(again, 1))["attempt"] == 1
    again.output(1, "a hill")
    again.finish(1)
    result = (await state(again, 1))["result"]
    assert result["text"] == "Once upon a hill"


async def test_a_task_whose_time_came_while_nobody_was_there_runs_at_once(shop: Workshop) -> None:
    await submit(shop, 1, schedule_in_ms=DOWN_MS - 1)
    await submit(shop, 2, schedule_in_ms=DOWN_MS + 5_000)
    again = await reborn(shop)
    assert (await state(again, 2))["state"] == State.SCHEDULED
    advance(again, 0)
    assert set(again.engine.runs) == {"1"}
    advance(again, 4_999)
    assert set(again.engine.runs) == {"1"}
    advance(again, 1)
    assert set(again.engine.runs) == {"1", "2"}


async def test_a_failed_task_keeps_its_attempts_and_its_time(shop: Workshop) -> None:
    await submit(shop, 1, max_attempts=8)
    pauses_ms = []
    for attempt in range(1, 6):
        fail(shop, 1)
        shown = await state(shop, 1)
        assert (shown["state"], shown["attempt"]) == (State.RETRYABLE, attempt)
        due_ns = shop.clock.next_due_ns()
        assert due_ns is not None
        pauses_ms.append((due_ns - shop.clock.now_ns()) // NS_PER_MS)
        if attempt < 5:
            advance(shop, 40_000)
            assert (await state(shop, 1))["state"] == State.EXECUTING
    assert pauses_ms[-1] > DOWN_MS
    scheduled_at = (await state(shop, 1))["scheduled_at"]
    again = await reborn(shop)
    shown = await state(again, 1)
    assert (shown["state"], shown["attempt"], shown["scheduled_at"]) == (
        State.RETRYABLE,
        5,
        scheduled_at,
    )
    assert len(shown["errors"]) == 5
    advance(again, pauses_ms[-1] - DOWN_MS - 2)
    assert again.engine.runs == {}
    advance(again, 10)
    assert (await state(again, 1))["attempt"] == 6


async def test_those_that_ran_go_first_and_the_others_as_they_stood(shop: Workshop) -> None:
    for number in range(1, 9):
        await submit(shop, number)
    assert len(shop.engine.runs) == READY.slots
    before = [each.task_id for each in shop.turns.line.in_order()]
    again = await reborn(shop)
    assert set(again.engine.runs) == set(shop.engine.runs)
    assert [each.task_id for each in again.turns.line.in_order()] == before


async def test_a_task_that_cannot_be_read_stops_nobody_else_and_is_said(shop: Workshop) -> None:
    await submit(shop, 1)
    await submit(shop, 2)
    again = await reborn(shop, spoilt=uid(1))
    assert set(again.engine.runs) == {"2"}
    (event,) = [each for each in again.events if each.name == "store.failed"]
    assert uid(1) in str(event.fields["error"])


async def test_a_key_is_known_after_a_restart(shop: Workshop) -> None:
    await submit(shop, 1, idempotency_key="k")
    again = await reborn(shop)
    request = Request(uid(2), "ada", "2", None, None, Options(), idempotency_key="k")
    before = await again.tasks._find_same(request, own_id=False)
    assert before is not None
    assert before.task_id == uid(1)


async def test_a_start_that_reads_for_long_says_how_far_it_is(shop: Workshop) -> None:
    class Slow(Shelf):
        async def unfinished(self) -> AsyncIterator[list[StoredTask]]:
            for number in range(3):
                new.clock.advance(RECOVERING_SAID_MS * NS_PER_MS)
                await submit(shop, number)
                row = shop.shelf.rows[uid(number)]
                spec = shop.shelf.specs[uid(number)]
                yield [StoredTask(uid(number), 1, row.state, 0, spec, row.snapshot, "ada")]

    new = Workshop(shelf=Slow())
    assert await new.tasks.recover() == 3
    said = [each.fields["tasks"] for each in new.events if each.name == "tasks.recovering"]
    assert said == [0, 1, 2]
