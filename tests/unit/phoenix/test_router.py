from __future__ import annotations

import pytest

from edge.phoenix import Router

ROUTER = Router([("room:*", "rooms"), ("exact", "exact"), ("room:a", "never"), ("é:*", "accent")])


@pytest.mark.parametrize(
    ("topic", "handler"),
    [
        ("room:a", "rooms"),
        ("room:", "rooms"),
        ("room", None),
        ("Room:a", None),
        ("exact", "exact"),
        ("exact:sub", None),
        ("", None),
        (5, None),
        (None, None),
        ("room:" + "x" * 250, "rooms"),
        ("room:" + "x" * 251, None),
        ("é:" + "é" * 126, "accent"),
        ("é:" + "é" * 127, None),
    ],
)
def test_match(topic: object, handler: str | None) -> None:
    assert ROUTER.match(topic) == handler


def test_phoenix_is_reserved() -> None:
    assert Router([("*", "all")]).match("phoenix") is None
    assert Router([("*", "all")]).match("anything") == "all"


def test_star_in_the_middle_is_an_error() -> None:
    with pytest.raises(ValueError, match="end only"):
        Router([("a*b", "x")])
