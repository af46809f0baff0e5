"""Guesses from a sequence's own tokens, and when they are given up."""

from __future__ import annotations

from itertools import pairwise

from edge.engine.batching.draft import PAUSE_STEPS_MAX, ROWS_MAX, Drafter


def test_what_followed_before_is_the_guess() -> None:
    drafter = Drafter([1, 2, 3, 4, 5, 6, 9, 1, 2])
    assert drafter.draft(5) == ()
    drafter.add(3)
    assert drafter.draft(5) == (4, 5)
    assert drafter.draft(1) == (4,)
    assert drafter.draft(0) == ()


def test_the_latest_place_counts() -> None:
    drafter = Drafter([1, 2, 3, 4, 4, 1, 2, 3, 5, 5, 1, 2, 3])
    assert drafter.draft(2) == (5, 5)


def test_a_loop_guesses_itself() -> None:
    assert Drafter([7] * 6).draft(7) == (7,)
    assert Drafter([1, 2] * 4).draft(7) == (1, 2)


def test_a_guess_that_was_right_makes_the_next_longer_and_a_wrong_one_shorter() -> None:
    drafter = Drafter([*range(20), 0, 1, 2])
    lengths = []
    for _ in range(3):
        guess = drafter.draft(ROWS_MAX)
        lengths.append(len(guess))
        drafter.saw(len(guess), len(guess), 0.5)
    assert lengths == [2, 5, ROWS_MAX - 1]
    drafter.saw(7, 4, 0.5)
    assert len(drafter.draft(ROWS_MAX)) == 4


def test_who_fails_is_left_alone_for_longer_and_longer() -> None:
    drafter = Drafter([*range(20), 0, 1, 2])
    tried = []
    for step in range(400):
        guess = drafter.draft(ROWS_MAX)
        if guess:
            tried.append(step)
            drafter.saw(len(guess), 0, 0.5)
    pauses = [after - before - 1 for before, after in pairwise(tried)]
    assert pauses[:6] == [1, 3, 7, 15, 31, 63]
    assert set(pauses[6:]) == {PAUSE_STEPS_MAX}


def test_a_guess_that_is_half_right_pays_where_rows_are_cheap() -> None:
    cheap, dear = (Drafter([*range(20), 0, 1, 2]) for _ in range(2))
    cheap.saw(4, 2, 0.1)
    dear.saw(4, 2, 0.8)
    assert cheap.draft(2)
    assert not dear.draft(2)
