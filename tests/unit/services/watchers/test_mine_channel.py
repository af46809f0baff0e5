"""The channel of all tasks of a client, on real actors and a manual clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.gateway.outbox import ROOM_BYTES_MAX
from edge.phoenix import Encoded
from edge.services.task.messages import TaskEvent
from edge.services.task.wire import SHORT_CHARS, ProgressUpdate
from edge.services.watchers.mine_channel import (
    ASKED_MAX,
    OFFSETS_MAX,
    UPDATES_BYTES_MAX,
    Updates,
)
from edge.tasks.task import Options, Request, State, Task
from tests.support.rows import uid
from tests.support.sockets import Client, SlowClient
from tests.support.workshop import KEEP_MS, Workshop


@pytest.fixture
async def shop() -> Workshop:
    return Workshop()


def join(shop: Workshop, payload: Any = None, client: str = "ada") -> Client:
    socket = shop.socket("tasks:mine", client)
    socket.send("1", "phx_join", payload if payload is not None else {})
    return socket


def heard(socket: Client) -> list[dict[str, Any]]:
    """Entries of all updates since the last time, and replies as they are."""
    entries: list[dict[str, Any]] = []
    for text in socket.run():
        _, _, _, event, payload = json.loads(text)
        entries += payload["updates"] if event == "updates" else [payload]
    return entries


def fold(texts: dict[str, str], entries: list[dict[str, Any]]) -> None:
    """What a client does with them."""
    for entry in entries:
        if "offset" in entry:
            task_id = entry["task_id"]
            known = texts.get(task_id, "")[: entry["offset"]]
            texts[task_id] = known + entry.get("delta", "")


async def test_all_tasks_old_and_new(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "one")
    await shop.submit(9, "bob")
    socket = join(shop)
    reply, listed = heard(socket)
    assert reply == {"status": "ok", "response": {"tasks": 1}}
    assert (listed["task_id"], listed["event"]) == (uid(1), "task")
    assert (listed["delta"], listed["offset"]) == ("one", 0)
    await shop.submit(2)
    shop.output(2, "two")
    shop.finish(1)
    entries = heard(socket)
    mine = [(each["task_id"], each["event"]) for each in entries]
    assert mine[0] == (uid(2), "accepted")
    assert (uid(2), "progress") in mine
    assert (uid(1), "completed") in mine
    assert uid(9) not in [task_id for task_id, _ in mine]


async def test_known_text_is_not_sent_again(shop: Workshop) -> None:
    await shop.submit(1)
    await shop.submit(2)
    shop.output(1, "Once upon")
    shop.finish(1)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    shop.output(2, "There was")
    socket = join(shop, {"offsets": {uid(1): 5, uid(2): 6, uid(3): 1}})
    shop.work()
    await shop.fetch()
    entries = {entry["task_id"]: entry for entry in heard(socket)[1:]}
    assert entries[uid(1)]["delta"] == "upon"
    assert entries[uid(1)]["task"]["state"] == "completed"
    assert entries[uid(2)]["delta"] == "was"
    assert entries[uid(3)]["event"] == "unknown"


async def test_a_foreign_task_is_unknown(shop: Workshop) -> None:
    await shop.submit(1)
    offsets = {uid(number): 0 for number in (1, 2)}
    socket = join(shop, {"offsets": offsets}, client="bob")
    assert heard(socket)[0]["response"] == {"tasks": 0}
    await shop.fetch()
    assert heard(socket) == [{"task_id": task_id, "event": "unknown"} for task_id in offsets], (
        "one that never was is the same"
    )


async def test_a_crash_goes_back_to_what_was_kept(shop: Workshop) -> None:
    texts: dict[str, str] = {}
    await shop.submit(1)
    socket = join(shop)
    shop.output(1, "kept ")
    shop.lose_engine(1)
    shop.output(1, "lost ")
    fold(texts, heard(socket)[1:])
    assert texts == {uid(1): "kept lost "}
    shop.crash(1)
    fold(texts, heard(socket))
    assert texts == {uid(1): "kept "}
    shop.output(1, "found")
    fold(texts, heard(socket))
    assert texts == {uid(1): "kept found"}


async def test_who_left_is_told_no_more(shop: Workshop) -> None:
    socket = join(shop)
    shop.work()
    socket.lose()
    shop.work()
    assert not shop.tasks.followers.of("ada")
    assert not shop.system.registry.whereis("channel:1")


@pytest.mark.parametrize(
    "offsets", [[], "no", {"a": -1}, {"a": "1"}, {"a": True}, {str(n): 0 for n in range(501)}]
)
async def test_offsets_that_are_none_are_refused(shop: Workshop, offsets: object) -> None:
    assert OFFSETS_MAX < 501
    (reply,) = heard(join(shop, {"offsets": offsets}))
    assert reply["status"] == "error"
    assert reply["response"]["field"] == "offsets"
    assert not shop.tasks.followers.of("ada")


def progress(seq: int, offset: int, delta: str, task_id: str = "a") -> Updates:
    request = Request(task_id, "ada", "hi", None, None, Options())
    task = Task(request, State.EXECUTING, 1, seq=seq)
    return Updates(task_id, ProgressUpdate(task, "decode", delta, offset, lambda _: 0))


def entries_of(updates: Updates) -> list[Any]:
    entries: list[Any] = json.loads(updates.encode().json)["updates"]
    return entries


def test_progress_merges_task_by_task() -> None:
    merged = progress(1, 0, "x")
    for later in (progress(1, 0, "y", "b"), progress(2, 1, "xx"), progress(2, 1, "yy", "b")):
        assert merged.merge(later) is merged
    first, second = entries_of(merged)
    assert (first["task_id"], first["from_seq"], first["seq"], first["delta"]) == ("a", 1, 2, "xxx")
    assert (second["task_id"], second["delta"]) == ("b", "yyy")


def test_nothing_merges_across_another_event_of_the_task() -> None:
    merged = progress(1, 0, "x")
    event = {"task_id": "a", "event": "rewind", "seq": 2, "offset": 0}
    assert merged.merge(Updates("a", Encoded.of(event))) is merged
    assert merged.merge(progress(3, 0, "z")) is merged
    assert [entry["event"] for entry in entries_of(merged)] == ["progress", "rewind", "progress"]


def test_a_frame_has_a_limit() -> None:
    merged = progress(1, 0, "x" * 40_000)
    assert merged.merge(progress(2, 40_000, "y" * 40_000)) is None
    assert merged.size_bytes < UPDATES_BYTES_MAX
    assert len(entries_of(merged)) == 1


def joined(shop: Workshop, payload: Any = None) -> SlowClient:
    """One that has room when it is told to, and has joined."""
    socket = shop.slow_socket("tasks:mine")
    socket.room = ROOM_BYTES_MAX
    socket.send("1", "phx_join", payload if payload is not None else {})
    return socket


def entries_in(frames: list[str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for text in frames:
        _, _, _, event, payload = json.loads(text)
        entries += payload["updates"] if event == "updates" else []
    return entries


async def test_a_long_list_comes_a_few_at_a_time(shop: Workshop) -> None:
    for number in range(1, ASKED_MAX + 5):
        await shop.submit(number)
    shop.output(1, "one")
    socket = joined(shop)
    first = entries_in(socket.run())
    assert [entry["event"] for entry in first] == ["task"] * ASKED_MAX
    # What is not listed yet says nothing else before.
    shop.tasks.followers.of("ada")[0].send(TaskEvent(uid(ASKED_MAX + 1), "queued", {}, False))
    assert entries_in(socket.run()) == []
    # With little room they come one by one, and without any not at all.
    socket.room = 0
    assert entries_in(socket.take(0)) == []
    assert [entry["task_id"] for entry in entries_in(socket.take(100))] == [uid(ASKED_MAX + 1)]
    rest = [uid(ASKED_MAX + number) for number in (2, 3, 4)]
    assert [entry["task_id"] for entry in entries_in(socket.take(ROOM_BYTES_MAX))] == rest
    assert not socket.wanting


async def test_long_text_waits_for_room_and_goes_on_before_that_of_others(shop: Workshop) -> None:
    texts: dict[str, str] = {}
    whole = {uid(number): f"{number}" * (SHORT_CHARS + 5_000) for number in (1, 2)}
    for number in (1, 2, 3):
        await shop.submit(number)
    shop.output(3, "short")
    for number in (1, 2):
        shop.output(number, whole[uid(number)])
    socket = joined(shop)
    fold(texts, entries_in(socket.run()))
    assert texts[uid(3)] == "short"
    assert all(len(texts[task_id]) == SHORT_CHARS for task_id in whole)
    # What is said meanwhile is a part of the text that is still to come.
    socket.room = 0
    shop.output(1, "!")
    shop.output(3, "!")
    assert [entry["task_id"] for entry in entries_in(socket.run())] == [uid(3)]
    pages = [entries_in(socket.take(chars * 6))[0] for chars in (3_000, 2_001)]
    assert [(page["task_id"], len(page["delta"])) for page in pages] == [
        (uid(1), 3_000),
        (uid(1), 2_001),
    ]
    fold(texts, pages)
    assert texts[uid(1)] == whole[uid(1)] + "!"
    shop.output(1, "live")
    (entry,) = entries_in(socket.run())
    assert (entry["delta"], entry["seq"], entry["phase"]) == (
        "live",
        pages[-1]["seq"] + 1,
        "decode",
    )
    fold(texts, entries_in(socket.take(ROOM_BYTES_MAX)))
    assert texts[uid(2)] == whole[uid(2)]
    assert not socket.wanting


async def test_a_task_that_ends_while_its_text_is_on_its_way_ends_behind_it(
    shop: Workshop,
) -> None:
    await shop.submit(1)
    shop.output(1, "x" * (SHORT_CHARS + 10))
    socket = joined(shop)
    (entry,) = entries_in(socket.run())
    assert entry["task"]["state"] == "executing"
    socket.room = 0
    shop.finish(1)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    assert shop.tasks.live(uid(1)) is None
    assert entries_in(socket.take(30)) == []
    await shop.fetch()
    shop.work()
    assert socket.held_bytes > 0
    told = []
    while socket.wanting:
        told += entries_in(socket.take(30))
    assert [entry["event"] for entry in told] == ["progress", "progress", "completed"]
    assert sum(len(entry.get("delta", "")) for entry in told) == 10
    assert told[-1]["result"]["text"] is None, "it is long, and the client has it"
    numbers = [(entry.get("from_seq", entry["seq"]), entry["seq"]) for entry in told]
    assert numbers[-1][0] == numbers[-2][1] + 1
    assert socket.held_bytes == 0


async def test_a_long_result_is_not_said_twice_to_who_is_slow(shop: Workshop) -> None:
    await shop.submit(1)
    socket = joined(shop)
    socket.run()
    socket.room = 0
    shop.output(1, "x" * (SHORT_CHARS + 1))
    shop.finish(1)
    *_, entry = entries_in(socket.run())
    assert (entry["event"], entry["result"]["text"]) == ("completed", None)


async def test_what_is_gone_when_its_turn_comes_is_unknown(shop: Workshop) -> None:
    for number in (1, 2):
        await shop.submit(number)
        shop.output(number, f"{number}" * (SHORT_CHARS + 1))
    socket = joined(shop)
    socket.run()
    socket.room = 0
    shop.finish(1)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    del shop.shelf.rows[uid(1)]
    assert entries_in(socket.take(ROOM_BYTES_MAX)) == []
    await shop.fetch()
    (entry,) = entries_in(socket.run())
    assert (entry["task_id"], entry["event"]) == (uid(1), "unknown")
    (entry,) = entries_in(socket.take(ROOM_BYTES_MAX))
    assert (entry["task_id"], entry["delta"]) == (uid(2), "2")


async def test_text_that_is_written_faster_than_it_is_read_is_caught_up_with(
    shop: Workshop,
) -> None:
    texts: dict[str, str] = {}
    await shop.submit(1)
    socket = joined(shop)
    shop.output(1, "one ")
    fold(texts, entries_in(socket.run()))
    socket.is_crowded, socket.room = True, 0
    for word in ("two ", "three "):
        shop.output(1, word)
    assert entries_in(socket.run()) == []
    socket.is_crowded = False
    shop.output(1, "four ")
    (entry,) = entries_in(socket.take(ROOM_BYTES_MAX))
    assert (entry["delta"], entry["seq"] - entry["from_seq"]) == ("two three four ", 2)
    shop.output(1, "five")
    fold(texts, [entry, *entries_in(socket.run())])
    assert texts == {uid(1): "one two three four five"}
