"""A client's look at all of its tasks: the channel ``tasks:mine``, with what it has of each task's
text over cuts, crashes and restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tests.simulation.truth import STATES, TERMINAL, End, Known, Violation, end_of

TOPIC = "tasks:mine"


class Player(Protocol):
    """What a follower knows of the world besides what it is told."""

    def known_of(self, task_id: str) -> Known | None:
        """The task, if a client was told of it over HTTP."""
        ...

    def told_end(self, known: Known, end: End, sent_ns: int, durable: bool) -> None: ...

    def reach(self, bound: str | None) -> None: ...


@dataclass
class Seen:
    """What a follower has of one task. ``whole`` unless it has only heard of it in the middle:
    a join lists so many tasks and no more."""

    task_id: str
    text: str = ""
    seq: int = 0
    end: End | None = None
    whole: bool = True
    crashes: int = 0


class Mine:
    """One device that follows all tasks of its user. ``tasks`` by their ids."""

    topic = TOPIC

    def __init__(self, user: str, offsets_max: int, player: Player) -> None:
        self.user = user
        self.tasks: dict[str, Seen] = {}
        self.join_ref = ""
        self.joined = False
        self.refused = False
        self.refusals = 0
        self.joined_ns = 0
        self._offsets_max = offsets_max
        self._player = player

    def join_payload(self) -> dict[str, Any]:
        """What is known already: of as many tasks as may be named, and first of those whose end it
        has not heard of. What it cannot name it forgets, and is told of whole if it still runs."""
        open_first = sorted(self.tasks.values(), key=lambda seen: seen.end is not None)
        named = open_first[: self._offsets_max]
        self.tasks = {seen.task_id: seen for seen in named}
        return {"offsets": {seen.task_id: len(seen.text) for seen in named}}

    def answered(self, response: Any, now_ns: int, listed_max: int) -> None:
        """The join was accepted."""
        self.joined, self.refused, self.joined_ns = True, False, now_ns
        if response["tasks"] > listed_max:
            self._player.reach("listed")

    @property
    def at_rest(self) -> bool:
        """There is nothing more to be told, or nobody who would listen."""
        if self.refused:
            return True
        return self.joined and all(seen.end for seen in self.tasks.values() if seen.whole)

    def forget(self, task_id: str) -> None:
        """The task is gone, as was promised when it was accepted, or when it had ended."""
        self.tasks.pop(task_id, None)

    def hear(self, update: Any, sent_ns: int, durable: bool) -> None:
        """One entry of ``updates``."""
        task_id, event = update["task_id"], update["event"]
        known = self._player.known_of(task_id)
        if known is not None and known.client != self.user:
            raise Violation("own tasks", f"{self.user} was told of task {known.number}: {update}")
        if event == "unknown":
            if known is not None:
                raise Violation("never lost", f"{self.user} was told that {known} is unknown")
            self.forget(task_id)
        elif event == "accepted":
            self.tasks[task_id] = Seen(task_id, seq=update["seq"], crashes=_crashes(known))
        elif event == "task":
            self._listed(update, known, sent_ns, durable)
        else:
            self._event(update, known, sent_ns, durable)

    def _listed(self, update: Any, known: Known | None, sent_ns: int, durable: bool) -> None:
        document, offset = update["task"], update["offset"]
        if document["client"] != self.user:
            raise Violation("own tasks", f"{self.user} was shown {document}")
        seen = self.tasks.setdefault(update["task_id"], Seen(update["task_id"]))
        if offset > len(seen.text):
            raise Violation("text", f"{self._of(seen, known)} was given text from {offset} on")
        seen.text = seen.text[:offset] + update["delta"]
        seen.seq, seen.whole, seen.crashes = update["seq"], True, _crashes(known)
        seen.end = None
        if document["state"] in TERMINAL:
            self._ended(seen, End(document["state"], None), known, sent_ns, durable)

    def _event(self, update: Any, known: Known | None, sent_ns: int, durable: bool) -> None:
        event, seen = update["event"], self.tasks.get(update["task_id"])
        if seen is None:
            # One of those that were too many for the list.
            seen = self.tasks[update["task_id"]] = Seen(update["task_id"], whole=False)
        self._number(seen, update, known)
        if event == "progress":
            self._progress(seen, update, known)
        elif event == "rewind":
            if update["offset"] > len(seen.text) and seen.whole:
                raise Violation("text", f"{self._of(seen, known)} was rewound: {update}")
            seen.text, seen.end = seen.text[: update["offset"]], None
            seen.whole = seen.whole or update["offset"] == 0
        elif event in STATES:
            self._ended(seen, end_of(event, update), known, sent_ns, durable)

    def _number(self, seen: Seen, update: Any, known: Known | None) -> None:
        first, last = update.get("from_seq", update["seq"]), update["seq"]
        caught_up = update.get("phase") == "catch_up"
        if seen.whole and not caught_up and first != seen.seq + 1:
            if _crashes(known) == seen.crashes:
                raise Violation(
                    "order", f"{self._of(seen, known)} heard event {first} after {seen.seq}"
                )
            seen.crashes = _crashes(known)
        seen.seq = last

    def _progress(self, seen: Seen, update: Any, known: Known | None) -> None:
        if seen.whole and update["offset"] != len(seen.text):
            raise Violation(
                "text",
                f"{self._of(seen, known)} has {len(seen.text)} characters and was told of"
                f" {update['offset']}",
            )
        if seen.whole:
            seen.text += update["delta"]

    def _ended(
        self, seen: Seen, end: End, known: Known | None, sent_ns: int, durable: bool
    ) -> None:
        if known is not None:
            self._player.told_end(known, end, sent_ns, durable)
            known.announced(end)
        if seen.whole and end.text is not None and end.text != seen.text:
            raise Violation(
                "text", f"{self._of(seen, known)} reads {seen.text!r}, the task has {end.text!r}"
            )
        seen.end = end

    def _of(self, seen: Seen, known: Known | None) -> str:
        name = seen.task_id if known is None else f"task {known.number}"
        return f"{self.user}'s look at all, of {name},"


def _crashes(known: Known | None) -> int:
    return 0 if known is None else known.crashes
