"""What is written down first and told afterwards, on a disk that the test holds back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from edge.actors import Crash
from edge.clock import NS_PER_MS
from edge.errors import StorageError
from edge.services.task.end_commit import WRITE_AGAIN_MS
from edge.storage import AuditRow, Row
from tests.support.rows import uid
from tests.support.sockets import Client
from tests.support.workshop import KEEP_MS, Shelf, Workshop

TOPIC = f"task:{uid(1)}"

Done = Callable[[StorageError | None], object]


class HeldShelf(Shelf):
    """A disk that works, waits for `commit`, refuses, or is ``full`` and takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "works"
        self.waiting: list[tuple[Sequence[Row], Done | None]] = []
        self.trail: list[AuditRow] = []

    def write(self, rows: Sequence[Row], done: Done | None = None) -> bool:
        if self.mode == "full":
            return False
        self.trail += [row for row in rows if isinstance(row, AuditRow)]
        if self.mode == "works":
            return super().write(rows, done)
        self.waiting.append((rows, None if self.mode == "refuses" else done))
        if self.mode == "refuses" and done is not None:
            done(StorageError("no space left"))
        return True

    def refuse(self) -> None:
        self.mode, self.durable = "refuses", False

    def commit(self) -> None:
        """The disk works, and has all that waited."""
        self.mode, self.durable = "works", True
        waiting, self.waiting = self.waiting, []
        for rows, done in waiting:
            super().write(rows, done)


@pytest.fixture
def shelf() -> HeldShelf:
    return HeldShelf()


@pytest.fixture
async def shop(shelf: HeldShelf) -> Workshop:
    return Workshop(shelf=shelf)


def joined(shop: Workshop) -> Client:
    socket = shop.socket(TOPIC)
    socket.send("1", "phx_join", {})
    socket.run()
    return socket


def events(socket: Client) -> list[str]:
    return [json.loads(frame)[3] for frame in socket.run()]


def advance(shop: Workshop, span_ms: int) -> None:
    shop.clock.advance(span_ms * NS_PER_MS)
    shop.work()


async def test_an_end_is_told_once_it_is_committed(shop: Workshop, shelf: HeldShelf) -> None:
    await shop.submit(1)
    socket = joined(shop)
    shelf.mode = "waits"
    shop.finish(1)
    assert events(socket) == []
    shelf.commit()
    assert events(socket) == ["completed", "phx_close"]


async def test_while_the_disk_refuses_an_end_is_told_and_kept(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await shop.submit(1)
    socket = joined(shop)
    shelf.refuse()
    shop.finish(1)
    assert events(socket) == ["completed", "phx_close"]
    advance(shop, 10 * max(KEEP_MS, WRITE_AGAIN_MS))
    assert shop.tasks.live(uid(1)) is not None
    shelf.commit()
    advance(shop, WRITE_AGAIN_MS)
    assert shelf.rows[uid(1)].state == "completed"
    advance(shop, KEEP_MS)
    assert shop.tasks.live(uid(1)) is None


async def test_a_disk_that_is_behind_has_its_time(shop: Workshop, shelf: HeldShelf) -> None:
    await shop.submit(1)
    socket = joined(shop)
    shelf.mode = "full"
    shop.finish(1)
    advance(shop, 3 * WRITE_AGAIN_MS)
    assert events(socket) == []
    shelf.commit()
    advance(shop, WRITE_AGAIN_MS)
    assert events(socket) == ["completed", "phx_close"]
    assert shelf.rows[uid(1)].state == "completed"
    assert shelf.trail[-1].event == "completed"


async def test_a_successor_tells_the_end(shop: Workshop, shelf: HeldShelf) -> None:
    await shop.submit(1)
    socket = joined(shop)
    shelf.mode = "waits"
    shop.finish(1)
    shop.crash(1)
    assert "completed" not in events(socket)
    shelf.commit()
    assert events(socket) == ["completed", "phx_close"]


async def test_a_task_runs_again_once_that_is_committed(shop: Workshop, shelf: HeldShelf) -> None:
    await shop.submit(1)
    shop.finish(1)
    shelf.mode = "waits"
    shop.ask("retry", 1)
    assert "1" not in shop.engine.runs
    shelf.commit()
    shop.work()
    assert "1" in shop.engine.runs


async def test_a_cancel_overtakes_a_retry(shop: Workshop, shelf: HeldShelf) -> None:
    await shop.submit(1)
    shop.finish(1)
    shelf.mode = "waits"
    shop.ask("retry", 1)
    shop.ask("cancel", 1)
    shelf.commit()
    shop.work()
    assert "1" not in shop.engine.runs
    assert shelf.rows[uid(1)].state == "cancelled"


async def test_a_task_that_ran_again_is_kept_from_its_last_end_on(shop: Workshop) -> None:
    await shop.submit(1)
    shop.finish(1)
    advance(shop, KEEP_MS // 2)
    shop.ask("retry", 1)
    shop.finish(1)
    advance(shop, KEEP_MS // 2)
    assert shop.tasks.live(uid(1)) is not None
    advance(shop, KEEP_MS // 2)
    assert shop.tasks.live(uid(1)) is None


async def test_a_task_that_is_given_up_ends_like_any_other(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await shop.submit(1)
    socket = joined(shop)
    shelf.mode = "waits"
    for _ in range(4):
        ref = shop.tasks.live(uid(1))
        assert ref is not None
        ref.kill(Crash(RuntimeError("asked to")))
        shop.work()
    assert "failed" not in events(socket)
    shelf.commit()
    assert events(socket)[-2:] == ["failed", "phx_close"]
    assert shelf.rows[uid(1)].state == "discarded"


async def test_text_that_the_disk_had_no_room_for_is_written_later(
    shop: Workshop, shelf: HeldShelf
) -> None:
    await shop.submit(1)
    shelf.mode = "full"
    shop.output(1, "Once upon")
    advance(shop, 500)
    shelf.commit()
    advance(shop, 500)
    assert b"Once upon" in shelf.rows[uid(1)].snapshot


async def test_what_comes_after_a_retry_is_counted_on_from_the_end() -> None:
    shop = Workshop(pumped=True)
    socket = shop.socket("tasks:mine")
    socket.send("1", "phx_join", {})
    socket.run()
    await shop.submit(1)
    shop.output(1, "one")
    shop.finish(1)
    # It is gone from memory, and comes back from the disk.
    advance(shop, KEEP_MS)
    assert shop.tasks.live(uid(1)) is None
    await shop.tasks.retry(uid(1), "ada")
    shop.work()
    seqs: list[int] = []
    for frame in socket.run():
        _, _, _, event, payload = json.loads(frame)
        if event == "updates":
            for entry in payload["updates"]:
                first = entry.get("from_seq", entry["seq"])
                assert not seqs or first == seqs[-1] + 1, entry
                seqs.append(entry["seq"])
    assert len(seqs) > 4
