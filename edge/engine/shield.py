"""Keeps what users write from being read as control tokens, through whatever a template does. Pure.

A template works on the real texts: it trims them, splits them at a tag, writes them as JSON. Where
they stand in what it rendered cannot be told afterwards. So the characters with which a control
token's text begins and ends, and all its others that are no letters, get stand-ins in users' texts,
one for one, which nothing else has; so does the first letter of a word that is all the letters
between two such marks, and each letter of what a template may leave out of such a word. However the
template cuts and joins such texts, no control token can come of them: it would have to be the
template's own but for a word, as only roles are written, and these are checked. Afterwards each
stand-in becomes again what it stands for, also where it was written as an escape.

What a template looks for in users' texts is hidden in the same way (`edge.engine.lookups`). Tags
that it speaks of itself, such as ``</think>``, are left as they are where they are no control
tokens, so that it finds them however it looks.

Rejected: strings that know who wrote them (lost in ``~``, ``join``, ``tojson`` and each filter
written in C); rendering twice and comparing (a text may equal what the template writes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge.errors import InvalidRequest

_TAG: Final = re.compile(r"</?\w+>|\[/?\w+\]")
_WORD: Final = re.compile(r"\w+")
_MARK: Final = re.compile(r"[^\w\s\"\\]")
"""None that JSON writes as an escape, which a stand-in for it would not be."""
_PRIVATE: Final = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
"""Private use (The Unicode Standard, section 23.5): neither space nor letter to any filter."""
_ESCAPE: Final = re.compile(
    r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}"
)
_ENDS: Final = re.compile(r"""\s*(?:['"]|\{[{%#])""")
_BEGINS: Final = re.compile(r"""(?:['"]|[#%}]\})\s*""")
_LITERAL_CHARS: Final = 64
"""Of a literal's end, and of its beginning, are looked at: control tokens are shorter."""


@dataclass(frozen=True, slots=True)
class Shielded:
    """``values`` are to be rendered instead of the users', and `restore` makes theirs of it.
    ``stand_ins`` are those of the characters that have one here."""

    values: tuple[Any, ...]
    stand_ins: dict[str, str]
    _escaped: dict[str, str]

    def restore(self, text: str) -> str:
        """With what the stand-ins stand for."""
        if "\\" in text:
            text = _ESCAPE.sub(lambda found: self._escaped.get(found[0], found[0]), text)
        return text.translate({ord(new): old for old, new in self.stand_ins.items()})


class Shield:
    """For a vocabulary with control tokens of these texts, and a template of this source."""

    def __init__(self, controls: Iterable[str], source: str) -> None:
        texts = [text for text in controls if text]
        self._source = frozenset(source)
        self._source_escapes = frozenset(_ESCAPE.findall(source))
        self._as_json = "ensure_ascii" in source
        self._names = frozenset(_WORD.findall(source))
        marks = {mark for text in texts for mark in _marks(text)} | _left_out(texts, source)
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
        if "\\" in used:
            taken = self._source_escapes.union(*map(_ESCAPE.findall, texts_in(values)))
            free = (new for new in free if taken.isdisjoint(_escapes(new)))
        there = dict(zip(self._characters, free, strict=False))
        if len(there) < len(self._characters):
            raise InvalidRequest(
                "the messages have every character of Unicode's private use areas, of which the"
                " node needs some itself; leave one out",
                field="messages",
            )
        hidden = tuple(
            self._changed(each, lambda text: self.hidden(text, there)) for each in values
        )
        escaped = {
            escape: json.dumps(old)[1:-1] if self._as_json else old
            for old, new in there.items()
            for escape in _escapes(new)
        }
        return Shielded(hidden, there, escaped)

    def hidden(self, text: str, stand_ins: Mapping[str, str]) -> str:
        """The text with these stand-ins in it, as those in `hide` have them."""
        return self._hidden.sub(lambda found: stand_ins.get(found[0], found[0]), text)

    def hides(self, text: str) -> bool:
        """Whether a text such as this is not left as it is."""
        return any(found[0] not in self._tags for found in self._hidden.finditer(text))

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


def _left_out(texts: Iterable[str], source: str) -> set[str]:
    """The letters of what a template leaves to be said within a word of a control token: it writes
    ``<|im_`` and ``|>`` itself. Users' texts then have none of the letters that are missing."""
    before, behind = _literal_ends(source), _literal_beginnings(source)
    letters: set[str] = set()
    for text in texts:
        starts = [at for at in range(1, len(text)) if text[:at] in before]
        ends = [at for at in range(1, len(text)) if text[at:] in behind]
        for start in starts:
            for end in ends:
                missing = text[start:end]
                # Whole words and what has marks are hidden anyway.
                if missing and not _MARK.search(missing) and _within_word(text, start, end):
                    letters.update(missing)
    return letters


def _within_word(text: str, start: int, end: int) -> bool:
    return bool(_WORD.match(text[start - 1])) or bool(_WORD.match(text[end]))


def _literal_ends(source: str) -> set[str]:
    """With what the template's own texts end, as far as their quotes and braces show."""
    places = {found.start() for found in _ENDS.finditer(source)}
    return {
        source[start:place]
        for place in places
        for start in range(max(0, place - _LITERAL_CHARS), place)
    }


def _literal_beginnings(source: str) -> set[str]:
    places = {found.end() for found in _BEGINS.finditer(source)}
    return {
        source[place:end]
        for place in places
        for end in range(place + 1, min(len(source), place + _LITERAL_CHARS) + 1)
    }


def _escapes(character: str) -> tuple[str, str]:
    """As JSON writes it in ASCII, and as Python shows it: a template may write either."""
    return json.dumps(character)[1:-1], ascii(character)[1:-1]


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
