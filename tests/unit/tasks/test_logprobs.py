"""What is kept of how likely an answer's tokens were, and what is shown of it."""

from __future__ import annotations

import orjson
import pytest

from edge.errors import InvalidRequest
from edge.tasks import logprobs
from edge.tasks.logprobs import FIGURES_MAX, TokenLogprob

EURO = "\u20ac".encode()


def line(text: bytes, offset: int, *others: bytes) -> str:
    top = [(each.decode("latin-1"), -2.5) for each in others]
    return orjson.dumps((text.decode("latin-1"), -0.5, offset, top)).decode()


# "a" and the euro sign in three tokens, then "bc".
LINES = (
    line(b"a", 0, b"a", b"\xff"),
    *(line(EURO[at : at + 1], 1) for at in range(3)),
    line(b"bc", 2),
)


def test_a_line_is_read_to_the_byte() -> None:
    assert logprobs.read(LINES[0]) == TokenLogprob(b"a", -0.5, 0, ((b"a", -2.5), (b"\xff", -2.5)))


@pytest.mark.parametrize("cuts", [(4,), (1, 4), (1, 2, 4), (0, 2, 3, 4), (3, 4)])
def test_pieces_of_an_answer_have_all_its_tokens_once(cuts: tuple[int, ...]) -> None:
    starts = (0, *cuts[:-1])
    pieces = [logprobs.between(LINES, *each) for each in zip(starts, cuts, strict=True)]
    assert [token for piece in pieces for token in piece] == [logprobs.read(each) for each in LINES]


def test_the_parts_of_a_character_come_with_it() -> None:
    assert b"".join(each.token for each in logprobs.between(LINES, 1, 2)) == EURO
    assert logprobs.between(LINES, 3, 4) == []


def test_what_does_not_begin_before_the_end_is_cut_off() -> None:
    assert logprobs.before(LINES, 2) == LINES[:4]
    assert logprobs.before(LINES, 9) == LINES
    assert logprobs.before((), 9) == ()


def test_half_a_character_is_shown_as_such_beside_its_bytes() -> None:
    assert logprobs.shown(logprobs.read(LINES[1])) == {
        "token": "\ufffd", "bytes": [EURO[0]], "logprob": -0.5, "offset": 1, "top_logprobs": [],
    }  # fmt: skip
    (first, _) = logprobs.shown(logprobs.read(LINES[0]))["top_logprobs"]
    assert first == {"token": "a", "bytes": [97], "logprob": -2.5}


@pytest.mark.parametrize("alternatives", [0, 5, 20])
def test_more_than_a_task_may_have_is_refused_with_what_it_may(alternatives: int) -> None:
    most = FIGURES_MAX // (1 + alternatives)
    logprobs.check(alternatives, most)
    logprobs.check(None, 10 * FIGURES_MAX)
    with pytest.raises(InvalidRequest, match=f" {most} tokens at most") as refused:
        logprobs.check(alternatives, most + 1)
    assert refused.value.field == "logprobs"
