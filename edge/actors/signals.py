"""The mailbox entry that is not a plain message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.actors.actor import Actor


class Signal:
    """Calls, and requests to stop, wait in the mailbox like messages: ``act`` gets the actor."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[Actor], None]) -> None:
        self.act = act
