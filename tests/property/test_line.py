"""The line against a plain list, under any sequence of what can happen to it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.clock import NS_PER_MS
from edge.tasks.line import LEVELS, Entry, Line, Shared

STEP_MS = 100
FLOWS = st.sampled_from(("a", "b", "c\0one", "c\0two", "c\0three"))


class LineMachine(RuleBasedStateMachine):
    """Nobody is lost, served twice or passed over for too long; places are those of the order."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(step_ms=STEP_MS, shared=Shared(fallback_slots=1))
        self.line.slots = 2
        self.now_ns = 0
        self.made = 0
        self.waiting: dict[str, Entry] = {}
        self.held: dict[int, Entry] = {}
        self.coming: list[Entry] = []
        self.had_turns: set[int] = set()

    def _enqueue(self, entry: Entry, *, returning: bool = False, first: bool = False) -> None:
        self.line.enqueue(entry, self.now_ns, returning=returning, first=first)
        self.waiting[entry.task_id] = entry

    @rule(
        flow=FLOWS,
        level=st.integers(0, LEVELS - 1),
        prompt=st.integers(0, 50),
        output=st.integers(1, 50),
        kind=st.sampled_from(("plain", "plain", "alone", "fallback_only")),
        may_fall_back=st.booleans(),
        first=st.booleans(),
    )
    def comes(
        self, flow: str, level: int, prompt: int, output: int, kind: str, may_fall_back: bool,
        first: bool,
    ) -> None:  # fmt: skip
        self.made += 1
        entry = Entry(
            f"task {self.made}", flow, level, prompt, output, owner=None,
            alone=kind == "alone", fallback_only=kind == "fallback_only",
            may_fall_back=may_fall_back,
        )  # fmt: skip
        self._enqueue(entry, first=first)

    @rule(flow=FLOWS, output=st.integers(1, 50))
    def is_coming(self, flow: str, output: int) -> None:
        self.made += 1
        entry = Entry(f"task {self.made}", flow, 5, 0, output, owner=None)
        entry.tag = self.line.flows.reserve(entry.task_id, flow, output)
        self.coming.append(entry)

    @precondition(lambda self: self.coming)
    @rule(accepted=st.booleans())
    def is_accepted_or_not(self, accepted: bool) -> None:
        entry = self.coming.pop(0)
        if accepted:
            self._enqueue(entry)
        else:
            self.line.flows.refund(entry.task_id)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def enqueues_again(self, data: st.DataObject) -> None:
        old = self.waiting[data.draw(st.sampled_from(sorted(self.waiting)))]
        entry = Entry(old.task_id, old.flow, old.level, old.prompt_tokens, old.output_tokens, None)
        self._enqueue(entry)
        assert entry.tag == old.tag

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraws(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.waiting)))
        mark = self.line.mark(self.waiting[task_id])
        assert self.line.withdraw(task_id)
        del self.waiting[task_id]
        behind, order = list(self.line.behind(mark)), list(self.line.in_order())
        assert behind == order[len(order) - len(behind) :], "its place is still there"

    @rule()
    def is_granted(self) -> None:
        before = list(self.line.in_order())
        grant = self.line.grant(self.now_ns)
        if grant is None:
            assert not before or self._full() or self.line.paused or not self._any_for_a_slot()
            return
        assert self.waiting.pop(grant.entry.task_id) is grant.entry
        self.held[grant.key] = grant.entry
        self.had_turns.add(int(grant.entry.task_id.removeprefix("task ")))

    def _full(self) -> bool:
        return self.line.busy_slots >= self.line.slots or any(
            each.entry.alone and not each.fallback for each in self.line.turns()
        )

    def _any_for_a_slot(self) -> bool:
        return any(not each.fallback_only for each in self.waiting.values())

    @precondition(lambda self: self.held)
    @rule(data=st.data(), spent=st.none() | st.integers(0, 200))
    def is_released(self, data: st.DataObject, spent: int | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        entry = self.held.pop(key)
        assert self.line.release(key, spent)
        assert not self.line.release(key, spent)
        if spent is None:
            entry.alone = False
            self._enqueue(entry, returning=True)

    @rule(ms=st.integers(0, 300))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * NS_PER_MS

    @rule(slots=st.integers(0, 3), outage=st.booleans(), paused=st.booleans())
    def things_change(self, slots: int, outage: bool, paused: bool) -> None:
        self.line.slots, self.line.outage, self.line.paused = slots, outage, paused

    @rule(tokens_per_ms=st.floats(0.001, 10))
    def the_model_has_another_pace(self, tokens_per_ms: float) -> None:
        self.line.tokens_per_ms = tokens_per_ms

    @invariant()
    def all_are_there(self) -> None:
        order = list(self.line.in_order())
        assert {each.task_id for each in order} == set(self.waiting)
        assert (self.line.waiting, self.line.running) == (len(self.waiting), len(self.held))
        busy = {each.flow for each in (*self.waiting.values(), *self.held.values(), *self.coming)}
        own = [flow.partition("\0")[0] for flow in busy]
        assert self.line.flows.busy == {name: own.count(name) for name in own}
        for flow in busy:
            count = sum(each.flow == flow for each in self.waiting.values())
            assert self.line.flows.waiting_of(flow) == count

    @invariant()
    def what_is_behind_a_place_is_the_rest_of_the_order(self) -> None:
        order = list(self.line.in_order())
        for number, entry in enumerate(order, 1):
            assert list(self.line.behind(self.line.mark(entry))) == order[number:]

    @invariant()
    def none_goes_before_an_earlier_one_of_its_client(self) -> None:
        """Whatever those before it turn out to cost. Who had its turn already goes by its tag."""
        last: dict[tuple[str, int], int] = {}
        for entry in self.line.in_order():
            number = int(entry.task_id.removeprefix("task "))
            if not (entry.alone or entry.fallback_only or number in self.had_turns):
                assert number > last.get((entry.flow, entry.level), 0)
                last[entry.flow, entry.level] = number

    @invariant()
    def only_those_that_wait_are_kept(self) -> None:
        ageing = {task_id for level in self.line._ageing for task_id in level}
        assert ageing <= set(self.waiting)

    @invariant()
    def the_order_is_that_of_tags_and_head_starts(self) -> None:
        """Of each level all that stand before one which has waited it out stand where it does."""
        plain = [each for each in self.line.in_order() if not (each.alone or each.fallback_only)]
        head_start = round(STEP_MS * self.line.tokens_per_ms)

        def standing(entry: Entry) -> tuple[tuple[float, int], tuple[float, int]]:
            own = entry.rank[0] + entry.level * head_start, entry.rank[1]
            aged = (
                each.rank
                for each in plain
                if each.aged and each.level == entry.level and each.rank >= entry.rank
            )
            return min(own, *aged, own), entry.rank

        assert plain == sorted(plain, key=standing)

    @invariant()
    def places_are_those_of_the_order(self) -> None:
        order = [each for each in self.line.in_order() if not each.fallback_only]
        for place, each in enumerate(order):
            ahead = self.line.ahead(each.task_id, 0)
            assert ahead is not None
            assert ahead.members == place
            assert ahead.prompt_tokens == sum(one.prompt_tokens for one in order[:place])


TestLine = LineMachine.TestCase
