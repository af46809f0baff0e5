from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_S
from edge.gateway.times import FIRST_NS, LAST_NS, parse_time


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00+00:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T09:00:00 09:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.5Z", NS_PER_S // 2),
        ("1970-01-01T00:00:00." + "9" * 5_000 + "Z", NS_PER_S - 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * NS_PER_S),
        ("2000-02-29T00:00:00Z", 951_782_400 * NS_PER_S),
        ("0000-01-01T00:00:00+23:59", FIRST_NS),
        ("0000-02-29T00:00:00Z", FIRST_NS),
        ("0001-01-01T00:00:00+14:00", FIRST_NS),
        ("1677-09-21T00:12:43Z", FIRST_NS),
        ("1677-09-21T00:12:44Z", -9_223_372_036 * NS_PER_S),
        ("2262-04-11T23:47:16Z", 9_223_372_036 * NS_PER_S),
        ("2262-04-11T23:47:17Z", LAST_NS),
        ("9999-12-31T23:59:60.999999999-23:59", LAST_NS),
    ],
)
def test_a_time(text: str, at_ns: int) -> None:
    assert parse_time(text) == at_ns


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-31", "12:00:00Z", "2026-01-31T12:00:00", "20260131T120000Z",
        "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z", "2026-01-31T12:00:61Z", "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+09:60", "2026-01-31T12:00:00+9", "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00.5Z", "+2026-01-31T12:00:00Z", "12026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n", " 2026-01-31T12:00:00Z", "2026-W01-1T12:00:00Z",
        "\uff12026-01-31T12:00:00Z", "2026-01-31T12:00:00\u00a0" + "09:00", "1769860800",
    ],
)  # fmt: skip
def test_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
# Those whose Unix time in nanoseconds is of 64 bits, in any zone.
FROM, TO = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1678, 2262))
MOMENTS = st.datetimes(FROM, TO, timezones=ZONES)


@given(MOMENTS)
def test_what_python_writes_is_read(at: datetime) -> None:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(at.isoformat()) == since // timedelta(microseconds=1) * 1_000
