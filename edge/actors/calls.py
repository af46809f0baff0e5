"""Request and reply between a coroutine and an actor: the one place here that knows asyncio."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from edge.actors.errors import ActorDown, CallTimeout
from edge.actors.reasons import drop_tracebacks
from edge.actors.signals import Signal
from edge.clock import NS_PER_MS, Clock

if TYPE_CHECKING:
    from edge.actors.actor import Actor
    from edge.actors.reasons import Reason
    from edge.actors.ref import Ref


class Reply:
    """Where the answer of one call goes. May be kept and used later, once.

    A reply that comes after the caller has given up is dropped; a second one is a defect of the
    actor and raises RuntimeError.
    """

    __slots__ = ("_future", "_used")

    def __init__(self, future: asyncio.Future[object]) -> None:
        self._future = future
        self._used = False

    @property
    def wanted(self) -> bool:
        """Whether the caller still waits."""
        return not self._future.done()

    def __call__(self, value: object) -> None:
        """Answers the call."""
        self._use()
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Raises the error at the caller; the actor itself is not affected. The error loses its
        traceback: a frame of the actor's that holds this reply would hold itself by it."""
        self._use()
        drop_tracebacks(error)
        if not self._future.done():
            self._future.set_exception(error)

    def down(self, ref: Ref, reason: Reason) -> None:
        """The actor ended before it replied."""
        if not self._future.done():
            self._future.set_exception(ActorDown(ref.label, reason))

    def expire(self, ref: Ref, deadline_ms: float) -> None:
        """The actor did not reply in time."""
        if not self._future.done():
            self._future.set_exception(CallTimeout(ref.label, deadline_ms))

    def _use(self) -> None:
        if self._used:
            raise RuntimeError("this call has been answered already: a Reply can be used once")
        self._used = True


async def call(ref: Ref, clock: Clock, request: object, deadline_ms: float) -> object:
    """See `Ref.call`."""
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    reply = Reply(future)
    # Watching comes first: between asking and watching the actor could not die unseen.
    ref.add_watcher(reply)
    timer = clock.call_after(int(deadline_ms * NS_PER_MS), partial(reply.expire, ref, deadline_ms))
    try:
        if not ref.send(Signal(partial(_ask, request, reply))):
            assert ref.reason is not None
            reply.down(ref, ref.reason)
        return await future
    finally:
        timer.cancel()
        ref.remove_watcher(reply)
        # The traceback of an error holds this frame, which must not hold the error.
        del future, reply


def _ask(request: object, reply: Reply, actor: Actor) -> None:
    actor.handle_call(request, reply)
