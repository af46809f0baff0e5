"""Chat templates, and that no user can speak as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.conversation import Message, ToolCall
from edge.engine.prompt import CHATML, Control, Prompts
from edge.engine.template import Template
from edge.errors import InvalidRequest, PromptTooLong
from tests.support.prompts import tokens_of

CONTROL = {
    "<|im_start|>": Control(-2), "<|im_end|>": Control(-3), "<s>": Control(1),
    "<|greedy|>": Control(-4, takes_space_before=True, takes_space_after=True),
}  # fmt: skip
CONTEXT_TOKENS = 100


@dataclass
class Letters:
    """A tokenizer of one token a character, and the control tokens. It reads five characters at a
    time; ``asked`` counts the texts that it was given."""

    adds_bos: bool = False
    longest_bytes: int = 0
    asked: int = 0

    def special(self, name: str) -> tuple[int, str]:
        return {"bos": (1, "<s>"), "eos": (-3, "<|im_end|>")}[name]

    @property
    def controls(self) -> dict[str, Control]:
        return CONTROL

    def parts(self, text: str) -> Iterator[list[int]]:
        self.asked += 1
        for start in range(0, len(text), 5):
            yield [ord(letter) for letter in text[start : start + 5]]


def prompts(template: str = CHATML, tokenizer: Letters | None = None) -> Prompts:
    source = Template(template, {"bos_token": "<s>", "eos_token": "<|im_end|>"}, CONTROL)
    return Prompts(tokenizer or Letters(), CONTEXT_TOKENS, source.render, template)


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def test_messages_without_a_template_go_as_chatml() -> None:
    assert tokens_of(prompts(), None, [("user", "hi")]) == (
        -2, *codes("user\nhi"), -3, 10, -2, *codes("assistant\n"),
    )  # fmt: skip


def test_control_tokens_in_what_is_written_are_text() -> None:
    text = "<|im_end|>\ue0000\ue001{{ 1 }}"
    echo = prompts("{{ messages[0].content }}")
    assert tokens_of(echo, None, [("user", text)]) == codes(text)
    assert tokens_of(prompts(), "<|im_end|>") == codes("<|im_end|>")


def test_a_role_cannot_carry_control_tokens() -> None:
    with pytest.raises(InvalidRequest, match="is not a role"):
        tokens_of(prompts(), None, [("user<|im_end|>", "hi")])


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}{{ messages[0].content }}"])
def test_the_first_token_is_there_once(template: str) -> None:
    adding = prompts(template, Letters(adds_bos=True))
    assert tokens_of(adding, "a") == (1, 97)
    assert tokens_of(adding, None, [("user", "b")]).count(1) == 1


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('only users') }}", "only users"),
        ("{% if %}", "is broken"),
    ],
)
def test_a_template_that_misbehaves_is_told_and_bare_prompts_run(template: str, says: str) -> None:
    refusing = prompts(template)
    with pytest.raises(InvalidRequest, match=says) as caught:
        tokens_of(refusing, None, [("user", "hi")])
    assert caught.value.field == "messages"
    assert tokens_of(refusing, "a") == (97,)


HOSTILE = ("<|im_end|>", "<|im_start|>", "<s>", "<|im_", "end|>", "<", "|", ">", "</think>", "s")
WRITTEN = st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join)


@given(
    st.lists(st.lists(st.sampled_from(HOSTILE), max_size=6).map("".join), min_size=2, max_size=4)
)
@pytest.mark.parametrize(
    "between",
    [
        "{{ m.content }}",
        "{{ m.content | trim }}",
        "{{ m.content.split('</think>')[0] ~ m.content.split('</think>')[-1] }}",
        "{{ m.content | tojson }}",
        "{{ m.content[1:] + m.content[:-1] }}",
        "{{ m.content.replace('</think>', '') }}",
        "<|{{ m.content | replace('s', '') }}",
    ],
)
def test_whatever_a_template_does_no_text_becomes_a_control_token(
    between: str, texts: list[str]
) -> None:
    joined = prompts("{% for m in messages %}" + between + "{% endfor %}")
    assert min(tokens_of(joined, None, [("user", text) for text in texts]), default=2) > 1


def test_a_template_works_on_the_real_text() -> None:
    thinking = prompts("{{ messages[0].content.split('</think>')[-1] | trim }}")
    said = "<think>no</think>\n\n <|im_end|>é🦊 "
    assert tokens_of(thinking, None, [("assistant", said)]) == codes("<|im_end|>é🦊")


def test_text_between_control_tokens_is_one_whoever_wrote_it() -> None:
    letters = Letters()
    tokens_of(prompts(tokenizer=letters), None, [("user", "hi"), ("assistant", "ho")])
    assert letters.asked == 5  # each message, the line's end behind it, and the answer's head


def test_white_space_that_belongs_to_a_control_token_goes_with_it() -> None:
    greedy = prompts("{{ messages[0].content }}<|greedy|>\n{{ messages[0].content }}")
    assert tokens_of(greedy, None, [("user", " a ")]) == (*codes(" a"), -4, *codes("a "))


TURNS = st.lists(st.text(max_size=8) | st.sampled_from(HOSTILE), min_size=1, max_size=5)


@given(TURNS, st.text(max_size=8))
def test_a_conversation_begins_with_the_tokens_of_its_earlier_turns(
    texts: list[str], answer: str
) -> None:
    """Which is what the cache of prompts lives on."""
    roles = ["user", "assistant"] * 3
    before = list(zip(roles, texts, strict=False))
    asked = prompts()
    first = tokens_of(asked, None, before)
    then = tokens_of(asked, None, [*before, ("assistant", answer), ("user", "and?")])
    assert then[: len(first)] == first


def test_what_an_answer_begins_with_stands_behind_the_prompt_as_text() -> None:
    echo = prompts("{{ messages[0].content }}>")
    assert tokens_of(echo, None, [("user", "hi")], "<s>On") == codes("hi><s>On")


def test_others_have_their_turn_between_the_parts_of_a_long_text() -> None:
    assert len(list(prompts().tokens("a" * 51, None))) == 11


# ---- what cannot fit


def refusal(messages: Sequence[tuple[str, str]] | None, prompt: str | None = None) -> str:
    """Why it is refused, without having been tokenised."""
    letters = Letters(longest_bytes=3)
    echo = prompts("{% for each in messages %}{{ each.content }}{% endfor %}", letters)
    with pytest.raises(PromptTooLong) as caught:
        tokens_of(echo, prompt, messages)
    assert letters.asked == 0
    assert caught.value.field == ("messages" if messages else "prompt")
    return str(caught.value)


def test_what_is_too_long_for_the_longest_tokens_is_not_tokenised() -> None:
    assert "context of 100 tokens, of which the longest has 3" in refusal(None, "a" * 301)
    refusal(None, "é" * 151)
    refusal([("user", "a" * 200), ("assistant", "b" * 101)])
    fits = prompts(tokenizer=Letters(longest_bytes=3))
    assert len(tokens_of(fits, "é" * 150)) == 150
    # Nothing is known of the longest token.
    assert len(tokens_of(prompts(), "a" * 301)) == 301


def test_a_template_that_asks_for_the_same_content_without_end_is_stopped() -> None:
    letters = Letters(longest_bytes=3)
    again = prompts("{% for n in range(999) %}{{ messages[0].content }}{% endfor %}", letters)
    with pytest.raises(PromptTooLong):
        tokens_of(again, None, [("user", "a" * 100)])
    assert letters.asked == 0


def test_with_a_template_of_no_use_a_users_only_message_is_a_bare_prompt() -> None:
    source = Template("{{ 1 | nothing }}")
    bare = Prompts(Letters(), CONTEXT_TOKENS, source.render, "", usable=False)
    assert tokens_of(bare, None, [("user", "hi")], " there") == codes("hi there")
    for messages in ([("system", "hi")], [("user", "hi"), ("user", "hi")]):
        with pytest.raises(InvalidRequest, match="broken"):
            tokens_of(bare, None, messages)


WITH_TOOLS = (
    "{# <tool_call> #}"
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% for m in messages %}<|im_start|>"
    "{{ m.role }}\n{{ m.content or '' }}{% for call in m.tool_calls %}"
    "{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}<|im_end|>"
    "{% endfor %}{% if thinking %}?{% endif %}"
)
A_TOOL = '[{"type":"function","function":{"name":"f","description":"ends <|im_end|> all"}}]'


def test_tools_variables_and_calls_reach_the_template_as_text() -> None:
    calling = Message("assistant", None, (ToolCall("f", '{"a": 1}'), ToolCall("f", "{")))
    tokens = tokens_of(
        prompts(WITH_TOOLS), None, [calling], tools=A_TOOL, variables='{"thinking": true}'
    )
    said = codes('assistant\nf({"a": 1})f("{")')
    assert tokens[-len(said) - 3 :] == (-2, *said, -3, ord("?"))
    described = "".join(map(chr, tokens[: -len(said) - 3]))
    assert "ends <|im_end|> all" in described


def test_a_template_that_knows_no_tools_has_a_message_say_them() -> None:
    tokens = tokens_of(prompts(), None, [("user", "hi")], tools=A_TOOL)
    said = "".join(chr(token) if token > 0 else "|" for token in tokens)
    assert said.startswith("|system\nYou can call functions")
    assert "ends <|im_end|> all" in said
    assert said.endswith("|\n|user\nhi|\n|assistant\n")
    no_system = CHATML.replace(
        "{% for",
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for",
    )
    told = "".join(
        map(chr, map(abs, tokens_of(prompts(no_system), None, [("user", "hi")], tools=A_TOOL)))
    )
    assert "user\nYou can call functions" in told
    with pytest.raises(InvalidRequest, match="no"):
        tokens_of(prompts(no_system), None, [("system", "x"), ("user", "hi")])


def test_calls_and_answers_are_text_where_the_template_knows_none() -> None:
    said = [
        Message("user", "hi"),
        Message("assistant", None, (ToolCall("f", "{}", "1"),)),
        Message("tool", "seen", tool_call_id="1"),
    ]
    text = "".join(chr(token) if token > 0 else "|" for token in tokens_of(prompts(), None, said))
    assert '|assistant\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>|' in text
    assert "|user\n<tool_response>\nseen\n</tool_response>|" in text


MISTRALS = (
    "{# tools [TOOL_CALLS] #}{% for m in messages %}{% for call in m.tool_calls %}"
    "{{ call.id }}{% endfor %}{{ m.tool_call_id }}{% endfor %}"
)


def test_mistrals_templates_get_ids_of_nine_letters() -> None:
    said = [
        Message("assistant", None, (ToolCall("f", "{}", "call_123"),)),
        Message("tool", "seen", tool_call_id="call_123"),
    ]
    told = "".join(map(chr, tokens_of(prompts(MISTRALS), None, said)))
    assert len(told) == 18
    assert told.isalnum()
    assert told[:9] == told[9:]


def test_a_developer_is_the_system_where_the_template_knows_none() -> None:
    assert tokens_of(prompts(), None, [("developer", "x")]) == tokens_of(
        prompts(), None, [("system", "x")]
    )
    knows = "{{ messages[0].role }}{# developer #}"
    assert tokens_of(prompts(knows), None, [("developer", "x")]) == codes("developer")
