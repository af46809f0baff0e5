from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.gateway.http.places import LOOKS_MAX, Places, address_of
from edge.settings import is_loopback

LOCAL, ADA, BOB = "127.0.0.1", "192.0.2.1", "192.0.2.2"


def anybody(_holder: str) -> bool:
    return True


def nobody(_holder: str) -> bool:
    return False


def crowd(places: Places[str], address: str, count: int, *, waiting: bool) -> list[str]:
    """So many come in, one after the other."""
    names = [f"{address}/{number}" for number in range(count)]
    for name in names:
        assert places.admit(address, anybody) == (True, None)
        if waiting:
            places.waits(name, address)
    return names


def test_who_has_waited_longest_makes_room() -> None:
    places: Places[str] = Places(16, 16)
    first, second, *_ = crowd(places, LOCAL, 16, waiting=True)
    places.busy(first, LOCAL)
    places.waits(first, LOCAL)
    assert places.admit(LOCAL, anybody) == (True, second)


def test_only_who_may_go_does() -> None:
    places: Places[str] = Places(16, 16)
    *_, last = crowd(places, LOCAL, 16, waiting=True)
    assert places.admit(LOCAL, lambda holder: holder == last) == (True, last)
    assert places.admit(LOCAL, lambda holder: False) == (False, None)


def test_not_everybody_is_asked() -> None:
    places: Places[str] = Places(64, 64)
    crowd(places, LOCAL, 64, waiting=True)
    asked: list[str] = []

    def remembered(holder: str) -> bool:
        asked.append(holder)
        return False

    assert places.admit(LOCAL, remembered) == (False, None)
    assert len(asked) == LOOKS_MAX


def test_who_has_asked_for_something_stays() -> None:
    places: Places[str] = Places(16, 16)
    crowd(places, LOCAL, 16, waiting=False)
    assert places.admit(LOCAL, anybody) == (False, None)
    places.leave("127.0.0.1/3", LOCAL)
    assert places.admit(LOCAL, anybody) == (True, None)


def test_one_address_does_not_take_the_places_of_others() -> None:
    places: Places[str] = Places(64, 4)
    crowd(places, ADA, 4, waiting=False)
    assert places.admit(ADA, anybody) == (False, None)
    assert places.admit(BOB, anybody) == (True, None)


def test_an_address_that_has_all_of_its_own_loses_one_of_its_own() -> None:
    places: Places[str] = Places(64, 4)
    crowd(places, BOB, 2, waiting=True)
    first, *_ = crowd(places, ADA, 4, waiting=True)
    assert places.admit(ADA, anybody) == (True, first)


def test_no_address_may_have_the_last_eighth() -> None:
    places: Places[str] = Places(16)
    crowd(places, LOCAL, 14, waiting=False)
    assert places.admit(LOCAL, anybody) == (False, None)
    assert places.admit("127.0.0.2", anybody) == (True, None)


def test_the_last_eighth_is_for_this_machine() -> None:
    places: Places[str] = Places(16, 7)
    crowd(places, ADA, 7, waiting=False)
    crowd(places, BOB, 7, waiting=False)
    assert places.admit("192.0.2.3", anybody) == (False, None)
    assert places.admit(LOCAL, anybody) == (True, None)
    assert places.admit("::1", anybody) == (True, None)
    assert places.admit("127.0.0.2", anybody) == (False, None)


def test_a_remote_newcomer_takes_the_place_of_a_remote_one() -> None:
    places: Places[str] = Places(16, 14)
    crowd(places, LOCAL, 2, waiting=True)
    first, *_ = crowd(places, ADA, 14, waiting=True)
    assert places.admit(BOB, anybody) == (True, first)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([LOCAL, "::1", ADA, BOB]),
            st.sampled_from(["come", "go", "wait", "ask"]),
            st.integers(0, 20),
            st.booleans(),
        ),
        max_size=100,
    )
)
def test_never_more_than_there_are(moves: list[tuple[str, str, int, bool]]) -> None:
    places: Places[str] = Places(16, 8)
    inside: dict[str, str] = {}
    waiting: set[str] = set()
    for number, (address, move, which, may_go) in enumerate(moves):
        chosen = sorted(inside)[which % len(inside)] if inside else ""
        if move == "come":
            admitted, evicted = places.admit(address, anybody if may_go else nobody)
            if evicted is not None:
                assert admitted
                assert may_go
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
            places.waits(chosen, inside[chosen])
            waiting.add(chosen)
        elif move == "ask":
            places.busy(chosen, inside[chosen])
            waiting.discard(chosen)
        assert places.taken == len(inside) <= 16
        for each in {LOCAL, "::1", ADA, BOB}:
            assert list(inside.values()).count(each) <= 8
        assert sum(not is_loopback(each) for each in inside.values()) <= 14


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
