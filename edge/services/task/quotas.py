"""How much one account may have of the node at a time, and how often it may ask for more.

An account is a client, or on an open node an address (`edge.tasks.task.Request.account`), with all
its users together. Three things are counted: its tasks that have not ended, whatever they wait for;
the tokens that these are expected to cost, prompts and answers; and how often it submits.

The last is a token bucket, kept as the time when the bucket is full again, as the generic cell rate
algorithm keeps it (ITU-T I.371, annex A): one number an account, and none for who has been quiet.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from edge.clock import NS_PER_S

FORGOTTEN_AT_ONCE_MAX: Final = 2
"""Full buckets that are forgotten for each submission: more than come, so that they do not pile
up."""


class Limits(NamedTuple):
    """What one account may have; 0 means no limit, but for ``tasks``. ``burst`` submissions may
    come at once before the rate counts."""

    tasks: int
    tokens: int = 0
    per_second: int = 0
    burst: int = 1


class Excess(NamedTuple):
    """Why an account gets no more now: what is wrong, in a sentence; and either after how long it
    may ask again (``wait_ns``), or how many of its tokens have to be given back first, all of them
    at most (by one task at least)."""

    sentence: str
    wait_ns: int | None
    tokens: int = 0


@dataclass(slots=True)
class _Open:
    """The tasks of one account that have not ended, the first opened first, and what each costs."""

    costs: dict[str, int] = field(default_factory=dict)
    tokens: int = 0


class Quotas:
    """See the module. Nothing is stored for an account that has nothing and has been quiet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[str, _Open] = {}
        # When each bucket is full again; in the order of the last submission.
        self._full_ns: OrderedDict[str, int] = OrderedDict()
        self._each_ns = NS_PER_S // limits.per_second if limits.per_second else 0

    def tasks(self, account: str) -> int:
        """How many of its tasks have not ended."""
        held = self._open.get(account)
        return len(held.costs) if held else 0

    def tokens(self, account: str) -> int:
        """What these are expected to cost."""
        held = self._open.get(account)
        return held.tokens if held else 0

    def first(self, account: str, count: int) -> dict[str, int]:
        """So many of its open tasks, the first opened first, and what each costs."""
        held = self._open.get(account)
        return dict(islice(held.costs.items(), count)) if held else {}

    def cost(self, account: str, task_id: str) -> int:
        """What one of its open tasks is counted with; 0 when it is not open."""
        held = self._open.get(account)
        return held.costs.get(task_id, 0) if held else 0

    def excess(self, account: str, tokens: int, now_ns: int) -> Excess | None:
        """Why it may not have another task of so many tokens now; None when it may. One that has
        nothing may have any single task."""
        limits, own, in_flight = self._limits, self.tasks(account), self.tokens(account)
        if own >= limits.tasks:
            sentence = f"{own} tasks of yours have not ended, which is as many as you may have"
            return Excess(sentence, None)
        if limits.tokens and own and in_flight + tokens > limits.tokens:
            sentence = (
                f"your tasks that have not ended are expected to take {in_flight} tokens, and this"
                f" one {tokens} more; you may have {limits.tokens} in flight"
            )
            return Excess(sentence, None, in_flight + tokens - limits.tokens)
        # The bucket may lack all but one of its drops.
        early_ns = self._full_in_ns(account, now_ns) - (limits.burst - 1) * self._each_ns
        if early_ns > 0:
            sentence = f"you submit faster than {limits.per_second} tasks a second"
            return Excess(sentence, early_ns)
        return None

    def _full_in_ns(self, account: str, now_ns: int) -> int:
        return max(0, self._full_ns.get(account, 0) - now_ns) if self._each_ns else 0

    def submitted(self, account: str, now_ns: int) -> None:
        """It has submitted a task, which was accepted."""
        if not self._each_ns:
            return
        full_ns = now_ns + self._full_in_ns(account, now_ns) + self._each_ns
        self._full_ns[account] = full_ns
        self._full_ns.move_to_end(account)
        for quiet in list(islice(self._full_ns, FORGOTTEN_AT_ONCE_MAX)):
            if self._full_ns[quiet] <= now_ns:
                del self._full_ns[quiet]

    def open(self, account: str, task_id: str, tokens: int) -> None:
        """The task counts from now on; nothing changes if it does already."""
        held = self._open.setdefault(account, _Open())
        if task_id not in held.costs:
            held.costs[task_id] = tokens
            held.tokens += tokens

    def close(self, account: str, task_id: str) -> None:
        """It counts no longer, if it did."""
        held = self._open.get(account)
        if held is None:
            return
        held.tokens -= held.costs.pop(task_id, 0)
        if not held.costs:
            del self._open[account]
