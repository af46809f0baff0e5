"""What an actor is: state that one piece of code at a time may touch, and a mailbox before it."""

from __future__ import annotations

from edge.actors.calls import Reply
from edge.actors.reasons import NORMAL, Reason
from edge.actors.ref import Ref
from edge.actors.system import System
from edge.clock import Timer


class Actor:
    """Base of all actors. Handlers are synchronous and run to completion, one at a time.

    An exception that leaves a handler ends the actor with reason `Crash`; its supervisor, if it has
    one, decides what comes next. ``system`` and ``ref`` are there from `started` on.
    """

    __slots__ = ("ref", "system")

    system: System
    ref: Ref

    def started(self) -> None:
        """The first code to run, inside `System.spawn`, before any message."""

    def handle(self, message: object) -> None:
        """One message. An actor that gets messages has to define this: by default it crashes."""
        raise NotImplementedError(f"{type(self).__name__} does not handle {message!r}")

    def handle_call(self, request: object, reply: Reply) -> None:
        """One request that somebody waits for. The reply may be given later."""
        raise NotImplementedError(f"{type(self).__name__} answers no calls")

    def stopping(self, reason: Reason) -> None:
        """Somebody asked for the end (`Ref.stop`). Ends at once unless overridden."""
        self.stop(reason)

    def stopped(self, reason: Reason) -> None:
        """Last words, whatever the end. An exception here is reported and changes nothing."""

    def child_ended(self, ref: Ref, reason: Reason) -> None:
        """An actor that was spawned with ``parent=self`` ended: its name is free again, and no
        monitor has heard of it yet. For supervisors."""

    def stop(self, reason: Reason = NORMAL) -> None:
        """Ends after the current message; what waits in the mailbox is dropped."""
        self.ref.kill(reason)

    def send_after(self, delay_ms: float, message: object) -> Timer:
        """Sends a message to this actor later, on the system's clock; its death cancels that."""
        return self.ref.send_after(delay_ms, message)

    def monitor(self, ref: Ref) -> None:
        """Has `Down(ref, reason)` sent to this actor, once, when the other ends; at once when it
        is dead already. Monitoring twice is monitoring once."""
        self.ref.watch(ref)

    def demonitor(self, ref: Ref) -> None:
        """Takes a `monitor` back. A `Down` that is in the mailbox already stays there."""
        self.ref.unwatch(ref)
