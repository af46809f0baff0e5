"""Calls whose connection was lost a moment ago, for clients that send the same again.

OpenAI's libraries repeat a request by themselves when its connection is lost before it was
answered, and send nothing by which both could be told to be one but the number of the repetition.
Pure.
"""

from __future__ import annotations

import hashlib
from typing import Final

from edge.clock import NS_PER_MS

LOST_MAX: Final = 1_024
JOINABLE_MS: Final = 60_000
COUNT: Final = "x-stainless-retry-count"


class LostCalls:
    """The tasks of lost calls by who asked what. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._lost: dict[bytes, tuple[int, tuple[str, ...]]] = {}

    def lose(self, key: bytes, task_ids: tuple[str, ...], now_ns: int) -> None:
        """The connection of this call is lost."""
        self._lost.pop(key, None)
        self._lost[key] = (now_ns, task_ids)
        if len(self._lost) > LOST_MAX:
            del self._lost[next(iter(self._lost))]

    def is_lost(self, key: bytes, task_ids: tuple[str, ...]) -> bool:
        """Nobody has joined these since they were lost."""
        return self._lost.get(key, (0, ()))[1] == task_ids

    def join(self, key: bytes, now_ns: int) -> tuple[str, ...] | None:
        """The tasks of that call, which is nobody else's from now on; None when there is none."""
        at_ns, task_ids = self._lost.pop(key, (0, ()))
        return task_ids if task_ids and now_ns - at_ns <= JOINABLE_MS * NS_PER_MS else None


def key_of(client: str, address: str, path: str, body: bytes) -> bytes:
    """Equal for requests that are the same; ``address`` tells apart who all are one client."""
    digest = hashlib.blake2b(digest_size=32)
    for each in (client.encode(), address.encode(), path.encode(), body):
        digest.update(len(each).to_bytes(8, "big") + each)
    return digest.digest()
