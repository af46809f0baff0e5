from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_MS
from edge.gateway.http.places import EVICT_MS, Places, address_of, is_local

LOCAL, ADA, BOB = "127.0.0.1", "192.0.2.1", "192.0.2.2"
LATER_NS = EVICT_MS * NS_PER_MS


def crowd(places: Places[str], address: str, count: int, *, waiting: bool) -> list[str]:
    """So many come in, one after the other."""
    names = [f"{address}/{number}" for number in range(count)]
    for name in names:
        assert places.admit(address, 0) == (True, None)
        if waiting:
            places.waits(name, address, 0)
    return names


def test_who_has_waited_longest_makes_room() -> None:
    places: Places[str] = Places(16, 16)
    first, second, *_ = crowd(places, LOCAL, 16, waiting=True)
    places.busy(first, LOCAL)
    places.waits(first, LOCAL, 1)
    assert places.admit(LOCAL, LATER_NS) == (True, second)


def test_nobody_makes_room_at_once() -> None:
    places: Places[str] = Places(16, 16)
    crowd(places, LOCAL, 16, waiting=True)
    assert places.admit(LOCAL, LATER_NS - 1) == (False, None)


def test_who_has_asked_for_something_stays() -> None:
    places: Places[str] = Places(16, 16)
    crowd(places, LOCAL, 16, waiting=False)
    assert places.admit(LOCAL, LATER_NS) == (False, None)
    places.leave("127.0.0.1/3", LOCAL)
    assert places.admit(LOCAL, LATER_NS) == (True, None)


def test_one_address_does_not_take_the_places_of_others() -> None:
    places: Places[str] = Places(64, 4)
    crowd(places, ADA, 4, waiting=False)
    assert places.admit(ADA, LATER_NS) == (False, None)
    assert places.admit(BOB, LATER_NS) == (True, None)


def test_an_address_that_has_all_of_its_own_loses_one_of_its_own() -> None:
    places: Places[str] = Places(64, 4)
    crowd(places, BOB, 2, waiting=True)
    first, *_ = crowd(places, ADA, 4, waiting=True)
    assert places.admit(ADA, LATER_NS) == (True, first)


def test_no_address_may_have_the_last_eighth() -> None:
    places: Places[str] = Places(16)
    crowd(places, LOCAL, 14, waiting=False)
    assert places.admit(LOCAL, LATER_NS) == (False, None)
    assert places.admit("127.0.0.2", LATER_NS) == (True, None)


def test_the_last_eighth_is_for_this_machine() -> None:
    places: Places[str] = Places(16, 7)
    crowd(places, ADA, 7, waiting=False)
    crowd(places, BOB, 7, waiting=False)
    assert places.admit("192.0.2.3", LATER_NS) == (False, None)
    assert places.admit(LOCAL, LATER_NS) == (True, None)
    assert places.admit("::1", LATER_NS) == (True, None)
    assert places.admit("127.0.0.2", LATER_NS) == (False, None)


def test_a_remote_newcomer_takes_the_place_of_a_remote_one() -> None:
    places: Places[str] = Places(16, 14)
    crowd(places, LOCAL, 2, waiting=True)
    first, *_ = crowd(places, ADA, 14, waiting=True)
    assert places.admit(BOB, LATER_NS) == (True, first)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([LOCAL, "::1", ADA, BOB]),
            st.sampled_from(["come", "go", "wait", "ask"]),
            st.integers(0, 20),
            st.integers(0, LATER_NS),
        ),
        max_size=100,
    )
)
def test_never_more_than_there_are(moves: list[tuple[str, str, int, int]]) -> None:
    places: Places[str] = Places(16, 8)
    inside: dict[str, str] = {}
    waiting: set[str] = set()
    now_ns = 0
    for number, (address, move, which, wait_ns) in enumerate(moves):
        now_ns += wait_ns
        chosen = sorted(inside)[which % len(inside)] if inside else ""
        if move == "come":
            admitted, evicted = places.admit(address, now_ns)
            if evicted is not None:
                assert admitted
                assert evicted in waiting
                places.leave(evicted, inside.pop(evicted))
                waiting.discard(evicted)
            if admitted:
                inside[str(number)] = address
        elif not chosen:
            continue
        elif move == "go":
            places.leave(chosen, inside.pop(chosen))
            waiting.discard(chosen)
        elif move == "wait" and chosen not in waiting:
            places.waits(chosen, inside[chosen], now_ns)
            waiting.add(chosen)
        elif move == "ask":
            places.busy(chosen, inside[chosen])
            waiting.discard(chosen)
        assert places.taken == len(inside) <= 16
        for each in {LOCAL, "::1", ADA, BOB}:
            assert list(inside.values()).count(each) <= 8
        assert sum(not is_local(each) for each in inside.values()) <= 14


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_what_a_peer_is_counted_under(host: str, address: str) -> None:
    assert address_of(host) == address


def test_this_machine() -> None:
    assert is_local("127.0.0.1")
    assert is_local("127.8.8.8")
    assert is_local("::1")
    assert not is_local("192.0.2.127")
