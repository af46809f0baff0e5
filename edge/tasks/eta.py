"""How long until a waiting task starts, and a running one ends: estimates from measured rates.

The model is the simplest that is honest: ``slots`` places that each serve one task after another,
a mean service time learnt from the tasks that ended (an exponentially weighted mean, so that it
follows a change of load within some ten tasks), and what the running ones have left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WEIGHT: Final = 0.2
"""Share of the newest observation in the mean."""


@dataclass(slots=True)
class Estimator:
    """Learns from finished tasks, answers for waiting and running ones. All in milliseconds.

    ``service_ms`` and ``ms_per_token`` start as guesses for a small model on a small box.
    """

    service_ms: float = 4_000.0
    ms_per_token: float = 30.0

    def observe(self, service_ms: float, completion_tokens: int, decode_ms: float) -> None:
        """A task ended after `service_ms` in its slot."""
        self.service_ms += WEIGHT * (service_ms - self.service_ms)
        if completion_tokens > 1:
            self.ms_per_token += WEIGHT * (decode_ms / completion_tokens - self.ms_per_token)

    def wait_ms(self, position: int, slots: int, running_left_ms: Sequence[float]) -> int:
        """Until the task at `position` (1 is next) gets a slot.

        `running_left_ms` has one entry for each slot in use. Without any slot (the engine is
        down) it answers as if one were about to come.
        """
        slots = max(1, slots)
        free_at_ms = sorted(running_left_ms)[:slots]
        free_at_ms = [0.0] * (slots - len(free_at_ms)) + free_at_ms
        rounds, place = divmod(max(0, position - 1), slots)
        return int(free_at_ms[place] + rounds * self.service_ms)

    def left_ms(self, elapsed_ms: float, tokens_done: int, tokens_max: int) -> int:
        """Until a running task ends: what the mean task has left, but at least one token, and
        never more than its remaining tokens can take."""
        by_mean_ms = max(self.ms_per_token, self.service_ms - elapsed_ms)
        by_tokens_ms = max(0, tokens_max - tokens_done) * self.ms_per_token
        return int(min(by_mean_ms, by_tokens_ms))
