"""Reads an answer in harmony, the dialect of gpt-oss: messages, each of a channel. Pure.

``<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…``: what is on
the channel ``analysis`` is thought, a message ``to=functions.…`` is a call, all else is content.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from edge.answers.deltas import Arguments, CallBegun, CallEnded, Content, Delta, Reasoning
from edge.answers.dialects import Form
from edge.answers.objects import ObjectEnd
from edge.conversation import TOOL_NAME

HEADER_CHARS_MAX: Final = 256
_MESSAGE: Final = "<|message|>"
_BEGINNINGS: Final = ("<|channel|>", "<|start|>", " to=")
_ENDS: Final = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
_RECIPIENT: Final = re.compile(rf"to=functions\.({TOOL_NAME.pattern})(?=[\s<]|$)")
_CHANNEL: Final = re.compile(r"<\|channel\|>\s*(\w+)")


class HarmonyReader:
    """See `edge.answers.marked.MarkedReader`."""

    __slots__ = ("_calls", "_form", "_object", "_over", "_said", "_state", "_text", "_whole")

    _state: Callable[[HarmonyReader], bool]

    def __init__(self, form: Form) -> None:
        self._form = form
        self._text = ""
        self._over = False
        self._said: list[Delta] = []
        self._calls = 0
        self._object = ObjectEnd()
        self._whole = False  # the arguments of the call
        # A function and no method of this object, which would hold itself by it.
        self._state = HarmonyReader._header

    @property
    def thinks(self) -> bool:
        """The next characters are of what it thinks, as far as is known."""
        return self._state is HarmonyReader._thought

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

    def _header(self) -> bool:
        text = self._text
        if not any(text.startswith(each) for each in _BEGINNINGS):
            if not self._over and any(each.startswith(text) for each in _BEGINNINGS):
                return False
            self._state = HarmonyReader._content
            return True
        at = text.find(_MESSAGE, 0, HEADER_CHARS_MAX)
        if at < 0:
            if len(text) < HEADER_CHARS_MAX and not self._over:
                return False
            # It is none. Of one that was cut short nothing was said yet.
            self._text = ""
            if len(text) >= HEADER_CHARS_MAX:
                # What looked like its mark is told, too: read again it would look so again.
                mark = next(each for each in _BEGINNINGS if text.startswith(each))
                self._said.append(Content(mark))
                self._text = text[len(mark) :]
            self._state = HarmonyReader._content
            return True
        self._text = text[at + len(_MESSAGE) :]
        header = text[:at]
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        if recipient and self._form.calls:
            self._said.append(CallBegun(self._calls, recipient[1]))
            self._calls += 1
            self._object, self._whole = ObjectEnd(), False
            self._state = HarmonyReader._arguments
        elif channel and channel[1] == "analysis":
            self._state = HarmonyReader._thought
        else:
            self._state = HarmonyReader._content
        return True

    def _thought(self) -> bool:
        text, ended = self._upto_end()
        if text:
            self._said.append(Reasoning(text))
        return ended

    def _content(self) -> bool:
        text, ended = self._upto_end()
        if text:
            self._said.append(Content(text))
        return ended

    def _arguments(self) -> bool:
        text, ended = self._upto_end()
        index = self._calls - 1
        if text and not self._whole:
            end = self._object.find(text)
            self._said.append(Arguments(index, text if end < 0 else text[:end]))
            if end >= 0:
                self._whole = True
                self._said.append(CallEnded(index))
        return ended

    def _upto_end(self) -> tuple[str, bool]:
        """The text of the message that can be told, and whether that is all of it."""
        text = self._text
        found = [at for mark in _ENDS if (at := text.find(mark)) >= 0]
        if found:
            at = min(found)
            rest = text[at:]
            # The beginning of the next message is a part of that.
            mark = next(each for each in _ENDS if rest.startswith(each))
            self._text = rest if mark == "<|start|>" else rest[len(mark) :]
            self._state = HarmonyReader._header
            return text[:at], True
        cut = len(text) if self._over else _sure(text)
        self._text = text[cut:]
        return text[:cut], False


def _sure(text: str) -> int:
    """Up to where the text begins no end, whatever follows."""
    at = text.rfind("<")
    return at if at >= 0 and any(mark.startswith(text[at:]) for mark in _ENDS) else len(text)
