"""Runs actors: one queue of those with mail, a few messages each in their turn.

Nothing here needs an event loop: whoever makes the system says how a function is scheduled, which
is ``loop.call_soon`` in the node and a plain list in the simulator.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edge.actors.reasons import Crash, Reason
from edge.actors.ref import Ref
from edge.actors.registry import Registry
from edge.actors.signals import Signal

if TYPE_CHECKING:
    from edge.actors.actor import Actor
    from edge.clock import Clock

PUMP_MESSAGES_MAX: Final = 4_096
"""Messages handled before the event loop gets a breath: about ten milliseconds of light work."""


def _hear_nothing(_name: str, /, **_fields: object) -> None:
    """Nobody wants to know."""


class System:
    """All actors of one process, run on one thread.

    ``turn_messages_max`` messages of one actor are handled before the next actor's turn, so a
    flooded mailbox delays nobody else for longer than that. `on_event` is told of crashes and
    overflows by the names in the table of events.
    """

    def __init__(
        self,
        clock: Clock,
        schedule: Callable[[Callable[[], None]], object],
        *,
        mailbox_messages_max: int = 10_000,
        turn_messages_max: int = 64,
        on_event: Callable[..., Any] = _hear_nothing,
    ) -> None:
        self.clock = clock
        self.registry = Registry()
        self.emit = on_event
        self.run_queue: deque[Ref] = deque()
        self.awake = False
        self._schedule = schedule
        self._mailbox_messages_max = mailbox_messages_max
        self._turn_messages_max = turn_messages_max

    def spawn(
        self,
        actor: Actor,
        *,
        name: str | None = None,
        parent: Actor | None = None,
        mailbox_messages_max: int | None = None,
    ) -> Ref:
        """Starts an actor: it is registered and `started` has run when this returns.

        Raises `AlreadyRegistered` when the name is taken. An exception in `started` does not
        come out here: it ends the actor as any later crash would.
        """
        ref = Ref(self, actor, parent, mailbox_messages_max or self._mailbox_messages_max)
        if name is not None:
            self.registry.register(name, ref)
        actor.system = self
        actor.ref = ref
        try:
            actor.started()
        except Exception as error:
            self._crash(ref, error)
        return ref

    def wake(self) -> None:
        """Schedules the pump; for `Ref` alone."""
        self.awake = True
        self._schedule(self._pump)

    def run_pending(self, messages_max: int = 10_000_000) -> None:
        """Handles all that waits, here and now; for tests and the simulator.

        Raises RuntimeError when actors keep one another busy beyond `messages_max` messages.
        """
        while self.run_queue:
            messages_max -= self._run(PUMP_MESSAGES_MAX)
            if messages_max < 0:
                raise RuntimeError("the actors do not come to rest")

    def _pump(self) -> None:
        self._run(PUMP_MESSAGES_MAX)
        if self.run_queue:
            self._schedule(self._pump)
        else:
            self.awake = False

    def _run(self, messages_max: int) -> int:
        """Turns until nothing waits or the budget is spent; how many messages were handled."""
        queue = self.run_queue
        handled = 0
        while queue and handled < messages_max:
            ref = queue.popleft()
            mailbox = ref._mailbox
            actor = ref._actor
            assert mailbox is not None, "an actor in the run queue has a mailbox"
            left = self._turn_messages_max
            if actor is not None and ref.alive:
                handle = actor.handle
                try:
                    while mailbox and left:
                        left -= 1
                        message = mailbox.popleft()
                        if type(message) is Signal:
                            message.act(actor)
                        else:
                            handle(message)
                        # A handler may have ended its own actor.
                        if not ref.alive:
                            break
                except Exception as error:
                    self._crash(ref, error)
            handled += self._turn_messages_max - left or 1
            if not ref.alive:
                self._end(ref)
            elif mailbox:
                queue.append(ref)
            else:
                ref._mailbox = None
        return handled

    def _crash(self, ref: Ref, error: Exception) -> None:
        self.emit("actor.crashed", name=ref.label, error=error)
        # The frames hold the dead actor's state; the reason may be kept for long.
        traceback.clear_frames(error.__traceback__)
        ref.kill(Crash(error))

    def _end(self, ref: Ref) -> None:
        """Last words, name free, parent told (who may start a successor), then the monitors: so
        that whoever hears `Down` finds the successor under the name."""
        reason, parent = ref.reason, ref._parent
        assert reason is not None
        assert ref._actor is not None, "an actor ends once"
        self._guard(ref, ref._actor.stopped, reason)
        self.registry.forget(ref)
        watchers = ref.bury()
        if parent is not None:
            self._guard(parent.ref, parent.child_ended, ref, reason)
        for watcher in watchers:
            watcher.down(ref, reason)

    def _guard(self, ref: Ref, call: Callable[..., None], *args: Ref | Reason) -> None:
        try:
            call(*args)
        except Exception as error:
            self._crash(ref, error)
