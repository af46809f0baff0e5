"""No text can drive the terminal, and no encoding can lose an answer."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cli import output

HOSTILE = "\x1b]0;owned\x07 \x9b31m \r over \u202e desrever \x7f"


class Stream(io.TextIOWrapper):
    """A standard stream in memory."""

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding=encoding, newline="\n")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode(self.encoding)


def standard_output(
    monkeypatch: pytest.MonkeyPatch, *, encoding: str = "utf-8", terminal: bool = True
) -> Stream:
    stream = Stream(encoding, terminal=terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare()
    return stream


def controls(text: str) -> set[str]:
    return {each for each in text if not each.isprintable() and each not in "\n\t"}


def test_a_terminal_gets_control_characters_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = standard_output(monkeypatch)
    output.say(HOSTILE)
    assert not controls(stream.text())
    assert stream.text().startswith(r"\x1b]0;owned\x07 \x9b31m \x0d over \u202e desrever \x7f")


def test_a_file_gets_the_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = standard_output(monkeypatch, terminal=False)
    output.say(HOSTILE)
    assert stream.text() == HOSTILE + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_text_beyond_the_encoding_is_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = standard_output(monkeypatch, encoding=encoding)
    output.say("a 狐 said… é")
    assert stream.text().startswith("a \\u72d0 said\\u2026")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_harmless_and_means_the_same_in_every_encoding(text: str) -> None:
    for encoding in ("utf-8", "ascii", "latin-1"):
        with pytest.MonkeyPatch.context() as monkeypatch:
            stream = standard_output(monkeypatch, encoding=encoding, terminal=False)
            output.say_json({"text": text})
            assert json.loads(stream.text()) == {"text": text}
            assert not {each for each in stream.text() if "\x7f" <= each <= "\x9f"}


def test_who_has_closed_standard_error_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Stream("utf-8", terminal=True)
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    output.note("nobody hears this")
    monkeypatch.setattr(sys, "stderr", None)
    output.complain("nor this")


def test_without_standard_output_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output.prepare()
    output.say("nobody hears this")
    output.say_json({"nor": "this"})


@given(st.text())
def test_harmless_text_stays_harmless(text: str) -> None:
    once = output.harmless(text)
    assert output.harmless(once) == once
