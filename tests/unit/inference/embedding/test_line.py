"""Who is next at the engine of embeddings, and what comes of what it has."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import NS_PER_S
from edge.engine.messages import Embed, Embedded
from edge.errors import LimitReached, Overloaded
from edge.inference.embedding import line as module
from edge.inference.embedding.line import (
    IN_ENGINE_CHARS_MAX,
    IN_ENGINE_TEXTS_MAX,
    PIECE_CHARS_MAX,
    PIECE_TEXTS_MAX,
    Line,
)
from edge.inference.embedding.protocol import EmbedTexts


def wanted(client: str, *texts: str) -> EmbedTexts:
    return EmbedTexts(client, texts)


def taken(line: Line) -> list[Embed]:
    """All that the engine can have now."""
    pieces = []
    while (piece := line.take(0)) is not None:
        pieces.append(piece)
    return pieces


def answer(piece: Embed) -> Embedded:
    return Embedded(piece.key, tuple(piece.texts), tuple(map(len, piece.texts)))


def test_a_call_of_one_text_is_one_piece() -> None:
    line = Line()
    call = line.add(wanted("a", "hi"))
    (piece,) = taken(line)
    assert piece.texts == ("hi",)
    assert line.answered(answer(piece), 1) is call
    assert (call.result.vectors, call.result.tokens) == (("hi",), (2,))
    line.end(call)
    assert len(line) == 0


def test_a_long_call_is_cut_and_put_together_in_its_order() -> None:
    line, texts = Line(), [str(number) for number in range(2 * PIECE_TEXTS_MAX + 1)]
    call = line.add(wanted("a", *texts))
    pieces = taken(line)
    assert [len(piece.texts) for piece in pieces] == [PIECE_TEXTS_MAX, PIECE_TEXTS_MAX, 1]
    # The engine may end them in any order.
    assert [line.answered(answer(piece), 1) for piece in reversed(pieces)] == [None, None, call]
    assert call.result.vectors == tuple(texts)


def test_a_piece_has_few_characters_unless_it_is_one_text() -> None:
    line = Line()
    half, long = "x" * (PIECE_CHARS_MAX // 2), "x" * (3 * PIECE_CHARS_MAX)
    line.add(wanted("a", half, half, half, long))
    assert [len(piece.texts) for piece in taken(line)] == [2, 1, 1]


def test_the_engine_has_no_more_than_keeps_it_busy() -> None:
    line = Line()
    line.add(wanted("a", *("x" * PIECE_CHARS_MAX for _ in range(100))))
    pieces = taken(line)
    assert len(pieces) == IN_ENGINE_CHARS_MAX // PIECE_CHARS_MAX
    line.answered(answer(pieces[0]), 1)
    assert len(taken(line)) == 1
    line = Line()
    line.add(wanted("a", *("" for _ in range(1_000))))
    assert sum(len(piece.texts) for piece in taken(line)) == IN_ENGINE_TEXTS_MAX


def test_a_text_of_any_length_goes_alone() -> None:
    line = Line()
    line.add(wanted("a", "x" * 10 * IN_ENGINE_CHARS_MAX, "y"))
    assert [len(piece.texts) for piece in taken(line)] == [1]


def test_clients_take_turns_piece_by_piece() -> None:
    line = Line()
    line.add(wanted("many", *("x" * PIECE_CHARS_MAX for _ in range(50))))
    line.add(wanted("many", "last"))
    first = taken(line)
    line.add(wanted("one", "hi"))
    line.add(wanted("another", "ho"))
    for piece in first:
        line.answered(answer(piece), 1)
    texts = [piece.texts[0] for piece in taken(line)]
    assert texts.index("hi") <= 1
    assert texts.index("ho") <= 2
    assert "last" not in texts


def test_what_is_over_goes_to_no_engine() -> None:
    line = Line()
    call = line.add(wanted("a", *("x" * PIECE_CHARS_MAX for _ in range(50))))
    pieces = taken(line)
    assert line.end(call) == [piece.key for piece in pieces]
    assert line.end(call) == [], "once"
    assert taken(line) == []
    # What the engine says of it comes too late.
    assert line.answered(answer(pieces[0]), 1) is None
    assert line.piece_of(pieces[1].key) is None


def test_what_a_dead_engine_had_goes_to_the_next_one_piece_by_piece() -> None:
    line = Line()
    calls = [line.add(wanted(str(number), "x")) for number in range(3)]
    assert len(taken(line)) == 3
    assert line.lost() == []
    line.add(wanted("new", "y"))
    for call in calls:
        (piece,) = taken(line)
        assert line.answered(answer(piece), 1) is call
        line.end(call)
    (piece,) = taken(line)
    assert piece.texts == ("y",)


def test_a_text_that_ends_the_engine_again_is_found_out_and_no_other_pays() -> None:
    line = Line()
    good, bad, other = (line.add(wanted("a", text)) for text in ("good", "bad", "other"))
    taken(line)
    line.lost()
    (piece,) = taken(line)
    assert line.answered(answer(piece), 1) is good
    line.end(good)
    taken(line)
    assert line.lost() == [bad]
    line.end(bad)
    (piece,) = taken(line)
    assert line.answered(answer(piece), 1) is other


def test_a_client_has_so_many_texts_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS_PER_CLIENT_MAX", 3)
    line = Line()
    first = line.add(wanted("a", "1", "2"))
    with pytest.raises(LimitReached, match="2 texts that wait"):
        line.add(wanted("a", "3", "4"))
    line.add(wanted("b", "1", "2"))
    line.end(first)
    # Who has nothing may have any one call.
    line.add(wanted("a", "1", "2", "3", "4"))


@pytest.mark.parametrize(("bound", "most"), [("TEXTS_WAITING_MAX", 3), ("CHARS_WAITING_MAX", 20)])
def test_no_more_waits_than_may(monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    monkeypatch.setattr(module, bound, most)
    line = Line()
    call = line.add(wanted("a", "x" * 10, "x" * 10, "x"))
    with pytest.raises(Overloaded, match="too many texts"):
        line.add(wanted("b", "x"))
    line.end(call)
    line.add(wanted("b", "x"))


def test_who_is_refused_hears_when_there_may_be_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEXTS_PER_CLIENT_MAX", 40)
    line = Line()
    line.add(wanted("a", *("x" * PIECE_CHARS_MAX for _ in range(40))))
    first = line.take(0)
    assert first is not None
    line.answered(answer(first), NS_PER_S)  # so many characters take a second
    with pytest.raises(LimitReached) as caught:
        line.add(wanted("a", "x"))
    assert 19_000 <= caught.value.retry_after_ms <= 21_000


CALLS = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 3_000), min_size=1, max_size=80)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50)
@given(CALLS, st.randoms(use_true_random=False))
def test_each_text_gets_its_own_vector_whatever_dies(
    calls: list[tuple[str, list[int]]], random: object
) -> None:
    choose = random.random  # type: ignore[attr-defined]  # Hypothesis says it is random.Random's
    line, results, lost = Line(), {}, Counter[str]()
    expected = {}
    for number, (client, sizes) in enumerate(calls):
        texts = [f"{number}.{index}:" + "x" * size for index, size in enumerate(sizes)]
        expected[line.add(wanted(client, *texts))] = tuple(texts)
    engine: list[Embed] = []
    deaths = 0
    while len(line):
        engine += taken(line)
        assert engine, "as long as there is a call, the engine has something"
        if deaths < 1 and choose() < 0.1:
            deaths += 1
            assert line.lost() == []
            engine = []
            continue
        piece = engine.pop(int(choose() * len(engine)))
        lost.update(piece.texts)
        call = line.answered(answer(piece), 1)
        if call is not None:
            results[call] = call.result.vectors
            line.end(call)
    assert results == expected
    assert set(lost.values()) == {1}
