"""One topic, followed over a machine of its own, with a real channel."""

from __future__ import annotations

from typing import Any

import pytest

from edge.gateway.machine_port import TopicPort
from edge.phoenix import CloseSocket, MergeablePush, Reply, Router
from edge.services.task.wire import topic
from edge.services.watchers.channel import ChannelFactory
from edge.services.watchers.task_channel import TaskChannel
from tests.support.rows import uid
from tests.support.workshop import Workshop


class Told(TopicPort):
    """Remembers what is said, by its kind."""

    def __init__(self, shop: Workshop) -> None:
        make: ChannelFactory = lambda: TaskChannel(shop.tasks)  # noqa: E731  # typed
        router = Router([("task:*", make)])
        super().__init__("ada", router, shop.channels)
        self.said: list[tuple[str, Any]] = []

    def follow(self, number: int) -> None:
        self._join(topic(uid(number)), {"offset": 0})

    def leave(self) -> None:
        self._perform(self._machine.lost("nobody listens"))

    def close(self) -> None:
        self._perform([CloseSocket(1000, "no socket")])

    def _mergeable(self, push: MergeablePush) -> None:
        self.said.append((push.event, push.payload))

    def _replied(self, reply: Reply) -> None:
        self.said.append((reply.status, reply.response))

    def _message(self, name: str, payload: Any) -> None:
        self.said.append((name, payload))


@pytest.fixture
async def shop() -> Workshop:
    return Workshop(pumped=True)


async def test_a_topic_from_its_join_to_its_end(shop: Workshop) -> None:
    await shop.submit(1)
    told = Told(shop)
    told.follow(1)
    shop.work()
    assert told.said[0][0] == "ok"
    shop.output(1, "Once")
    shop.finish(1)
    shop.work()
    names = [name for name, _ in told.said]
    assert "progress" in names
    assert names[-2:] == ["completed", "phx_close"]


async def test_nothing_is_said_to_who_has_left(shop: Workshop) -> None:
    await shop.submit(1)
    told = Told(shop)
    told.follow(1)
    shop.work()
    told.leave()
    before = len(told.said)
    shop.output(1, "Once")
    shop.work()
    assert len(told.said) == before


async def test_what_only_sockets_do_is_a_defect(shop: Workshop) -> None:
    with pytest.raises(TypeError, match="no use"):
        Told(shop).close()
