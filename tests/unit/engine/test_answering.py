"""By which grammar an answer is sampled, when that begins, and how its text is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from edge.answers.begins import Begins
from edge.answers.calls import AT_ONCE
from edge.answers.dialects import THINK
from edge.conversation import AUTO, REQUIRED, Message, named
from edge.engine.answering import Answering, Plan
from edge.engine.messages import Generate, Sampling
from edge.structured import gbnf
from edge.structured.closing import is_whole

TOOLS = '[{"type":"function","function":{"name":"look"}},{"function":{"name":"go"}}]'
THINKS = "{{ tools }}<tool_call></think>"
LOOK = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
GO = LOOK.replace("look", "go")


def plan(template: str, end: str = "", **given: Any) -> Plan:
    def text_of(tokens: Sequence[int]) -> str:
        assert len(tokens) <= 16
        return end

    sampling = Sampling(grammar=given.pop("grammar", None))
    request = Generate(1, None, (Message("user", "hi"),), sampling, **given)
    return Answering(template, (), text_of).plan(request, range(100))


def allows(planned: Plan, rule: str, text: str) -> bool:
    # A format's own rule of this name is one of several then.
    grammar = (planned.sampling.grammar or "").replace("root", "format-root")
    return is_whole(gbnf.read(f"root ::= {rule}\n{grammar}"), text)


def test_without_tools_or_thoughts_a_request_stays_as_it_is() -> None:
    assert plan("plain") == Plan(Sampling())
    assert plan("plain", grammar="root ::= [a]") == Plan(Sampling(grammar="root ::= [a]"))
    prompt = Generate(1, "hi", None, Sampling(), tools=TOOLS)
    assert Answering(THINKS, (), str).plan(prompt, ()) == Plan(Sampling())


def test_a_call_that_may_be_begins_where_the_model_says_so() -> None:
    planned = plan("plain", tools=TOOLS, tool_choice=AUTO)
    assert planned.dialect == "hermes calls"
    (mark,) = planned.begins.marks
    assert mark.text == "<tool_call>"
    for each in (LOOK, GO, LOOK + GO):
        assert allows(planned, mark.rule, each.removeprefix(mark.text))
    single = plan("plain", tools=TOOLS, parallel_tool_calls=False)
    assert not allows(single, mark.rule, (LOOK + GO).removeprefix(mark.text))


def test_a_call_that_has_to_be_begins_at_once() -> None:
    planned = plan("plain", tools=TOOLS, tool_choice=REQUIRED)
    assert planned.begins == Begins(AT_ONCE)
    assert allows(planned, AT_ONCE, LOOK + GO)
    assert not allows(planned, AT_ONCE, "Hello")
    one = plan("plain", tools=TOOLS, tool_choice=named("go"))
    assert allows(one, AT_ONCE, GO)
    assert not allows(one, AT_ONCE, LOOK)


def test_a_call_or_an_answer_of_a_form() -> None:
    planned = plan("plain", tools=TOOLS, grammar='root ::= "yes" | "no"')
    for each in (LOOK, "yes"):
        assert allows(planned, planned.begins.root, each)
    assert not allows(planned, planned.begins.root, "maybe")


@pytest.mark.parametrize(
    "given", [{"tools": TOOLS, "tool_choice": REQUIRED}, {"grammar": "root ::= [a]"}]
)
def test_a_model_may_think_before_it_follows_a_grammar(given: Any) -> None:
    within = plan(THINKS, "<|assistant|><think>\n", **given)
    (mark,) = within.begins.marks
    assert mark.text == THINK[1]
    said = LOOK if "tools" in given else "a"
    assert allows(within, mark.rule, f"\n\n{said}")
    assert within.dialect.endswith("within")
    at_once = plan(THINKS, "<|assistant|>", **given)
    assert at_once.begins.marks == ()
    assert at_once.dialect.startswith("hermes")


def test_what_a_model_thinks_begins_no_call() -> None:
    planned = plan(THINKS, "<think>", tools=TOOLS)
    assert (planned.begins.think, planned.begins.within) == (THINK, True)


def test_what_another_model_began_is_not_the_end_of_the_prompt() -> None:
    request = Generate(1, None, (Message("user", "hi"),), Sampling(), begun="x<think>")
    answering = Answering(THINKS, (), lambda _: "<think>")
    assert answering.plan(request, ()).dialect == "hermes </think>"
    assert answering.plan(replace(request, begun=""), ()).dialect == "hermes </think> within"
