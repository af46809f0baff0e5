"""Which handler a topic belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from edge.phoenix.messages import FIELD_BYTES_MAX

H = TypeVar("H")


class Router(Generic[H]):
    """Topic patterns in order; the first that matches wins.

    A pattern is a whole topic, or a prefix and a trailing ``*`` (``room:*`` also matches
    ``room:``). Case matters. ``phoenix`` belongs to the protocol and topics longer than 255 bytes
    could not be put into a binary frame: neither is ever matched.
    """

    def __init__(self, routes: Iterable[tuple[str, H]] = ()) -> None:
        self._routes: list[tuple[str, bool, H]] = []
        for pattern, handler in routes:
            self.add(pattern, handler)

    def add(self, pattern: str, handler: H) -> None:
        """Adds a route behind the others. ValueError for a ``*`` that is not at the end."""
        is_prefix = pattern.endswith("*")
        stem = pattern[:-1] if is_prefix else pattern
        if "*" in stem:
            raise ValueError(f"the pattern {pattern!r} may have a * at its end only")
        self._routes.append((stem, is_prefix, handler))

    def match(self, topic: object) -> H | None:
        """The handler for the topic, or None; anything but a string matches nothing."""
        if not isinstance(topic, str) or topic == "phoenix":
            return None
        if len(topic) * 4 > FIELD_BYTES_MAX and len(topic.encode()) > FIELD_BYTES_MAX:
            return None
        for stem, is_prefix, handler in self._routes:
            if topic.startswith(stem) if is_prefix else topic == stem:
                return handler
        return None
