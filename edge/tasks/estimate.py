"""How long until a waiting task starts and a running one ends, from what the engine has shown.

What is learnt: how long a step takes by how many sequences it serves, how long a token of a prompt
takes, how many tokens a prompt has and how many of them are in the cache already, and how long the
answers of each client are (`edge.tasks.lengths`). What is computed from it is list scheduling,
which is what the line does: each slot serves one task after the other, in their order. A prompt
that is read holds up all slots alike, so it counts for each of them.

Who is near is told the mean of several such schedules, in each of which the answers have other
lengths: of sixteen that run the first ends long before one of mean length would. For who is far
back the sums of what is before it say as much.

Pure. Times are milliseconds; means are exponentially weighted, so that they follow a change of load
within some ten tasks or some hundred steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import Any, Final, NamedTuple

from edge.tasks.lengths import Distribution, Lengths
from edge.tasks.ranked import Ahead

STEP_WEIGHT: Final = 0.05
"""Share of the newest step in a mean: steps come by the hundred a second, and single ones are late
for reasons of the machine's own."""
PROMPT_WEIGHT: Final = 0.2
"""Share of the newest prompt."""

STEP_MS_MIN: Final = 0.001
STEP_MS_GUESS: Final = 20.0
PROMPT_MS_GUESS: Final = 1.0
"""Of a small model on a small box, until the engine has shown its own."""
CHARS_GUESS: Final = 4.0
"""Of a token of English text."""
CLIENTS_MAX: Final = 1_024
"""Clients of whom is kept how much of their prompts is in the cache."""
SCHEDULES: Final = 4
"""Schedules whose mean is told; each costs a microsecond for a task."""
_GOLDEN: Final = 0.618034
"""Multiples of the golden ratio: however many there are, their fractions are spread evenly."""


class Job(NamedTuple):
    """What the model has to do for one task: tokens to read and tokens to write."""

    prompt_tokens: float
    output_tokens: float


class Work(NamedTuple):
    """The same as far as it is known: tokens to read, tokens written of the ``most`` that there may
    be, and how long an answer may be."""

    prompt_tokens: float
    made: int
    most: int
    lengths: Distribution

    def expected(self) -> Job:
        """On average."""
        return Job(self.prompt_tokens, self.lengths.left(self.made, self.most))

    def at(self, share: float) -> Job:
        """Were it longer than this share of its like."""
        return Job(self.prompt_tokens, self.lengths.left_at(share, self.made, self.most))


@dataclass(slots=True)
class _Mean:
    """Of the first few all count alike; later ones take the weight off older ones."""

    value: float
    count: int = 0

    def add(self, value: float, weight: float) -> None:
        self.count += 1
        self.value += max(weight, 1 / self.count) * (value - self.value)


@dataclass(slots=True)
class Estimator:
    """Learns from steps, prompts and answers, and estimates."""

    lengths: Lengths = field(default_factory=Lengths)
    _prompt_ms: _Mean = field(default_factory=lambda: _Mean(PROMPT_MS_GUESS))
    _token_chars: _Mean = field(default_factory=lambda: _Mean(CHARS_GUESS))
    _steps_ms: dict[int, _Mean] = field(default_factory=dict)
    _unread: dict[str, _Mean] = field(default_factory=dict)
    # Between which known numbers of sequences another one lies: that is asked for every frame.
    _between: dict[int, tuple[_Mean, _Mean, float]] = field(
        default_factory=dict, init=False, compare=False
    )

    # ---- learning

    def saw_step(self, step_ms: float, sequences: int, prompt_tokens: int) -> None:
        """A step took so long; it wrote a token for each of ``sequences`` and read
        ``prompt_tokens``."""
        # A clock may be too coarse to see one.
        step_ms = max(step_ms, STEP_MS_MIN)
        if prompt_tokens == 0 and sequences:
            known = self._steps_ms.get(sequences)
            if known is None:
                known = self._steps_ms[sequences] = _Mean(step_ms)
                self._between.clear()
            known.add(step_ms, STEP_WEIGHT)
        elif prompt_tokens and (not sequences or self._steps_ms):
            # What the step would have taken without its prompts is no time of theirs.
            rest_ms = max(0.0, step_ms - self.step_ms(sequences)) if sequences else step_ms
            self._prompt_ms.add(rest_ms / prompt_tokens, STEP_WEIGHT)

    def saw_prompt(self, client: str, chars: int, tokens: int, cached_tokens: int) -> None:
        """A prompt of so many characters had so many tokens, its template's included; some were in
        the engine's cache already."""
        if not (chars and tokens):
            return
        self._token_chars.add(chars / tokens, PROMPT_WEIGHT)
        unread = self._unread.pop(client, None) or _Mean(1.0)
        unread.add(1 - cached_tokens / tokens, PROMPT_WEIGHT)
        self._unread[client] = unread
        if len(self._unread) > CLIENTS_MAX:
            del self._unread[next(iter(self._unread))]  # not heard of for longest

    # ---- what follows

    @property
    def prompt_ms(self) -> float:
        """How long it takes to read one token of a prompt."""
        return self._prompt_ms.value

    def prompt_tokens(self, chars: int) -> int:
        """How many tokens a prompt of so many characters is expected to have."""
        return round(chars / self._token_chars.value)

    def unread(self, client: str) -> float:
        """Which share of a prompt of this client is not in the cache."""
        known = self._unread.get(client)
        return 1.0 if known is None else known.value

    def step_ms(self, sequences: int) -> float:
        """How long a step for so many sequences takes; between two known numbers on the line
        through them, beyond all known ones like the nearest."""
        steps = self._steps_ms
        known = steps.get(sequences)
        if known is not None:
            return known.value
        if not steps:
            return STEP_MS_GUESS
        between = self._between.get(sequences)
        if between is None:
            between = self._between[sequences] = self._neighbours(sequences)
        below, above, share = between
        return below.value + share * (above.value - below.value)

    def _neighbours(self, sequences: int) -> tuple[_Mean, _Mean, float]:
        """The nearest known steps on both sides, and how far from the first one it is."""
        steps = self._steps_ms
        below = max((each for each in steps if each < sequences), default=0)
        above = min((each for each in steps if each > sequences), default=0)
        if not (below and above):
            nearest = steps[below or above]
            return nearest, nearest, 0.0
        return steps[below], steps[above], (sequences - below) / (above - below)

    def tokens_per_ms(self, slots: int) -> float:
        """What the engine writes at most."""
        return max(1, slots) / self.step_ms(max(1, slots))

    def left_ms(self, work: Work, sequences: int) -> float:
        """Until a running task ends, of which so much is left, among so many sequences."""
        prompt_tokens, output_tokens = work.expected()
        return prompt_tokens * self.prompt_ms + output_tokens * self.step_ms(sequences)

    def held_ms(self, job: Job, slots: int) -> float:
        """How long a job holds its slot. While a prompt is read all slots stand still, so in effect
        each waits for the prompts of all."""
        return job.prompt_tokens * self.prompt_ms * slots + job.output_tokens * self.step_ms(slots)

    def starts_ms(self, slots: int, running: Sequence[Work], jobs: Sequence[Work]) -> list[float]:
        """Until each of the jobs, in their order, gets its slot. ``running`` is what the running
        ones have left."""
        slots = max(1, slots)
        certain = all(each.lengths.certain for each in (*running, *jobs))
        schedules = 1 if certain else SCHEDULES
        starts_ms = [0.0] * len(jobs)
        for number in range(schedules):
            shift = number / schedules
            free_ms = self._free_ms(slots, _drawn(running, shift))
            for place, job in enumerate(_drawn(jobs, shift + 0.5)):
                start_ms = free_ms[0]
                starts_ms[place] += start_ms
                heapreplace(free_ms, start_ms + self.held_ms(job, slots))
        return [each / schedules for each in starts_ms]

    def free_ms(self, slots: int, running: Iterable[Work]) -> list[float]:
        """When each slot is free, the first one first, if all goes as is expected."""
        return sorted(self._free_ms(max(1, slots), (each.expected() for each in running)))

    def wait_ms(self, free_ms: Sequence[float], ahead: Ahead, residual: float = 0.5) -> float:
        """Until a task gets its slot, before which stand ``ahead``, when the slots are free then:
        by the sums, as for one of many of them. ``residual`` is what an answer has left on average,
        at a moment at which it runs, of the mean of all."""
        if not ahead.members:
            return free_ms[0]
        slots = len(free_ms)
        work_ms = self.held_ms(Job(ahead.prompt_tokens, ahead.output_tokens), slots)
        # When ours begins, the other slots are in the midst of something.
        others_ms = work_ms / ahead.members * residual * (slots - 1)
        return max(free_ms[0], (sum(free_ms) + work_ms - others_ms) / slots)

    def _free_ms(self, slots: int, running: Iterable[Job]) -> list[float]:
        """When each slot is free, as a heap."""
        free_ms = [self.held_ms(each, slots) for each in running][:slots]
        free_ms += [0.0] * (slots - len(free_ms))
        heapify(free_ms)
        return free_ms

    # ---- over a restart

    def to_json(self) -> dict[str, Any]:
        """All that was learnt."""
        return {
            "prompt_ms": self.prompt_ms,
            "token_chars": self._token_chars.value,
            "steps_ms": {str(number): mean.value for number, mean in self._steps_ms.items()},
            "unread": {client: mean.value for client, mean in self._unread.items()},
            "lengths": self.lengths.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Estimator:
        """What `to_json` gave. `UNREADABLE` when it did not."""
        return cls(
            Lengths.from_json(value["lengths"]),
            _mean(value["prompt_ms"], STEP_MS_MIN / 1_000),
            _mean(value["token_chars"], 0.1),
            {int(number): _mean(ms, STEP_MS_MIN) for number, ms in value["steps_ms"].items()},
            {str(client): _mean(share, 0.0) for client, share in value["unread"].items()},
        )


def _drawn(works: Iterable[Work], shift: float) -> Iterator[Job]:
    """Lengths that are spread as those of their like are."""
    for number, work in enumerate(works):
        yield work.at((number * _GOLDEN + shift) % 1)


def _mean(value: Any, least: float) -> _Mean:
    """A mean that was kept: it counts as one of a few. ValueError or TypeError when it is none."""
    if not least <= float(value) < 1e9:
        raise ValueError(f"{value} is no mean")
    return _Mean(float(value), 4)
