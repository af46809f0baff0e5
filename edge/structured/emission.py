"""From what is said of a value to the rules that say such values."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from edge.structured import json_rules, numbers, patterns, string_formats
from edge.structured.grammar import (
    EMPTY,
    NOTHING,
    Chars,
    Grammar,
    Node,
    Rule,
    Series,
    Text,
    choice,
    common,
    inverted,
    one_of,
    optional,
    repeat,
    sequence,
)
from edge.structured.json_rules import COLON, COMMA, PLAIN, QUOTE, STRING_CHAR
from edge.structured.keywords import Conjunction, Path, Said, kind_of, refuse
from edge.structured.pruning import rules_of

PREFIX_ITEMS_MAX: Final = 64
NAMES_MAX: Final = 256
_SERIES_MAX: Final = 64
_PATTERN_COST: Final = 8
_CHARS_OF_COST: Final = 4
_LOOKS_AHEAD: Final = 16
"""Characters by which a member that is not named is told from those that are."""

Alternatives = Callable[[Conjunction], list[Said]]
Work = Callable[[Path, int], object]
"""Hears of so much work for what stands there, and may have had enough of it."""


class Emitter:
    """Writes rules into the grammar, one for each schema, named ``{name}`` and ``{name}-1``…."""

    def __init__(self, alternatives: Alternatives, work: Work, grammar: Grammar, name: str) -> None:
        self._alternatives = alternatives
        self._work = work
        self._grammar = grammar
        self._name = name
        self._rules: dict[tuple[Any, ...], str] = {}
        # One after the other, because recursion is what deep schemas exhaust.
        self._waiting: deque[tuple[str, Conjunction]] = deque()
        self._used = 0

    def emit(self, places: Conjunction) -> str:
        """Writes the rule for this schema, and all others that it needs; its name."""
        root = self._rule(places).name
        while self._waiting:
            name, conjunction = self._waiting.popleft()
            self._grammar[name] = self._value(conjunction)
        needed = [rule for node in self._grammar.values() for rule in rules_of(node)]
        while needed:
            name = needed.pop()
            if name in json_rules.NAMES and name not in self._grammar:
                self._grammar[name] = json_rules.rule(name)
                needed += rules_of(self._grammar[name])
        return root

    def _fresh(self) -> str:
        self._used += 1
        return self._name if self._used == 1 else f"{self._name}-{self._used - 1}"

    def _rule(self, places: Conjunction) -> Rule:
        key = tuple(place.path for place in places)
        if key not in self._rules:
            if not key:
                return Rule("value")
            self._rules[key] = self._fresh()
            self._waiting.append((self._rules[key], places))
        return Rule(self._rules[key])

    def _value(self, places: Conjunction) -> Node:
        return choice(*[self._said(said) for said in self._alternatives(places)])

    def _said(self, said: Said) -> Node:
        if said.values is not None:
            return one_of([orjson.dumps(each).decode() for each in _allowed(said)])
        if said.anything:
            return Rule("value")
        if said.pattern is not None or said.format is not None:
            self._work(said.path, _PATTERN_COST + len(said.pattern or "") // _CHARS_OF_COST)
        kinds = said.kinds()
        makers: dict[str, Callable[[Said], Node]] = {
            "object": self._object, "array": self._array, "string": _string,
            "number": _number, "integer": _integer,
            "boolean": lambda _: choice(Text("true"), Text("false")),
            "null": lambda _: Text("null"),
        }  # fmt: skip
        return choice(
            *[
                make(said)
                for kind, make in makers.items()
                if kind in kinds and not (kind == "integer" and "number" in kinds)
            ]
        )

    # ---- objects

    def _object(self, said: Said) -> Node:
        properties = dict(said.properties)
        self._work(said.path, len(properties))
        others = self._others(said)
        for name in said.required:
            if name not in properties:
                if said.extra is False:
                    return NOTHING
                # Whatever is said of others holds for it.
                properties[name] = said.extra or ()
        members = [
            (self._member(name, places), name in said.required)
            for name, places in properties.items()
        ]
        least, most = said.members_least, said.members_most
        if least > max(1, len(said.required)):
            raise refuse(
                "'minProperties' is supported up to the number of required members",
                (*said.path, "minProperties"),
            )
        other_most = None
        if most is not None:
            other_most = max(0, most - len(members))
            if most < len(said.required):
                return NOTHING
            if most < len(members):
                raise refuse(
                    "'maxProperties' is supported from the number of named members on",
                    (*said.path, "maxProperties"),
                )
        other: Node = NOTHING
        if others is not None and other_most != 0:
            other = self._other(properties, others, said.path)
        inside = self._in_order(members, other, other_most, least > 0)
        return json_rules.bracketed("{", inside, "}")

    def _others(self, said: Said) -> Conjunction | None:
        """What members are that are not named; None when there are none."""
        if said.extra is None:
            return None if said.listed else ()
        return None if said.extra is False else said.extra

    def _member(self, name: str, places: Conjunction) -> Node:
        return sequence(Text(orjson.dumps(name).decode()), COLON, self._rule(places))

    def _other(self, properties: dict[str, Conjunction], places: Conjunction, path: Path) -> Node:
        """A member of any other name. It is written without escapes: a name has one spelling then,
        and is never one of those that are taken."""
        name = self._name_but(list(properties), path) if properties else Rule("string")
        return sequence(name, COLON, self._rule(places))

    def _name_but(self, taken: list[str], path: Path) -> Node:
        if len(taken) > NAMES_MAX:
            raise refuse(f"'additionalProperties' beside more than {NAMES_MAX} names", path)
        return sequence(QUOTE, _differing([name[:_LOOKS_AHEAD] for name in taken]), QUOTE)

    def _in_order(
        self, members: list[tuple[Node, bool]], other: Node, other_most: int | None, some: bool
    ) -> Node:
        """Members in their order, those that need not be in any subset, then others. Each has one
        rule, whatever was before it, so that a hundred of them take a hundred rules."""
        body = json_rules.listed(other, 1, other_most) if other is not NOTHING else NOTHING
        needed = False
        for member, required in reversed(members):
            after = EMPTY if body is NOTHING else sequence(COMMA, body)
            if not needed and after is not EMPTY:
                after = optional(after)
            here = sequence(member, after)
            if required:
                body, needed = here, True
                if isinstance(body, Series) and len(body.parts) > _SERIES_MAX:
                    body = self._named(body)
            else:
                body = self._named(choice(here, body))
        if needed or some:
            return body
        return EMPTY if body is NOTHING else optional(body)

    def _named(self, node: Node) -> Node:
        name = self._fresh()
        self._grammar[name] = node
        return Rule(name)

    # ---- arrays

    def _array(self, said: Said) -> Node:
        least, most, prefix = said.items_least, said.items_most, said.prefix
        if len(prefix) > PREFIX_ITEMS_MAX:
            raise refuse(f"more than {PREFIX_ITEMS_MAX} items by their places", said.path)
        if most is not None and most < least:
            return NOTHING
        rest: Conjunction = said.items or ()
        if said.unique and most not in (0, 1):
            return self._unique(said, rest)
        item: Node = NOTHING if said.items is False else self._rule(rest)
        more = None if most is None else max(0, most - len(prefix))
        inside: Node = NOTHING
        if item is not NOTHING and more != 0:
            inside = json_rules.listed(item, max(1, least - len(prefix)), more)
        elif least > len(prefix):
            return NOTHING
        for at in reversed(range(len(prefix) if most is None else min(most, len(prefix)))):
            after = EMPTY if inside is NOTHING else sequence(COMMA, inside)
            if least <= at + 1 and after is not EMPTY:
                after = optional(after)
            inside = sequence(self._rule(prefix[at]), after)
        if least == 0:
            inside = EMPTY if inside is NOTHING else optional(inside)
        return json_rules.bracketed("[", inside, "]")

    def _unique(self, said: Said, rest: Conjunction) -> Node:
        """Different items out of a list of values come in the order of that list."""
        alternatives = self._alternatives(rest)
        listed = rest and all(each.values is not None for each in alternatives)
        values = [value for each in alternatives for value in _allowed(each)] if listed else []
        texts = list(dict.fromkeys(orjson.dumps(value).decode() for value in values))
        most = len(texts) if said.items_most is None else said.items_most
        if not listed or said.prefix or said.items_least > 1 or most < len(texts):
            raise refuse(
                "'uniqueItems' is supported for items of an enum, any number of them",
                (*said.path, "uniqueItems"),
            )
        members: list[tuple[Node, bool]] = [(Text(text), False) for text in texts]
        inside = self._in_order(members, NOTHING, None, said.items_least > 0)
        return json_rules.bracketed("[", inside, "]")


def _differing(starts: list[str], depth: int = 0) -> Node:
    """Names that are none of those of which these are the rests. What goes on like one of
    them for `_LOOKS_AHEAD` characters is left out."""
    nexts: dict[str, list[str]] = {}
    for start in starts:
        if start:
            nexts.setdefault(start[0], []).append(start[1:])
    others = common(PLAIN, inverted((ord(char), ord(char)) for char in nexts))
    options: list[Node] = [sequence(Chars(others), repeat(Chars(PLAIN), 0, None))]
    # An end here would be the name itself, or for the first character no name at all.
    if depth and "" not in starts:
        options.append(EMPTY)
    for char, rests in nexts.items():
        code = ord(char)
        if any(low <= code <= high for low, high in PLAIN) and depth + 1 < _LOOKS_AHEAD:
            options.append(sequence(Text(char), _differing(rests, depth + 1)))
    return choice(*options)


def _allowed(said: Said) -> list[Any]:
    """Those of the listed values that all else holds for."""
    for name in ("pattern", "format"):
        if getattr(said, name) is not None:
            raise refuse(f"'{name}' beside a list of values is not supported", said.path)
    assert said.values is not None, "it is asked for a list of values"
    return [value for value in said.values if _fits(said, value)]


def _fits(said: Said, value: Any) -> bool:
    kind = kind_of(value)
    if kind == "number":
        whole = isinstance(value, int) or value.is_integer()
        if not ("number" in said.types or (whole and "integer" in said.types)):
            return False
        exact = Decimal(repr(value))
        low, high = said.low, said.high
        above = low is None or exact > low[0] or (exact == low[0] and not low[1])
        below = high is None or exact < high[0] or (exact == high[0] and not high[1])
        return above and below
    if kind not in said.types:
        return False
    if kind == "string":
        most = said.chars_most
        return said.chars_least <= len(value) and (most is None or len(value) <= most)
    structured = said.properties or said.required or said.extra is not None or said.prefix
    bounded = said.members_least or said.members_most or said.items_least or said.items_most
    if kind in ("object", "array") and (structured or bounded or said.items or said.unique):
        raise refuse("objects and lists as values beside what else is said", said.path)
    return True


# ---- strings and numbers


def _string(said: Said) -> Node:
    least, most = said.chars_least, said.chars_most
    if most is not None and most < least:
        return NOTHING
    pattern, keyword = said.pattern, "pattern"
    if said.format is not None and said.format not in string_formats.SAYS_NOTHING:
        path = (*said.path, "format")
        if said.format not in string_formats.PATTERNS:
            raise refuse(f"'format' {said.format[:40]!r} is not supported", path)
        if pattern is not None:
            raise refuse("'format' beside 'pattern' is not supported", path)
        pattern, keyword = string_formats.PATTERNS[said.format], "format"
    if pattern is None:
        if not least and most is None:
            return Rule("string")
        return sequence(QUOTE, repeat(STRING_CHAR, least, most), QUOTE)
    try:
        node = _by_pattern(pattern, least, most)
    except patterns.PatternError as error:
        sentence = f"'pattern' {pattern[:80]!r}: {error}"
        raise refuse(sentence, (*said.path, "pattern")) from error
    if node is None:
        raise refuse(f"'{keyword}' with these lengths is not supported", (*said.path, keyword))
    return sequence(QUOTE, node, QUOTE)


@lru_cache(maxsize=64)
def _by_pattern(pattern: str, least: int, most: int | None) -> Node | None:
    """What stands between the quotes; None where the lengths cannot be had."""
    node = patterns.fitted(patterns.read(pattern), least, most)
    return None if node is None else patterns.in_json(node)


def _integer(said: Said) -> Node:
    low = high = None
    if said.format is not None:
        if said.format in string_formats.INTEGERS:
            low, high = string_formats.INTEGERS[said.format]
        elif said.format not in string_formats.SAYS_NOTHING and "string" not in said.types:
            raise refuse(f"'format' {said.format[:40]!r} is not supported", (*said.path, "format"))
    if said.low is not None:
        value, strict = said.low
        bound = _ceiling(value) + (strict and value % 1 == 0)
        low = bound if low is None else max(low, bound)
    if said.high is not None:
        value, strict = said.high
        bound = -_ceiling(-value) - (strict and value % 1 == 0)
        high = bound if high is None else min(high, bound)
    for each in (low, high):
        if each is not None and abs(each) > numbers.BOUND_MAX:
            raise refuse("a bound of more than 64 bits", said.path)
    return numbers.integer(low, high)


def _ceiling(value: Decimal) -> int:
    whole = int(value)
    return whole + (value > whole)


def _number(said: Said) -> Node:
    if said.format is not None and "string" not in said.types:
        known = string_formats.SAYS_NOTHING | string_formats.INTEGERS.keys()
        if said.format not in known:
            raise refuse(f"'format' {said.format[:40]!r} is not supported", (*said.path, "format"))
        if said.format in string_formats.INTEGERS:
            return _integer(said)
    for keyword, bound in (("minimum", said.low), ("maximum", said.high)):
        if bound is not None and numbers.significant(bound[0]) > numbers.INTEGER_DIGITS - 3:
            sentence = f"'{keyword}' of so many digits is not supported for numbers"
            raise refuse(sentence, (*said.path, keyword))
    low = None if said.low is None else numbers.Bound(*said.low)
    high = None if said.high is None else numbers.Bound(*said.high)
    return numbers.number(low, high)
