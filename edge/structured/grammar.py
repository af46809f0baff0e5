"""Grammars as values, and how they are written for llama.cpp, in its notation GBNF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Ranges = tuple[tuple[int, int], ...]

REPEATS_MAX: Final = 2_000
"""llama.cpp refuses a repetition of more at the least, and takes more at the most for any number:
it would let through what is too long. So longer ones are written as repetitions of blocks."""
_BLOCK: Final = 100
_LAST_CHAR: Final = 0x10FFFF


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Chars:
    """One character out of these ranges of code points, both ends included."""

    ranges: Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """All parts, one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of the options; without any, nothing at all, not even the empty text."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """The item, so many times; ``most`` None is any number."""

    item: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What the rule of this name says."""

    name: str


Node = Text | Chars | Series | Choice | Repeat | Rule
Grammar = dict[str, Node]
"""Rules by their names; ``root`` is the whole text."""

EMPTY: Final = Text("")
NOTHING: Final = Choice(())
"""What no text satisfies."""
ANY_CHAR: Final = Chars(((0, _LAST_CHAR),))


def sequence(*parts: Node) -> Node:
    """The parts in their order, without needless levels."""
    flat: list[Node] = []
    for part in parts:
        if isinstance(part, Series):
            flat += part.parts
        elif isinstance(part, Text) and flat and isinstance(flat[-1], Text):
            flat[-1] = Text(flat[-1].text + part.text)
        elif not isinstance(part, Text) or part.text:
            flat.append(part)
    if any(part is NOTHING for part in flat):
        return NOTHING
    if not flat:
        return EMPTY
    return flat[0] if len(flat) == 1 else Series(tuple(flat))


def choice(*options: Node) -> Node:
    """One of them, without needless levels."""
    flat: list[Node] = []
    for option in options:
        flat += option.options if isinstance(option, Choice) else (option,)
    if not flat:
        return NOTHING
    return flat[0] if len(flat) == 1 else Choice(tuple(flat))


def repeat(item: Node, least: int, most: int | None) -> Node:
    """The item, from ``least`` to ``most`` times."""
    if most == 0 or (item is NOTHING and least == 0):
        return EMPTY
    if item is NOTHING:
        return NOTHING
    return item if (least, most) == (1, 1) else Repeat(item, least, most)


def optional(item: Node) -> Node:
    return repeat(item, 0, 1)


def chars(spelled: str) -> Chars:
    """A set as a regular expression spells it: ``a-z0-9_``. A dash at the end is one."""
    ranges, at = [], 0
    while at < len(spelled):
        low = ord(spelled[at])
        if spelled[at + 1 : at + 2] == "-" and at + 2 < len(spelled):
            ranges.append((low, ord(spelled[at + 2])))
            at += 3
        else:
            ranges.append((low, low))
            at += 1
    return Chars(merged(ranges))


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same characters in the fewest ranges, in their order."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def inverted(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All other characters."""
    found, start = [], 0
    for low, high in merged(ranges):
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST_CHAR:
        found.append((start, _LAST_CHAR))
    return tuple(found)


def common(one: Ranges, other: Ranges) -> Ranges:
    """The characters that are in both."""
    return merged(
        (max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d)
    )


_LEVELS: Final = 32
_FEW: Final = 8


def one_of(texts: Sequence[str], level: int = 0) -> Node:
    """One of these texts. Many are told apart by what they begin with: each open way costs
    llama.cpp a look at every token of the vocabulary."""
    texts = list(dict.fromkeys(texts))
    if len(texts) <= _FEW or level >= _LEVELS:
        return choice(*map(Text, texts))
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text[:1], []).append(text)
    options: list[Node] = []
    for group in groups.values():
        start = _beginning(group)
        rest = [text[len(start) :] for text in group]
        options.append(sequence(Text(start), one_of(rest, level + 1)))
    return choice(*options)


def _beginning(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    low, high = min(texts), max(texts)
    at = 0
    while at < min(len(low), len(high)) and low[at] == high[at]:
        at += 1
    return low[:at]


# ---- how it is written


def gbnf(grammar: Grammar, prefix: str = "") -> str:
    """The grammar's text, a rule a line; the prefix stands before every name."""
    written = _Written(prefix)
    lines = [f"{prefix}{name} ::= {written.node(node, 0)}" for name, node in grammar.items()]
    return "\n".join([*lines, *written.lines]) + "\n"


_CHOICE, _PART, _ITEM = range(3)
"""Where a node stands: alone, in a sequence, or under a repetition."""


class _Written:
    """Writes nodes; ``lines`` are the rules that came of it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.lines: list[str] = []

    def node(self, node: Node, place: int) -> str:
        if isinstance(node, Text):
            return _quoted(node.text)
        if isinstance(node, Chars):
            return _bracketed(node.ranges)
        if isinstance(node, Rule):
            return self._prefix + node.name
        if isinstance(node, Repeat):
            return self._repeat(node, place)
        if isinstance(node, Series):
            text = " ".join([self.node(part, _PART) for part in node.parts])
            return f"({text})" if place == _ITEM else text
        assert node.options, "what nothing satisfies was left out before"
        text = " | ".join([self.node(option, _CHOICE) for option in node.options])
        return f"({text})" if place != _CHOICE else text

    def _repeat(self, node: Repeat, place: int) -> str:
        item = self.node(node.item, _ITEM)
        least, most = node.least, node.most
        if max(least, most or 0) <= REPEATS_MAX:
            return item + _times(least, most)
        if len(item) > 16:
            name = f"{self._prefix}long-{len(self.lines)}"
            self.lines.append(f"{name} ::= {item}")
            item = name
        parts = []
        blocks, rest = divmod(least, _BLOCK)
        if blocks:
            parts.append(f"({item}{{{_BLOCK}}}){{{blocks}}}")
        if rest:
            parts.append(f"{item}{{{rest}}}")
        if most is None:
            parts.append(f"{item}*")
        elif most > least:
            blocks, rest = divmod(most - least, _BLOCK)
            if blocks > 1:
                parts.append(f"({item}{{{_BLOCK}}}){{0,{blocks - 1}}}")
            parts.append(f"{item}{{0,{(_BLOCK if blocks else 0) + rest}}}")
        text = " ".join(parts)
        return f"({text})" if place == _ITEM else text


def _times(least: int, most: int | None) -> str:
    if most is None:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    if (least, most) == (0, 1):
        return "?"
    return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


_ESCAPED: Final = frozenset('"\\[]^-()')
"""Round brackets too: the engine counts them wherever they stand."""


def _char(code: int) -> str:
    char = chr(code)
    if 0x20 <= code < 0x7F and char not in _ESCAPED:
        return char
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _quoted(text: str) -> str:
    return '"' + "".join([_char(ord(char)) for char in text]) + '"'


def _bracketed(ranges: Ranges) -> str:
    parts = [_char(low) if low == high else f"{_char(low)}-{_char(high)}" for low, high in ranges]
    return "[" + "".join(parts) + "]"
