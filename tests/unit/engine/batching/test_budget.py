"""Steps that take as long as they may and no longer, on boxes of all kinds."""

from __future__ import annotations

import pytest

from edge.clock import NS_PER_MS, NS_PER_S
from edge.engine.batching.budget import FIRST_TOKENS, PROMPT_TOKENS_MIN, UNKNOWN_ROW_PRICE, Budget

STEP_MS = 200


class Box:
    """Reads so many tokens of a prompt a second; a step that generates takes so long besides."""

    def __init__(self, tokens_per_second: float, generating_ms: float = 0.0) -> None:
        self.token_ns = NS_PER_S / tokens_per_second
        self.generating_ms = generating_ms
        self.budget = Budget(STEP_MS, 512)

    def step(self, generating: int = 0, *, prompt: bool = True) -> float:
        """How long it took, in ms."""
        tokens = self.budget.prompt_tokens(generating) if prompt else 0
        ns = 5 * NS_PER_MS + tokens * self.token_ns
        ns += self.generating_ms * NS_PER_MS if generating else 0
        self.budget.saw(generating, tokens, int(ns))
        return ns / NS_PER_MS


@pytest.mark.parametrize("tokens_per_second", [7, 100, 1_000, 2_400])
def test_a_step_soon_takes_what_it_may(tokens_per_second: int) -> None:
    box = Box(tokens_per_second)
    took_ms = [box.step() for _ in range(12)]
    # The very first cannot know how slow the box is.
    assert max(took_ms[1:]) <= max(1.5 * STEP_MS, 5 + 1_000 * PROMPT_TOKENS_MIN / tokens_per_second)
    if tokens_per_second >= 100:
        assert took_ms[-1] == pytest.approx(STEP_MS, rel=0.25)


def test_a_fast_box_reads_as_much_as_fits_a_batch() -> None:
    box = Box(100_000)
    for _ in range(12):
        box.step()
    assert box.budget.prompt_tokens(0) == 512
    assert box.budget.prompt_tokens(16) == 496


def test_who_generates_is_not_held_up_for_longer() -> None:
    box = Box(1_000, generating_ms=100)
    for _ in range(5):
        box.step(8, prompt=False)
    took_ms = [box.step(8) for _ in range(10)]
    assert max(took_ms) <= 1.2 * STEP_MS


def test_prompts_are_read_also_where_generating_takes_all_the_time() -> None:
    box = Box(1_000, generating_ms=500)
    for _ in range(20):
        box.step(8, prompt=False)
        box.step(8)
    assert box.budget.prompt_tokens(8) >= PROMPT_TOKENS_MIN


def test_a_box_that_gets_slow_is_noticed_with_one_step() -> None:
    box = Box(2_000)
    for _ in range(12):
        box.step()
    box.token_ns *= 20
    box.step()
    assert box.step() <= 1.2 * STEP_MS


def test_the_first_step_is_short() -> None:
    assert Budget(STEP_MS, 512).prompt_tokens(0) == FIRST_TOKENS
    assert Budget(STEP_MS, 4).prompt_tokens(3) == 1
    assert Budget(STEP_MS, 4).prompt_tokens(4) == 1


def test_a_further_row_costs_what_was_measured() -> None:
    budget = Budget(200, 512)
    assert budget.row_price(1, 3) == UNKNOWN_ROW_PRICE
    budget.saw(1, 0, 10_000)
    budget.saw(4, 0, 25_000)
    assert budget.row_price(1, 3) == pytest.approx(0.5)
    # Beside one other a token costs less, and so a row costs more of it.
    budget.saw(2, 0, 15_000)
    assert budget.row_price(2, 2) == pytest.approx(5_000 / 7_500)
