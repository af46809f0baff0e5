"""Request and reply between a coroutine and an actor: the one place here that knows asyncio."""

from __future__ import annotations

import asyncio
from typing import Protocol

from edge.actors.errors import ActorDown, CallTimeout
from edge.actors.reasons import Reason, drop_tracebacks


class Labelled(Protocol):
    """Who was called: the actor's `Ref`."""

    @property
    def label(self) -> str: ...


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

    @property
    def answer(self) -> asyncio.Future[object]:
        """What the caller waits for."""
        return self._future

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

    def down(self, ref: Labelled, reason: Reason) -> None:
        """The actor ended before it replied."""
        if not self._future.done():
            self._future.set_exception(ActorDown(ref.label, reason))

    def expire(self, ref: Labelled, deadline_ms: float) -> None:
        """The actor did not reply in time."""
        if not self._future.done():
            self._future.set_exception(CallTimeout(ref.label, deadline_ms))

    def _use(self) -> None:
        if self._used:
            raise RuntimeError("this call has been answered already: a Reply can be used once")
        self._used = True


def new_reply() -> Reply:
    """For a coroutine that waits, on the running loop, for what the actor answers."""
    return Reply(asyncio.get_running_loop().create_future())
