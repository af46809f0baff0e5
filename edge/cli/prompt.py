"""The prompt of ``elwift run``: the words of the command line, and standard input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TextIO

from edge.errors import InvalidRequest

STANDARD_INPUT: Final = "-"


def read_prompt(words: Sequence[str], stdin: TextIO | None) -> str:
    """The words with spaces between; ``-`` stands for all of standard input, on lines of its own,
    which is also read when there are no words and it is no terminal. InvalidRequest when there is
    no prompt, or it is no UTF-8."""
    if words.count(STANDARD_INPUT) > 1:
        raise InvalidRequest("standard input can be read once; give `-` once", field="prompt")
    if not words:
        if stdin is None or stdin.isatty():
            raise InvalidRequest(
                'there is no prompt; give one, as in `elwift run "Why is the sky blue?"`,'
                " or pipe one in",
                field="prompt",
            )
        words = (STANDARD_INPUT,)
    before, found, after = _split(words)
    parts = [" ".join(before), _read(stdin) if found else "", " ".join(after)]
    prompt = "\n".join(part for part in parts if part)
    if not prompt.strip():
        raise InvalidRequest("the prompt is empty; write something", field="prompt")
    return _checked(prompt)


def body_of(prompt: str, system: str | None) -> dict[str, Any]:
    """The part of a submission that says what is asked."""
    if system is None:
        return {"prompt": prompt}
    return {
        "messages": [
            {"role": "system", "content": _checked(system)},
            {"role": "user", "content": prompt},
        ]
    }


def _split(words: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if STANDARD_INPUT not in words:
        return words, False, ()
    place = words.index(STANDARD_INPUT)
    return words[:place], True, words[place + 1 :]


def _read(stdin: TextIO | None) -> str:
    if stdin is None:
        raise InvalidRequest("there is no standard input to read", field="prompt")
    try:
        # Text is UTF-8 wherever it goes from here, whatever the terminal's encoding is.
        return stdin.buffer.read().decode("utf-8-sig").rstrip("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"standard input is not UTF-8 (byte {error.start}); convert it first", field="prompt"
        ) from error


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            "the text on the command line is not in the locale's encoding; pipe it in as UTF-8",
            field="prompt",
        ) from error
    return text
