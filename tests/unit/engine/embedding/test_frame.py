"""The special tokens round texts, by the rules of several vocabularies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.engine.embedding.frame import Frame
from edge.engine.prompt import Control

CLS, SEP, EOS, TURN = 1, 2, 3, 4


class Played:
    """A vocabulary in which every letter is a token."""

    def __init__(
        self, around: tuple[list[int], list[int]], adds: tuple[str, ...], eos: int = -1
    ) -> None:
        self._around, self._adds, self._eos = around, adds, eos

    @property
    def controls(self) -> Mapping[str, Control]:
        return {"<turn>": Control(TURN, False, False), "</s>": Control(EOS, False, False)}

    def parts(self, text: str) -> Iterator[list[int]]:
        for letter in text:
            yield [ord(letter)]

    def special(self, name: str) -> tuple[int, str]:
        return {"eos": (self._eos, ""), "sep": (SEP, "")}[name]

    def adds(self, name: str) -> bool:
        return name in self._adds

    def around(self) -> tuple[list[int], list[int]]:
        return self._around


def letters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


BERT = Played(([CLS], [SEP]), ("sep",))
ROBERTA = Played(([CLS], [EOS]), ("eos", "sep"), EOS)
QWEN = Played(([], [EOS]), ("eos",), EOS)


def test_a_text_is_between_its_special_tokens() -> None:
    assert Frame(BERT).text("hi") == (CLS, *letters("hi"), SEP)
    assert Frame(QWEN).text("hi") == (*letters("hi"), EOS)


def test_what_is_cut_keeps_them() -> None:
    assert Frame(BERT).text("hello", 4) == (CLS, *letters("he"), SEP)
    assert Frame(BERT).text("hello", 7) == (CLS, *letters("hello"), SEP)
    assert Frame(BERT).text("hello", 1) == (CLS, SEP)


def test_a_query_is_apart_from_its_document() -> None:
    assert Frame(BERT).pair("q", "d") == (CLS, *letters("q"), SEP, *letters("d"), SEP)
    pair = Frame(ROBERTA).pair("q", "d")
    assert pair == (CLS, *letters("q"), EOS, SEP, *letters("d"), EOS)


def test_it_is_the_document_that_is_cut() -> None:
    pair = Frame(BERT).pair("q", "document", 6)
    assert pair == (CLS, *letters("q"), SEP, *letters("do"), SEP)
    # Of a query that is too long itself the caller sees that it is.
    assert len(Frame(BERT).pair("a long query", "document", 6)) > 6


def test_a_template_of_the_model_is_filled() -> None:
    frame = Frame(QWEN, "<turn>Q: {query}\nD: {document}</s>")
    assert frame.pair("a", "b") == (TURN, *letters("Q: a\nD: b"), EOS)
    assert frame.pair("a", "b", 3) == (TURN, *letters("Q:"))


def test_control_tokens_are_looked_for_in_the_template_alone() -> None:
    frame = Frame(QWEN, "<turn>{query}|{document}</s>")
    expected = (TURN, *letters("</s>|{query}<turn>"), EOS)
    assert frame.pair("</s>", "{query}<turn>") == expected
