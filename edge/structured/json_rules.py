"""JSON itself (RFC 8259) as rules, with white space that comes to an end.

Numbers and strings are not all that JSON allows, but what every reader takes for the same: whole
numbers of 15 digits, and no half of a surrogate pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.structured.grammar import (
    EMPTY,
    Chars,
    Grammar,
    Node,
    Ranges,
    Repeat,
    Rule,
    Text,
    chars,
    choice,
    common,
    optional,
    repeat,
    sequence,
)

INDENT_MAX: Final = 20
"""Blanks in a row, behind one line's end. Without a bound some models write nothing else."""

SPACE: Final = Rule("space")
"""Between two parts."""
COLON: Final = sequence(Text(":"), optional(Text(" ")))
COMMA: Final = sequence(Text(","), SPACE)
QUOTE: Final = Text('"')
STRING_CHAR: Final = Rule("char")
PLAIN: Final[Ranges] = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, 0x10FFFF))
"""Characters that stand in a string as they are."""
_DIGIT: Final = chars("0-9")
_HEX: Final = chars("0-9a-fA-F")
_SHORT: Final = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}


def listed(item: Node, least: int, most: int | None) -> Node:
    """Items with commas between them, so many."""
    if most is not None and most < 1:
        return EMPTY
    more = repeat(sequence(COMMA, item), max(0, least - 1), None if most is None else most - 1)
    found = sequence(item, more)
    return found if least else optional(found)


def bracketed(start: str, inside: Node, end: str) -> Node:
    """What stands in brackets, with white space once where there is nothing."""
    if isinstance(inside, Repeat) and (inside.least, inside.most) == (0, 1):
        inside = optional(sequence(inside.item, SPACE))
    elif inside is not EMPTY:
        inside = sequence(inside, SPACE)
    return sequence(Text(start), SPACE, inside, Text(end))


def _whole() -> Node:
    return choice(Text("0"), sequence(chars("1-9"), repeat(_DIGIT, 0, 14)))


def _unsigned() -> Node:
    fraction = optional(sequence(Text("."), repeat(_DIGIT, 1, 15)))
    exponent = optional(sequence(chars("eE"), optional(chars("+-")), repeat(_DIGIT, 1, 2)))
    return sequence(_whole(), fraction, exponent)


def _char() -> Node:
    # Half of a surrogate pair is no character (RFC 8259 section 8.2).
    code = choice(
        sequence(chars("0-9abcefABCEF"), repeat(_HEX, 3, 3)),
        sequence(chars("dD"), chars("0-7"), repeat(_HEX, 2, 2)),
    )
    escape = choice(chars('"\\/bfnrt'), sequence(Text("u"), code))
    return choice(Chars(PLAIN), sequence(Text("\\"), escape))


_MAKERS: Final[dict[str, Callable[[], Node]]] = {
    "space": lambda: optional(
        choice(Text(" "), sequence(Text("\n"), repeat(Text(" "), 0, INDENT_MAX)))
    ),
    "char": _char,
    "string": lambda: sequence(QUOTE, repeat(STRING_CHAR, 0, None), QUOTE),
    "unsigned-number": _unsigned,
    "number": lambda: sequence(optional(Text("-")), _unsigned()),
    "integer": lambda: sequence(optional(Text("-")), _whole()),
    "value": lambda: choice(
        *[Rule(name) for name in ("object", "array", "string", "number")],
        *[Text(text) for text in ("true", "false", "null")],
    ),
    "member": lambda: sequence(Rule("string"), COLON, Rule("value")),
    "object": lambda: bracketed("{", listed(Rule("member"), 0, None), "}"),
    "array": lambda: bracketed("[", listed(Rule("value"), 0, None), "]"),
}
NAMES: Final = frozenset(_MAKERS)


def rule(name: str) -> Node:
    """What the rule of this name says; it may use others of them."""
    return _MAKERS[name]()


def json_object() -> Grammar:
    """Any JSON object."""
    used = ("object", "member", "array", "value", "string", "char", "number", "space")
    return {"root": Rule("object")} | {name: rule(name) for name in used}


def escaped(node: Chars) -> Node:
    """These characters as they stand in a JSON string, each in one way."""
    options: list[Node] = []
    plain = common(node.ranges, PLAIN)
    if plain:
        options.append(Chars(plain))
    options += [
        Text("\\" + (_SHORT.get(code) or f"u{code:04x}"))
        for code in (*range(0x20), 34, 92)
        if any(low <= code <= high for low, high in node.ranges)
    ]
    return choice(*options)
