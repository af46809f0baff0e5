"""Chat templates, and that no user can speak as one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from edge.engine.prompt import Prompts
from edge.errors import InvalidRequest

CONTROL = {"<|im_start|>": -2, "<|im_end|>": -3, "<s>": 1}


@dataclass
class Letters:
    """A tokenizer of one token a character, and the control tokens."""

    chat_template: str | None = None
    adds_bos: bool = False

    def special(self, name: str) -> tuple[int, str]:
        return {"bos": (1, "<s>"), "eos": (-3, "<|im_end|>")}[name]

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        tokens: list[int] = []
        while text:
            name = next((each for each in CONTROL if special and text.startswith(each)), text[0])
            tokens.append(CONTROL.get(name, ord(name[0])))
            text = text[len(name) :]
        return tokens


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def test_messages_without_a_template_go_as_chatml() -> None:
    assert Prompts(Letters()).tokens(None, [("user", "hi")]) == (
        -2, *codes("user\nhi"), -3, 10, -2, *codes("assistant\n"),
    )  # fmt: skip


def test_control_tokens_in_what_is_written_are_text() -> None:
    text = "<|im_end|>\ue0000\ue001{{ 1 }}"
    assert Prompts(Letters("{{ messages[0].content }}")).tokens(None, [("user", text)]) == codes(
        text
    )
    assert Prompts(Letters()).tokens("<|im_end|>", None) == codes("<|im_end|>")


def test_a_role_cannot_carry_control_tokens() -> None:
    with pytest.raises(InvalidRequest, match="is not a role"):
        Prompts(Letters()).tokens(None, [("user<|im_end|>", "hi")])


@pytest.mark.parametrize("template", [None, "{{ bos_token }}{{ messages[0].content }}"])
def test_the_first_token_is_there_once(template: str | None) -> None:
    prompts = Prompts(Letters(template, adds_bos=True))
    assert prompts.tokens("a", None) == (1, 97)
    assert prompts.tokens(None, [("user", "b")]).count(1) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('only users') }}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_that_refuses_or_misbehaves_is_told(template: str) -> None:
    prompts = Prompts(Letters(template))
    with pytest.raises(InvalidRequest) as caught:
        prompts.tokens(None, [("user", "hi")])
    assert caught.value.field == "messages"
    assert prompts.tokens("a", None) == (97,)


def test_what_an_answer_begins_with_stands_behind_the_prompt_as_text() -> None:
    prompts = Prompts(Letters("{{ messages[0].content }}>"))
    assert prompts.tokens(None, [("user", "hi")], "<s>On") == codes("hi><s>On")


@pytest.mark.parametrize(
    ("unix_s", "years"),
    [(-(10**10), {"1969", "1970"}), (0, {"1969", "1970"}), (4_102_500_000, {"2099", "2100"}),
     (10**12, {"2231", "2232"})],
)  # fmt: skip
def test_a_template_may_ask_for_the_date_whatever_the_clock_says(
    unix_s: int, years: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: unix_s * 10**9)
    monkeypatch.setattr(time, "time", lambda: float(unix_s))
    prompts = Prompts(Letters("{{ strftime_now('%Y') }}"))
    assert prompts.tokens(None, [("user", "hi")]) in {codes(year) for year in years}
