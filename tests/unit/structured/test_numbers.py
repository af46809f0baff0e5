"""Every number that the grammar allows lies between its bounds, and near both of them."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.structured import numbers
from edge.structured.grammar import NOTHING, Node, Repeat, gbnf
from edge.structured.json_rules import rule
from tests.support.drawn import Drawer

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
WHOLE = st.integers(-(10**6), 10**6)
DECIMAL = st.decimals(-1000, 1000, places=3, allow_nan=False)


def texts(node: Node, count: int = 40) -> list[str]:
    names = ("integer", "number", "unsigned-number")
    drawer = Drawer(gbnf({"root": node} | {name: rule(name) for name in names}), Random(5))
    found = [drawer.text() for _ in range(count)]
    assert all(map(NUMBER.fullmatch, found))
    return found


@given(WHOLE, WHOLE)
def test_whole_numbers(low: int, high: int) -> None:
    node = numbers.integer(low, high)
    assert (node is NOTHING) == (low > high)
    if low <= high:
        assert all(low <= int(text) <= high for text in texts(node))


def test_all_whole_numbers_between_the_bounds_can_be_said() -> None:
    found = set(texts(numbers.integer(-12, 23), 3_000))
    assert {int(text) for text in found} == set(range(-12, 24))


@pytest.mark.parametrize("bound", [0, 5, -7, 10**14, 2**63 - 1, -(2**63)])
def test_one_bound(bound: int) -> None:
    assert all(int(text) >= bound for text in texts(numbers.integer(bound, None)))
    assert all(int(text) <= bound for text in texts(numbers.integer(None, bound)))
    assert texts(numbers.integer(None, None))


@given(DECIMAL, DECIMAL, st.booleans(), st.booleans())
def test_numbers(low: Decimal, high: Decimal, above: bool, below: bool) -> None:
    assume(low < high)
    node = numbers.number(numbers.Bound(low, above), numbers.Bound(high, below))
    for text in texts(node):
        # As readers read it: a strict bound must not be what is left of a long fraction.
        value = float(text)
        assert float(low) < value if above else float(low) <= value
        assert value < float(high) if below else value <= float(high)


@pytest.mark.parametrize("value", ["0", "0.5", "-3.25", "1000", "123456789", "-5e9", "5e9"])
@pytest.mark.parametrize("strict", [False, True])
def test_one_bound_of_a_number(value: str, strict: bool) -> None:
    bound = numbers.Bound(Decimal(value), strict)
    for text in texts(numbers.number(bound, None)):
        assert Decimal(text) > bound.value or (Decimal(text) == bound.value and not strict)
    for text in texts(numbers.number(None, bound)):
        assert Decimal(text) < bound.value or (Decimal(text) == bound.value and not strict)
    assert texts(numbers.number(None, None))


@given(DECIMAL)
def test_the_same_bound_twice(value: Decimal) -> None:
    bound, strict = numbers.Bound(value, False), numbers.Bound(value, True)
    assert {Decimal(text) for text in texts(numbers.number(bound, bound))} == {value}
    assert numbers.number(bound, strict) is NOTHING


def test_digits_are_counted() -> None:
    for text, digits in (("0", 1), ("0.001", 3), ("120", 3), ("1e9", 10), ("1.25", 3)):
        assert numbers.significant(Decimal(text)) == digits


def test_fractions_end() -> None:
    node = numbers.number(numbers.Bound(Decimal(0), False), numbers.Bound(Decimal(1), False))
    waiting: list[Node] = [node]
    while waiting:
        each = waiting.pop()
        waiting += getattr(each, "parts", ()) + getattr(each, "options", ())
        if isinstance(each, Repeat):
            assert each.most is not None
            waiting.append(each.item)
