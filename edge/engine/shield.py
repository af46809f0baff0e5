"""Keeps what users write from being read as control tokens, through whatever a template does. Pure.

A template works on the real texts: it trims them, splits them at a tag, writes them as JSON. Where
they stand in what it rendered cannot be told afterwards. So the characters with which a control
token's text begins and ends get stand-ins in users' texts, one for one, which nothing else has.
However the template cuts and joins such texts, no control token can come of them: its first
character and its last would have to be the template's, written right around a user's text, as
some do with roles (which are checked) and none with contents. Afterwards each stand-in becomes
again what it stands for.

Tags that the template speaks of itself, such as ``</think>``, are left as they are where they are
no control tokens, so that it finds them.

Rejected: strings that know who wrote them (lost in ``~``, ``join``, ``tojson`` and each filter
written in C); rendering twice and comparing (a text may equal what the template writes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge.errors import InvalidRequest

_TAG: Final = re.compile(r"</?\w+>|\[/?\w+\]")
_PRIVATE: Final = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
"""Private use (The Unicode Standard, section 23.5): neither space nor letter to any filter."""


@dataclass(frozen=True, slots=True)
class Shielded:
    """``texts`` are to be rendered instead of the users', and `restore` makes theirs of it."""

    texts: tuple[str, ...]
    _back: dict[int, str]

    def restore(self, text: str) -> str:
        """With what the stand-ins stand for."""
        return text.translate(self._back)


class Shield:
    """For a vocabulary with control tokens of these texts, and a template of this source."""

    def __init__(self, controls: Iterable[str], source: str) -> None:
        texts = [text for text in controls if text]
        self._source = frozenset(source)
        ends = {end for text in texts for end in _ends(text)}
        self._characters = "".join(sorted(ends))
        # A tag within a control token, or around one, would let the token through.
        self._tags = {
            tag for tag in _TAG.findall(source) if not any(t in tag or tag in t for t in texts)
        }
        characters = [re.escape(character) for character in self._characters]
        tags = [re.escape(tag) for tag in sorted(self._tags, key=len, reverse=True)]
        self._hidden = re.compile("|".join([*tags, *characters]) or r"(?!)")

    def hide(self, texts: Sequence[str]) -> Shielded:
        """These texts, in which nothing is a control token. `InvalidRequest` when they have every
        character that could stand in."""
        used = self._source.union(*texts)
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

        hidden = tuple(self._hidden.sub(stand_in, text) for text in texts)
        return Shielded(hidden, {ord(new): old for old, new in there.items()})


def _ends(text: str) -> Iterator[str]:
    """The first character and the last that filters do not look at, if there are such."""
    marks = [character for character in text if not (character.isalnum() or character.isspace())]
    yield (marks or text)[0]
    yield (marks or text)[-1]
