"""The channel of one task, on real actors and a manual clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.services.task import audience
from edge.services.task.wire import PAGE_CHARS, SHORT_CHARS
from tests.support.reader import Reader
from tests.support.rows import uid
from tests.support.sockets import Client, SlowClient
from tests.support.workshop import KEEP_MS, Workshop

TOPIC = f"task:{uid(1)}"


@pytest.fixture
async def shop() -> Workshop:
    return Workshop()


def join(shop: Workshop, payload: Any = None, client: str = "ada") -> Client:
    socket = shop.socket(TOPIC, client)
    socket.send("1", "phx_join", payload if payload is not None else {})
    return socket


def heard(socket: Client) -> list[tuple[str, Any]]:
    """Events and payloads since the last time; of a reply its status and response."""
    frames = []
    for text in socket.run():
        _, _, _, event, payload = json.loads(text)
        if event == "phx_reply":
            event, payload = payload["status"], payload["response"]
        frames.append((event, payload))
    return frames


async def test_the_reply_has_the_text_from_the_offset_on(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "Once upon")
    socket = join(shop, {"offset": 5})
    ((status, response),) = heard(socket)
    assert status == "ok"
    assert (response["delta"], response["offset"]) == ("upon", 5)
    assert response["task"]["state"] == "executing"
    shop.output(1, " a time")
    ((event, payload),) = heard(socket)
    assert (event, payload["delta"], payload["offset"]) == ("progress", " a time", 9)


async def test_an_offset_counts_code_points(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "a\N{GRINNING FACE}b")
    ((_, response),) = heard(join(shop, {"offset": 2}))
    assert response["delta"] == "b"


async def test_the_end_closes_the_channel(shop: Workshop) -> None:
    await shop.submit(1)
    socket = join(shop)
    heard(socket)
    shop.output(1, "The end.")
    shop.finish(1)
    events = heard(socket)
    assert [event for event, _ in events] == ["progress", "completed", "phx_close"]
    assert events[1][1]["result"]["text"] == "The end."


async def test_a_task_that_ended_meanwhile_answers_tells_its_end_and_closes(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "The end.")
    shop.finish(1)
    for stored in (False, True):
        if stored:
            shop.clock.advance(KEEP_MS * NS_PER_MS)
            shop.work()
            assert shop.tasks.live(uid(1)) is None
        socket = join(shop, {"offset": 4})
        if stored:
            shop.work()
            await shop.fetch()
        (_, response), (event, payload), (close, _) = heard(socket)
        assert response["delta"] == "end."
        assert response["task"]["result"]["text"] == "The end."
        assert (event, payload["result"]["text"]) == ("completed", "The end.")
        assert close == "phx_close"


async def test_an_offset_behind_the_text_is_answered_with_what_there_is(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "Once")
    (_, response), (event, payload) = heard(join(shop, {"offset": 10}))
    assert (response["delta"], response["offset"]) == ("", 4)
    assert (event, payload["offset"]) == ("rewind", 4)


async def test_a_foreign_and_an_unknown_task_are_the_same(shop: Workshop) -> None:
    await shop.submit(1)
    for number, client in ((1, "bob"), (2, "ada")):
        socket = shop.socket(f"task:{uid(number)}", client)
        socket.send("1", "phx_join", {})
        assert heard(socket) == [], "both are looked for in the store"
        await shop.fetch()
        assert heard(socket) == [("error", {"reason": "not found"})]


async def test_that_too_many_watch_a_task_is_no_strangers_business(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "WATCHERS_MAX", 1)
    await shop.submit(1)
    assert heard(join(shop))[0][0] == "ok"
    assert heard(join(shop)) == [("error", {"reason": "too many watch this task"})]
    stranger = join(shop, client="bob")
    heard(stranger)
    await shop.fetch()
    assert heard(stranger) == [("error", {"reason": "not found"})]


async def test_a_stranger_hears_nothing_of_a_task_that_is_in_memory_alone(shop: Workshop) -> None:
    await shop.submit(1)
    shop.shelf.rows.clear()  # the disk has lost it
    stranger = join(shop, client="bob")
    heard(stranger)
    await shop.fetch()
    assert heard(stranger) == [("error", {"reason": "not found"})]


@pytest.mark.parametrize("offset", [-1, 1.5, "7", True, [], {}])
async def test_an_offset_that_is_none_is_refused(shop: Workshop, offset: object) -> None:
    await shop.submit(1)
    ((status, response),) = heard(join(shop, {"offset": offset}))
    assert status == "error"
    assert response["field"] == "offset"


async def test_a_crash_of_the_task_goes_back_to_what_was_kept(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "kept ")
    shop.lose_engine(1)
    shop.output(1, "lost ")
    socket = join(shop)
    heard(socket)
    shop.crash(1)
    assert ("rewind", 5) in [(event, payload.get("offset")) for event, payload in heard(socket)]
    shop.output(1, "found")
    assert heard(socket)[-1][1]["offset"] == 5


async def test_long_text_comes_in_pages(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "\x01" * (2 * PAGE_CHARS + 1))
    socket = join(shop)
    frames = socket.run()
    assert len(frames) == 3
    assert max(map(len, frames)) < 256 * 1024
    shop.finish(1)
    (event, payload), _ = heard(socket)
    assert (event, payload["result"]["text"]) == ("completed", None)


async def test_cancel_is_answered(shop: Workshop) -> None:
    await shop.submit(1)
    socket = join(shop)
    heard(socket)
    socket.send("2", "cancel")
    assert [event for event, _ in heard(socket)] == ["ok", "cancelled", "phx_close"]


async def test_more_than_may_watch_are_told_so(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.services.task.audience.WATCHERS_MAX", 1)
    await shop.submit(1)
    first, second = join(shop), join(shop)
    assert heard(first)[0][0] == "ok"
    assert heard(second) == [("error", {"reason": "too many watch this task"})]


STAY = {"stay": True}


def names(socket: Client) -> list[str]:
    return [event for event, _ in heard(socket)]


async def run_and_end(shop: Workshop) -> None:
    await shop.submit(1)
    shop.output(1, "Once upon")
    shop.finish(1)


async def test_who_stays_hears_the_end_and_can_run_it_again(shop: Workshop) -> None:
    await shop.submit(1)
    socket = join(shop, STAY)
    assert names(socket) == ["ok"]
    shop.output(1, "Once upon")
    shop.finish(1)
    assert names(socket) == ["progress", "completed"]
    socket.send("2", "retry")
    said = heard(socket)
    assert [event for event, _ in said] == ["rewind", "ok", "progress"]
    assert (said[0][1]["offset"], said[2][1]["offset"]) == (0, 0)
    shop.output(1, "There was")
    shop.finish(1)
    (_, told), (event, payload) = heard(socket)
    assert (told["offset"], told["delta"]) == (0, "There was")
    assert (event, payload["result"]["text"]) == ("completed", "There was")
    socket.send("3", "retry")
    assert names(socket) == ["rewind", "ok", "progress"]


async def test_who_joins_an_ended_task_and_stays_hears_how_it_ended(shop: Workshop) -> None:
    await run_and_end(shop)
    socket = join(shop, STAY | {"offset": 9})
    (_, response), (event, _) = heard(socket)
    assert (response["delta"], event) == ("", "completed")
    socket.send("2", "retry")
    assert names(socket)[0] == "rewind"


async def test_a_task_that_only_the_store_has_is_run_again(shop: Workshop) -> None:
    await run_and_end(shop)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    assert shop.tasks.live(uid(1)) is None
    socket = join(shop, STAY)
    assert names(socket) == []
    await shop.fetch()
    assert names(socket) == ["ok", "completed"]
    socket.send("2", "retry")
    socket.send("3", "retry")
    ((status, response),) = heard(socket)
    assert (status, response) == (
        "error",
        {"reason": "the push before this one is still under way"},
    )
    await shop.fetch()
    said = names(socket)
    assert said[0] == "rewind"
    assert said.count("ok") == 1
    shop.output(1, "There was")
    shop.finish(1)
    assert [event for event in names(socket) if event != "rewind"] == ["progress", "completed"]


async def test_who_stays_hears_that_somebody_else_runs_it_again(shop: Workshop) -> None:
    """Whether the task is still in memory or was read from the store."""
    await run_and_end(shop)
    socket = join(shop, STAY)
    assert names(socket) == ["ok", "completed"]
    for keep_ms in (0, KEEP_MS):
        shop.clock.advance(keep_ms * NS_PER_MS)
        shop.work()
        answer = asyncio.create_task(shop.tasks.retry(uid(1), "ada"))
        await shop.fetch()
        assert (await answer)["state"] == "available"
        assert names(socket)[0] == "rewind"
        shop.output(1, "There was")
        shop.finish(1)
        assert [event for event in names(socket) if event != "rewind"] == ["progress", "completed"]


async def test_a_crash_after_the_end_is_not_heard_by_who_stays(shop: Workshop) -> None:
    await run_and_end(shop)
    socket = join(shop, STAY)
    assert names(socket) == ["ok", "completed"]
    shop.crash(1)
    assert names(socket) == []
    socket.send("2", "cancel")
    ((status, response),) = heard(socket)
    assert (status, "is completed" in response["reason"]) == ("error", True)
    socket.send("3", "retry")
    assert names(socket)[0] == "rewind"


async def test_nothing_stays_of_a_channel_that_is_left(shop: Workshop) -> None:
    await run_and_end(shop)
    first, second = join(shop, STAY), join(shop, STAY)
    heard(first), heard(second)
    shop.clock.advance(KEEP_MS * NS_PER_MS)
    shop.work()
    first.send("2", "phx_leave")
    assert names(first) == ["ok", "phx_close"]
    second.lose()
    shop.work()
    assert shop.tasks._staying == {}


@pytest.mark.parametrize("stay", [1, "true", [], {}])
async def test_to_stay_is_true_or_false(shop: Workshop, stay: object) -> None:
    await shop.submit(1)
    ((status, response),) = heard(join(shop, {"stay": stay}))
    assert (status, response["field"]) == ("error", "stay")


@pytest.mark.parametrize("stay", [None, False])
async def test_who_does_not_stay_hears_the_close(shop: Workshop, stay: object) -> None:
    await run_and_end(shop)
    assert names(join(shop, {"stay": stay})) == ["ok", "completed", "phx_close"]


class TestSlowClient:
    """One that has room when the test says so."""

    LONG = "x" * (2 * SHORT_CHARS + 100)

    def join(self, shop: Workshop, room_bytes: int = 0, offset: int = 0) -> SlowClient:
        socket = shop.slow_socket(TOPIC)
        socket.room = room_bytes
        socket.send("1", "phx_join", {"offset": offset})
        return socket

    def read(self, reader: Reader, frames: list[str]) -> list[str]:
        """The client hears them and finds nothing odd; the events."""
        events = []
        for text in frames:
            _, _, _, event, payload = json.loads(text)
            reader.hear(event, payload)
            events.append(event)
        assert reader.oddities == []
        return events

    async def test_the_reply_waits_for_nobody_and_the_text_for_room(self, shop: Workshop) -> None:
        await shop.submit(1)
        shop.output(1, self.LONG)
        reader, socket = Reader(), self.join(shop)
        assert self.read(reader, socket.run()) == ["phx_reply"]
        assert len(reader.text) == SHORT_CHARS
        # What happens meanwhile is a part of the text that is still to come.
        shop.output(1, "a")
        assert socket.run() == []
        assert self.read(reader, socket.take(60 * 6)) == ["progress"]
        assert len(reader.text) == SHORT_CHARS + 60
        assert self.read(reader, socket.take(PAGE_CHARS * 6)) == ["progress"]
        assert reader.text == self.LONG + "a"
        shop.output(1, "b")
        assert self.read(reader, socket.run()) == ["progress"]
        assert reader.text == self.LONG + "ab"
        assert not socket.wanting

    async def test_room_that_is_gone_again_is_waited_for(self, shop: Workshop) -> None:
        await shop.submit(1)
        shop.output(1, self.LONG * 2)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        assert socket.take(0) == []
        self.read(reader, socket.take(PAGE_CHARS * 6))
        assert reader.text == self.LONG * 2

    @pytest.mark.parametrize("stored", [False, True])
    async def test_an_end_comes_behind_the_text(self, shop: Workshop, stored: bool) -> None:
        await shop.submit(1)
        shop.output(1, self.LONG)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        shop.finish(1)
        if stored:
            shop.clock.advance(KEEP_MS * NS_PER_MS)
            shop.work()
        assert socket.run() == []
        events = self.read(reader, socket.take(1_100 * 6))
        if stored:
            # It is read from the store once, and kept while its client reads it.
            assert socket.held_bytes == 0
            await shop.fetch()
            shop.work()
            shop.shelf.rows.clear()
        while socket.wanting:
            assert (socket.held_bytes > 0) == stored
            events += self.read(reader, socket.take(1_100 * 6))
        assert events == ["progress", "progress", "completed", "phx_close"]
        assert (reader.text, reader.ends) == (self.LONG, ["completed"])
        assert socket.held_bytes == 0

    async def test_what_is_written_faster_than_it_is_read_is_caught_up_with(
        self, shop: Workshop
    ) -> None:
        await shop.submit(1)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        socket.is_crowded = True
        for word in ("one ", "two "):
            shop.output(1, word)
        assert socket.run() == []
        socket.is_crowded = False
        shop.finish(1)
        assert socket.run() == []
        assert self.read(reader, socket.take(PAGE_CHARS * 6)) == [
            "progress",
            "completed",
            "phx_close",
        ]
        assert reader.text == "one two "

    async def test_a_long_result_waits_for_room(self, shop: Workshop) -> None:
        await shop.submit(1)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        shop.output(1, self.LONG)
        self.read(reader, socket.run())
        shop.finish(1)
        assert socket.run() == []
        frames = socket.take(PAGE_CHARS * 6)
        assert json.loads(frames[0])[4]["result"]["text"] == self.LONG
        assert self.read(reader, frames) == ["completed", "phx_close"]

    async def test_a_task_that_is_run_again_meanwhile_is_watched_again(
        self, shop: Workshop
    ) -> None:
        await shop.submit(1)
        shop.output(1, self.LONG)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        shop.finish(1)
        shop.ask("retry", 1)
        assert self.read(reader, socket.run()) == ["rewind"]
        self.read(reader, socket.take(PAGE_CHARS * 6))
        shop.output(1, "again")
        self.read(reader, socket.run())
        assert reader.text == "again"

    async def test_a_crash_while_it_is_behind(self, shop: Workshop) -> None:
        await shop.submit(1)
        shop.output(1, "kept ")
        shop.lose_engine(1)
        shop.output(1, self.LONG)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        shop.crash(1)
        assert socket.run() == []
        shop.output(1, "found")
        assert self.read(reader, socket.take(PAGE_CHARS * 6)) == ["rewind", "progress"]
        shop.output(1, "!")
        self.read(reader, socket.run())
        assert reader.text == "kept found!"

    async def test_a_text_that_was_cut_back_once_is_read_to_its_end(self, shop: Workshop) -> None:
        """Who asks for the second page knows more than where all cuts were."""
        await shop.submit(1)
        shop.output(1, "kept ")
        shop.lose_engine(1)
        shop.crash(1)
        shop.output(1, self.LONG)
        reader, socket = Reader(), self.join(shop)
        self.read(reader, socket.run())
        while socket.wanting:
            self.read(reader, socket.take(700 * 6))
        assert reader.text == "kept " + self.LONG

    async def test_who_leaves_while_it_is_behind_leaves_nothing(self, shop: Workshop) -> None:
        await shop.submit(1)
        shop.output(1, self.LONG)
        socket = self.join(shop)
        socket.run()
        socket.send("2", "phx_leave")
        assert len(socket.run()) == 2
        assert not socket.wanting.popleft()(), "it is gone: its turn goes to the next"


async def test_who_has_left_is_told_of_no_place(shop: Workshop) -> None:
    for number in range(1, 7):  # two of them wait
        await shop.submit(number)
    socket = shop.socket(f"task:{uid(6)}")
    socket.send("1", "phx_join", {})
    shop.work()
    assert list(shop.turns.news._watched) == [uid(6)]
    socket.lose()
    shop.work()
    assert not shop.turns.news._watched
