"""What the text of an answer says as it comes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edge.answers.deltas import Content, Delta
from edge.answers.dialects import form_of
from edge.answers.reader import Reader, reader


class Spoken:
    """Reads the text of one answer. Without a ``dialect`` (see `edge.tasks.task.Task`) the text is
    its content."""

    def __init__(self, dialect: str | None) -> None:
        self._reader: Reader | None = None if dialect is None else reader(form_of(dialect))

    def feed(self, text: str) -> Sequence[Delta]:
        """What more of the text says."""
        if self._reader is None:
            return [Content(text)] if text else []
        return self._reader.feed(text)

    def end(self) -> Sequence[Delta]:
        """What was held back, at its end."""
        return [] if self._reader is None else self._reader.end()


def content_of(deltas: Sequence[Delta]) -> str:
    """The content among these, without what was thought and called."""
    return "".join(delta.text for delta in deltas if isinstance(delta, Content))
