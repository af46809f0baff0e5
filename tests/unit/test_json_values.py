from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.json_values import LEVELS_MAX, has_inexact_number, too_deep, whole_number


def nested(levels: int, inner: object = 1) -> object:
    value = inner
    for level in range(levels):
        value = [0, value] if level % 2 else {"a": 0, "b": value}
    return value


def levels_of(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels_of, value), default=0) if isinstance(value, list) else 0


def test_as_many_levels_as_may_be_and_one_more() -> None:
    for inner in (1, "[[[[", None):
        assert not too_deep(nested(LEVELS_MAX, inner))
        assert too_deep(nested(LEVELS_MAX + 1, inner))
    assert not too_deep(nested(LEVELS_MAX - 1, []))
    assert too_deep(nested(LEVELS_MAX, {}))


def test_a_value_that_the_library_reads_is_deep_enough_to_break_what_recurs() -> None:
    assert too_deep(orjson.loads(b"[" * 1_024 + b"]" * 1_024))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.integers(0, 5))
def test_levels_are_counted(value: object, levels: int) -> None:
    assert too_deep(value, levels) == (levels_of(value) > levels)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5), (5.0, 5), (-0.0, 0), (2.0**53, 2**53), (2**64 - 1, 2**64 - 1),
        (True, None), (5.5, None), (1e308, None), (2.0**54, None), ("5", None), (None, None),
        ([5], None), (float("inf"), None), (float("nan"), None),
    ],
)  # fmt: skip
def test_which_values_are_whole_numbers(value: object, number: int | None) -> None:
    found = whole_number(value)
    assert found == number
    assert type(found) in (int, type(None))


@pytest.mark.parametrize(
    ("data", "inexact"),
    [
        (b"18446744073709551615", False),
        (b"18446744073709551616", True),
        (b"-9223372036854775808", False),
        (b"[-9223372036854775809]", True),
        (b'{"a":[1,{"b":99999999999999999999}]}', True),
        (b'{"a":"99999999999999999999"}', False),
        (b'{"99999999999999999999":1}', False),
        (b"1.99999999999999999999", False),
        (b"99999999999999999999e0", False),
        (b"1" * 309, True),
    ],
)
def test_whole_numbers_beyond_64_bits_are_found(data: bytes, inexact: bool) -> None:
    orjson.loads(data)
    assert has_inexact_number(data) is inexact


@given(JSON)
def test_what_has_no_inexact_number_comes_back_as_it_was(value: object) -> None:
    data = json.dumps(value).encode()
    if not has_inexact_number(data):
        assert orjson.loads(orjson.dumps(orjson.loads(data))) == value
