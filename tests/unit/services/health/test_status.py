"""The node's figures and the channel that pushes them, on a clock that stands still."""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest

from edge.clock import NS_PER_MS, NS_PER_S
from edge.engine.messages import CacheUse
from edge.services.health.status import (
    PUSH_MS,
    STATUS_TOPIC,
    Figures,
    Rate,
    Sources,
    StatusActor,
    StatusChannel,
)
from edge.services.task.ends import Ends
from edge.services.task.turns import Turns
from edge.tasks.line import Entry
from tests.support.sockets import Client, House


class Node:
    """What the figures are read from."""

    def __init__(self, quarantined: str | None = None, room: str = "") -> None:
        self.durable = True
        self.engine_pid: int | None = None
        self.ends = Ends()
        self.house = House((STATUS_TOPIC, lambda: StatusChannel("status", self.figures)))
        self.turns = Turns(self.house.system, waiting_max=10, step_ms=0)
        self.turns.forecast.engine.why = "ready"
        self.figures = Figures(
            Sources(
                self.turns, self.ends, lambda: self.durable, lambda: "tiny", lambda: {"open": 3},
                lambda: self.engine_pid, quarantined, room,
            ),
            self.house.clock,
        )  # fmt: skip
        self.actor = self.house.system.spawn(
            StatusActor(self.house.pubsub, self.figures), name="status"
        )

    def client(self) -> Client:
        return Client(self.house, topic=STATUS_TOPIC)

    def step(self, tokens: int) -> None:
        self.figures.saw_tokens(tokens)

    def advance(self, ms: int) -> None:
        self.house.clock.advance(ms * NS_PER_MS)


@pytest.fixture
def node() -> Node:
    return Node()


def join(client: Client) -> dict[str, Any]:
    client.send("1", "phx_join", {})
    _, _, _, event, payload = orjson.loads(client.run()[0])
    assert (event, payload["status"]) == ("phx_reply", "ok")
    response: dict[str, Any] = payload["response"]
    return response


def pushed(client: Client) -> list[dict[str, Any]]:
    frames = [orjson.loads(frame) for frame in client.run()]
    assert all(frame[2:4] == [STATUS_TOPIC, "status"] for frame in frames)
    return [frame[4] for frame in frames]


def test_a_rate_is_that_of_the_last_whole_second() -> None:
    rate = Rate()
    rate.add(3, 10 * NS_PER_S)
    rate.add(4, 10 * NS_PER_S + 999_999_999)
    assert rate.read(10 * NS_PER_S + 999_999_999) == 0
    assert rate.read(11 * NS_PER_S) == 7
    rate.add(1, 11 * NS_PER_S)
    assert rate.read(12 * NS_PER_S) == 1
    assert rate.read(13 * NS_PER_S) == 0


def test_a_gap_is_a_rate_of_nothing() -> None:
    rate = Rate()
    rate.add(5, 10 * NS_PER_S)
    assert rate.read(12 * NS_PER_S) == 0


def test_the_reply_has_the_figures(node: Node) -> None:
    node.engine_pid = os.getpid()
    node.ends.told("a", "completed")
    node.step(5)
    node.step(6)
    node.advance(1_000)
    node.turns.enqueue(Entry("a", "me", 0, 1, 1, None))
    figures = join(node.client())
    assert figures["memory_bytes"] > 1_000_000
    assert figures["engine_memory_bytes"] > 1_000_000
    assert {name: figures[name] for name in ("status", "degraded", "durable", "model")} == {
        "status": "ok",
        "degraded": [],
        "durable": True,
        "model": "tiny",
    }
    assert (figures["queued"], figures["running"], figures["uptime_ms"]) == (1, 0, 1_000)
    assert figures["tokens_per_second"] == 11
    assert figures["ended"] == {"completed": 1, "cancelled": 0, "discarded": 0}
    assert figures["sockets"] == {"open": 3}


def test_what_is_wrong_is_said(node: Node) -> None:
    node.durable = False
    node.turns.forecast.engine.why = "restarting: killed"
    node.turns.line.outage = True
    figures = join(node.client())
    assert figures["status"] == "degraded"
    assert [sentence.partition(" ")[2][:12] for sentence in figures["degraded"]] == [
        "engine is re", "that allow i", "database ref",
    ]  # fmt: skip


def test_an_unreadable_database_is_said_until_the_next_start() -> None:
    node = Node(quarantined="/data/old")
    figures = join(node.client())
    assert (figures["status"], figures["quarantined"]) == ("degraded", "/data/old")
    assert "is kept as /data/old" in figures["degraded"][0]


def test_an_engine_that_is_gone_has_no_memory(node: Node) -> None:
    node.engine_pid = 2**22 + 1
    assert join(node.client())["engine_memory_bytes"] is None


def test_the_figures_are_pushed_once_a_second_while_somebody_listens(node: Node) -> None:
    first, second = node.client(), node.client()
    join(first)
    join(second)
    node.advance(PUSH_MS - 1)
    assert pushed(first) == []
    node.advance(1)
    assert len(pushed(first)) == 1
    assert len(pushed(second)) == 1
    first.lose()
    second.send("2", "phx_leave")
    second.run()
    node.advance(PUSH_MS)
    node.house.system.run_pending()
    assert node.house.clock.timers_pending() == 0, "nobody listens, nothing is measured"


def test_after_a_crash_it_goes_on_for_who_listens(node: Node) -> None:
    client = node.client()
    join(client)
    node.actor.kill()
    node.house.system.run_pending()
    node.house.system.spawn(StatusActor(node.house.pubsub, node.figures), name="status")
    node.advance(PUSH_MS)
    assert len(pushed(client)) == 1


def test_the_engines_threads_are_shown_once_they_are_known() -> None:
    node = Node()
    assert node.figures.read()["threads"] is None
    node.figures.saw_threads(1)
    assert node.figures.read()["threads"] == 1


def test_what_the_model_got_for_lack_of_memory_is_shown() -> None:
    assert join(Node().client())["room"] is None
    assert join(Node(room="1.0 GiB are free").client())["room"] == "1.0 GiB are free"


def test_threads_and_what_came_of_caches_are_among_the_figures(node: Node) -> None:
    figures = join(node.client())
    assert (figures["threads"], figures["cache"]) == (None, None)
    node.figures.saw_threads(2)
    node.figures.saw_cache_use(CacheUse(copied=3, reused_tokens=70))
    node.advance(1_000)
    figures = node.figures.read()
    assert figures["threads"] == 2
    assert (figures["cache"]["copied"], figures["cache"]["reused_tokens"]) == (3, 70)
