"""Keeps what users write from being read as control tokens, through whatever a template does. Pure.

A template works on the real texts: it trims them, splits them at a tag, writes them as JSON. Where
they stand in what it rendered cannot be told afterwards. So the characters with which a control
token's text begins and ends, and all its others that are no letters, get stand-ins in users' texts,
one for one, which nothing else has; so does the first letter of a word that is all the letters
between two such marks. However the template cuts and joins such texts, no control token can come of
them: it would have to be the template's own but for a part of a word, as only roles are written,
and these are checked. Afterwards each stand-in becomes again what it stands for.

Tags that the template speaks of itself, such as ``</think>``, are left as they are where they are
no control tokens, so that it finds them.

Rejected: strings that know who wrote them (lost in ``~``, ``join``, ``tojson`` and each filter
written in C); rendering twice and comparing (a text may equal what the template writes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.errors import InvalidRequest

_TAG: Final = re.compile(r"</?\w+>|\[/?\w+\]")
_WORD: Final = re.compile(r"\w+")
_MARK: Final = re.compile(r"[^\w\s]")
_PRIVATE: Final = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
"""Private use (The Unicode Standard, section 23.5): neither space nor letter to any filter."""


@dataclass(frozen=True, slots=True)
class Shielded:
    """``values`` are to be rendered instead of the users', and `restore` makes theirs of it."""

    values: tuple[Any, ...]
    _back: dict[int, str]

    def restore(self, text: str) -> str:
        """With what the stand-ins stand for."""
        return text.translate(self._back)


class Shield:
    """For a vocabulary with control tokens of these texts, and a template of this source."""

    def __init__(self, controls: Iterable[str], source: str) -> None:
        texts = [text for text in controls if text]
        self._source = frozenset(source)
        self._names = frozenset(_WORD.findall(source))
        marks = {mark for text in texts for mark in _marks(text)}
        found = ((_WORD.findall(text), text) for text in texts)
        words = {words[0] for words, text in found if len(words) == 1 and words[0] != text}
        self._characters = "".join(sorted(marks | {word[0] for word in words}))
        # A tag within a control token, or around one, would let the token through.
        self._tags = {
            tag for tag in _TAG.findall(source) if not any(t in tag or tag in t for t in texts)
        }
        characters = [re.escape(character) for character in sorted(marks)]
        characters += [rf"\b{word[0]}(?={word[1:]}\b)" for word in sorted(words)]
        tags = [re.escape(tag) for tag in sorted(self._tags, key=len, reverse=True)]
        self._hidden = re.compile("|".join([*tags, *characters]) or r"(?!)")

    def hide(self, values: Sequence[Any]) -> Shielded:
        """These texts, and JSON values with texts in them, in which nothing is a control token.
        `InvalidRequest` when they have every character that could stand in."""
        used = self._source.union(*texts_in(values))
        free = (chr(code) for codes in _PRIVATE for code in codes if chr(code) not in used)
        there = dict(zip(self._characters, free, strict=False))
        if len(there) < len(self._characters):
            raise InvalidRequest(
                "the messages have every character of Unicode's private use areas, of which the"
                " node needs some itself; leave one out",
                field="messages",
            )

        def stand_in(found: re.Match[str]) -> str:
            return there.get(found[0], found[0])

        def hide(text: str) -> str:
            return self._hidden.sub(stand_in, text)

        hidden = tuple(self._changed(each, hide) for each in values)
        return Shielded(hidden, {ord(new): old for old, new in there.items()})

    def _changed(self, value: Any, change: Callable[[str], str]) -> Any:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, Mapping):
            # By its names the template finds a member; they have no marks.
            return {
                name if name in self._names else change(name): self._changed(each, change)
                for name, each in value.items()
            }
        if isinstance(value, Sequence):
            return [self._changed(each, change) for each in value]
        return value


def _marks(text: str) -> str:
    """The characters that filters do not look at; where there are none, the first and the last."""
    return "".join(_MARK.findall(text)) or text[0] + text[-1]


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield name
            yield from texts_in(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts_in(each)
