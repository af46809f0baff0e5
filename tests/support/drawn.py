"""Texts drawn by chance from a grammar in GBNF."""

from __future__ import annotations

from random import Random

from edge.structured import gbnf
from edge.structured.grammar import Chars, Choice, Grammar, Node, Repeat, Rule, Series, Text

ENDLESS = 10**9
_SAMPLES = (0x20, 0x22, 0x5C, 0x61, 0x7A, 0xE9, 0x4E2D, 0x1F600)


class Drawer:
    """Draws texts of a grammar. Behind `budget` rules it takes the way that ends soonest."""

    def __init__(self, grammar: str, random: Random, budget: int = 200) -> None:
        self._rules: Grammar = gbnf.read(grammar)
        self._random = random
        self._budget = budget
        self._depths = dict.fromkeys(self._rules, ENDLESS)
        changed = True
        while changed:
            depths = {name: 1 + self._depth(node) for name, node in self._rules.items()}
            changed = depths != self._depths
            self._depths = depths

    def _depth(self, node: Node) -> int:
        if isinstance(node, Rule):
            return self._depths[node.name]
        if isinstance(node, Repeat):
            return self._depth(node.item) if node.least else 0
        if isinstance(node, Choice):
            return min(map(self._depth, node.options))
        return max(map(self._depth, node.parts), default=0) if isinstance(node, Series) else 0

    def text(self) -> str:
        """Another one."""
        self._left = self._budget
        said: list[str] = []
        waiting: list[Node] = [Rule("root")]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Text):
                said.append(node.text)
            elif isinstance(node, Chars):
                said.append(self._char(node))
            elif isinstance(node, Rule):
                self._left -= 1
                waiting.append(self._rules[node.name])
            elif isinstance(node, Series):
                waiting += reversed(node.parts)
            elif isinstance(node, Choice):
                waiting.append(self._option(node))
            else:
                waiting += [node.item] * self._times(node)
        return "".join(said)

    def _option(self, node: Choice) -> Node:
        if self._left > 0:
            return self._random.choice(node.options)
        return min(node.options, key=self._depth)

    def _times(self, node: Repeat) -> int:
        if self._left <= 0:
            return node.least
        most = node.least + 3 if node.most is None else node.most
        # Often as few or as many as may be: that is where a bound is wrong.
        few = min(most, node.least + 3)
        return self._random.choice([node.least, few, most, self._random.randint(node.least, few)])

    def _char(self, node: Chars) -> str:
        wanted = self._random.choice(_SAMPLES)
        if any(low <= wanted <= high for low, high in node.ranges):
            return chr(wanted)
        low, high = self._random.choice(node.ranges)
        return chr(self._random.randint(low, high))
