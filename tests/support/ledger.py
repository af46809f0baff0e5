"""What clients submitted and what became of it, from every point of view; and the verdict."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.reader import END_STATES, Reader

COUNT: Final = "count"
"""The prompt of tasks for the scripted engine with its signed words, which count up."""

SIGNED: Final = re.compile(r"(\d+):\d+ ")


@dataclass(slots=True)
class Entry:
    """One submission. ``number`` is in its metadata, so that the same one is known again.

    ``task_ids`` and ``durable`` are what ``202`` said, ``document`` is the task as HTTP has it in
    the end; ``kept`` are the states of all tasks that the database has of this submission, and
    ``recorded_ends`` counts the ends in its audit trail.
    """

    number: int
    body: dict[str, Any]
    key: str | None
    reader: Reader = field(default_factory=Reader)
    task_ids: set[str] = field(default_factory=set)
    durable: bool = False
    document: dict[str, Any] | None = None
    kept: dict[str, str] = field(default_factory=dict)
    recorded_ends: int = 0

    @property
    def repeatable(self) -> bool:
        """Submitting it again is the same task."""
        return self.key is not None or "task_id" in self.body

    @property
    def accepted(self) -> bool:
        return bool(self.task_ids)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures: all but the first three have to be zero."""

    accepted: int
    completed: int
    cancelled: int
    lost: int
    duplicated: int
    text_mismatches: int
    oddities: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.text_mismatches or self.oddities)


class Ledger:
    """All submissions of all clients."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, body: dict[str, Any], key: str | None) -> Entry:
        """A new submission."""
        number = len(self.entries)
        entry = Entry(number, body | {"metadata": {"number": number}}, key)
        self.entries.append(entry)
        return entry

    def judge(self) -> Verdict:
        """Compares what was promised, told, and kept."""
        accepted = [entry for entry in self.entries if entry.accepted]
        states = Counter(entry.document["state"] for entry in accepted if entry.document)
        return Verdict(
            accepted=len(accepted),
            completed=states["completed"],
            cancelled=states["cancelled"],
            lost=sum(map(_lost, self.entries)),
            duplicated=sum(map(_duplicated, self.entries)),
            text_mismatches=sum(map(_mismatches, accepted)),
            oddities=tuple(_oddities(accepted)),
        )


def _lost(entry: Entry) -> bool:
    """Promised, or kept after a promise that nobody received, and yet without an end."""
    if not all(state in END_STATES for state in entry.kept.values()):
        return True
    ended = entry.document is not None and entry.document["state"] in END_STATES
    return entry.durable and not (ended and entry.kept and entry.reader.ends)


def _duplicated(entry: Entry) -> bool:
    tasks = entry.task_ids | entry.kept.keys()
    return max(len(tasks), len(entry.reader.ends), entry.recorded_ends) > 1


def _mismatches(entry: Entry) -> bool:
    """The client has another text than the task, or the task one with a gap or a repetition."""
    return entry.document is not None and (
        entry.reader.text != _text(entry.document) or not _whole(entry.document)
    )


def _text(document: dict[str, Any]) -> str | None:
    return (document["result"] or {}).get("text")


def _whole(document: dict[str, Any]) -> bool:
    """A completed text has all its tokens, and signed words count up."""
    result = document["result"]
    tokens = result["usage"]["completion_tokens"]
    if document["prompt"] == COUNT:
        numbers = [int(number) for number in SIGNED.findall(result["text"])]
        if numbers != list(range(len(numbers))):
            return False
        tokens = len(numbers)
    return bool(document["state"] != "completed" or tokens == document["options"]["max_tokens"])


def _oddities(entries: list[Entry]) -> list[str]:
    said = [(entry.number, sentence) for entry in entries for sentence in entry.reader.oddities]
    said += [
        (entry.number, f"the client has {entry.reader.text!r}, the task is {entry.document}")
        for entry in entries
        if _mismatches(entry)
    ]
    return [f"submission {number}: {sentence}" for number, sentence in said]
