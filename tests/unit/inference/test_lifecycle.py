"""The life of the engine process, without one."""

from __future__ import annotations

import signal
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import NS_PER_MS
from edge.inference.lifecycle import (
    TRANSITIONS,
    WITH_PROCESS,
    Arm,
    BackingOff,
    Disarm,
    Effect,
    Event,
    Exited,
    GaveUp,
    Heard,
    IllegalTransition,
    Kill,
    Lifecycle,
    Lost,
    Probed,
    Refused,
    SendPing,
    Shut,
    Spawn,
    Stalled,
    Start,
    State,
    Stop,
    Stopped,
    TimeUp,
    Up,
)
from edge.inference.policy import LifecyclePolicy

POLICY = LifecyclePolicy(
    load_timeout_ms=5_000,
    stall_report_ms=1_000,
    stall_kill_ms=4_000,
    stop_ms=700,
    backoff_base_ms=100,
    backoff_max_ms=1_000,
    jitter=0.5,
    deaths_max=3,
    deaths_window_ms=60_000,
)
SEGV = Exited(-signal.SIGSEGV, "segv")
KILLED_OUTSIDE = Exited(-signal.SIGKILL, "kill")
EVENTS: tuple[Event, ...] = (
    Start(), Up(), Refused("no"), Heard(), TimeUp(), SEGV, KILLED_OUTSIDE, Exited(None, "no"),
    Stop(),
)  # fmt: skip


def ms(number: int) -> int:
    return number * NS_PER_MS


def fresh(policy: LifecyclePolicy = POLICY) -> Lifecycle:
    return Lifecycle(policy, Random(1))


def loading() -> Lifecycle:
    life = fresh()
    life.apply(Start(), 0)
    return life


def ready() -> Lifecycle:
    life = loading()
    life.apply(Up(), 0)
    return life


def of(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


@pytest.mark.parametrize(("state", "event"), list(product(State, EVENTS)), ids=str)
def test_every_pair_is_in_the_table_or_refused(state: State, event: Event) -> None:
    life = fresh()
    life.state = state
    if (state, type(event)) in TRANSITIONS:
        life.apply(event, 0)
        return
    with pytest.raises(IllegalTransition):
        life.apply(event, 0)
    assert life.state is state


def test_a_start_spawns_in_fast_mode_and_the_first_ready_is_the_probe() -> None:
    life = fresh()
    assert life.apply(Start(), 0) == [Spawn(safe=False), Arm(5_000)]
    assert life.apply(Up(), 0) == [Probed(safe_mode=False, exit_code=0), Arm(250)]
    assert life.state is State.READY


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_fault_while_loading_tries_safe_mode_at_once_and_keeps_it(number: int) -> None:
    life = loading()
    effects = life.apply(Exited(-number, "fault"), 0)
    assert of(effects, Probed) == [Probed(safe_mode=True, exit_code=-number)]
    assert effects[-2:] == [Spawn(safe=True), Arm(5_000)]
    assert life.apply(Up(), 0) == [Arm(250)]
    life.apply(KILLED_OUTSIDE, ms(1))
    assert Spawn(safe=True) in life.apply(TimeUp(), ms(200))


@pytest.mark.parametrize("end", [KILLED_OUTSIDE, Exited(1, "status"), Exited(None, "none")])
def test_other_ends_while_loading_say_nothing_of_the_machine(end: Exited) -> None:
    life = loading()
    assert of(life.apply(end, 0), BackingOff)
    assert not life.safe


def test_a_fault_in_safe_mode_backs_off() -> None:
    life = loading()
    life.apply(SEGV, 0)
    assert of(life.apply(SEGV, 0), BackingOff)


def test_a_model_that_cannot_be_used_ends_it_with_its_sentence() -> None:
    life = loading()
    assert life.apply(Refused("not a model"), 0) == [Disarm(), Kill()]
    assert life.apply(KILLED_OUTSIDE, 0)[1:] == [
        Arm(POLICY.given_up_ms),
        GaveUp("not a model", refused=True),
    ]
    assert life.apply(Start(), 0) == [Spawn(safe=False), Arm(5_000)]


def test_a_model_that_loads_for_too_long_is_ended() -> None:
    life = loading()
    assert life.apply(TimeUp(), ms(5_000)) == [Disarm(), Kill()]
    lost, backing_off, _ = life.apply(KILLED_OUTSIDE, ms(5_001))
    assert lost == Lost("the model was not loaded within 5000 ms", own_fault=True)
    assert isinstance(backing_off, BackingOff)


@pytest.mark.parametrize(
    ("end", "own_fault"),
    [
        (SEGV, True),
        (Exited(1, "x"), True),
        (KILLED_OUTSIDE, False),
        (Exited(None, "x"), False),
        (Exited(-signal.SIGKILL, "out of memory", outside=False), True),
    ],
)
def test_only_an_end_of_its_own_making_is_its_fault(end: Exited, own_fault: bool) -> None:
    assert ready().apply(end, 0)[0] == Lost(end.reason, own_fault)


def test_waits_double_with_jitter_up_to_the_cap_and_then_it_gives_up() -> None:
    policy = LifecyclePolicy(
        backoff_base_ms=100, backoff_max_ms=350, jitter=0.5, deaths_max=5, deaths_window_ms=60_000
    )
    life = fresh(policy)
    life.apply(Start(), 0)
    for steady_ms in (100, 200, 350, 350, 350):
        _, backing_off, arm = life.apply(KILLED_OUTSIDE, 0)
        assert isinstance(backing_off, BackingOff)
        assert steady_ms <= backing_off.delay_ms <= steady_ms * 1.5
        assert arm == Arm(backing_off.delay_ms)
        life.apply(TimeUp(), 0)
    gave_up = life.apply(KILLED_OUTSIDE, 0)[-1]
    assert gave_up == GaveUp("the engine died 6 times in 1 minutes; last: kill")
    assert life.state is State.GIVEN_UP


def test_deaths_of_long_ago_are_forgiven() -> None:
    life = loading()
    for minute in range(20):
        _, backing_off, _ = life.apply(KILLED_OUTSIDE, ms(61_000 * minute))
        assert isinstance(backing_off, BackingOff)
        assert backing_off.deaths == 1
        life.apply(TimeUp(), ms(61_000 * minute + 200))


def test_silence_is_reported_once_and_then_ended() -> None:
    life = ready()
    seen = [(now, life.apply(TimeUp(), ms(now))) for now in range(250, 4_001, 250)]
    assert seen[0][1] == [Arm(250), SendPing()]
    assert [(now, of(effects, Stalled)) for now, effects in seen if of(effects, Stalled)] == [
        (1_000, [Stalled(1_000)])
    ]
    assert seen[-1] == (4_000, [Disarm(), Kill()])
    assert life.apply(KILLED_OUTSIDE, ms(4_001))[0] == Lost(
        "the engine made no step for 4000 ms", own_fault=True
    )


def test_a_hang_that_somebody_has_brought_about_is_not_its_own() -> None:
    life = ready()
    for now in range(250, 4_001, 250):
        life.apply(TimeUp(), ms(now))
    stopped = Exited(-signal.SIGKILL, "kill", outside=True)
    assert life.apply(stopped, ms(4_001))[0] == Lost(
        "the engine made no step for 4000 ms", own_fault=False
    )


def test_a_sign_of_life_ends_a_stall() -> None:
    life = ready()
    for now in range(250, 2_001, 250):
        life.apply(TimeUp(), ms(now))
    assert life.state is State.STALLED
    life.apply(Heard(), ms(2_100))
    assert life.state.value == "ready"
    assert life.apply(TimeUp(), ms(2_250)) == [Arm(250), SendPing()]


def test_a_silence_that_the_node_slept_through_is_not_held_against_the_engine() -> None:
    life = ready()
    life.apply(TimeUp(), ms(250))
    assert life.apply(TimeUp(), ms(3_600_000)) == [Arm(250), SendPing()]
    assert life.state is State.READY


def test_a_stop_asks_first_and_kills_later() -> None:
    life = ready()
    assert life.apply(Stop(), 0) == [Shut(), Arm(700)]
    assert life.apply(TimeUp(), ms(700)) == [Disarm(), Kill()]
    assert life.apply(KILLED_OUTSIDE, ms(701))[-1] == Stopped()
    assert life.state is State.STOPPED


@pytest.mark.parametrize("event", [None, TimeUp()])
def test_a_stop_before_it_is_up_kills(event: Event | None) -> None:
    life = loading()
    if event is not None:
        life.apply(event, 0)
    assert life.apply(Stop(), 0) == [Disarm(), Kill()]
    assert Stopped() in life.apply(KILLED_OUTSIDE, 0)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 5_000)), max_size=60))
def test_there_is_never_more_than_one_process_and_never_a_state_without_a_way_on(
    script: list[tuple[Event, int]],
) -> None:
    life = fresh()
    processes, armed, now_ms = 0, False, 0
    for event, delay_ms in script:
        now_ms += delay_ms
        if isinstance(event, Exited) and not processes:
            continue
        if isinstance(event, TimeUp) and not armed:
            continue
        if (life.state, type(event)) not in TRANSITIONS:
            continue
        processes -= isinstance(event, Exited)
        armed = armed and not isinstance(event, TimeUp)
        effects = life.apply(event, ms(now_ms))
        for effect in effects:
            processes += isinstance(effect, Spawn)
            armed = (armed or isinstance(effect, Arm)) and not isinstance(effect, Disarm)
            assert not isinstance(effect, Stopped) or not processes
        assert processes == (life.state in WITH_PROCESS)
        waits_for_a_timer = {State.LOADING, State.READY, State.STALLED, State.BACKOFF}
        assert armed or life.state not in waits_for_a_timer
