"""Whether anybody is there while an answer is made, on a manual clock."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiohttp import web

from edge.clock import NS_PER_MS, ManualClock
from edge.gateway.calls.connection import KEEP_ALIVE_MS, Connection, has_left
from edge.gateway.patience import LOOK_MS


class Transport:
    """As much of a connection as is looked at."""

    peer_done = False
    closing = False

    def is_closing(self) -> bool:
        return self.closing


class Asked:
    """A request, and how often its handler was woken."""

    def __init__(self) -> None:
        self.transport: Transport | None = Transport()
        self.clock = ManualClock()
        self.woken = 0
        request = cast(web.Request, self)
        self.connection = Connection(request, self.clock, self.wake, silent_ms=2_000)

    def wake(self) -> None:
        self.woken += 1

    def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms * NS_PER_MS)


def test_silence_is_told_once_and_ends_with_a_word() -> None:
    asked = Asked()
    asked.pass_ms(1_999)
    assert (asked.connection.silent, asked.woken) == (False, 0)
    asked.pass_ms(1)
    assert (asked.connection.silent, asked.woken) == (True, 1)
    asked.pass_ms(60_000)
    assert asked.woken == 1
    asked.connection.spoke()
    assert not asked.connection.silent
    asked.pass_ms(KEEP_ALIVE_MS - 1)
    assert not asked.connection.silent
    asked.pass_ms(1)
    assert (asked.connection.silent, asked.woken) == (True, 2)


def test_a_word_puts_silence_off() -> None:
    asked = Asked()
    asked.pass_ms(1_500)
    asked.connection.spoke(1_000)
    asked.pass_ms(999)
    assert not asked.connection.silent


def gone(asked: Asked) -> None:
    asked.transport = None


def closing(asked: Asked) -> None:
    assert asked.transport is not None
    asked.transport.closing = True


def half_closed(asked: Asked) -> None:
    assert asked.transport is not None
    asked.transport.peer_done = True


@pytest.mark.parametrize("leave", [gone, closing, half_closed])
def test_who_leaves_is_missed_at_the_next_look(leave: Any) -> None:
    asked = Asked()
    asked.pass_ms(LOOK_MS)
    assert not asked.connection.gone
    leave(asked)
    assert has_left(cast(web.Request, asked))
    asked.pass_ms(LOOK_MS)
    assert (asked.connection.gone, asked.woken) == (True, 1)


def test_nothing_is_looked_at_once_it_is_closed() -> None:
    asked = Asked()
    asked.connection.spoke()
    asked.connection.close()
    assert asked.clock.timers_pending() == 0
