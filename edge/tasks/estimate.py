"""How long until a waiting task starts and a running one ends, from what the engine has shown.

What is learnt: how long a step takes by how many sequences it serves, how long a token of a prompt
takes, and how long the answers of a client are. What is computed from it is list scheduling, which
is what the line does: each slot serves one task after the other, in their order. A prompt that is
read holds up all slots alike, so it counts for each of them.

Pure. Times are milliseconds; means are exponentially weighted, so that they follow a change of load
within some ten tasks or some hundred steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import Any, Final, NamedTuple

from edge.tasks.ranked import Ahead

STEP_WEIGHT: Final = 0.05
"""Share of the newest step in a mean: steps come by the hundred a second, and single ones are late
for reasons of the machine's own."""
LENGTH_WEIGHT: Final = 0.2
"""Share of the newest answer."""

STEP_MS_MIN: Final = 0.001
STEP_MS_GUESS: Final = 20.0
PROMPT_MS_GUESS: Final = 1.0
"""Of a small model on a small box, until the engine has shown its own."""
CHARS_GUESS: Final = 4.0
"""Of a token of English text."""
SHARE_GUESS: Final = 0.5
"""Of what an answer may have, until one has shown what it takes."""
LENGTHS_MAX: Final = 4_096
"""Clients whose answers' lengths are remembered."""


class Job(NamedTuple):
    """What the model has to do for one task: tokens to read and tokens to write."""

    prompt_tokens: float
    output_tokens: float


@dataclass(slots=True)
class Estimator:
    """Learns from steps and from answers, and estimates."""

    prompt_ms: float = PROMPT_MS_GUESS
    token_chars: float = CHARS_GUESS
    _steps_ms: dict[int, float] = field(default_factory=dict)
    _lengths: dict[str, float] = field(default_factory=dict)

    # ---- learning

    def saw_step(self, step_ms: float, sequences: int, prompt_tokens: int) -> None:
        """A step took so long; it wrote a token for each of ``sequences`` and read
        ``prompt_tokens``."""
        # A clock may be too coarse to see one.
        step_ms = max(step_ms, STEP_MS_MIN)
        if prompt_tokens == 0 and sequences:
            known_ms = self._steps_ms.get(sequences)
            self._steps_ms[sequences] = (
                step_ms if known_ms is None else known_ms + STEP_WEIGHT * (step_ms - known_ms)
            )
        elif prompt_tokens and (not sequences or self._steps_ms):
            # What the step would have taken without its prompts is no time of theirs.
            rest_ms = max(0.0, step_ms - self.step_ms(sequences)) if sequences else step_ms
            self.prompt_ms += STEP_WEIGHT * (rest_ms / prompt_tokens - self.prompt_ms)

    def saw_prompt(self, chars: int, tokens: int) -> None:
        """A prompt of so many characters had so many tokens, its template's included."""
        if chars and tokens:
            self.token_chars += LENGTH_WEIGHT * (chars / tokens - self.token_chars)

    def saw_answer(self, client: str, output_tokens: int, max_tokens: int) -> None:
        """An answer to this client had so many tokens of those it might have had."""
        share = output_tokens / max(1, max_tokens)
        known = self._lengths.pop(client, share)
        self._lengths[client] = known + LENGTH_WEIGHT * (share - known)
        if len(self._lengths) > LENGTHS_MAX:
            del self._lengths[next(iter(self._lengths))]  # not heard of for longest

    # ---- what follows

    def output_tokens(self, client: str, max_tokens: int) -> int:
        """How long an answer to this client is expected to be, from 1 to ``max_tokens``."""
        share = self._lengths.get(client, SHARE_GUESS)
        return max(1, min(max_tokens, round(share * max_tokens)))

    def prompt_tokens(self, chars: int) -> int:
        """How many tokens a prompt of so many characters is expected to have."""
        return round(chars / self.token_chars)

    def step_ms(self, sequences: int) -> float:
        """How long a step for so many sequences takes; between two known numbers on the line
        through them, beyond all known ones like the nearest."""
        known = self._steps_ms
        if sequences in known:
            return known[sequences]
        if not known:
            return STEP_MS_GUESS
        below = max((each for each in known if each < sequences), default=None)
        above = min((each for each in known if each > sequences), default=None)
        if below is None or above is None:
            return known[below if above is None else above]  # type: ignore[index]  # one is there
        share = (sequences - below) / (above - below)
        return known[below] + share * (known[above] - known[below])

    def tokens_per_ms(self, slots: int) -> float:
        """What the engine writes at most."""
        return max(1, slots) / self.step_ms(max(1, slots))

    def left_ms(self, job: Job, sequences: int) -> float:
        """Until a running task ends, of which so much is left, among so many sequences."""
        return job.prompt_tokens * self.prompt_ms + job.output_tokens * self.step_ms(sequences)

    def starts_ms(self, slots: int, running: Sequence[Job], jobs: Iterable[Job]) -> Iterator[float]:
        """Until each of the jobs, in their order, gets its slot. ``running`` is what the running
        ones have left."""
        free_ms = self._free_ms(slots, running)
        heapify(free_ms)
        for job in jobs:
            yield free_ms[0]
            heapreplace(free_ms, free_ms[0] + self._took_ms(job, len(free_ms)))

    def wait_ms(self, slots: int, running: Sequence[Job], ahead: Ahead) -> int:
        """Until a task gets its slot, before which stand ``ahead``: by the sums, as for one of many
        of them."""
        free_ms = self._free_ms(slots, running)
        slots = len(free_ms)
        if not ahead.members:
            return int(min(free_ms))
        work_ms = self._took_ms(Job(ahead.prompt_tokens, ahead.output_tokens), slots)
        # Slots end their work evenly spread over one task's time; ours begins with the first.
        spread_ms = work_ms / ahead.members * (slots - 1) / (2 * slots)
        return int(max(min(free_ms), (sum(free_ms) + work_ms) / slots - spread_ms))

    def _free_ms(self, slots: int, running: Sequence[Job]) -> list[float]:
        """When each slot is free."""
        slots = max(1, slots)
        free_ms = [self._took_ms(each, slots) for each in running[:slots]]
        return free_ms + [0.0] * (slots - len(free_ms))

    def _took_ms(self, job: Job, slots: int) -> float:
        """How long a job holds its slot. While a prompt is read all slots stand still, so in effect
        each waits for the prompts of all."""
        return job.prompt_tokens * self.prompt_ms * slots + job.output_tokens * self.step_ms(slots)

    # ---- over a restart

    def to_json(self) -> dict[str, Any]:
        """All that was learnt."""
        return {
            "prompt_ms": self.prompt_ms,
            "token_chars": self.token_chars,
            "steps_ms": {str(number): ms for number, ms in self._steps_ms.items()},
            "lengths": self._lengths,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Estimator:
        """What `to_json` gave. ValueError, TypeError or KeyError when it did not."""
        steps_ms = {int(number): float(ms) for number, ms in value["steps_ms"].items()}
        lengths = {str(client): float(share) for client, share in value["lengths"].items()}
        prompt_ms, token_chars = float(value["prompt_ms"]), float(value["token_chars"])
        return cls(prompt_ms, token_chars, steps_ms, lengths)
