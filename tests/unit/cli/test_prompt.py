"""Where the prompt of `elwift run` comes from."""

from __future__ import annotations

import io

import pytest

from edge.cli.prompt import body_of, read_prompt
from edge.errors import InvalidRequest


def piped(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "data", "prompt"),
    [
        (["Why is the sky blue?"], b"", "Why is the sky blue?"),
        (["Why", "is", "it", "so?"], b"never read", "Why is it so?"),
        ([], b"from a pipe\n", "from a pipe"),
        (["-"], "für alle\n\n".encode(), "für alle"),
        (["Summarise", "this:", "-"], b"a\nb\n", "Summarise this:\na\nb"),
        (["-", "in", "one", "line"], b"a\n", "a\nin one line"),
        ([], b"\xef\xbb\xbfwith a mark\r\n", "with a mark\r"),
    ],
)
def test_words_and_standard_input(words: list[str], data: bytes, prompt: str) -> None:
    assert read_prompt(words, piped(data)) == prompt


@pytest.mark.parametrize(
    ("words", "data", "says"),
    [
        ([], b"", "is empty"),
        (["  "], b"", "is empty"),
        (["-"], b" \n", "is empty"),
        (["-", "-"], b"x", "once"),
        ([], b"caf\xe9", "not UTF-8 (byte 3)"),
        (["caf\udce9"], b"", "locale"),
    ],
)
def test_what_is_no_prompt_is_said(words: list[str], data: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_prompt(words, piped(data))
    assert says in str(refused.value)


@pytest.mark.parametrize("stdin", [None, Terminal(io.BytesIO())])
def test_nobody_waits_for_a_person_who_types_nothing(stdin: io.TextIOWrapper | None) -> None:
    with pytest.raises(InvalidRequest, match="there is no prompt"):
        read_prompt([], stdin)


def test_a_system_prompt_comes_first() -> None:
    assert body_of("hello", None) == {"prompt": "hello"}
    messages = body_of("hello", "be brief")["messages"]
    assert [each["role"] for each in messages] == ["system", "user"]
    assert [each["content"] for each in messages] == ["be brief", "hello"]
    with pytest.raises(InvalidRequest, match="locale"):
        body_of("hello", "\udcff")
