"""Which models are in memory: cases one by one, and what holds in all of them."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.clock import NS_PER_MS
from edge.inference.residency import (
    UNUSED_MS,
    Arm,
    Began,
    Disarm,
    Effect,
    Ended,
    Event,
    Failed,
    Gone,
    Hold,
    Load,
    Open,
    Place,
    Refuse,
    Residency,
    TimeUp,
    Unload,
    Unwanted,
    Up,
    Wanted,
)

SHARE_MS = 1_000


class Box:
    """A residency of ten bytes, and the time there."""

    def __init__(self, budget_bytes: int = 10) -> None:
        self.residency = Residency(budget_bytes, share_ms=SHARE_MS)
        self.now_ms = 0

    def __call__(self, *events: Event, at_ms: int | None = None) -> list[Effect]:
        self.now_ms = self.now_ms if at_ms is None else at_ms
        found: list[Effect] = []
        for event in events:
            found += self.residency.apply(event, self.now_ms * NS_PER_MS)
        return found

    def ready(self, model: str, needs_bytes: int, keep_alive_ms: int | None = None) -> None:
        """In memory, and idle."""
        self(Wanted(model, needs_bytes, keep_alive_ms), Up(model), Unwanted(model))
        assert self.residency.place(model) is Place.READY


@pytest.fixture
def box() -> Box:
    return Box()


def without_timer(effects: list[Effect]) -> list[Effect]:
    return [each for each in effects if not isinstance(each, Arm | Disarm)]


def test_a_model_is_loaded_once_when_it_is_first_wanted(box: Box) -> None:
    assert box(Wanted("a", 4), Wanted("a", 4)) == [Load("a")]
    assert not box.residency.gives_turns("a")
    assert box(Up("a"), Began("a"), Wanted("a", 4), Unwanted("a"), Ended("a")) == []
    assert box.residency.gives_turns("a")
    assert box.residency.used_bytes == 4


def test_several_are_loaded_side_by_side_as_far_as_there_is_room(box: Box) -> None:
    assert box(Wanted("a", 4), Wanted("b", 6)) == [Load("a"), Load("b")]
    # Those that load have not had their share, and nobody knows yet when they will.
    assert box(Wanted("c", 1)) == []
    assert box(Up("a")) == [Arm(UNUSED_MS)]


def test_the_idle_one_goes_that_was_used_longest_ago(box: Box) -> None:
    box.ready("a", 5)
    box.ready("b", 5)
    box(Wanted("a", 5), Began("a"), Unwanted("a"), Ended("a"), at_ms=10)
    assert without_timer(box(Wanted("c", 5))) == [Unload("b")]
    assert without_timer(box(Gone("b"))) == [Load("c")]


def test_no_more_go_than_have_to(box: Box) -> None:
    box.ready("small", 1)
    box.now_ms = 5
    box.ready("large", 9)
    assert without_timer(box(Wanted("c", 9))) == [Unload("large")]


def test_an_idle_one_goes_after_its_time(box: Box) -> None:
    box(Wanted("a", 4, 50), Up("a"), Began("a"))
    assert box(Unwanted("a"), at_ms=10) == []
    assert box(Ended("a"), at_ms=20) == [Arm(50)]
    assert box(Wanted("a", 4, 100), at_ms=30) == [Disarm()]
    assert box(Unwanted("a")) == [Arm(90)]
    assert box(TimeUp(), at_ms=120) == [Unload("a")]
    assert box(Gone("a")) == []
    assert box.residency.used_bytes == 0


def test_one_that_is_to_go_at_once_does(box: Box) -> None:
    box(Wanted("a", 4, 0), Up("a"), Began("a"), Unwanted("a"))
    assert box(Ended("a")) == [Unload("a")]


def test_without_a_share_each_gives_a_turn_before_it_goes() -> None:
    box = Box()
    box.residency = Residency(10, share_ms=0)
    box(Wanted("a", 6), Up("a"), Wanted("b", 6))
    assert box.residency.place("a") is Place.READY, "it was not loaded in vain"
    assert without_timer(box(Began("a"))) == [Hold("a")]
    assert without_timer(box(Ended("a"), Gone("a"))) == [Unload("a"), Load("b")]
    # One that gives no turns, whatever the reason, is not waited for for ever.
    box(Wanted("a", 6), Up("b"))
    assert without_timer(box(TimeUp(), at_ms=UNUSED_MS)) == [Unload("b")]


def test_two_that_do_not_fit_beside_each_other_take_turns(box: Box) -> None:
    box(Wanted("a", 6), Up("a"), Began("a"))
    assert box(Wanted("b", 6), at_ms=100) == [Arm(SHARE_MS - 100)]
    assert box(Ended("a"), Began("a"), at_ms=200) == [], "it has its share"
    assert without_timer(box(TimeUp(), at_ms=SHARE_MS)) == [Hold("a")]
    with pytest.raises(LookupError, match="gives no turns"):
        box(Began("a"))
    assert without_timer(box(Ended("a"))) == [Unload("a")]
    assert without_timer(box(Gone("a"))) == [Load("b")]
    # Tasks of the first wait still: its turn comes again, after a share of the second.
    assert box(Up("b"), Began("b"), at_ms=1_100)[-1] == Arm(SHARE_MS)
    assert without_timer(box(TimeUp(), at_ms=2_100)) == [Hold("b")]


def test_one_that_is_held_for_nobody_gets_turns_again(box: Box) -> None:
    box(Wanted("a", 6), Up("a"), Began("a"))
    box(Wanted("b", 6))
    assert without_timer(box(TimeUp(), at_ms=SHARE_MS)) == [Hold("a")]
    assert without_timer(box(Unwanted("b"))) == [Open("a")]
    assert box.residency.gives_turns("a")


def test_a_large_one_is_not_passed_by_small_ones(box: Box) -> None:
    box(Wanted("a", 6), Up("a"), Began("a"))
    assert without_timer(box(Wanted("large", 9), Wanted("small", 2))) == []
    assert without_timer(box(Unwanted("large"))) == [Load("small")]


def test_one_that_never_fits_is_refused_alone(box: Box) -> None:
    effects = box(Wanted("huge", 11), Wanted("a", 4))
    assert isinstance(effects[0], Refuse)
    assert "use a smaller one" in effects[0].reason
    assert effects[1:] == [Load("a")]
    assert box(Unwanted("huge")) == []


def test_one_that_fails_makes_room(box: Box) -> None:
    box(Wanted("a", 9), Wanted("b", 9))
    assert box(Failed("a", "it is broken")) == [Refuse("a", "it is broken"), Unload("a")]
    assert box(Failed("a", "again")) == []
    assert box(Gone("a")) == [Load("b")]
    # Who asks again gets another try.
    assert without_timer(box(Up("b"), Unwanted("b"), Wanted("a", 9))) == [Unload("b")]


def test_one_that_is_wanted_while_it_goes_comes_back(box: Box) -> None:
    box(Wanted("a", 9, 0), Up("a"), Unwanted("a"))
    assert box.residency.place("a") is Place.LEAVING
    assert box(Wanted("a", 9)) == []
    assert box(Gone("a")) == [Load("a")]


def test_a_restart_of_its_engine_changes_nothing(box: Box) -> None:
    box(Wanted("a", 4), Up("a"), Began("a"))
    assert box(Up("a")) == []
    assert box.residency.gives_turns("a")


@pytest.mark.parametrize(
    "event", [Began("a"), Ended("a"), Up("a"), Failed("a", "x"), Gone("a")], ids=repr
)
def test_what_cannot_be_is_a_defect(box: Box, event: Event) -> None:
    with pytest.raises(LookupError):
        box(event)
    box(Wanted("b", 1))
    with pytest.raises(LookupError):
        box(Gone("b"))


ROUNDS = 60
MODELS = {"a": 3, "b": 4, "c": 6, "d": 10, "huge": 11}


class Worlds(RuleBasedStateMachine):
    """A world that does as it is told, at whatever time, with engines that come up or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.residency = Residency(10, share_ms=SHARE_MS)
        self.now_ns = 0
        self.loading: set[str] = set()
        self.up: set[str] = set()
        self.held: set[str] = set()
        self.leaving: set[str] = set()
        self.waits: set[str] = set()
        self.turns: dict[str, int] = {}
        self.timer_ns: int | None = None

    def do(self, event: Event) -> None:
        for effect in self.residency.apply(event, self.now_ns):
            match effect:
                case Load(model):
                    assert model in self.waits
                    assert model not in self.loading | self.up | self.leaving
                    self.loading.add(model)
                case Hold(model):
                    assert model in self.up - self.held
                    assert self.turns.get(model)
                    self.held.add(model)
                case Open(model):
                    self.held.remove(model)
                case Unload(model):
                    assert model in self.up | self.loading
                    assert isinstance(event, Failed) or not self.turns.get(model)
                    for group in (self.loading, self.up, self.held):
                        group.discard(model)
                    self.leaving.add(model)
                case Refuse(model):
                    assert model == "huge" or isinstance(event, Failed)
                    self.waits.discard(model)
                case Arm(delay_ms):
                    assert delay_ms >= 0
                    self.timer_ns = self.now_ns + delay_ms * NS_PER_MS
                case Disarm():
                    self.timer_ns = None

    @rule(
        model=st.sampled_from(sorted(MODELS)),
        keep=st.sampled_from([None, 0, 500, 5_000]),
        begin=st.booleans(),
    )
    def want(self, model: str, keep: int | None, begin: bool) -> None:
        """With `begin` its engine is quick, and its turn comes at once if it may."""
        self.waits.add(model)
        self.do(Wanted(model, MODELS[model], keep))
        if begin and model in self.loading:
            self.is_up(model)
        if begin and model in self.up - self.held:
            self.begin(model)

    def is_up(self, model: str) -> None:
        self.loading.remove(model)
        self.up.add(model)
        self.do(Up(model))

    def begin(self, model: str) -> None:
        self.turns[model] = self.turns.get(model, 0) + 1
        self.do(Began(model))

    def end(self, model: str) -> None:
        self.turns[model] -= 1
        if not self.turns[model]:
            del self.turns[model]
        self.do(Ended(model))

    def is_gone(self, model: str) -> None:
        self.leaving.remove(model)
        self.do(Gone(model))

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def unwant(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(sorted(self.waits)))
        self.waits.remove(model)
        self.do(Unwanted(model))

    @precondition(lambda self: self.waits & self.up - self.held)
    @rule(data=st.data(), last=st.booleans())
    def give_turn(self, data: st.DataObject, last: bool) -> None:
        model = data.draw(st.sampled_from(sorted(self.waits & self.up - self.held)))
        self.begin(model)
        if last and model in self.waits:
            self.waits.remove(model)
            self.do(Unwanted(model))

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def end_turn(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.turns))))

    @precondition(lambda self: self.loading)
    @rule(data=st.data())
    def come_up(self, data: st.DataObject) -> None:
        self.is_up(data.draw(st.sampled_from(sorted(self.loading))))

    @precondition(lambda self: self.loading | self.up)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from(sorted(self.loading | self.up)))
        self.do(Failed(model, "it is broken"))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        self.is_gone(data.draw(st.sampled_from(sorted(self.leaving))))

    @rule(ms=st.integers(0, 2_000))
    def pass_time(self, ms: int) -> None:
        end_ns = self.now_ns + ms * NS_PER_MS
        while self.timer_ns is not None and self.timer_ns <= end_ns:
            self.now_ns, self.timer_ns = self.timer_ns, None
            self.do(TimeUp())
        self.now_ns = end_ns

    @invariant()
    def within_the_budget(self) -> None:
        there = self.loading | self.up | self.leaving
        assert self.residency.used_bytes == sum(MODELS[model] for model in there) <= 10

    @invariant()
    def it_is_known_who_gives_turns(self) -> None:
        for model in MODELS:
            assert self.residency.gives_turns(model) == (model in self.up - self.held)

    def teardown(self) -> None:
        """When engines come and go as they are told, and turns end, all that wait have turns,
        however many wait beside them all the time."""
        served = dict.fromkeys(sorted(set(MODELS) - {"huge"}), 0)
        for _ in range(ROUNDS):
            for model in sorted(self.turns):
                for _ in range(self.turns[model]):
                    self.end(model)
            for model in sorted(self.leaving):
                self.is_gone(model)
            for model in sorted(self.loading):
                self.is_up(model)
            for model in served:
                self.waits.add(model)
                self.do(Wanted(model, MODELS[model]))
                if model in self.up - self.held:
                    self.begin(model)
                    served[model] += 1
            self.pass_time(SHARE_MS)
        assert min(served.values()) >= ROUNDS // 20, served


TestWorlds = Worlds.TestCase
TestWorlds.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
