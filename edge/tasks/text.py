"""Text that grows by a token at a time and is looked at as a whole now and then."""

from __future__ import annotations


class Text:
    """Pieces that are put together when somebody asks: that it grows by one costs no copy of all
    that was there before. ``len`` is known without that."""

    __slots__ = ("_chars", "_pieces", "_whole")

    def __init__(self, whole: str = "") -> None:
        self._whole = whole
        self._pieces: list[str] | None = None  # what came since it was last put together
        self._chars = len(whole)

    def append(self, piece: str) -> None:
        """Goes on with this."""
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(piece)
        self._chars += len(piece)

    def __len__(self) -> int:
        return self._chars

    def __str__(self) -> str:
        if self._pieces is not None:
            self._whole = "".join((self._whole, *self._pieces))
            self._pieces = None
        return self._whole

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]  # it changes
