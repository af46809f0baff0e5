"""Why an actor ended.

Reasons are compared by identity (`NORMAL`, `SHUTDOWN`, `KILLED`) or by class (`Crash`, …). What a
supervisor asks is only `abnormal`: a transient child is restarted after an abnormal end.
"""

from __future__ import annotations


def drop_tracebacks(error: BaseException) -> None:
    """Lets go of the frames that the error and its causes came through, and of what is in them.
    For an error that is kept: one of those frames may well hold whoever keeps it."""
    link: BaseException | None = error
    seen: set[int] = set()  # a chain of causes may lead back into itself
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


class Reason:
    """One end of one actor. ``abnormal`` is True when the actor did not end as it was meant to."""

    __slots__ = ("abnormal", "name")

    def __init__(self, name: str, *, abnormal: bool) -> None:
        self.name = name
        self.abnormal = abnormal

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Crash(Reason):
    """An exception left one of the actor's own functions.

    ``error`` loses its traceback, which has to be reported before: its frames would keep the dead
    actor's state in memory for as long as anybody holds the reason.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        super().__init__("crash", abnormal=True)
        drop_tracebacks(error)
        self.error = error

    def __str__(self) -> str:
        return f"crash: {type(self.error).__name__}: {self.error}"


class MailboxOverflow(Reason):
    """More messages were waiting than the mailbox may hold."""

    __slots__ = ("mailbox_messages",)

    def __init__(self, mailbox_messages: int) -> None:
        super().__init__("mailbox overflow", abnormal=True)
        self.mailbox_messages = mailbox_messages

    def __str__(self) -> str:
        return f"mailbox overflow at {self.mailbox_messages} messages"


class Exhausted(Reason):
    """A supervisor gave up: ``child`` was restarted more often than the shared budget allows."""

    __slots__ = ("child",)

    def __init__(self, child: str) -> None:
        super().__init__("exhausted", abnormal=True)
        self.child = child

    def __str__(self) -> str:
        return f"restarts used up by {self.child}"


NORMAL = Reason("normal", abnormal=False)
"""The actor was done."""

SHUTDOWN = Reason("shutdown", abnormal=False)
"""Somebody else asked the actor to end."""

KILLED = Reason("killed", abnormal=True)
"""The actor was asked to end, did not in time, and was ended."""
