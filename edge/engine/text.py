"""From token pieces to text: whole characters only, and never past a stop string.

What comes out depends on the sequence of tokens alone, not on how they were grouped in time; that
is what lets a sequence go on in a new process where an old one ended.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable


class TextStream:
    """The text of one sequence. ``skip_chars`` characters are swallowed: somebody has them.
    ``chars`` is how many have come in whole, told, held back or swallowed."""

    def __init__(self, stop: Iterable[str] = (), skip_chars: int = 0) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(each for each in stop if each)
        self._held = ""
        self._skip_chars = skip_chars
        self.stopped = False
        self.chars = 0

    def feed(self, piece: bytes) -> str:
        """The text that this token completed. Once ``stopped`` is True nothing more will come.

        Held back are the bytes of half a character, and whatever may be the beginning of a stop
        string; the stop string itself is never part of the text.
        """
        if self.stopped:
            return ""
        came = self._decoder.decode(piece)
        self.chars += len(came)
        self._held += came
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            ready, self._held = self._held[: min(found)], ""
            return self._skip(ready)
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._skip(ready)

    def flush(self) -> str:
        """What was held back, at the end of the sequence. A character of which only the first bytes
        have come is left out: the text ends before it."""
        if self.stopped:
            return ""
        # The decoder keeps nothing but such a beginning: bytes that are no text at all are U+FFFD
        # as soon as they come. So it is simply not asked for its rest.
        ready, self._held = self._held, ""
        return self._skip(ready)

    def _skip(self, text: str) -> str:
        if self._skip_chars:
            skipped = min(self._skip_chars, len(text))
            self._skip_chars -= skipped
            text = text[skipped:]
        return text


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text may be the beginning of the stop string."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


class Characters:
    """Whether the pieces of a text are well-formed UTF-8 (RFC 3629), one after the other."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def fit(self, piece: bytes) -> bool:
        """Whether the text goes on well-formed with this one, be it with half a character."""
        before = self._decoder.getstate()
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            return False
        finally:
            self._decoder.setstate(before)
        return True

    def take(self, piece: bytes) -> None:
        """The text goes on with this one. Behind one that is not well-formed it begins anew."""
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            self._decoder.reset()
