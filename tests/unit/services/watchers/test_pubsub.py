from __future__ import annotations

import pytest

from edge.phoenix import V1, V2, Broadcast, EncodeError, Frame, Serializer
from edge.services.watchers.pubsub import PubSub


class Listener:
    def __init__(self, serializer: Serializer = V2) -> None:
        self.serializer = serializer
        self.heard: list[Frame] = []

    def hear(self, message: Broadcast) -> None:
        self.heard.append(self.serializer.encode(message))


@pytest.fixture
def pubsub() -> PubSub:
    return PubSub()


def test_all_subscribers_of_the_topic_hear(pubsub: PubSub) -> None:
    one, other, elsewhere = Listener(), Listener(), Listener()
    pubsub.subscribe("a", one)
    pubsub.subscribe("a", one)
    pubsub.subscribe("a", other)
    pubsub.subscribe("b", elsewhere)
    assert pubsub.broadcast("a", "news", {"n": 1}) == 2
    assert one.heard == [Frame(False, b'[null,null,"a","news",{"n":1}]')]
    assert one.heard[0] is other.heard[0], "encoded once for all"
    assert elsewhere.heard == []


def test_unsubscribed_hears_no_more(pubsub: PubSub) -> None:
    one = Listener()
    pubsub.subscribe("a", one)
    pubsub.unsubscribe("a", one)
    pubsub.unsubscribe("a", one)
    assert pubsub.broadcast("a", "news", {}) == 0
    assert pubsub.subscribers("a") == 0


def test_a_subscriber_may_leave_while_it_hears(pubsub: PubSub) -> None:
    class Leaver(Listener):
        def hear(self, message: Broadcast) -> None:
            super().hear(message)
            pubsub.unsubscribe("a", self)

    one, other = Leaver(), Leaver()
    pubsub.subscribe("a", one)
    pubsub.subscribe("a", other)
    assert pubsub.broadcast("a", "news", {}) == 2
    assert pubsub.broadcast("a", "news", {}) == 0


@pytest.mark.parametrize("event", ["phx_close", "phx_reply", "phx_"])
def test_events_of_the_protocol_are_refused(pubsub: PubSub, event: str) -> None:
    with pytest.raises(ValueError, match="belongs to the protocol"):
        pubsub.broadcast("a", event, {})


def test_one_that_cannot_be_written_to_does_not_keep_it_from_the_others(pubsub: PubSub) -> None:
    old, new = Listener(V1), Listener(V2)
    pubsub.subscribe("a", old)
    pubsub.subscribe("a", new)
    with pytest.raises(EncodeError):
        pubsub.broadcast("a", "news", b"binary")
    assert len(new.heard) == 1
