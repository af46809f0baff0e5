"""What was promised to clients, and whether it was kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

STATES: Final = {"completed": "completed", "failed": "discarded", "cancelled": "cancelled"}
"""Which state an event announces."""

TERMINAL: Final = frozenset(STATES.values())


def end_of(event: str, payload: Any) -> End:
    """The end that an event announces."""
    text = payload["result"]["text"] if event == "completed" else None
    return End(STATES[event], text)


class Violation(Exception):
    """A promise was broken. ``kind`` is the promise's short name, the same for every seed."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(f"{kind}: {sentence}")
        self.kind = kind


@dataclass(frozen=True)
class End:
    """An end as a client was told of it; ``text`` where that was part of what it was told."""

    state: str
    text: str | None


@dataclass
class Known:
    """One task that a client was told of."""

    task_id: str
    number: int
    client: str
    durable: bool
    ends: list[End] = field(default_factory=list)
    retries_sent: int = 0
    crashes: int = 0
    """How often its actor has crashed: each may make its events count from an earlier number."""

    def announced(self, end: End) -> None:
        """An end reached a client: the one told before, unless a retry was asked for."""
        for index, earlier in enumerate(self.ends):
            if earlier.state == end.state and (
                earlier.text == end.text or None in (earlier.text, end.text)
            ):
                if earlier.text is None:
                    self.ends[index] = end
                return
        self.ends.append(end)
        if len(self.ends) > 1 + self.retries_sent:
            raise Violation(
                "one end",
                f"task {self.number} has ended as {self.ends[0]}, and now as {self.ends[-1]}",
            )


class Truth:
    """All tasks that clients know of."""

    def __init__(self) -> None:
        self.tasks: dict[str, Known] = {}
        self.by_key: dict[tuple[str, str], str] = {}

    def accepted(
        self, task_id: str, number: int, client: str, key: str | None, *, durable: bool
    ) -> Known:
        """A ``202`` reached its client."""
        if key is not None:
            first = self.by_key.setdefault((client, key), task_id)
            if first != task_id:
                raise Violation(
                    "idempotency", f"submission {number} was {first} and is now {task_id}"
                )
        known = self.tasks.get(task_id)
        if known is None:
            known = self.tasks[task_id] = Known(task_id, number, client, durable)
        known.durable = known.durable or durable
        return known

    def forget(self, known: Known) -> None:
        """The task lived in memory alone, its client was told so, and the memory is gone."""
        del self.tasks[known.task_id]
        self.by_key = {key: each for key, each in self.by_key.items() if each != known.task_id}


@dataclass(eq=False)
class View:
    """What one client has seen of one task: its text, the number of the last event, the end."""

    known: Known
    text: str = ""
    seq: int = 0
    crashes: int = 0
    end: End | None = None
    joined: bool = False
    closed: bool = False
    join_ref: str = ""
    refusals: int = 0
    heard: list[tuple[int, int]] = field(default_factory=list)
    """When it had heard how many characters; begun anew with each join and rewind."""

    @property
    def topic(self) -> str:
        return f"task:{self.known.task_id}"

    def join_payload(self) -> dict[str, Any]:
        """What is known already."""
        return {"offset": len(self.text)}

    def begin(self, offset: int, delta: str, seq: int) -> None:
        """The reply to the join: the text is known up to ``offset``."""
        if offset > len(self.text):
            raise Violation("text", f"{self} was given text from {offset} on")
        self.text = self.text[:offset] + delta
        self.seq = seq
        self.crashes = self.known.crashes
        self.joined = True
        self.heard.clear()

    def number(self, first: int, last: int) -> None:
        """An event that stands for all from ``first`` to ``last``."""
        if first != self.seq + 1:
            if self.known.crashes == self.crashes:
                raise Violation("order", f"{self} heard event {first} after {self.seq}")
            self.crashes = self.known.crashes
        self.seq = last

    def progress(self, offset: int, delta: str, now_ns: int) -> None:
        if offset != len(self.text):
            raise Violation(
                "text", f"{self} has {len(self.text)} characters and was told of {offset}"
            )
        self.text += delta
        self.heard.append((now_ns, len(self.text)))

    def rewind(self, offset: int, seq: int) -> None:
        """The text is cut back, and its events count from here."""
        if offset > len(self.text):
            raise Violation("text", f"{self} was rewound to {offset}")
        self.text, self.seq = self.text[:offset], seq
        self.heard.clear()

    def heard_by(self, at_ns: int) -> int:
        """How many characters it had heard by then."""
        return max((chars for heard_ns, chars in self.heard if heard_ns <= at_ns), default=0)

    def hear(self, event: str, payload: Any, now_ns: int) -> None:
        """Any event of the task; what it means that it has ended is for the caller."""
        if event == "progress":
            if payload["phase"] == "catch_up":
                self.seq = payload["seq"]
            else:
                self.number(payload.get("from_seq", payload["seq"]), payload["seq"])
            self.progress(payload["offset"], payload["delta"], now_ns)
        elif event == "rewind":
            self.rewind(payload["offset"], payload["seq"])
        # Who comes to a task that has ended hears its last event once more.
        elif event not in STATES or payload["seq"] != self.seq:
            self.number(payload["seq"], payload["seq"])

    def ended(self, end: End) -> None:
        self.end = end
        self.known.announced(end)

    def close(self) -> None:
        self.closed, self.joined = True, False
        if self.end is None:
            raise Violation("one end", f"{self} was closed without an end")
        text = self.end.text
        if text is not None and text != self.text:
            raise Violation("text", f"{self} reads {self.text!r} where the task has {text!r}")

    def __str__(self) -> str:
        return f"{self.known.client}'s view of task {self.known.number}"
