"""The shortest end of a text that follows a grammar as far as it goes, and what may follow on it.

A text is walked through the grammar character by character. Where it may stand is a set of *rests*:
each is what has to come, part after part. This is how llama.cpp walks, which keeps them as stacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edge.structured.grammar import (
    Chars,
    Choice,
    Grammar,
    Node,
    Repeat,
    Rule,
    Series,
    Text,
    choice,
    gbnf,
    sequence,
)
from edge.structured.pruning import rules_of

CLOSING_CHARS_MAX: Final = 4_096
"""What is longer is not added: it would be more the node's answer than the model's."""
WORK_MAX: Final = 10_000
"""Rests looked at, some 3 microseconds each, on the node's loop. A text of which nothing is new
takes none; a string of bounded length takes six a character."""
_ENDLESS: Final = 1 << 60
_PREFERRED: Final = tuple(map(ord, "0aA "))


class _Rest:
    """What has to come: this node, from character ``at`` of it where it is a text, and then
    ``after``; nothing more where that is None. There is one object for each, so that they are told
    apart by what they are."""

    __slots__ = ("after", "at", "heads", "node")

    def __init__(self, node: Node, at: int, after: _Rest | None) -> None:
        self.node = node
        self.at = at
        self.after = after
        self.heads: tuple[_Rest, ...] | None = None


_DONE: Final = _Rest(Text(""), 0, None)
"""Nothing has to come any more."""


class _State:
    """The rests at one place of the text, each with a character or a text to come first."""

    __slots__ = ("nexts", "rests")

    def __init__(self, rests: tuple[_Rest, ...]) -> None:
        self.rests = rests
        self.nexts: dict[str, _State] = {}


class TooMuchWork(Exception):
    """The grammar leaves more ways open than are looked at."""


class Walk:
    """A grammar's way along a text. `TooMuchWork` also where it begins."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._rests: dict[tuple[int, int, int], _Rest] = {}
        self._fewer: dict[tuple[int, int, int | None], Repeat] = {}
        self._states: dict[tuple[int, ...], _State] = {}
        self._work = 0
        self._here = self._state([self._rest(grammar["root"], 0, None)])

    @property
    def fits(self) -> bool:
        """The text so far is the beginning of one that the grammar allows."""
        return bool(self._here.rests)

    @property
    def complete(self) -> bool:
        """The text so far is one that the grammar allows."""
        return _DONE in self._here.rests

    @property
    def rests(self) -> tuple[tuple[Node, ...], ...]:
        """What may come: the parts of each way that is open."""
        return tuple(tuple(_parts(rest)) for rest in self._here.rests)

    def go(self, text: str) -> None:
        """Further along. `TooMuchWork` where the grammar is too manifold for that."""
        here = self._here
        for char in text:
            there = here.nexts.get(char)
            if there is None:
                there = here.nexts[char] = self._next(here, ord(char))
            here = there
        self._here = here

    def _next(self, state: _State, code: int) -> _State:
        rests = []
        for rest in state.rests:
            node = rest.node
            if isinstance(node, Text):
                if node.text and ord(node.text[rest.at]) == code:
                    at = rest.at + 1
                    whole = at == len(node.text)
                    rests.append(rest.after or _DONE if whole else self._rest(node, at, rest.after))
            elif isinstance(node, Chars) and any(low <= code <= high for low, high in node.ranges):
                rests.append(rest.after or _DONE)
        return self._state(rests)

    def _state(self, rests: Iterable[_Rest]) -> _State:
        heads = {head: None for rest in rests for head in self._heads(rest)}
        key = tuple(sorted(map(id, heads)))
        if key not in self._states:
            self._states[key] = _State(tuple(heads))
        return self._states[key]

    def _rest(self, node: Node, at: int, after: _Rest | None) -> _Rest:
        if after is _DONE:
            after = None
        key = (id(node), at, id(after))
        if key not in self._rests:
            self._rests[key] = _Rest(node, at, after)
        return self._rests[key]

    def _heads(self, rest: _Rest) -> tuple[_Rest, ...]:
        """The same ways, each with what its next character has to be in front."""
        if rest.heads is None:
            found: dict[_Rest, None] = {}
            seen = {rest}
            waiting = [rest]
            while waiting:
                self._work += 1
                if self._work > WORK_MAX:
                    raise TooMuchWork
                each = waiting.pop()
                node = each.node
                if (
                    each is _DONE
                    or isinstance(node, Chars)
                    or (isinstance(node, Text) and node.text)
                ):
                    found[each] = None
                    continue
                for way in self._opened(each):
                    if way not in seen:
                        seen.add(way)
                        waiting.append(way)
            rest.heads = tuple(found)
        return rest.heads

    def _opened(self, rest: _Rest) -> list[_Rest]:
        node, after = rest.node, rest.after
        if isinstance(node, Rule):
            return [self._rest(self._grammar[node.name], 0, after)]
        if isinstance(node, Choice):
            return [self._rest(option, 0, after) for option in node.options]
        if isinstance(node, Series):
            for part in reversed(node.parts):
                after = self._rest(part, 0, after)
            return [after or _DONE]
        if isinstance(node, Repeat):
            ways = [] if node.least else [after or _DONE]
            if node.most is None or node.most > 0:
                ways.append(self._rest(node.item, 0, self._once_less(node, after)))
            return ways
        return [after or _DONE]

    def _once_less(self, node: Repeat, after: _Rest | None) -> _Rest | None:
        least = max(0, node.least - 1)
        most = None if node.most is None else node.most - 1
        if most == 0:
            return after
        if (least, most) == (node.least, node.most):
            return self._rest(node, 0, after)
        key = (id(node.item), least, most)
        if key not in self._fewer:
            self._fewer[key] = Repeat(node.item, least, most)
        return self._rest(self._fewer[key], 0, after)


def _parts(rest: _Rest) -> list[Node]:
    parts: list[Node] = []
    each: _Rest | None = rest
    while each is not None:
        node = each.node
        parts.append(Text(node.text[each.at :]) if isinstance(node, Text) else node)
        each = each.after
    return parts


def closing(grammar: Grammar, text: str) -> str | None:
    """The shortest text that makes this one whole; empty where it is. None where it is not the
    beginning of any, or where the end takes more than `CLOSING_CHARS_MAX` or too much work."""
    walk = _walked(grammar, text)
    if walk is None:
        return None
    sizes = _Sizes(grammar)
    found = min(walk.rests, key=lambda parts: sum(map(sizes.of, parts)))
    if sum(map(sizes.of, found)) > CLOSING_CHARS_MAX:
        return None
    return sizes.text(found)


def is_whole(grammar: Grammar, text: str) -> bool:
    """Whether the grammar allows this text. Also False where that takes too much work to say."""
    walk = _walked(grammar, text)
    return walk is not None and walk.complete


def following(grammar: Grammar, text: str) -> str | None:
    """What may follow on this text, as a grammar of its own in GBNF. None where nothing may, and
    where it takes too much work to say."""
    walk = _walked(grammar, text)
    if walk is None:
        return None
    rest = choice(*[sequence(*parts) for parts in walk.rests])
    # What the text began with is a rule that others may use.
    names = {name: f"r{number}" for number, name in enumerate(grammar)}
    rules = {names[name]: _renamed(node, names) for name, node in grammar.items()}
    return gbnf({"root": _renamed(rest, names)} | rules)


def _walked(grammar: Grammar, text: str) -> Walk | None:
    """The way along the text; None where there is none, and where it takes too much work."""
    try:
        walk = Walk(grammar)
        walk.go(text)
    except TooMuchWork:
        return None
    return walk if walk.fits else None


def _renamed(node: Node, names: dict[str, str]) -> Node:
    if isinstance(node, Rule):
        return Rule(names[node.name])
    if isinstance(node, Repeat):
        return Repeat(_renamed(node.item, names), node.least, node.most)
    if isinstance(node, Choice):
        return Choice(tuple(_renamed(each, names) for each in node.options))
    if isinstance(node, Series):
        return Series(tuple(_renamed(each, names) for each in node.parts))
    return node


class _Sizes:
    """How many characters the shortest text of each rule has."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._rules = dict.fromkeys(grammar, _ENDLESS)
        users: dict[str, list[str]] = {}
        for name, node in grammar.items():
            for used in set(rules_of(node)):
                users.setdefault(used, []).append(name)
        # The last first: rules mostly use those that come later.
        waiting = list(grammar)
        while waiting:
            name = waiting.pop()
            size = self.of(grammar[name])
            if size < self._rules[name]:
                self._rules[name] = size
                waiting += users.get(name, ())

    def of(self, node: Node) -> int:
        if isinstance(node, Text):
            return len(node.text)
        if isinstance(node, Chars):
            return 1
        if isinstance(node, Rule):
            return self._rules[node.name]
        if isinstance(node, Repeat):
            return min(_ENDLESS, node.least * self.of(node.item)) if node.least else 0
        if isinstance(node, Choice):
            return min([self.of(option) for option in node.options])
        return min(_ENDLESS, sum([self.of(part) for part in node.parts]))

    def text(self, parts: Iterable[Node]) -> str:
        """The shortest text of these parts, which has one."""
        said: list[str] = []
        waiting = list(parts)[::-1]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Text):
                said.append(node.text)
            elif isinstance(node, Chars):
                said.append(_char(node))
            elif isinstance(node, Rule):
                waiting.append(self._grammar[node.name])
            elif isinstance(node, Choice):
                waiting.append(min(node.options, key=self.of))
            elif isinstance(node, Series):
                waiting += reversed(node.parts)
            elif self.of(node.item):
                waiting += [node.item] * node.least
        return "".join(said)


def _char(node: Chars) -> str:
    """A plain one, if there is one."""
    for code in _PREFERRED:
        if any(low <= code <= high for low, high in node.ranges):
            return chr(code)
    return chr(node.ranges[0][0])
