from __future__ import annotations

import pytest
from multidict import MultiDict

from edge.errors import ClientError, InvalidRequest, NotFound
from edge.gateway.reading import SHOWN_CHARS, Query, clipped, known_id


def query(text: str) -> Query:
    pairs = [part.partition("=")[::2] for part in text.split("&")]
    return Query(MultiDict(pairs), "limit", "state", "since", "before")


def test_what_is_not_given_has_its_default() -> None:
    asked = query("")
    assert asked.number("limit", 50, 1, 500) == 50
    assert asked.choice("state", ("a", "b")) is None
    assert asked.time_ns("since") is None
    assert asked.task_id("before") is None


@pytest.mark.parametrize("text", ["limit=1&limit=1", "limits=1", "LIMIT=1", "x"])
def test_a_parameter_is_known_and_given_once(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        query(text)
    assert caught.value.field == text.partition("=")[0]


@pytest.mark.parametrize(
    "written", ["0", "501", "", "+5", " 5", "5 ", "0x5", "1_0", "\u0665", "\u00b2"]
)
def test_a_number_is_ascii_and_within_bounds(written: str) -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 500"):
        query(f"limit={written}").number("limit", 50, 1, 500)


@pytest.mark.parametrize("written", ["1", "500", "007"])
def test_a_number(written: str) -> None:
    assert query(f"limit={written}").number("limit", 50, 1, 500) == int(written)


def test_what_was_written_is_repeated_only_so_far() -> None:
    assert clipped("x" * SHOWN_CHARS) == "x" * SHOWN_CHARS
    errors: list[ClientError] = []
    for ask in (
        lambda: query("x" * 100_000),
        lambda: known_id("x" * 100_000, field="task_id"),
        lambda: query("before=" + "x" * 100_000).task_id("before"),
    ):
        with pytest.raises(ClientError) as caught:
            ask()
        errors.append(caught.value)
    assert all(len(str(error)) < 200 for error in errors)
    assert isinstance(errors[1], NotFound)
