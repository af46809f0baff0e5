"""Reads GBNF, llama.cpp's notation of grammars, as far as it can be judged without it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from edge.structured.grammar import (
    ANY_CHAR,
    REPEATS_MAX,
    Chars,
    Choice,
    Grammar,
    Node,
    Ranges,
    Repeat,
    Rule,
    Text,
    choice,
    inverted,
    merged,
    repeat,
    sequence,
)
from edge.structured.pruning import rules_of

STACKED_MAX: Final = 4
"""Repetitions of repetitions, without a bracket between them."""
BRACKETS_MAX: Final = 200
"""Brackets within each other; people write some five."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_SPACE: Final = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_LINES: Final = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_SKIPPED: Final = frozenset(" \t\r\n#")
"""What white space and comments begin with."""
_TIMES: Final = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(,[ \t]*([0-9]{1,9})?[ \t]*)?\}")
_SHORT: Final = {"t": 9, "r": 13, "n": 10, "\\": 92, '"': 34, "[": 91, "]": 93}
_HEX: Final = {"x": 2, "u": 4, "U": 8}


class GbnfError(ValueError):
    """It is no grammar; the sentence says why, and in which line."""


def read(text: str) -> Grammar:
    """The rules, those of its brackets among them. `GbnfError` for what llama.cpp would refuse, or
    never come to an end with: a rule that is not there, or that begins with itself."""
    grammar = _Reader(text).grammar()
    if "root" not in grammar:
        raise GbnfError("there is no rule root")
    for name, node in grammar.items():
        for used in rules_of(node):
            if used not in grammar:
                raise GbnfError(f"the rule {name.partition('(')[0]} uses {used}, which is no rule")
    _refuse_left_recursion(grammar)
    return grammar


@dataclass(slots=True)
class _Open:
    """A bracket, or a rule, that is being read."""

    name: str
    options: list[Node] = field(default_factory=list)
    parts: list[Node] = field(default_factory=list)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._rules: Grammar = {}

    def grammar(self) -> Grammar:
        self._skip(_LINES)
        while self._at < len(self._text):
            name = self._take(_NAME)
            if name is None:
                raise self._error("a rule's name is missing")
            self._skip(_SPACE)
            if not self._text.startswith("::=", self._at):
                raise self._error("::= is missing")
            self._at += 3
            self._skip(_LINES)
            self._rules[name] = self._body(name)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("this cannot stand here")
            self._skip(_LINES)
        return self._rules

    def _body(self, name: str) -> Node:
        """What stands behind ``::=``. Each bracket becomes a rule of its own, under a name that no
        grammar can have, so that nothing that reads the result goes deep."""
        opened = [_Open(name)]
        brackets = 0
        while True:
            char = self._text[self._at : self._at + 1]
            here = opened[-1]
            if char == "(":
                if len(opened) > BRACKETS_MAX:
                    raise self._error(f"more than {BRACKETS_MAX} brackets within each other")
                brackets += 1
                opened.append(_Open(f"{name}({brackets}"))
                self._at += 1
                self._skip(_LINES)
                continue
            if char == "|":
                here.options.append(sequence(*here.parts))
                here.parts = []
                self._at += 1
                self._skip(_LINES)
                continue
            if char == ")" and len(opened) > 1:
                self._at += 1
                opened.pop()
                here.options.append(sequence(*here.parts))
                self._rules[here.name] = choice(*here.options)
                item: Node = Rule(here.name)
            elif char and char not in "\r\n)":
                item = self._symbol(char)
            elif len(opened) > 1:
                raise self._error("a bracket is not closed")
            else:
                here.options.append(sequence(*here.parts))
                return choice(*here.options)
            nested = len(opened) > 1
            self._skip(_LINES if nested else _SPACE)
            opened[-1].parts.append(self._repeated(item, nested))

    def _symbol(self, char: str) -> Node:
        if char == '"':
            return Text("".join(map(chr, self._codes('"'))))
        if char == "[":
            return self._class()
        if char == ".":
            self._at += 1
            return ANY_CHAR
        name = self._take(_NAME)
        if name is None:
            raise self._error(f"{char!r} cannot stand here")
        return Rule(name)

    def _repeated(self, item: Node, nested: bool) -> Node:
        times = 0
        while True:
            char = self._text[self._at : self._at + 1]
            if times == STACKED_MAX and char in ("*", "+", "?", "{"):
                raise self._error(f"more than {STACKED_MAX} repetitions of each other")
            times += 1
            if char in ("*", "+", "?"):
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
                self._at += 1
            elif char == "{":
                found = _TIMES.match(self._text, self._at)
                if found is None:
                    raise self._error("what stands in {} has to be one number or two")
                least = int(found[1])
                upto = int(found[3]) if found[3] else None
                most = upto if found[2] else least
                if max(least, most or 0) > REPEATS_MAX:
                    raise self._error(f"a repetition may be of {REPEATS_MAX} at most")
                if most is not None and most < least:
                    raise self._error("a repetition of less than its least")
                self._at = found.end()
            else:
                return item
            item = repeat(item, least, most)
            self._skip(_LINES if nested else _SPACE)

    def _class(self) -> Node:
        negated = self._text.startswith("[^", self._at)
        self._at += negated
        ranges: list[tuple[int, int]] = []
        codes = self._codes("]", dashes=True)
        at = 0
        while at < len(codes):
            low = high = codes[at]
            at += 1
            if codes[at : at + 1] == [_DASH] and at + 1 < len(codes):
                high = codes[at + 1]
                at += 2
            low, high = (ord("-") if code == _DASH else code for code in (low, high))
            if high < low:
                raise self._error("a range of characters that ends before it begins")
            ranges.append((low, high))
        if not ranges:
            raise self._error("a class without characters")
        found: Ranges = inverted(ranges) if negated else merged(ranges)
        return Chars(found)

    def _codes(self, end: str, *, dashes: bool = False) -> list[int]:
        """Code points up to the closing character. A dash that is not escaped is `_DASH`."""
        self._at += 1
        codes: list[int] = []
        while True:
            char = self._text[self._at : self._at + 1]
            if not char or char in "\r\n":
                raise self._error(f"{end} is missing")
            self._at += 1
            if char == end:
                return codes
            if char == "\\":
                codes.append(self._escape())
            else:
                codes.append(_DASH if dashes and char == "-" else ord(char))

    def _escape(self) -> int:
        kind = self._text[self._at : self._at + 1]
        self._at += 1
        if kind in _SHORT:
            return _SHORT[kind]
        size = _HEX.get(kind, 0)
        digits = self._text[self._at : self._at + size]
        if not size or not re.fullmatch("[0-9a-fA-F]+", digits) or len(digits) != size:
            raise self._error(f"\\{kind} is no escape")
        self._at += size
        code = int(digits, 16)
        if code > 0x10FFFF:
            raise self._error("there is no such character")
        return code

    def _skip(self, what: re.Pattern[str]) -> None:
        if self._text[self._at : self._at + 1] not in _SKIPPED:
            return
        found = what.match(self._text, self._at)
        assert found is not None, "it also matches nothing"
        self._at = found.end()

    def _take(self, what: re.Pattern[str]) -> str | None:
        found = what.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _error(self, sentence: str) -> GbnfError:
        line = self._text.count("\n", 0, self._at) + 1
        return GbnfError(f"{sentence} (line {line})")


_DASH: Final = -1


def _refuse_left_recursion(grammar: Grammar) -> None:
    nullable = _nullable(grammar)
    first = {name: _first(node, nullable) for name, node in grammar.items()}
    done: set[str] = set()
    for start in grammar:
        way = [start]
        on_way = {start}
        while way:
            here = way[-1]
            while first[here]:
                there = first[here].pop()
                if there in on_way:
                    name = there.partition("(")[0]
                    raise GbnfError(f"the rule {name} begins with itself")
                if there not in done:
                    way.append(there)
                    on_way.add(there)
                    break
            else:
                done.add(way.pop())
                on_way.discard(here)


def _nullable(grammar: Grammar) -> set[str]:
    """The rules that the empty text satisfies."""
    users: dict[str, list[str]] = {}
    for name, node in grammar.items():
        for used in set(rules_of(node)):
            users.setdefault(used, []).append(name)
    nullable: set[str] = set()
    waiting = list(grammar)
    while waiting:
        name = waiting.pop()
        if name not in nullable and _may_be_empty(grammar[name], nullable):
            nullable.add(name)
            waiting += users.get(name, ())
    return nullable


def _may_be_empty(node: Node, nullable: set[str]) -> bool:
    if isinstance(node, Text):
        return not node.text
    if isinstance(node, Rule):
        return node.name in nullable
    if isinstance(node, Repeat):
        return node.least == 0 or _may_be_empty(node.item, nullable)
    if isinstance(node, Chars):
        return False
    if isinstance(node, Choice):
        return any(_may_be_empty(each, nullable) for each in node.options)
    return all(_may_be_empty(each, nullable) for each in node.parts)


def _first(node: Node, nullable: set[str]) -> set[str]:
    """The rules with which the node may begin."""
    if isinstance(node, Rule):
        return {node.name}
    if isinstance(node, Repeat):
        return _first(node.item, nullable)
    if isinstance(node, Text | Chars):
        return set()
    if isinstance(node, Choice):
        return set().union(*(_first(each, nullable) for each in node.options))
    found: set[str] = set()
    for part in node.parts:
        found |= _first(part, nullable)
        if not _may_be_empty(part, nullable):
            break
    return found
