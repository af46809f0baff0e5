"""Where a long text may be cut so that its parts have the same tokens as the whole. Pure.

Why cut at all: many byte-pair vocabularies find their words with `std::regex`, which recurses once
for every character of a run (some 400 bytes of stack each, so that 30,000 letters without a space
end the process), and others take time with the square of such a run. And between two parts others
have their turn.

A seam is a place over which no token of the vocabulary reaches, and which every pattern that
llama.cpp knows for finding words takes for the end of one:

* before a space that follows something else than white space;
* behind a line's end that stands between two characters that are no white space. A slash behind it
  is none of these: some patterns take ``!\\n/`` for one word.

Measured with the 152,000 tokens of Qwen2 under each of 49 such patterns, and the 32,000 of Llama 2.
A run without a seam is cut where it is too long, which gives it a token or two more there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

PART_CHARS_MAX: Final = 2_048
"""Takes under 1 MiB of stack, and 130 ms in the slowest vocabulary with the worst of texts; a usual
one takes a millisecond."""

# On bytes, because this looks at every token there is; what it finds is looked at as text.
_OVER_SPACE: Final = re.compile(rb"[^\s] ")
_OVER_NEWLINE: Final = re.compile(rb"\n[^\s]")


@dataclass(frozen=True, slots=True)
class Seams:
    """Which places of the two kinds no token reaches over."""

    before_space: bool = True
    after_newline: bool = True

    def cut(self, text: str, chars_max: int = PART_CHARS_MAX) -> Iterator[str]:
        """The text in parts of at most `chars_max` characters; nothing for an empty one."""
        start = 0
        while len(text) - start > chars_max:
            end = self._last(text, start, start + chars_max) or start + chars_max
            yield text[start:end]
            start = end
        if start < len(text):
            yield text[start:]

    def _last(self, text: str, start: int, end: int) -> int:
        """The last seam behind `start`, up to `end`, which is within the text; 0 without one."""
        space = text.rfind(" ", start + 1, end + 1) if self.before_space else -1
        while space > 0 and text[space - 1].isspace():
            space = text.rfind(" ", start + 1, space)
        newline = text.rfind("\n", start + 1, end) if self.after_newline else -1
        while newline > 0 and not _stands_between(text[newline - 1], text[newline + 1]):
            newline = text.rfind("\n", start + 1, newline)
        return max(space, newline + 1, 0)


def seams_of(tokens: Iterable[bytes]) -> Seams:
    """Those of a vocabulary, by what its tokens say."""
    before_space = after_newline = True
    for token in tokens:
        if before_space and _OVER_SPACE.search(token):
            before_space = not any(
                after == " " and not before.isspace() for before, after in _neighbours(token)
            )
        if after_newline and _OVER_NEWLINE.search(token):
            after_newline = not any(
                before == "\n" and not after.isspace() for before, after in _neighbours(token)
            )
    return Seams(before_space, after_newline)


def _stands_between(before: str, after: str) -> bool:
    return not before.isspace() and not after.isspace() and after != "/"


def _neighbours(token: bytes) -> Iterable[tuple[str, str]]:
    return pairwise(token.decode("utf-8", "replace"))
