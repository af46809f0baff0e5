"""What each client owes: the flows of start-time fair queueing, and the start tags that follow.

Time is counted in tokens of work; see `edge.tasks.line` for what the tags are for. A flow is in use
while it has something: tasks that wait, that have their turn, or that are coming, since they have
reserved a place. One object may be for several lines: then who asks one model for much has had it
from all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ACCOUNT_END: Final = "\0"
"""Between the name of a client and its user's, in the name of a flow."""

FLOWS_KEPT_MIN: Final = 1_024
"""So many flows are kept before those that are of little consequence are looked for."""


@dataclass(slots=True)
class _Account:
    """The client of some flows: how many of them have something, and the tag of its next newcomer,
    so that they come in one after the other."""

    name: str
    busy: int = 0
    newcomer: float = -math.inf


@dataclass(slots=True)
class _Flow:
    """``finish`` is where its last task ends as far as is known; ``latest`` the highest tag of
    those that wait or are coming: who comes later does not go before them, however much less they
    turn out to cost."""

    finish: float
    latest: float = -math.inf
    waiting: int = 0
    coming: int = 0
    running: int = 0
    account: _Account | None = None  # while it has something

    @property
    def idle(self) -> bool:
        return not (self.waiting or self.coming or self.running)

    def relax(self) -> None:
        """After one has gone: with nobody to go before, there is no order to keep."""
        if not (self.waiting or self.coming):
            self.latest = -math.inf


class Flows:
    """See the module."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._flows: dict[str, _Flow] = {}
        self._accounts: dict[str, _Account] = {}
        # Of those that are coming: flow, cost and weight.
        self._coming: dict[str, tuple[str, int, int]] = {}
        self._members = 0  # all that wait, run or are coming

    # ---- what there is

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def virtual(self) -> float:
        """The virtual time: the highest tag that was served."""
        return self._virtual

    @property
    def coming(self) -> int:
        """How many tasks have reserved a place and do not wait yet."""
        return len(self._coming)

    @property
    def busy(self) -> dict[str, int]:
        """How many flows of each account have something; without those that have none."""
        return {name: account.busy for name, account in self._accounts.items()}

    def waiting_of(self, flow: str) -> int:
        """How many of this flow wait."""
        found = self._flows.get(flow)
        return found.waiting if found else 0

    def newcomer_tag(self, flow: str) -> float:
        """Where a task of this flow would start that came now."""
        known = self._flows.get(flow)
        if known is None:
            return self._virtual
        return max(self._virtual, known.finish, known.latest)

    # ---- what happens

    def begin_at(self, tag: float) -> None:
        """Those of an earlier life are put back, of which this was the lowest tag: what is new
        stands behind it."""
        self._virtual = max(self._virtual, tag)

    def reserve(self, task_id: str, flow: str, cost_tokens: int) -> float:
        """The tag of a task of this flow that is coming."""
        known = self._flow(flow)
        weight = self._begin(flow, known)
        self._coming[task_id] = flow, cost_tokens, weight
        known.coming += 1
        self._members += 1
        return self._next_tag(known, cost_tokens, weight)

    def refund(self, task_id: str) -> None:
        """What was reserved does not come after all."""
        coming = self._coming.get(task_id)
        if coming is not None:
            name, cost_tokens, weight = coming
            self._came(task_id)
            self.settle(name, -weight * cost_tokens)

    def waits(
        self, task_id: str, name: str, cost_tokens: int, tag: float | None, weight: int | None
    ) -> tuple[float, int]:
        """A task of this flow waits from now on: its tag, new where it has none, and by how much
        its cost counts. ``weight`` is what that was before, of one that waited already."""
        flow = self._flow(name)
        now_busy = self._begin(name, flow)
        flow.waiting += 1
        self._members += 1
        if weight is None:
            *_, weight = self._coming.get(task_id, (name, 0, 1))
        self._came(task_id)
        if tag is None:
            return self._next_tag(flow, cost_tokens, now_busy), now_busy
        # It was charged when it got its tag; after a start the flow has to learn of that.
        flow.finish = max(flow.finish, tag + weight * cost_tokens)
        flow.latest = max(flow.latest, tag)
        return tag, weight

    def leaves(self, name: str) -> None:
        """One of this flow waits no more."""
        flow = self._flows[name]
        flow.waiting -= 1
        self._members -= 1
        flow.relax()

    def runs(self, name: str) -> None:
        """One of this flow has its turn, after it `leaves`."""
        self._flows[name].running += 1
        self._members += 1

    def serves(self, tag: float) -> None:
        """A task of this tag is served by a model: the virtual time is no less."""
        self._virtual = max(self._virtual, tag)

    def ran(self, name: str, more_tokens: int | None) -> None:
        """A turn of one of this flow is over. It has cost so much more than it was charged; None
        when it comes back."""
        flow = self._flows[name]
        flow.running -= 1
        self._members -= 1
        if more_tokens is None:
            self._rest(flow)
        else:
            self.settle(name, more_tokens)

    def settle(self, name: str, more_tokens: int) -> None:
        """A task of this flow has cost so much more than it was charged."""
        self._flows[name].finish += more_tokens
        self._rest(self._flows[name])
        if not self._members:
            # A busy period is over: what was used in it is nobody's debt in the next.
            self._virtual = max([self._virtual, *(each.finish for each in self._flows.values())])
            self._flows.clear()

    # ---- inside

    def _begin(self, name: str, flow: _Flow) -> int:
        """The flow has something from now on; how many of its account have."""
        if flow.account is None:
            account = name.partition(ACCOUNT_END)[0]
            flow.account = self._accounts.setdefault(account, _Account(account))
            flow.account.busy += 1
        return flow.account.busy

    def _rest(self, flow: _Flow) -> None:
        """It has nothing any more, if that is so."""
        account = flow.account
        if account is not None and flow.idle:
            flow.account = None
            account.busy -= 1
            if not account.busy:
                del self._accounts[account.name]

    def _next_tag(self, flow: _Flow, cost_tokens: int, weight: int) -> float:
        start = max(self._virtual, flow.finish)
        if weight > 1 and flow.finish <= self._virtual and flow.account is not None:
            start = max(start, flow.account.newcomer)
            flow.account.newcomer = start + cost_tokens
        flow.finish = start + weight * cost_tokens
        # By one at least: of two that are coming, who is written down first must not matter.
        flow.latest = max(start, flow.latest + 1)
        return flow.latest

    def _came(self, task_id: str) -> None:
        """It is coming no longer, if it was."""
        coming = self._coming.pop(task_id, None)
        if coming is not None:
            flow = self._flows[coming[0]]
            flow.coming -= 1
            self._members -= 1
            flow.relax()

    def _flow(self, name: str) -> _Flow:
        flow = self._flows.get(name)
        if flow is None:
            self._forget()
            flow = self._flows[name] = _Flow(self._virtual)
        return flow

    def _forget(self) -> None:
        """Of too many flows that are idle, those that owe least are taken for new ones."""
        if len(self._flows) < max(FLOWS_KEPT_MIN, 2 * self._members):
            return
        idle = [name for name, flow in self._flows.items() if flow.idle]
        idle.sort(key=lambda name: self._flows[name].finish)
        for name in idle[: len(self._flows) - FLOWS_KEPT_MIN // 2]:
            del self._flows[name]
