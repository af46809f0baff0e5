"""When an answer begins to follow its grammar: at once, or behind a mark that it may come to. Pure.

Marks are looked for in bytes: a token may be a part of a character, and of a mark.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from edge.answers.calls import Mark

ROOT: Final = "root"


class Begins(NamedTuple):
    """By the rule ``root`` at once, or, where there are ``marks``, by the rule of the first that is
    said. What a model thinks (between the marks ``think``; ``within`` from the beginning on) is not
    looked at."""

    root: str = ROOT
    marks: tuple[Mark, ...] = ()
    think: tuple[str, str] | None = None
    within: bool = False


AT_ONCE: Final = Begins()


class Found(NamedTuple):
    """A mark ends in this piece, with these of its characters; ``rule`` is what follows."""

    rule: str
    end: str


_UNKNOWN, _THINKS, _SAYS = range(3)


class _State(NamedTuple):
    """``text`` is what may be the beginning of a mark; ``fresh``: all of the answer, so far."""

    phase: int
    text: bytes
    fresh: bool


class Lookout:
    """Follows an answer up to its first mark."""

    __slots__ = ("_closes", "_keep", "_marks", "_opens", "_seen", "_state")

    def __init__(self, begins: Begins) -> None:
        opens, closes = begins.think or ("", "")
        self._opens, self._closes = opens.encode(), closes.encode()
        self._marks = [(mark.text.encode(), mark) for mark in begins.marks]
        self._keep = max(len(text) for text, _ in self._marks) - 1
        phase = _SAYS if begins.think is None else _THINKS if begins.within else _UNKNOWN
        self._state = _State(phase, b"", True)
        self._seen: tuple[bytes, _State, Found | None] | None = None

    def look(self, piece: bytes) -> Found | None:
        """The mark that would be whole with this piece of text; nothing is changed."""
        if self._seen is None or self._seen[0] != piece:
            state, found = self._next(self._state._replace(text=self._state.text + piece))
            self._seen = (piece, state, _in_piece(found, piece))
        return self._seen[2]

    def take(self, piece: bytes) -> None:
        """The answer goes on with this."""
        self.look(piece)
        assert self._seen is not None, "it was just looked at"
        self._state, self._seen = self._seen[1], None

    def _next(self, state: _State) -> tuple[_State, tuple[Mark, int] | None]:
        phase, text, fresh = state
        if phase == _UNKNOWN:
            stripped = text.lstrip()
            if stripped.startswith(self._opens):
                return self._next(_State(_THINKS, stripped[len(self._opens) :], True))
            if self._opens.startswith(stripped):
                return state, None
            phase = _SAYS
        if phase == _THINKS:
            at = text.find(self._closes)
            if at < 0:
                keep = len(self._closes) - 1
                return _State(_THINKS, text[-keep:], True), None
            text = text[at + len(self._closes) :]
        return self._says(text, fresh)

    def _says(self, text: bytes, fresh: bool) -> tuple[_State, tuple[Mark, int] | None]:
        """The mark, and how many bytes follow on it."""
        stripped = text.lstrip()
        found: list[tuple[int, Mark]] = []
        for written, mark in self._marks:
            if not mark.answer:
                at = text.find(written)
                if at >= 0:
                    found.append((at + len(written), mark))
            elif fresh and stripped.startswith(written):
                found.append((len(text) - len(stripped) + len(written), mark))
        if found:
            end, mark = min(found, key=lambda each: each[0])
            return _State(_SAYS, b"", False), (mark, len(text) - end)
        fresh = fresh and any(
            mark.answer and written.startswith(stripped) for written, mark in self._marks
        )
        return _State(_SAYS, text if fresh else text[-self._keep :], fresh), None


def _in_piece(found: tuple[Mark, int] | None, piece: bytes) -> Found | None:
    if found is None:
        return None
    mark, rest = found
    try:
        return Found(mark.rule, piece[: len(piece) - rest].decode())
    except UnicodeDecodeError:
        return None  # it ends within a token that goes on with half a character: none does
