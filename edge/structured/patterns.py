"""Regular expressions of JSON Schema's ``pattern``, as far as a grammar can say them.

What is read is what ECMA-262 and Python's `re` agree on: literal characters, classes, ``.``,
groups, ``|``, repetitions, and ``^`` and ``$`` at the ends. Where the two differ about which
characters are meant (``\\d`` and ``\\w`` beyond ASCII), only those are said that both mean. All
else, such as looking around or back, is refused by its name.
"""

from __future__ import annotations

import re
from math import isqrt
from typing import Final

from edge.structured.grammar import (
    ANY_CHAR,
    EMPTY,
    REPEATS_MAX,
    Chars,
    Choice,
    Node,
    Ranges,
    Repeat,
    Rule,
    Series,
    Text,
    chars,
    choice,
    common,
    inverted,
    merged,
    repeat,
    sequence,
)
from edge.structured.json_rules import STRING_CHAR, escaped

PATTERN_CHARS_MAX: Final = 2_000
GROUPS_MAX: Final = 20
"""Groups within each other."""

_ASCII: Final[Ranges] = ((0x20, 0x7E),)
_WORD: Final = chars("0-9A-Za-z_").ranges
_NO_SPACE: Final = inverted(
    (low, high or low)
    for low, high in (
        (9, 13), (28, 32), (0x85, 0), (0xA0, 0), (0x1680, 0), (0x180E, 0), (0x2000, 0x200A),
        (0x2028, 0x2029), (0x202F, 0), (0x205F, 0), (0x3000, 0), (0xFEFF, 0),
    )
)  # fmt: skip
_CLASSES: Final[dict[str, Ranges]] = {
    "d": chars("0-9").ranges,
    "w": _WORD,
    "s": ((9, 13), (32, 32)),
    "D": common(_ASCII, inverted(chars("0-9").ranges)),
    "W": common(_ASCII, inverted(_WORD)),
    "S": _NO_SPACE,
}
_NEGATED: Final[dict[str, Ranges]] = {name: _CLASSES[name.swapcase()] for name in _CLASSES}
"""What is left where the class is excluded, by both dialects."""
_DOT: Final = Chars(inverted([(10, 10), (13, 13), (0x2028, 0x2029)]))
_CONTROL: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_HEX: Final = {"x": 2, "u": 4}
_TIMES: Final = re.compile(r"\{([0-9]{1,9})(,([0-9]{1,9})?)?\}")


class PatternError(ValueError):
    """This pattern cannot be turned into a grammar; the sentence says what in it."""


def read(pattern: str) -> Node:
    """Texts in which the pattern is found, as characters (see `in_json`)."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise PatternError(f"it is longer than {PATTERN_CHARS_MAX} characters")
    return _Reader(pattern).whole()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._groups = 0

    def whole(self) -> Node:
        options = []
        while True:
            start = self._next("^")
            node = self._series()
            end = self._next("$")
            anything = repeat(ANY_CHAR, 0, None)
            options.append(sequence(EMPTY if start else anything, node, EMPTY if end else anything))
            if self._at == len(self._text):
                return choice(*options)
            if not self._next("|"):
                raise self._error()

    def _next(self, char: str) -> bool:
        found = self._text.startswith(char, self._at)
        self._at += found
        return found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self) -> PatternError:
        rest = self._text[self._at : self._at + 12]
        if not rest:
            return PatternError("it ends too early")
        what = {"^": "an anchor inside", "$": "an anchor inside"}.get(rest[0], "")
        return PatternError(f"{what or repr(rest)} at character {self._at} is not supported")

    def _series(self) -> Node:
        parts = []
        while self._peek() not in ("", "|", ")", "$", "^"):
            parts.append(self._repeated(self._item()))
        return sequence(*parts)

    def _item(self) -> Node:
        char = self._peek()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            ranges = self._escape(negated=False)
            if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
                return Text(chr(ranges[0][0]))
            return Chars(ranges)
        if char in "*+?{":
            raise self._error()
        self._at += 1
        return _DOT if char == "." else Text(char)

    def _group(self) -> Node:
        found = re.compile(r"\((\?:|\?P?<[A-Za-z_][A-Za-z_0-9]*>)?(?!\?)").match(
            self._text, self._at
        )
        if found is None:
            raise self._error()
        if self._groups == GROUPS_MAX:
            raise PatternError(f"it has more than {GROUPS_MAX} groups within each other")
        self._groups += 1
        self._at = found.end()
        options = [self._series()]
        while self._next("|"):
            options.append(self._series())
        if not self._next(")"):
            raise self._error()
        self._groups -= 1
        return choice(*options)

    def _repeated(self, item: Node) -> Node:
        char = self._peek()
        if char in ("*", "+", "?") and char:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            self._at += 1
        elif found := _TIMES.match(self._text, self._at):
            least = int(found[1])
            upto = int(found[3]) if found[3] else None
            most = upto if found[2] else least
            if max(least, most or 0) > REPEATS_MAX:
                raise PatternError(f"a repetition of more than {REPEATS_MAX} is not supported")
            if most is not None and most < least:
                raise self._error()
            self._at = found.end()
        elif char == "{":
            raise self._error()
        else:
            return item
        # Taking as few as possible finds the same texts.
        self._next("?")
        if self._peek() in ("*", "+", "?", "{") and self._peek():
            raise self._error()
        return repeat(item, least, most)

    def _class(self) -> Node:
        begin = self._at
        self._at += 1
        negated = self._next("^")
        ranges: list[tuple[int, int]] = []
        allowed: Ranges = ANY_CHAR.ranges
        while not self._next("]"):
            here = self._class_item(negated)
            if len(here) == 1 and here[0][0] == here[0][1]:
                after = self._text[self._at + 1 : self._at + 2]
                if self._peek() == "-" and after not in ("]", ""):
                    self._at += 1
                    last = self._class_item(negated)
                    if len(last) != 1 or last[0][0] != last[0][1] or last[0] < here[0]:
                        raise self._error()
                    here = ((here[0][0], last[0][0]),)
                ranges += here
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                raise self._error()
            elif negated:
                allowed = common(allowed, here)
            else:
                ranges += here
        if not ranges and not negated:
            self._at = begin
            raise self._error()
        if not negated:
            return Chars(merged(ranges))
        found = common(allowed, inverted(ranges))
        if not found:
            raise PatternError("a class of no characters")
        return Chars(found)

    def _class_item(self, negated: bool) -> Ranges:
        char = self._peek()
        if not char or (char == "[" and self._text[self._at + 1 : self._at + 2] in ":.="):
            raise self._error()
        if char == "\\":
            return self._escape(negated=negated, in_class=True)
        self._at += 1
        return ((ord(char), ord(char)),)

    def _escape(self, *, negated: bool, in_class: bool = False) -> Ranges:
        """What an escape means; of a class that is excluded, what is left."""
        char = self._text[self._at + 1 : self._at + 2]
        if char and char in _CLASSES:
            self._at += 2
            return _NEGATED[char] if negated else _CLASSES[char]
        if char in _CONTROL and char:
            after = self._text[self._at + 2 : self._at + 3]
            if char == "0" and after.isdigit():
                raise self._error()
            code = _CONTROL[char]
            self._at += 2
        elif char in _HEX and char:
            digits = self._text[self._at + 2 : self._at + 2 + _HEX[char]]
            if not re.fullmatch(f"[0-9a-fA-F]{{{_HEX[char]}}}", digits):
                raise self._error()
            code = int(digits, 16)
            if 0xD800 <= code <= 0xDFFF:
                raise self._error()
            self._at += 2 + len(digits)
        elif char == "b" and in_class:
            code = 8
            self._at += 2
        elif not char or char.isalnum():
            raise self._error()
        else:
            code = ord(char)
            self._at += 2
        return ((code, code),)


def in_json(node: Node) -> Node:
    """The characters as they are written within a JSON string."""
    if node is ANY_CHAR:
        return STRING_CHAR
    if isinstance(node, Chars):
        return escaped(node)
    if isinstance(node, Text):
        codes = [escaped(Chars(((ord(char), ord(char)),))) for char in node.text]
        return sequence(*codes)
    if isinstance(node, Repeat):
        return repeat(in_json(node.item), node.least, node.most)
    if isinstance(node, Series):
        return sequence(*map(in_json, node.parts))
    assert isinstance(node, Choice), "a pattern names no rules"
    return choice(*map(in_json, node.options))


# ---- lengths


def lengths(node: Node) -> tuple[int, int | None]:
    """How many characters its texts have, at the least and at the most."""
    if isinstance(node, Chars):
        return 1, 1
    if isinstance(node, Text):
        return len(node.text), len(node.text)
    if isinstance(node, Repeat):
        least, most = lengths(node.item)
        endless = node.most is None or most is None
        return least * node.least, None if endless else (most or 0) * (node.most or 0)
    assert not isinstance(node, Rule), "a pattern names no rules"
    if isinstance(node, Series):
        sizes = [lengths(part) for part in node.parts]
        total = 0
        for _, most in sizes:
            if most is None:
                return sum(low for low, _ in sizes), None
            total += most
        return sum(low for low, _ in sizes), total
    sizes = [lengths(option) for option in node.options]
    tops = [most for _, most in sizes]
    ends = [most for most in tops if most is not None]
    return min(low for low, _ in sizes), max(ends) if len(ends) == len(tops) else None


def fitted(node: Node, least: int, most: int | None) -> Node | None:
    """Texts of this node that have from ``least`` to ``most`` characters: all of them, or where
    that would take a large grammar some. None where none was found."""
    low, high = lengths(node)
    fits_above = most is None or (high is not None and high <= most)
    if low >= least and fits_above:
        return node
    if (most is not None and low > most) or (high is not None and high < least):
        return None
    if isinstance(node, Choice):
        options = [fit for each in node.options if (fit := fitted(each, least, most)) is not None]
        return choice(*options) if options else None
    if isinstance(node, Repeat):
        return _fitted_repeat(node, least, most)
    if isinstance(node, Series):
        return _fitted_series(node, least, most)
    return None


def _fitted_repeat(node: Repeat, least: int, most: int | None) -> Node | None:
    low, high = lengths(node.item)
    if low == 0:
        return None
    fewest = max(node.least, -(-least // low))
    if most is None:
        fits = node.most is None or fewest <= node.most
        return repeat(node.item, fewest, node.most) if fits else None
    item: Node | None = node.item
    if high is None or fewest * high > most:
        # About as many items as each may have characters.
        count = max(node.least, 1, isqrt(most))
        count = count if node.most is None else min(count, node.most)
        fewest = max(node.least, least > 0)
        high = most // count
        item = fitted(node.item, max(low, -(-least // max(fewest, 1))), high)
    if item is None or not high:
        return None
    highest = most // high if node.most is None else min(most // high, node.most)
    return repeat(item, fewest, highest) if fewest <= highest else None


def _fitted_series(node: Series, least: int, most: int | None) -> Node | None:
    """What is left over at the top is shared by the parts of varying length; what is missing at the
    bottom is for the first that can have it."""
    sizes = [lengths(part) for part in node.parts]
    lows = [low for low, _ in sizes]
    missing = max(0, least - sum(lows))
    for at, (low, high) in enumerate(sizes):
        more = missing if high is None else min(missing, high - low)
        lows[at] += more
        missing -= more
    highs = [high for _, high in sizes]
    if most is not None:
        spare = most - sum(lows)
        flexible = [at for at, high in enumerate(highs) if high is None or high > lows[at]]
        # Those that want least first: what they leave is for the others.
        flexible.sort(key=lambda at: most if highs[at] is None else highs[at] or 0)
        for number, at in enumerate(flexible):
            share = spare // (len(flexible) - number)
            high = highs[at]
            top = lows[at] + share if high is None else min(high, lows[at] + share)
            spare -= top - lows[at]
            highs[at] = top
    parts = []
    for part, low, high in zip(node.parts, lows, highs, strict=True):
        fit = fitted(part, low, high)
        if fit is None:
            return None
        parts.append(fit)
    return sequence(*parts)
