"""How many threads llama.cpp gets, step by step: as many as the box has to give just now. Pure.

ggml's threads wait for each other after every operation. When one of them has to share its core
with another process, all stand still until it comes back: a single busy neighbour costs a factor of
ten to a hundred, where one thread fewer costs a fifth. No setting chosen at the start is right for
both, so the times of the steps decide: of late ones fewer threads are the consequence, and from
time to time another number is tried for a step or two, and kept if it is faster.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from edge.clock import NS_PER_S

SLOW: Final = 2.0
"""A step that took so much longer than its like before is late."""
LATE_STEPS: Final = 2
"""In a row: one alone may be a page fault or a neighbour of a moment."""
TRIAL_STEPS: Final = 2
"""Another number is tried for so many steps, or until one of them is slower."""
GAIN: Final = 0.95
"""And kept only if they took so much of what they had taken before: steps vary by some percent."""
WEIGHT: Final = 0.2
"""Share of the newest step in a mean. It follows a text that grows, and with it every step."""
WAIT_MIN_NS: Final = 1 * NS_PER_S
WAIT_MAX_NS: Final = 60 * NS_PER_S
"""Between trials. After one that was in vain the wait doubles: beside a busy neighbour such a step
takes as long as a hundred others."""
EXACT_TOKENS: Final = 32
"""Steps of so many tokens are compared with their equals, longer ones by the token."""


class _Trial(NamedTuple):
    before: int
    left: int
    share: float  # of the time before that the slowest of its steps took


class Threads:
    """The number for the next step is ``now``, between 1 and ``most``."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = most
        self._means_ns: dict[tuple[int, int], float] = {}  # by threads and shape, for one token
        self._late = 0
        self._trial: _Trial | None = None
        self._next_ns = 0
        self._wait_ns = WAIT_MIN_NS
        self._upwards = False

    def ladder(self) -> list[int]:
        """The numbers there are to choose from: each half of the next."""
        steps = [self.most]
        while steps[-1] > 1:
            steps.append(steps[-1] // 2)
        return steps[::-1]

    def begin(self, tokens: int, took_ns: dict[int, int], now_ns: int) -> None:
        """What a step of so many tokens takes with each number, measured before there is work: the
        fastest is what to begin with."""
        for number, step_ns in took_ns.items():
            self._means_ns[number, _shape(tokens)] = step_ns / tokens
        self.now = min(took_ns, key=lambda number: took_ns[number])
        self._next_ns = now_ns + self._wait_ns

    def saw(self, tokens: int, took_ns: int, now_ns: int) -> None:
        """A step of so many tokens took so long with ``now`` threads."""
        one_ns, shape = took_ns / tokens, _shape(tokens)
        if self._trial is not None:
            self._judge(self._trial, one_ns, shape, now_ns)
            return
        known_ns = self._means_ns.get((self.now, shape))
        if self.now > 1 and known_ns is not None and one_ns > SLOW * known_ns:
            self._late += 1
            if self._late >= LATE_STEPS:
                # Not learnt from: it says how busy the box is, not how long the work takes.
                self._settle(self._beside(-1), now_ns)
            return
        self._late = 0
        self._learn(one_ns, shape)
        if now_ns >= self._next_ns and self.most > 1:
            self._try_another(now_ns)

    def _learn(self, one_ns: float, shape: int) -> None:
        key = self.now, shape
        known_ns = self._means_ns.get(key, one_ns)
        self._means_ns[key] = known_ns + WEIGHT * (one_ns - known_ns)

    def _try_another(self, now_ns: int) -> None:
        """The next number up or down, in turns; at an end of the ladder the only one there is."""
        self._upwards = (not self._upwards or self.now == 1) and self.now < self.most
        self._trial = _Trial(self.now, TRIAL_STEPS, 0.0)
        self.now = self._beside(1 if self._upwards else -1)

    def _judge(self, trial: _Trial, one_ns: float, shape: int, now_ns: int) -> None:
        before_ns = self._means_ns.get((trial.before, shape))
        if before_ns is None:
            # Nothing to compare it with, and the next steps may be its like: where the trial went
            # on, a number that nobody has compared would be kept for as long as they come.
            self._trial, self.now = None, trial.before
            self._next_ns = now_ns + self._wait_ns
            return
        share = max(trial.share, one_ns / before_ns)
        if share > GAIN:
            self._trial, self.now = None, trial.before
            self._wait_ns = min(2 * self._wait_ns, WAIT_MAX_NS)
            self._next_ns = now_ns + self._wait_ns
            return
        self._means_ns[self.now, shape] = one_ns
        self._trial = trial._replace(left=trial.left - 1, share=share)
        if self._trial.left == 0:
            self._settle(self.now, now_ns)

    def _settle(self, number: int, now_ns: int) -> None:
        """Goes on with this number; whether the next is better is seen soon."""
        self.now, self._trial, self._late = number, None, 0
        self._wait_ns = WAIT_MIN_NS
        self._next_ns = now_ns + self._wait_ns

    def _beside(self, by: int) -> int:
        ladder = self.ladder()
        return ladder[min(max(ladder.index(self.now) + by, 0), len(ladder) - 1)]


def _shape(tokens: int) -> int:
    return tokens if tokens <= EXACT_TOKENS else EXACT_TOKENS + tokens.bit_length()
