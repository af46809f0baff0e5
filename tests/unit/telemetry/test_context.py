from __future__ import annotations

import asyncio
import contextvars

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.telemetry import context
from edge.telemetry.context import ID_CHARS_MAX, Asked, read_request_id, read_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize("text", ["a", "req_1", "0af7-65/x:y@z=+~.", "x" * ID_CHARS_MAX])
def test_an_id_is_taken_as_it_is(text: str) -> None:
    assert read_request_id(text) == text


@pytest.mark.parametrize(
    "text", [None, "", "a b", "a\n", "a\r\nX: y", "\u00e9", "<b>", '"', "x" * (ID_CHARS_MAX + 1)]
)
def test_what_could_not_be_told_is_none(text: str | None) -> None:
    assert read_request_id(text) is None


@given(st.text())
def test_whatever_is_taken_is_printable_and_short(text: str) -> None:
    if read_request_id(text) is not None:
        assert text.isascii()
        assert text.isprintable()
        assert 0 < len(text) <= ID_CHARS_MAX


@pytest.mark.parametrize("text", [GOOD, f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-ff"])
def test_a_traceparent_is_read(text: str) -> None:
    assert read_traceparent(text) == text


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert read_traceparent(f"cc-{TRACE}-{PARENT}-01-what-else") == GOOD


@pytest.mark.parametrize(
    "text",
    [
        None, "", "nonsense", GOOD.upper(), f"ff-{TRACE}-{PARENT}-01", f"{GOOD}-more", f" {GOOD}",
        f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{PARENT}",
        f"00-{TRACE[:-1]}-{PARENT}-01", f"00-{TRACE}-{PARENT}-1", f"{GOOD}\n",
        f"cc-{TRACE}-{PARENT}-01.what",
    ],
)  # fmt: skip
def test_a_bad_one_is_none(text: str | None) -> None:
    assert read_traceparent(text) is None


async def test_what_a_request_starts_is_part_of_it() -> None:
    heard: dict[str, Asked | None] = {}

    async def work(name: str) -> None:
        await asyncio.sleep(0)
        heard[name] = context.asked()

    asked = Asked("mine")
    begun = context.begin(asked)
    inside = asyncio.create_task(work("inside"))
    context.end(begun)
    await asyncio.gather(inside, work("outside"))
    assert heard == {"inside": asked, "outside": None}
    assert Asked().request_id != Asked().request_id


def test_a_request_that_is_thrown_away_elsewhere_takes_nothing_from_who_does_it() -> None:
    own = Asked("own")
    elsewhere = contextvars.copy_context()
    begun = elsewhere.run(context.begin, Asked("thrown away"))
    outer = context.begin(own)
    context.end(begun)
    assert context.asked() is own
    context.end(outer)
