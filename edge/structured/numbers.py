"""Numbers between bounds, digit by digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from edge.structured.grammar import (
    EMPTY,
    NOTHING,
    Node,
    Rule,
    Text,
    chars,
    choice,
    optional,
    repeat,
    sequence,
)

INTEGER_DIGITS: Final = 15
"""Whole numbers of so many digits are exact everywhere: a float has 53 bits."""
BOUND_MAX: Final = 2**63
_DIGIT: Final = chars("0-9")
_ZEROS: Final = repeat(Text("0"), 0, 8)
_BIG: Final = 10**9
"""Where a number with a fraction has no bound on one side."""


def integer(low: int | None, high: int | None) -> Node:
    """A whole number from ``low`` to ``high``, both included; None is no bound."""
    if low is None and high is None:
        return Rule("integer")
    if low is None:
        assert high is not None
        low = min(-(10**INTEGER_DIGITS) + 1, high - 10**INTEGER_DIGITS)
    if high is None:
        high = max(10**INTEGER_DIGITS - 1, low + 10**INTEGER_DIGITS)
    if low > high:
        return NOTHING
    options = []
    if low < 0:
        options.append(sequence(Text("-"), _whole(max(1, -high), -low)))
    if high >= 0:
        options.append(_whole(max(0, low), high))
    return choice(*options)


def _whole(low: int, high: int) -> Node:
    """Digits of a number that is not negative, without leading zeros."""
    options = []
    for size in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (size - 1) if size > 1 else 0)
        last = min(high, 10**size - 1)
        options.append(_same_size(str(first), str(last)))
    return choice(*options)


def _same_size(low: str, high: str) -> Node:
    """All texts of digits between these, which are of the same length."""
    if low == high:
        return Text(low)
    if low[0] == high[0]:
        return sequence(Text(low[0]), _same_size(low[1:], high[1:]))
    size = len(low) - 1
    first, last = int(low[0]), int(high[0])
    options = []
    if low[1:].strip("0"):
        options.append(sequence(Text(low[0]), _same_size(low[1:], "9" * size)))
        first += 1
    if high[1:].strip("9"):
        options.append(sequence(Text(high[0]), _same_size("0" * size, high[1:])))
        last -= 1
    if first <= last:
        options.insert(0, sequence(_digits(first, last), repeat(_DIGIT, size, size)))
    return choice(*options)


def _digits(low: int, high: int) -> Node:
    return Text(str(low)) if low == high else chars(f"{low}-{high}")


class Bound:
    """A bound of a number; ``strict`` when the bound itself is not allowed."""

    __slots__ = ("strict", "value")

    def __init__(self, value: Decimal, strict: bool) -> None:
        self.value = value
        self.strict = strict


def significant(value: Decimal) -> int:
    """Digits that it takes to write the number without an exponent."""
    _, digits, exponent = value.normalize().as_tuple()
    assert isinstance(exponent, int), "it is finite"
    return max(len(digits) + max(0, exponent), -exponent)


def number(low: Bound | None, high: Bound | None) -> Node:
    """A number between the bounds. With bounds it has no exponent, and no more digits than a
    float tells apart: else one below a strict bound could be read as the bound itself."""
    if low is None and high is None:
        return Rule("number")
    if high is None and low is not None and low.value == 0 and not low.strict:
        return Rule("unsigned-number")
    if low is None:
        assert high is not None, "one of them is given"
        low = Bound(min(Decimal(-_BIG), high.value * 10), False)
    if high is None:
        high = Bound(max(Decimal(_BIG), low.value * 10), False)
    options = []
    zero = Bound(Decimal(0), False)
    if low.value < 0:
        near = Bound(-high.value, high.strict) if high.value < 0 else Bound(Decimal(0), True)
        options.append(sequence(Text("-"), _between(near, Bound(-low.value, low.strict))))
    if high.value >= 0:
        options.append(_between(low if low.value >= 0 else zero, high))
    return choice(*[option for option in options if option is not NOTHING])


def _between(low: Bound, high: Bound) -> Node:
    """Numbers without a sign."""
    if low.value > high.value or (low.value == high.value and (low.strict or high.strict)):
        return NOTHING
    first, last = int(low.value), int(high.value)
    above, below = _fraction(low.value), _fraction(high.value)
    room = max(1, INTEGER_DIGITS - len(str(last)))
    if first == last:
        part = _fraction_between(above, low.strict, below, high.strict, room)
        return sequence(Text(str(first)), part)
    options = [sequence(Text(str(first)), _from(above, low.strict, room))]
    if first + 1 <= last - 1:
        free = optional(sequence(Text("."), repeat(_DIGIT, 1, room)))
        options.append(sequence(_whole(first + 1, last - 1), free))
    options.append(sequence(Text(str(last)), _up_to(below, high.strict, room)))
    return choice(*[option for option in options if option is not NOTHING])


def _fraction(value: Decimal) -> str:
    """The digits behind the point, without zeros at the end."""
    return f"{value % 1:f}".partition(".")[2].rstrip("0")


def _from(digits: str, strict: bool, room: int) -> Node:
    """The point and a fraction of at least these digits."""
    if not digits and not strict:
        return optional(sequence(Text("."), repeat(_DIGIT, 1, room)))
    return sequence(Text("."), _at_least(digits, strict, room))


def _at_least(digits: str, strict: bool, room: int) -> Node:
    if not digits:
        if not strict:
            return repeat(_DIGIT, 0, room)
        some = [
            sequence(Text("0" * zeros), chars("1-9"), repeat(_DIGIT, 0, room - zeros - 1))
            for zeros in range(min(room, 6))
        ]
        return choice(*some)
    digit = int(digits[0])
    rest = room - 1
    options = [sequence(Text(digits[0]), _at_least(digits[1:], strict, rest))]
    if digit < 9:
        options.append(sequence(_digits(digit + 1, 9), repeat(_DIGIT, 0, rest)))
    return choice(*options)


def _up_to(digits: str, strict: bool, room: int) -> Node:
    """The point and a fraction of at most these digits, or neither."""
    if not digits:
        return NOTHING if strict else optional(sequence(Text("."), Text("0"), _ZEROS))
    return optional(sequence(Text("."), _at_most(digits, strict, room)))


def _at_most(digits: str, strict: bool, room: int) -> Node:
    """One digit or more, not above these, and below them where it is strict."""
    digit, rest = int(digits[0]), digits[1:]
    options = []
    if digit:
        options.append(sequence(_digits(0, digit - 1), repeat(_DIGIT, 0, room - 1)))
    if rest:
        options.append(sequence(Text(digits[0]), optional(_at_most(rest, strict, room - 1))))
    elif not strict:
        options.append(Text(digits[0]))
    return choice(*options)


def _fraction_between(low: str, low_strict: bool, high: str, high_strict: bool, room: int) -> Node:
    """Fractions of the same whole number, point included. The bounds are not the same number, or
    neither is strict."""
    if low == high:
        return sequence(Text("." + low), repeat(Text("0"), 0, 2)) if low else EMPTY
    options: list[Node] = []
    if not low and not low_strict:
        options.append(EMPTY)
    options.append(sequence(Text("."), _between_digits(low, low_strict, high, high_strict, room)))
    return choice(*options)


def _between_digits(low: str, low_strict: bool, high: str, high_strict: bool, room: int) -> Node:
    if not low:
        if not low_strict:
            return _at_most(high, high_strict, room)
        low = "0"
        if high[0] == "0":
            rest = _between_digits("", True, high[1:], high_strict, room - 1)
            return sequence(Text("0"), rest)
    first, last = int(low[0]), int(high[0])
    if first == last:
        rest = _between_digits(low[1:], low_strict, high[1:], high_strict, room - 1)
        if not low[1:] and not low_strict:
            rest = choice(EMPTY, rest)
        return sequence(Text(low[0]), rest)
    options = [sequence(Text(low[0]), _at_least(low[1:], low_strict, room - 1))]
    if first + 1 < last:
        middle = _digits(first + 1, last - 1)
        options.append(sequence(middle, repeat(_DIGIT, 0, room - 1)))
    if high[1:]:
        end = optional(_at_most(high[1:], high_strict, room - 1))
        options.append(sequence(Text(high[0]), end))
    elif not high_strict:
        options.append(Text(high[0]))
    return choice(*options)
