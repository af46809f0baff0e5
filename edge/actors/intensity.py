"""How often a child may be restarted: OTP's restart intensity, a sliding window.

Pure: the time is an argument.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.clock import NS_PER_S


class Intensity(NamedTuple):
    """At most ``max_restarts`` in any ``max_seconds``. OTP's default is 1 in 5, Elixir's 3 in 5."""

    max_restarts: int = 3
    max_seconds: float = 5.0

    def restart(self, restarts_ns: tuple[int, ...], now_ns: int) -> tuple[int, ...] | None:
        """The window with one more restart at ``now_ns``, or None when that is one too many.

        ``restarts_ns`` is what the last call returned, () at first. As in OTP a restart counts for
        as long as it is not older than ``max_seconds``, that instant included.
        """
        oldest_ns = now_ns - int(self.max_seconds * NS_PER_S)
        recent = tuple(at_ns for at_ns in restarts_ns if at_ns >= oldest_ns)
        return (*recent, now_ns) if len(recent) < self.max_restarts else None
