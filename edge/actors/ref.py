"""What others hold of an actor: its address and its mailbox, in one small object.

`Ref.send` and the loop in `System` are the hot path of the whole node. They share the underscored
slots of `Ref`, which belong to this room. One invariant carries both: a `Ref` has a mailbox object
exactly while it is in the run queue or in its turn. An idle actor has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from edge.actors.calls import Reply, new_reply
from edge.actors.errors import ActorDown
from edge.actors.reasons import KILLED, SHUTDOWN, MailboxOverflow, Reason
from edge.clock import NS_PER_MS, Clock, Timer


class Behaviour(Protocol):
    """What an actor does in its turns, as OTP's callbacks; `edge.actors.Actor` says what each is
    for, and is the base of all."""

    ref: Ref

    def started(self) -> None: ...

    def handle(self, message: object, /) -> None: ...

    def handle_call(self, request: object, reply: Reply, /) -> None: ...

    def stopping(self, reason: Reason, /) -> None: ...

    def stopped(self, reason: Reason, /) -> None: ...

    def child_ended(self, ref: Ref, reason: Reason, /) -> None: ...


class Scheduler(Protocol):
    """What a `Ref` needs of the `System` that runs its actor."""

    clock: Clock
    emit: Callable[..., object]
    run_queue: deque[Ref]
    awake: bool
    now_left: int

    def wake(self) -> None: ...

    def turn_now(self, ref: Ref, message: object) -> None: ...

    def press(self, ref: Ref, waiting_before: int) -> None: ...


class Signal:
    """The mailbox entry that is no plain message: calls, and requests to stop, wait there like
    messages. ``act`` gets the actor."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[Behaviour], None]) -> None:
        self.act = act


def _ask(request: object, reply: Reply, actor: Behaviour) -> None:
    actor.handle_call(request, reply)


class Down(NamedTuple):
    """The message that a monitor gets, once: the actor behind ``ref`` ended."""

    ref: Ref
    reason: Reason


class Watcher(Protocol):
    """Who is told of a death: another actor's `Ref`, or a call that waits for its reply."""

    def down(self, ref: Ref, reason: Reason) -> None: ...


class _OwnedTimer:
    """A timer that its actor's death cancels. Once it is over it holds nothing of the clock's,
    whose own timer points back to it."""

    __slots__ = ("_message", "_ref", "_timer")

    def __init__(self, ref: Ref, message: object) -> None:
        self._ref = ref
        self._message = message
        self._timer: Timer | None = None

    def arm(self, clock: Clock, delay_ns: int) -> None:
        self._timer = clock.call_after(delay_ns, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._ref.forget_timer(self)
        self._ref.send(self._message)

    def cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._ref.forget_timer(self)


class Ref:
    """The address of one actor. Made by `System.spawn` alone; compared and hashed by identity.

    It stays valid for ever: once the actor is dead it holds nothing of it and `send` returns False.
    A restarted actor has a new Ref; whoever needs "the one of that name" asks the registry.
    To be used on the loop's thread only; from another one use ``loop.call_soon_threadsafe``.

    Read only: ``alive`` (False from the moment the end is certain), ``name`` (kept after death),
    ``mailbox_peak`` (most messages that ever waited), ``mailbox_messages_max``.
    """

    __slots__ = (
        "_actor",
        "_half_messages",
        "_mailbox",
        "_parent",
        "_reason",
        "_system",
        "_timers",
        "_watchers",
        "_watching",
        "alive",
        "mailbox_messages_max",
        "mailbox_peak",
        "name",
    )

    def __init__(
        self,
        system: Scheduler,
        actor: Behaviour,
        parent: Behaviour | None,
        mailbox_messages_max: int,
    ) -> None:
        self._system = system
        self._actor: Behaviour | None = actor  # None once buried
        self._parent = parent
        self._mailbox: deque[object] | None = None
        self._reason: Reason | None = None  # set with alive = False
        self._watchers: dict[Watcher, None] | None = None
        self._watching: dict[Ref, None] | None = None
        self._timers: set[Timer] | None = None
        self.alive = True
        self.name: str | None = None
        self.mailbox_messages_max = mailbox_messages_max
        self._half_messages = mailbox_messages_max // 2
        self.mailbox_peak = 0

    def __repr__(self) -> str:
        state = "alive" if self.alive else f"dead, {self._reason}"
        return f"<Ref {self.name or hex(id(self))} {state}>"

    @property
    def mailbox_messages(self) -> int:
        """How many messages wait now."""
        return 0 if self._mailbox is None else len(self._mailbox)

    @property
    def reason(self) -> Reason | None:
        """Why the actor ended; None while it lives."""
        return self._reason

    def send(self, message: object) -> bool:
        """Puts a message into the mailbox; messages of one sender are handled in their order.

        False when the actor is dead. A full mailbox ends the receiver with `MailboxOverflow`
        and returns False too: its supervisor brings it back from its snapshot, while a message
        lost from the middle of a stream could not be noticed by anybody.
        """
        if not self.alive:
            return False
        mailbox = self._mailbox
        if mailbox is None:
            self._mailbox = mailbox = deque()
            mailbox.append(message)
            if not self.mailbox_peak:
                self.mailbox_peak = 1
            system = self._system
            system.run_queue.append(self)
            if not system.awake:
                system.wake()
            return True
        waiting = len(mailbox)
        # The peak never exceeds the limit, so one comparison guards both.
        if waiting >= self.mailbox_peak:
            if waiting >= self.mailbox_messages_max:
                self._system.emit("actor.overflowed", name=self.label, mailbox_messages=waiting)
                self.kill(MailboxOverflow(waiting))
                return False
            self.mailbox_peak = waiting + 1
        mailbox.append(message)
        if waiting >= self._half_messages:
            self._system.press(self, waiting)
        return True

    def send_now(self, message: object) -> bool:
        """As `send`, but an actor for which nothing waits handles the message before this returns,
        in a turn of its own inside the sender's; if it crashes, that is its end and not the
        sender's. The order is that of `send`: who is at work, or has mail, gets this behind it.

        For the few places where a hop through the mailbox would cost more than what is done there.
        """
        system = self._system
        if self._mailbox is not None or system.now_left <= 0:
            return self.send(message)
        if not self.alive:
            return False
        system.turn_now(self, message)
        return True

    @property
    def pressed(self) -> bool:
        """More than half of the mailbox is full."""
        return self.mailbox_messages > self._half_messages

    async def call(self, request: object, *, deadline_ms: float) -> object:
        """Asks and waits for the reply of `Actor.handle_call`.

        Raises `ActorDown` when the actor is dead or dies before it replies, `CallTimeout` at the
        deadline, and whatever the actor gave to `Reply.fail`. Needs a running event loop.
        An actor must not wait for a call inside its own handlers: they are synchronous.
        """
        reply = new_reply()
        # Watching comes first: between asking and watching the actor could not die unseen.
        self.add_watcher(reply)
        late = partial(reply.expire, self, deadline_ms)
        timer = self._system.clock.call_after(int(deadline_ms * NS_PER_MS), late)
        try:
            if not self.send(Signal(partial(_ask, request, reply))):
                assert self._reason is not None
                reply.down(self, self._reason)
            return await reply.answer
        finally:
            timer.cancel()
            self.remove_watcher(reply)
            # The traceback of an error holds this frame, which must not hold the error.
            del late, reply

    def stop(self, reason: Reason = SHUTDOWN) -> None:
        """Asks the actor to end, in mailbox order: what was sent before is handled first.

        The actor may finish work before it ends (`Actor.stopping`). No effect on a dead one.
        """
        if self.mailbox_messages >= self.mailbox_messages_max:
            self.kill(reason)
        else:
            self.send(Signal(lambda actor: actor.stopping(reason)))

    def kill(self, reason: Reason = KILLED) -> None:
        """Ends the actor before its next message; what waits in its mailbox is dropped.

        The end itself (`Actor.stopped`, restart, `Down` messages) takes place in the actor's next
        turn, never inside this call. No effect on a dead or ending one.
        """
        if not self.alive:
            return
        self.alive = False
        self._reason = reason
        if self._mailbox is None:
            self._mailbox = deque()
            system = self._system
            system.run_queue.append(self)
            if not system.awake:
                system.wake()
        else:
            self._mailbox.clear()

    @property
    def label(self) -> str:
        """A name for people: the registered one, else the actor's class."""
        if self.name is not None:
            return self.name
        return "(unnamed)" if self._actor is None else type(self._actor).__name__

    def add_watcher(self, watcher: Watcher) -> None:
        """Has the watcher told of the end, once; at once when it is over already."""
        if self._actor is None:
            assert self._reason is not None
            watcher.down(self, self._reason)
            return
        if self._watchers is None:
            self._watchers = {}
        self._watchers[watcher] = None

    def remove_watcher(self, watcher: Watcher) -> None:
        """Forgets the watcher, if it was one."""
        if self._watchers is not None:
            self._watchers.pop(watcher, None)
            if not self._watchers:
                self._watchers = None

    def actor(self) -> Behaviour:
        """The actor itself, for wiring code that calls its functions directly (a supervisor's).
        Raises `ActorDown` when it is dead."""
        if self._actor is None or not self.alive:
            raise ActorDown(self.label, self._reason or SHUTDOWN)
        return self._actor

    def watch(self, other: Ref) -> None:
        """`Actor.monitor` of the actor behind this Ref; a dead one watches nothing."""
        if self.buried:
            return
        if not other.buried:
            if self._watching is None:
                self._watching = {}
            self._watching[other] = None
        other.add_watcher(self)

    def unwatch(self, other: Ref) -> None:
        """`Actor.demonitor`."""
        self._stop_watching(other)
        other.remove_watcher(self)

    def send_after(self, delay_ms: float, message: object) -> Timer:
        """`Actor.send_after`, for the actor behind this Ref and what belongs to it."""
        timer = _OwnedTimer(self, message)
        if not self.buried:
            timer.arm(self._system.clock, int(delay_ms * NS_PER_MS))
            if self._timers is None:
                self._timers = set()
            self._timers.add(timer)
        return timer

    def forget_timer(self, timer: Timer) -> None:
        """The timer has fired or was cancelled."""
        if self._timers is not None:
            self._timers.discard(timer)
            if not self._timers:
                self._timers = None

    @property
    def buried(self) -> bool:
        """True once the end is over: nothing of the actor is left but this Ref."""
        return self._actor is None

    def bury(self) -> list[Watcher]:
        """Lets go of the dead actor and of all that it had set up; returns whom to tell."""
        for timer in list(self._timers or ()):
            timer.cancel()
        for other in list(self._watching or ()):
            other.remove_watcher(self)
        watchers = list(self._watchers or ())
        self._actor = self._parent = self._mailbox = None
        self._timers = self._watching = self._watchers = None
        return watchers

    def down(self, ref: Ref, reason: Reason) -> None:
        """A monitored actor ended (`Watcher`)."""
        self._stop_watching(ref)
        self.send(Down(ref, reason))

    def _stop_watching(self, other: Ref) -> None:
        if self._watching is not None:
            self._watching.pop(other, None)
            if not self._watching:
                self._watching = None
