"""Runs actors: one queue of those with mail, a few messages each in their turn.

Nothing here needs an event loop: whoever makes the system says how a function is scheduled, which
is ``loop.call_soon`` in the node and a plain list in the simulator.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from edge.actors.reasons import Crash, Reason
from edge.actors.ref import Behaviour, Ref, Signal
from edge.actors.registry import Registry
from edge.clock import Clock


class Spawnable(Behaviour, Protocol):
    """An actor that has not been started yet: it is told which system runs it."""

    system: System


def _hear_nothing(_name: str, /, **_fields: object) -> None:
    """Nobody wants to know."""


class System:
    """All actors of one process, run on one thread.

    ``turn_messages_max`` messages of one actor are handled before the next actor's turn, so a
    flooded mailbox delays nobody else for longer than that. After ``pump_messages_max`` the event
    loop gets a breath: some milliseconds of usual work. ``on_event`` is told of crashes, overflows
    and what supervisors do, by the names in the table of events; it must not raise, and the
    traceback of an error is gone when it returns.

    Whose mailbox is more than half full makes up at once for what others write to it in their
    turns. Turns in order alone would give the one to whom thousands write a turn after all of
    theirs, and his mailbox would have to hold a message of each. So half of a mailbox is for what
    actors write, however many they are, and the other half for what comes from outside of all
    turns; only more than that overflows it.

    `Ref.send_now` runs the turn of an idle actor inside the one that sends. Of such turns there are
    ``pump_messages_max`` between two breaths of the event loop, too.

    Read only: ``actors`` (all that live or are ending), ``run_queue`` (those with messages),
    ``messages_handled`` (since the start).
    """

    __slots__ = (
        "_mailbox_messages_max",
        "_pressed",
        "_pump_messages_max",
        "_running",
        "_schedule",
        "_spare_mailboxes",
        "_turn_messages_max",
        "actors",
        "awake",
        "clock",
        "emit",
        "messages_handled",
        "now_left",
        "registry",
        "run_queue",
    )

    def __init__(
        self,
        clock: Clock,
        schedule: Callable[[Callable[[], None]], object],
        *,
        mailbox_messages_max: int = 10_000,
        turn_messages_max: int = 64,
        pump_messages_max: int = 512,
        on_event: Callable[..., object] | None = None,
    ) -> None:
        if min(mailbox_messages_max, turn_messages_max, pump_messages_max) < 1:
            raise ValueError("each limit of an actor system is at least one message")
        self.clock = clock
        self.registry = Registry()
        self.emit = on_event or _hear_nothing
        self.run_queue: deque[Ref] = deque()
        # Those in the queue whose mailbox is more than half full, and how many messages may wait
        # there: half of it, and what has come from outside.
        self._pressed: dict[Ref, int] = {}
        # Held here, or the garbage collector would end an actor that nobody points to, unheard.
        self.actors: set[Ref] = set()
        self.messages_handled = 0
        self.awake = False  # a pump is scheduled or running
        self._running = False
        self._schedule = schedule
        self._mailbox_messages_max = mailbox_messages_max
        self._turn_messages_max = turn_messages_max
        self._pump_messages_max = pump_messages_max
        self.now_left = pump_messages_max  # turns inside others that may still be run
        self._spare_mailboxes: list[deque[object]] = []  # empty ones, for such turns

    def spawn(
        self,
        actor: Spawnable,
        *,
        name: str | None = None,
        parent: Behaviour | None = None,
        mailbox_messages_max: int | None = None,
    ) -> Ref:
        """Starts an actor: it is registered and `started` has run when this returns.

        ``parent`` is told of its end (`Actor.child_ended`). Raises `AlreadyRegistered` when the
        name is taken, ValueError when the actor object has lived before. An exception in `started`
        does not come out here: it ends the actor as any later crash would.
        """
        if hasattr(actor, "ref"):
            raise ValueError("an actor is spawned once: make a new object for every life")
        ref = Ref(self, actor, parent, mailbox_messages_max or self._mailbox_messages_max)
        if name is not None:
            self.registry.register(name, ref)
        actor.system = self
        actor.ref = ref
        self.actors.add(ref)
        try:
            actor.started()
        except Exception as error:
            self._crash(ref, error)
        return ref

    def wake(self) -> None:
        """Schedules the pump; for `Ref` alone."""
        self.awake = True
        self._schedule(self._pump)

    def turn_now(self, ref: Ref, message: object) -> None:
        """The turn of an idle actor, here and now; for `Ref` alone. What it is sent meanwhile waits
        for a turn in the queue, and so does its end."""
        actor = ref._actor
        assert actor is not None, "an actor that is alive is not buried"
        spare = self._spare_mailboxes
        ref._mailbox = mailbox = spare.pop() if spare else deque()
        self.now_left -= 1
        outer, self._running = self._running, True
        try:
            actor.handle(message)
        except Exception as error:
            self._crash(ref, error)
        except BaseException as error:
            self._crash(ref, error)
            raise
        finally:
            self._running = outer
            self.messages_handled += 1
            if mailbox or not ref.alive:
                self._queue(ref)
            else:
                ref._mailbox = None
                spare.append(mailbox)
        if self._pressed and not outer:
            self._relieve()

    def _queue(self, ref: Ref) -> None:
        self.run_queue.append(ref)
        if not self.awake:
            self.wake()

    def press(self, ref: Ref, waiting_before: int) -> None:
        """One more message waits where half of the mailbox was full; for `Ref` alone."""
        if ref not in self._pressed:
            self._pressed[ref] = waiting_before + (not self._running)
        elif not self._running:
            self._pressed[ref] += 1

    def run_pending(self, messages_max: int = 10_000_000) -> int:
        """Handles all that waits, here and now, and returns how many messages that were; for tests
        and the simulator.

        Raises RuntimeError when actors keep one another busy beyond ``messages_max`` messages.
        """
        before = self.messages_handled
        while self.run_queue:
            if self.messages_handled - before >= messages_max:
                raise RuntimeError(f"the actors do not come to rest in {messages_max} messages")
            self._run(self._pump_messages_max)
        return self.messages_handled - before

    def _pump(self) -> None:
        try:
            self._run(self._pump_messages_max)
        finally:
            if self.run_queue:
                self._schedule(self._pump)
            else:
                self.awake = False

    def _run(self, messages_max: int) -> None:
        """Turns until nothing waits or the budget is spent; an actor's end costs one message."""
        if self._running:
            raise RuntimeError("the actors are being run already: a handler must not do it again")
        self._running = True
        queue = self.run_queue
        turn_messages_max = self._turn_messages_max
        left = messages_max
        ends = inside = 0
        try:
            while queue and left > 0:
                ref = queue.popleft()
                actor = ref._actor
                assert actor is not None, "an actor in the run queue is not buried"
                # Turns inside this one count as well, or the loop would wait for them unnoticed.
                now_left = self.now_left = left
                try:
                    left -= self._turn(ref, actor, min(turn_messages_max, left))
                except BaseException:
                    queue.append(ref)
                    raise
                if not ref.alive:
                    left -= 1
                    ends += 1
                    self._end(ref, actor)
                elif ref._mailbox:
                    queue.append(ref)
                else:
                    ref._mailbox = None
                if self._pressed:
                    # Whatever is left of the budget: what comes next may be from outside.
                    left -= self._relieve()
                inside += now_left - self.now_left
                left -= now_left - self.now_left
        finally:
            self._running = False
            self.now_left = self._pump_messages_max
            self.messages_handled += messages_max - left - ends - inside

    def _turn(self, ref: Ref, actor: Behaviour, messages_max: int) -> int:
        """Handles messages of one actor, and returns how many; one that crashes has had its last.
        A ref stays where it is in the queue."""
        mailbox = ref._mailbox
        assert mailbox is not None, "an actor in the run queue has a mailbox"
        handle = actor.handle
        signal = Signal
        left = messages_max
        try:
            # A handler that ends its own actor empties this mailbox.
            while mailbox and left:
                left -= 1
                message = mailbox.popleft()
                if type(message) is signal:
                    message.act(actor)
                else:
                    handle(message)
        except Exception as error:
            self._crash(ref, error)
        except BaseException as error:
            # An interrupt: not the actor's fault, but its state is half-way, so it ends.
            self._crash(ref, error)
            raise
        return messages_max - left

    def _relieve(self) -> int:
        """Has those whose mailbox is half full handle what came in the turn of another; returns how
        many messages that were. If one ends, that waits for its place in the queue."""
        handled = 0
        for ref, may_wait in list(self._pressed.items()):
            more, actor = ref.mailbox_messages - may_wait, ref._actor
            if more > 0 and actor is not None:
                handled += self._turn(ref, actor, more)
            if ref.pressed:
                self._pressed[ref] = min(may_wait, ref.mailbox_messages)
            else:
                del self._pressed[ref]
        return handled

    def _crash(self, ref: Ref, error: BaseException) -> None:
        self.emit("actor.crashed", name=ref.label, error=error)
        ref.kill(Crash(error))

    def _end(self, ref: Ref, actor: Behaviour) -> None:
        """Last words; its timers and its own monitors are dropped; its name is free; its parent is
        told (who may start a successor); then its monitors: so that whoever hears `Down` finds the
        successor under the name."""
        reason, parent = ref.reason, ref._parent
        assert reason is not None
        self._guard(ref, actor.stopped, reason)
        watchers = ref.bury()
        self.registry.forget(ref)
        self.actors.discard(ref)
        if parent is not None and not parent.ref.buried:
            self._guard(parent.ref, parent.child_ended, ref, reason)
        for watcher in watchers:
            watcher.down(ref, reason)

    def _guard(self, ref: Ref, call: Callable[..., None], *args: Ref | Reason) -> None:
        try:
            call(*args)
        except Exception as error:
            self._crash(ref, error)
