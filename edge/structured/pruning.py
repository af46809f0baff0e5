"""Leaves out of a grammar what no text satisfies, such as a list whose items cannot be."""

from __future__ import annotations

from edge.structured.grammar import (
    NOTHING,
    Chars,
    Choice,
    Grammar,
    Node,
    Repeat,
    Rule,
    Series,
    Text,
    choice,
    repeat,
    sequence,
)


def rules_of(node: Node) -> list[str]:
    """The names of the rules that a node uses."""
    found, waiting = [], [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Rule):
            found.append(each.name)
        elif isinstance(each, Repeat):
            waiting.append(each.item)
        elif isinstance(each, Choice):
            waiting += each.options
        elif isinstance(each, Series):
            waiting += each.parts
    return found


def pruned(grammar: Grammar) -> Grammar:
    """The same texts, without rules that have none: one that no text satisfies, and one that needs
    itself and so never ends. Those are not in the result."""
    users: dict[str, list[str]] = {}
    for name, node in grammar.items():
        for used in set(rules_of(node)):
            users.setdefault(used, []).append(name)
    fruitful: set[str] = set()
    waiting = list(grammar)
    while waiting:
        name = waiting.pop()
        if name not in fruitful and _ends(grammar[name], fruitful):
            fruitful.add(name)
            waiting += users.get(name, ())
    if len(fruitful) == len(grammar):
        return grammar
    return {name: _cut(node, fruitful) for name, node in grammar.items() if name in fruitful}


def _ends(node: Node, fruitful: set[str]) -> bool:
    if isinstance(node, Text | Chars):
        return True
    if isinstance(node, Rule):
        return node.name in fruitful
    if isinstance(node, Repeat):
        return node.least == 0 or _ends(node.item, fruitful)
    if isinstance(node, Choice):
        return any(_ends(each, fruitful) for each in node.options)
    return all(_ends(each, fruitful) for each in node.parts)


def _cut(node: Node, fruitful: set[str]) -> Node:
    if isinstance(node, Rule):
        return node if node.name in fruitful else NOTHING
    if isinstance(node, Repeat):
        return repeat(_cut(node.item, fruitful), node.least, node.most)
    if isinstance(node, Choice):
        return choice(*[_cut(each, fruitful) for each in node.options])
    if isinstance(node, Series):
        return sequence(*[_cut(each, fruitful) for each in node.parts])
    return node
