"""An actor system that is pumped by hand, and actors that remember what happened to them."""

from __future__ import annotations

from collections.abc import Callable

from edge.actors import Actor, Reason, Ref, Reply, System
from edge.clock import NS_PER_MS, ManualClock

Handler = Callable[["Recorder", object], None]


class World:
    """A system on a standing clock; what it scheduled and reported is kept."""

    def __init__(
        self,
        *,
        mailbox_messages_max: int = 10_000,
        turn_messages_max: int = 64,
        pump_messages_max: int = 512,
    ) -> None:
        self.clock = ManualClock()
        self.scheduled: list[Callable[[], None]] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.system = System(
            self.clock,
            self.scheduled.append,
            mailbox_messages_max=mailbox_messages_max,
            turn_messages_max=turn_messages_max,
            pump_messages_max=pump_messages_max,
            on_event=lambda event, **fields: self.events.append((event, fields)),
        )

    def run(self) -> None:
        self.system.run_pending()

    def pump_once(self) -> None:
        """What the event loop would do in one of its rounds."""
        self.scheduled.pop(0)()

    def advance_ms(self, delta_ms: float) -> None:
        self.clock.advance(int(delta_ms * NS_PER_MS))
        self.run()

    def event_names(self) -> list[str]:
        return [name for name, _ in self.events]

    def find(self, name: str) -> Ref:
        ref = self.system.registry.whereis(name)
        assert ref is not None, f"nobody is called {name}"
        return ref

    def assert_empty(self) -> None:
        """Nothing is left over: no name, no timer, nobody in the queue or alive."""
        self.run()
        assert self.system.registry.names() == []
        assert self.clock.timers_pending() == 0
        assert not self.system.run_queue
        assert not self.system.actors


class Recorder(Actor):
    """Keeps its messages; `on_message` may do more. An exception among them is raised."""

    def __init__(self, on_message: Handler | None = None) -> None:
        self.messages: list[object] = []
        self.reasons: list[Reason] = []
        self.replies: list[Reply] = []
        self._on_message = on_message

    def handle(self, message: object) -> None:
        self.messages.append(message)
        if isinstance(message, Exception):
            raise message
        if self._on_message is not None:
            self._on_message(self, message)

    def handle_call(self, request: object, reply: Reply) -> None:
        self.messages.append(request)
        if isinstance(request, Exception):
            raise request
        self.replies.append(reply)

    def stopped(self, reason: Reason) -> None:
        self.reasons.append(reason)
