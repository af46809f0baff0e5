"""What one client has been told of one task, and what brings it up to the task as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.services.task import wire
from edge.services.task.messages import TaskEvent, Watching
from edge.services.task.wire import ProgressUpdate
from edge.tasks.task import TERMINAL


class Told:
    """How much of the text a client has, and up to which number it has heard of the task's events.

    Pure. A client that reads more slowly than its task writes falls behind: what happens meanwhile
    is not kept for it, but read from the task when it has room (`catch_up`). What it hears then
    stands for all events in between, and says so by ``from_seq``.
    """

    __slots__ = ("_fallback", "_repeats", "ended", "offset", "seq")

    def __init__(self, offset: int, seq: int, fallback: dict[str, Any] | None = None) -> None:
        """It has so many characters, and has heard of all events up to this one."""
        self.offset = offset
        self.seq = seq
        self.ended = False
        self._repeats = False
        self._fallback = fallback

    @classmethod
    def of(cls, document: dict[str, Any], offset: int) -> Told:
        """It has this document, and so many characters. Who comes after the end hears the last
        event once more, with the number that it has."""
        told = cls(offset, document["seq"], document["fallback"])
        told._repeats = document["state"] in TERMINAL
        return told

    def progressed(self, update: ProgressUpdate) -> None:
        """It is told of more text, as it is written."""
        self.offset, self.seq = update.end, update.seq
        self.ended = self._repeats = False

    def heard(self, message: TaskEvent) -> None:
        """It is told this, as it happens."""
        self.ended = message.last
        self._repeats = False
        payload = message.payload
        self.seq = payload["seq"]
        if message.event == "rewind":
            self.offset = payload["offset"]
        elif message.event == "fallback":
            self._fallback = {"source": payload["source"], "offset": payload["offset"]}

    def missed(self, message: TaskEvent) -> Iterator[tuple[str, dict[str, Any]]]:
        """It is behind, and told of this only that text which it has is not the task's any more."""
        if message.event == "rewind" and message.payload["offset"] < self.offset:
            first = self.seq + 1
            self.heard(message)
            numbers = {"from_seq": first} if first < self.seq else {}
            yield "rewind", {**message.payload, **numbers}

    def missing_chars(self, shown: Watching) -> int:
        """How much text is still to come, that of the last event included."""
        missing = shown.chars - self.offset
        result = shown.document["result"]
        if shown.ended and not self.ended and result is not None:
            missing += len(result["text"] or "")
        return missing

    def rewind(self, shown: Watching) -> Iterator[tuple[str, dict[str, Any]]]:
        """The event that takes back what is not the task's any more, if there is such text. To be
        heard before `catch_up` with what a task has just said."""
        if not shown.ended and self.ended:
            self.ended = self._repeats = False  # it is run again
        if shown.offset >= self.offset:
            return
        self.offset, until = shown.offset, self._until(shown)
        # With an event of its own, it takes back that another has gone on behind there.
        handed_over = self._fallback
        if self.seq < until and handed_over is not None and handed_over["offset"] >= self.offset:
            self._fallback = None
        # Each event has a number of its own, and this one came before a handing over.
        numbers = self._numbers(until - self._is_handed_over(shown))
        yield "rewind", {**numbers, "offset": self.offset}

    def catch_up(self, shown: Watching, chars_max: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that bring it as far as ``chars_max`` more characters do, in order; each
        counts as heard. The last event of a task comes once all of its text has."""
        document, until = shown.document, self._until(shown)
        if self._is_handed_over(shown):
            self._fallback = document["fallback"]
            yield "fallback", {**self._numbers(until), **document["fallback"]}
        start = self.offset - shown.offset
        page = shown.delta[start : start + chars_max]
        whole = self.offset + len(page) == shown.chars
        if page or (self.seq < until and not (whole and shown.ended)):
            before, at = self.seq, self.offset
            self.seq, self.offset = until, at + len(page)
            yield "progress", wire.caught_up(document, page, at, before + 1, until)
        if shown.ended and whole and not self.ended:
            self.ended = True
            event, payload = wire.end_event(document, chars_max)
            last = self.seq if self._repeats else max(self.seq + 1, document["seq"])
            yield event, {**self._numbers(last), **payload}

    def _until(self, shown: Watching) -> int:
        """The number up to which it hears of the task, but for its end, which has the last one."""
        last: int = shown.document["seq"]
        return max(self.seq, last - 1 if shown.ended and not self._repeats else last)

    def _is_handed_over(self, shown: Watching) -> bool:
        handed_over = shown.document["fallback"]
        return handed_over is not None and handed_over != self._fallback

    def _numbers(self, until: int) -> dict[str, int]:
        """Of one event that stands for all up to this one; the last again when there is none."""
        first, self.seq = self.seq + 1, max(self.seq, until)
        return {"seq": self.seq} | ({"from_seq": first} if first < self.seq else {})
