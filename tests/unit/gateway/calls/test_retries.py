"""Lost calls, and who may join them."""

from __future__ import annotations

from edge.clock import NS_PER_MS
from edge.gateway.calls.retries import JOINABLE_MS, LOST_MAX, LostCalls, key_of

KEY = key_of("ada", "", "/v1/x", b"body")


def test_a_lost_call_is_joined_once() -> None:
    lost = LostCalls()
    lost.lose(KEY, ("a", "b"), 0)
    assert lost.is_lost(KEY, ("a", "b"))
    assert lost.join(KEY, 1) == ("a", "b")
    assert not lost.is_lost(KEY, ("a", "b"))
    assert lost.join(KEY, 1) is None


def test_for_a_minute() -> None:
    lost = LostCalls()
    lost.lose(KEY, ("a",), 0)
    assert lost.join(KEY, JOINABLE_MS * NS_PER_MS + 1) is None


def test_the_oldest_are_forgotten() -> None:
    lost = LostCalls()
    keys = [str(number).encode() for number in range(LOST_MAX + 1)]
    for key in keys:
        lost.lose(key, ("a",), 0)
    assert not lost.is_lost(keys[0], ("a",))
    assert lost.is_lost(keys[1], ("a",))


def test_keys_tell_apart_what_differs() -> None:
    others = [
        ("bob", "", "/v1/x", b"body"), ("ada", "1", "/v1/x", b"body"),
        ("ada", "", "/v1/y", b"body"),
        ("ada", "", "/v1/x", b"bodz"), ("ada", "", "/v1/xb", b"ody"),
    ]  # fmt: skip
    assert len({KEY, *(key_of(*each) for each in others)}) == 6
