"""How much of prompts goes into a step, so that no step takes longer than it may. Pure.

A step is what everybody waits for: the next token of all who generate, a cancel, the sign that the
engine lives. How long a token of a prompt takes differs by a factor of a thousand between boxes, so
its number is learnt: what a step takes that only generates, and what each token of a prompt adds.
"""

from __future__ import annotations

from typing import Final

from edge.clock import NS_PER_MS

FIRST_TOKENS: Final = 32
"""Until a step has shown how long they take."""
PROMPT_TOKENS_MIN: Final = 4
"""Also where generating alone takes all the time that a step may, prompts are read."""
GROWTH: Final = 2
"""From one step to the next: a token costs more in a short step, so too few are tried first."""
UNKNOWN_ROW_PRICE: Final = 0.5
"""Until it is measured: as on a CPU."""
WEIGHT: Final = 0.3
"""Share of the newest step in a mean."""


class Budget:
    """``step_ms`` is what a step may take, ``most`` how many tokens it may have in any case."""

    def __init__(self, step_ms: int, most: int) -> None:
        self._step_ns = step_ms * NS_PER_MS
        self.most = most
        self._tried = FIRST_TOKENS
        self._token_ns: float | None = None
        self._generating_ns: dict[int, float] = {}

    def prompt_tokens(self, generating: int) -> int:
        """For a step in which so many sequences generate; at least one."""
        fits = self._tried
        if self._token_ns is not None:
            left_ns = self._step_ns - self._generating_ns.get(generating, 0.0)
            fits = int(max(PROMPT_TOKENS_MIN, left_ns / self._token_ns))
            fits = min(fits, GROWTH * self._tried)
        return max(1, min(fits, self.most - generating))

    def row_price(self, generating: int, further: int) -> float:
        """What each of so many further rows costs in a step in which so many generate, measured by
        what a token of theirs costs."""
        without_ns, with_ns = map(self._generating_ns.get, (generating, generating + further))
        if without_ns is None or with_ns is None:
            return UNKNOWN_ROW_PRICE
        return max(0.0, with_ns - without_ns) / further / (without_ns / generating)

    def saw(self, generating: int, prompt_tokens: int, took_ns: int) -> None:
        """A step took so long in which so many generated and so much of prompts was read."""
        if not prompt_tokens:
            known_ns = self._generating_ns.get(generating, took_ns)
            self._generating_ns[generating] = known_ns + WEIGHT * (took_ns - known_ns)
            return
        # A late step says that generating took long, too; what a token adds is never nothing.
        rest_ns = max(took_ns - self._generating_ns.get(generating, 0.0), took_ns / 10)
        token_ns = rest_ns / prompt_tokens
        known_ns = self._token_ns if self._token_ns is not None else token_ns
        # Too long a step is learnt from at once: the next must not be as long.
        weight = 1.0 if took_ns > self._step_ns else WEIGHT
        self._token_ns = max(1.0, known_ns + weight * (token_ns - known_ns))
        self._tried = max(self._tried, prompt_tokens)
