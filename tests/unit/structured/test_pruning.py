"""What no text satisfies is left out."""

from __future__ import annotations

from edge.structured.grammar import EMPTY, NOTHING, Rule, Text, choice, gbnf, optional, sequence
from edge.structured.pruning import pruned, rules_of

A = Text("a")


def test_rules_without_texts_go_with_all_that_needs_them() -> None:
    grammar = {
        "root": sequence(A, optional(Rule("endless")), choice(A, Rule("none"))),
        "endless": sequence(A, Rule("endless")),
        "none": NOTHING,
        "needs": Rule("none"),
        "may": optional(Rule("none")),
    }
    found = pruned(grammar)
    assert gbnf(found) == 'root ::= "aa"\nmay ::= ""\n'
    assert found["may"] is EMPTY


def test_what_ends_stays_as_it_is() -> None:
    grammar = {"root": choice(A, sequence(A, Rule("root")))}
    assert pruned(grammar) is grammar


def test_rules_that_are_used() -> None:
    node = sequence(A, optional(Rule("x")), choice(Rule("y"), Rule("x")))
    assert sorted(rules_of(node)) == ["x", "x", "y"]
