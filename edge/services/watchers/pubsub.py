"""Topics and their subscribers, inside one node: a broadcast is a function call to each."""

from __future__ import annotations

from typing import Protocol

from edge.phoenix import Broadcast, EncodeError, Payload


class Subscriber(Protocol):
    """Whoever hears the broadcasts of a topic; compared by identity."""

    def hear(self, message: Broadcast) -> None: ...


class PubSub:
    """Who listens to which topic, in the order in which they came."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[Subscriber, None]] = {}

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Hears the topic from now on; a second time changes nothing."""
        self._topics.setdefault(topic, {})[subscriber] = None

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Hears it no more, if it did."""
        subscribers = self._topics.get(topic)
        if subscribers is None:
            return
        subscribers.pop(subscriber, None)
        if not subscribers:
            del self._topics[topic]

    def subscribers(self, topic: str) -> int:
        """How many listen."""
        return len(self._topics.get(topic, ()))

    def broadcast(self, topic: str, event: str, payload: Payload) -> int:
        """Tells all subscribers, before it returns; says how many.

        The payload is encoded once, however many there are. ValueError for an event of the
        protocol's own (``phx_…``): clients would take it for the end of their channel. EncodeError
        when it could not be written for some of them; the others have it.
        """
        if event.startswith("phx_"):
            raise ValueError(f"the event {event!r} belongs to the protocol; use another name")
        message = Broadcast(topic, event, payload)
        told = 0
        failure: EncodeError | None = None
        for subscriber in tuple(self._topics.get(topic, ())):
            try:
                subscriber.hear(message)
            except EncodeError as error:
                failure = error
            else:
                told += 1
        if failure is not None:
            raise failure
        return told
