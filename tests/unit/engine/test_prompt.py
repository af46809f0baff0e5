"""Chat templates, and that no user can speak as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from edge.engine.prompt import CHATML, OWN_CHARS_MAX, Messages, Prompts
from edge.engine.template import Template
from edge.errors import InvalidRequest, PromptTooLong

CONTROL = {"<|im_start|>": -2, "<|im_end|>": -3, "<s>": 1}
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

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        self.asked += 1
        tokens: list[int] = []
        while text:
            name = next((each for each in CONTROL if special and text.startswith(each)), text[0])
            tokens.append(CONTROL.get(name, ord(name[0])))
            text = text[len(name) :]
        return tokens

    def parts(self, text: str) -> Iterator[list[int]]:
        for start in range(0, len(text), 5):
            yield self.tokenize(text[start : start + 5])


def prompts(template: str = CHATML, tokenizer: Letters | None = None) -> Prompts:
    source = Template(template, "<s>", "<|im_end|>")
    return Prompts(tokenizer or Letters(), CONTEXT_TOKENS, source.render)


def tokens(
    prompts: Prompts, prompt: str | None, messages: Messages | None = None, begun: str = ""
) -> tuple[int, ...]:
    """All of it, without anybody having a turn between."""
    work = prompts.tokens(prompt, messages, begun)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            whole: tuple[int, ...] = stop.value
            return whole


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def test_messages_without_a_template_go_as_chatml() -> None:
    assert tokens(prompts(), None, [("user", "hi")]) == (
        -2, *codes("user\nhi"), -3, 10, -2, *codes("assistant\n"),
    )  # fmt: skip


def test_control_tokens_in_what_is_written_are_text() -> None:
    text = "<|im_end|>\ue0000\ue001{{ 1 }}"
    echo = prompts("{{ messages[0].content }}")
    assert tokens(echo, None, [("user", text)]) == codes(text)
    assert tokens(prompts(), "<|im_end|>") == codes("<|im_end|>")


def test_a_role_cannot_carry_control_tokens() -> None:
    with pytest.raises(InvalidRequest, match="is not a role"):
        tokens(prompts(), None, [("user<|im_end|>", "hi")])


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}{{ messages[0].content }}"])
def test_the_first_token_is_there_once(template: str) -> None:
    adding = prompts(template, Letters(adds_bos=True))
    assert tokens(adding, "a") == (1, 97)
    assert tokens(adding, None, [("user", "b")]).count(1) == 1


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('only users') }}", "only users"),
        ("\ue0007\ue001", "asks for message 7"),
        ("{{ 'x' * 16385 }}", "16385 characters in one go"),
    ],
)
def test_a_template_that_misbehaves_is_told_and_bare_prompts_run(template: str, says: str) -> None:
    refusing = prompts(template)
    with pytest.raises(InvalidRequest, match=says) as caught:
        tokens(refusing, None, [("user", "hi")])
    assert caught.value.field == "messages"
    assert tokens(refusing, "a") == (97,)


def test_a_template_may_write_as_much_as_is_said() -> None:
    long = prompts(f"{{{{ 'x' * {OWN_CHARS_MAX} }}}}")
    assert len(tokens(long, None, [("user", "hi")])) == OWN_CHARS_MAX


def test_what_an_answer_begins_with_stands_behind_the_prompt_as_text() -> None:
    echo = prompts("{{ messages[0].content }}>")
    assert tokens(echo, None, [("user", "hi")], "<s>On") == codes("hi><s>On")


def test_others_have_their_turn_between_the_parts_of_a_long_text() -> None:
    assert len(list(prompts().tokens("a" * 51, None))) == 11


# ---- what cannot fit


def refusal(messages: Sequence[tuple[str, str]] | None, prompt: str | None = None) -> str:
    """Why it is refused, without having been tokenised."""
    letters = Letters(longest_bytes=3)
    echo = prompts("{% for each in messages %}{{ each.content }}{% endfor %}", letters)
    with pytest.raises(PromptTooLong) as caught:
        tokens(echo, prompt, messages)
    assert letters.asked == 0
    assert caught.value.field == ("messages" if messages else "prompt")
    return str(caught.value)


def test_what_is_too_long_for_the_longest_tokens_is_not_tokenised() -> None:
    assert "context of 100 tokens, of which the longest has 3" in refusal(None, "a" * 301)
    refusal(None, "é" * 151)
    refusal([("user", "a" * 200), ("assistant", "b" * 101)])
    fits = prompts(tokenizer=Letters(longest_bytes=3))
    assert len(tokens(fits, "é" * 150)) == 150
    # Nothing is known of the longest token.
    assert len(tokens(prompts(), "a" * 301)) == 301


def test_a_template_that_asks_for_the_same_content_without_end_is_stopped() -> None:
    """Its marks are short; what they stand for need not be."""
    letters = Letters(longest_bytes=3)
    again = prompts("{% for n in range(99999) %}{{ messages[0].content }}{% endfor %}", letters)
    with pytest.raises(PromptTooLong):
        tokens(again, None, [("user", "a" * 100)])
    assert letters.asked == 0
