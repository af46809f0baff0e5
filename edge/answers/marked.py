"""Reads an answer in which marks stand around calls and around what the model thinks. Pure.

A state machine over text that waits: each state takes of it what cannot be read in another way,
whatever follows, and leaves the rest. So it makes no difference how a text is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Delta, Reasoning
from edge.answers.dialects import Form
from edge.answers.objects import ObjectEnd

HEAD_CHARS_MAX: Final = 512
"""From a call's mark to its arguments. What has not come to them by then is no call, and said."""


class MarkedReader:
    """`feed` with each piece, `end` once, after the last."""

    __slots__ = (
        "_calls", "_closes", "_dropped", "_form", "_mark", "_object", "_over", "_said", "_state",
        "_text",
    )  # fmt: skip

    _state: Callable[[MarkedReader], bool]

    def __init__(self, form: Form) -> None:
        self._form = form
        self._text = ""
        self._over = False
        self._said: list[Delta] = []
        self._calls = 0
        self._mark = self._dropped = ""
        self._closes: tuple[str, ...] = ()
        self._object = ObjectEnd()
        # A function and no method of this object, which would hold itself by it.
        self._state = MarkedReader._begins if form.think else MarkedReader._first

    @property
    def thinks(self) -> bool:
        """The next characters are of what it thinks, as far as is known."""
        if self._state is MarkedReader._begins:
            return self._form.within
        return self._state in (MarkedReader._before_thought, MarkedReader._thought)

    def feed(self, piece: str) -> list[Delta]:
        """What can be told with this."""
        self._text += piece
        return self._run()

    def end(self) -> list[Delta]:
        """What was held back, now that nothing more comes."""
        self._over = True
        return self._run()

    def _run(self) -> list[Delta]:
        while self._state(self):
            pass
        said, self._said = self._said, []
        return said

    def _waits_for(self, text: str, marks: Iterable[str]) -> bool:
        """The text, all that there is, may become one of these."""
        return not self._over and any(mark.startswith(text) for mark in marks)

    # ---- what it thinks

    def _begins(self) -> bool:
        assert self._form.think is not None, "it has a mark"
        mark, text = self._form.think[0], self._text.lstrip()
        if text.startswith(mark):
            self._text = text[len(mark) :]
            self._state = MarkedReader._before_thought
        elif self._waits_for(text, (mark,)):
            return False
        else:
            within = self._form.within
            self._state = MarkedReader._before_thought if within else MarkedReader._first
        return True

    def _before_thought(self) -> bool:
        self._text = self._text.lstrip()
        if self._text:
            self._state = MarkedReader._thought
        return bool(self._text)

    def _thought(self) -> bool:
        assert self._form.think is not None, "it has a mark"
        mark = self._form.think[1]
        at = self._text.find(mark)
        if at >= 0:
            self._tell(Reasoning(self._text[:at].rstrip()))
            self._text = self._text[at + len(mark) :]
            self._state = MarkedReader._between
            return True
        cut = len(self._text) if self._over else _sure(self._text, (mark,))
        thought = self._text[:cut].rstrip()
        self._tell(Reasoning(thought))
        self._text = "" if self._over else self._text[len(thought) :]
        return False

    # ---- what it says

    def _first(self) -> bool:
        """An answer that is a call as a whole."""
        mark, text = self._form.dialect.opens_answer, self._text.lstrip()
        if mark and self._form.calls:
            if text.startswith(mark):
                self._text, self._mark, self._dropped = text, "", ""
                self._state = MarkedReader._head
                return True
            if self._waits_for(text, (mark,)):
                return False
        self._state = MarkedReader._content
        return True

    def _between(self) -> bool:
        """Behind what it thought, or behind a call, white space means nothing."""
        self._text = text = self._text.lstrip()
        for mark in self._form.dialect.ignored:
            if text.startswith(mark):
                self._text = text[len(mark) :]
                return True
        if not text or self._waits_for(text, self._form.dialect.ignored):
            return False
        self._state = MarkedReader._content if self._calls else MarkedReader._first
        return True

    def _content(self) -> bool:
        text = self._text
        if not self._form.calls:
            self._tell(Content(text))
            self._text = ""
            return False
        found = [(at, mark) for mark in self._form.dialect.opens if (at := text.find(mark)) >= 0]
        if found:
            at, mark = min(found, key=lambda each: each[0])
            content = text[:at].rstrip()
            self._tell(Content(content))
            self._mark, self._dropped = mark, text[len(content) : at]
            self._text = text[at + len(mark) :]
            self._state = MarkedReader._head
            return True
        if self._over:
            self._tell(Content(text.rstrip() if self._calls else text))
            self._text = ""
            return False
        content = text[: _sure(text, self._form.dialect.opens)].rstrip()
        self._tell(Content(content))
        self._text = text[len(content) :]
        return False

    # ---- calls

    def _head(self) -> bool:
        text, dialect = self._text, self._form.dialect
        found = dialect.head.match(text[:HEAD_CHARS_MAX])
        if found:
            self._tell(CallBegun(self._calls, found["name"]))
            self._calls += 1
            self._text = text[found.end() :]
            self._object = ObjectEnd()
            self._state = MarkedReader._arguments
            return True
        ended = bool(dialect.closes) and dialect.closes[-1] in text[:HEAD_CHARS_MAX]
        if len(text) >= HEAD_CHARS_MAX or self._over or (ended and not dialect.opens_answer):
            # It is no call, and what it says is not lost.
            self._tell(Content(self._dropped + self._mark))
            self._state = MarkedReader._content
            return True
        return False

    def _arguments(self) -> bool:
        index, end = self._calls - 1, self._object.find(self._text)
        if end < 0:
            self._tell(Arguments(index, self._text))
            self._text = ""
            return False
        self._tell(Arguments(index, self._text[:end]))
        self._tell(CallEnded(index))
        self._text = self._text[end:]
        self._closes = self._form.dialect.closes
        self._state = MarkedReader._closing
        return True

    def _closing(self) -> bool:
        text = self._text.lstrip()
        if self._closes:
            mark = self._closes[0]
            if text.startswith(mark):
                self._text, self._closes = text[len(mark) :], self._closes[1:]
                return True
            if mark.startswith(text):
                self._text = "" if self._over else self._text
                return False
        listed = self._form.dialect.listed
        self._state = MarkedReader._listed if listed else MarkedReader._between
        return True

    def _listed(self) -> bool:
        """Behind a call of a list."""
        text = self._text.lstrip()
        if not text:
            return False
        if text[0] == ",":
            self._text, self._mark, self._dropped = text[1:], ",", ""
            self._state = MarkedReader._head
        else:
            self._text = text.removeprefix("]")
            self._state = MarkedReader._between
        return True

    def _tell(self, delta: Delta) -> None:
        if not (isinstance(delta, Content | Reasoning | Arguments) and not delta.text):
            self._said.append(delta)


def _sure(text: str, marks: Iterable[str]) -> int:
    """Up to where the text begins none of the marks, whatever follows."""
    keep = 0
    for mark in marks:
        for size in range(min(len(mark) - 1, len(text)), keep, -1):
            if text.endswith(mark[:size]):
                keep = size
                break
    return len(text) - keep
