"""What is a grammar, what is none, and that what is written is read as the same."""

from __future__ import annotations

from random import Random

import pytest

from edge.structured import gbnf
from edge.structured.grammar import Chars, Repeat, Rule, Text
from edge.structured.grammar import gbnf as written
from tests.support.drawn import Drawer


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a"', 'root ::= "a" | "b"\n', "root ::= [a-z]+ # letters\n", "root ::= .",
        'root ::=\n  "a" |\n  "b"', 'root ::= ("a"\n | "b")* x\n\nx ::= "c"?', "root ::= [^a]{2,}",
        'root ::= "\\x41\\u00e9\\U0001F600\\"\\\\\\n\\r\\t\\[\\]"', "root ::= [a\\]-]", "root ::= ",
        'root ::= "a"{2}{3}', 'root ::= x "b"\nx ::= "a" x |', "root ::= [-a]", "root ::= ()",
    ],
)  # fmt: skip
def test_grammars(text: str) -> None:
    grammar = gbnf.read(text)
    named = {name.replace("(", "-b"): node for name, node in grammar.items() if "(" not in name}
    if len(named) == len(grammar):
        again = Drawer(written(grammar), Random(2))
        assert again.text() == Drawer(text, Random(2)).text()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no rule root"),
        ('a ::= "b"', "there is no rule root"),
        ("root ::= x", "the rule root uses x, which is no rule"),
        ('root ::= ("a" x)', "the rule root uses x, which is no rule"),
        ('root := "a"', "::= is missing (line 1)"),
        ('root ::= "a"\n"b"', "a rule's name is missing (line 2)"),
        ('root ::= "a', '" is missing (line 1)'),
        ("root ::= [a", "] is missing (line 1)"),
        ("root ::= []", "a class without characters (line 1)"),
        ("root ::= [z-a]", "a range of characters that ends before it begins (line 1)"),
        ('root ::= ("a"', "a bracket is not closed (line 1)"),
        ('root ::= "a")', "this cannot stand here (line 1)"),
        ('root ::= "\\q"', "\\q is no escape (line 1)"),
        ('root ::= "\\u12"', "\\u is no escape (line 1)"),
        ('root ::= "\\UFFFFFFFF"', "there is no such character (line 1)"),
        ("root ::= *", "'*' cannot stand here (line 1)"),
        ("root ::= <think>", "'<' cannot stand here (line 1)"),
        ('root ::= "a"{x}', "what stands in {} has to be one number or two (line 1)"),
        ('root ::= "a"{2001}', "a repetition may be of 2000 at most (line 1)"),
        ('root ::= "a"{3,2}', "a repetition of less than its least (line 1)"),
        ('root ::= "a"' + "?" * 5, "more than 4 repetitions of each other (line 1)"),
        ('root ::= root "a"', "the rule root begins with itself"),
        ('root ::= x\nx ::= y* x "a"\ny ::= "b"', "the rule x begins with itself"),
        ('root ::= (root | "a") "b"', "the rule root begins with itself"),
        ("root ::= " + "(" * 201 + ")" * 201, "more than 200 brackets within each other (line 1)"),
    ],
)  # fmt: skip
def test_what_is_no_grammar_is_told_why(text: str, sentence: str) -> None:
    with pytest.raises(gbnf.GbnfError) as caught:
        gbnf.read(text)
    assert str(caught.value) == sentence


def test_characters_are_read_as_llama_cpp_does() -> None:
    root = gbnf.read("root ::= [^a-c\\]\\x5B]")["root"]
    assert isinstance(root, Chars)
    assert root.ranges == ((0, 0x5A), (0x5C, 0x5C), (0x5E, 0x60), (0x64, 0x10FFFF))


def test_a_repetition_is_of_a_whole_text() -> None:
    root = gbnf.read('root ::= "ab"{2,3}')["root"]
    assert isinstance(root, Repeat)
    assert isinstance(root.item, Text)
    assert (root.item.text, root.least, root.most) == ("ab", 2, 3)


def test_long_chains_of_rules_are_read_in_no_time() -> None:
    lines = [f"r{at} ::= r{at + 1}" for at in range(4_000)]
    grammar = gbnf.read("\n".join(["root ::= r0", *lines, 'r4000 ::= "a"?']))
    assert isinstance(grammar["r7"], Rule)
