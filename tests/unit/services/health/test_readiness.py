"""The health of a node whose engine and store do what the test says, on a clock that stands still.

The replies are looked at as they come; nothing here waits.
"""

from __future__ import annotations

from typing import Any, cast

import pytest

from edge.actors import Actor, Reply, System
from edge.clock import NS_PER_MS, ManualClock
from edge.engine.messages import Finished, Rejected
from edge.errors import StorageError
from edge.inference import EngineDown, EngineLost, Run, Subscribe
from edge.services.health.readiness import (
    FRESH_MS,
    LAG_TICK_MS,
    PROBE_KEY,
    HealthActor,
    HealthSources,
    Look,
    Probed,
    Steps,
    _TimeUp,
)
from edge.services.task.forecast import Owner
from edge.services.task.turns import Turns
from edge.settings import Health
from edge.tasks.line import Entry
from edge.tasks.task import Task
from tests.support.ears import Ear

MIB = 1_048_576
LIMITS = Health(limit_ms=2_000, lag_max_ms=100, disk_free_min_mib=10, memory_free_min_mib=10)


class Engine(Actor):
    """Takes probes and answers when the test says so."""

    def __init__(self) -> None:
        self.probes: list[Run] = []

    def handle(self, message: object) -> None:
        if isinstance(message, Run):
            self.probes.append(message)
        else:
            assert isinstance(message, Subscribe)


class Disk:
    """The store: commits at once unless it hangs or fails."""

    def __init__(self) -> None:
        self.durable = True
        self.quarantined: str | None = None
        self.hangs = False
        self.error: StorageError | None = None
        self.free_mib = 100
        self.probes = 0

    def probe(self, done: Probed) -> None:
        self.probes += 1
        if not self.hangs:
            done(self.error, self.free_mib * MIB)


class Node:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.steps = Steps(self.clock)
        self.given_up: dict[str, str] = {}
        self.system = System(self.clock, lambda _pump: None)
        self.turns = Turns(self.system, waiting_max=2, step_ms=0)
        self.turns.forecast.engine.why = "ready"
        self.disk = Disk()
        self.engine = Engine()
        self.engine_ref = self.system.spawn(self.engine, name="engine")
        self.runner = self.system.spawn(Ear())
        self.accepts = True
        self.memory_free_mib = 100
        self.detached: list[str] = []
        sources = HealthSources(
            self.turns, self.disk, self.steps, lambda: self.accepts,
            lambda: self.memory_free_mib * MIB, self.given_up, detached=lambda: self.detached,
        )  # fmt: skip
        self.actor = HealthActor(sources, LIMITS)
        self.ref = self.system.spawn(self.actor, name="health")
        self.answers: list[dict[str, Any]] = []

    def wait(self, task_id: str) -> None:
        """A task stands in the line."""
        self.turns.enqueue(Entry(task_id, "me", 0, 1, 1, Owner(cast(Task, None), self.runner)))

    def busy(self) -> None:
        """A task runs on the engine: its steps are the proof."""
        self.turns.line.slots = 1
        self.wait("runs")

    def idle(self) -> None:
        """And has ended."""
        (key,) = self.turns._held
        self.turns.release(key, 1)

    def look(self) -> None:
        self.actor.handle_call(Look(), _Into(self.answers))
        self.system.run_pending()

    def advance(self, ms: int) -> None:
        """Time passes, and everything is handled when it is due."""
        while (due_ns := self.clock.next_due_ns()) is not None and ms > 0:
            passed_ms = min(ms, (due_ns - self.clock.now_ns()) // NS_PER_MS)
            self.clock.advance(passed_ms * NS_PER_MS)
            self.system.run_pending()
            ms -= passed_ms

    def generate(self) -> None:
        """The engine answers the last probe."""
        key = self.engine.probes[-1].request.key
        self.ref.send(Finished(key, "length", "a", 24, 23, 1, 1.0, 1.0))
        self.system.run_pending()

    def step(self) -> None:
        self.steps.saw()
        self.system.run_pending()

    def answer(self) -> dict[str, Any]:
        """The one answer there is."""
        (answer,) = self.answers
        self.answers.clear()
        return answer


class _Into(Reply):
    """A reply that is kept rather than sent."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self._answers = answers

    def __call__(self, value: Any) -> None:
        self._answers.append(value)


@pytest.fixture
def node() -> Node:
    return Node()


def test_an_idle_engine_has_to_generate_a_token(node: Node) -> None:
    node.look()
    assert node.answers == []
    (probe,) = node.engine.probes
    assert (probe.request.key, probe.request.sampling.max_tokens) == (PROBE_KEY, 1)
    node.generate()
    answer = node.answer()
    assert (answer["status"], answer["reasons"]) == ("ok", [])
    assert set(answer["parts"]) == {"engine", "store", "queue", "loop", "disk", "memory", "helpers"}
    # For a moment that is proof enough, and then no more.
    node.look()
    assert node.answer()["status"] == "ok"
    node.advance(FRESH_MS + 1)
    node.look()
    assert node.answers == []
    assert len(node.engine.probes) == 2


def test_an_engine_that_works_is_not_bothered(node: Node) -> None:
    node.step()
    node.look()
    assert node.answer()["status"] == "ok"
    assert node.engine.probes == []


def test_a_probe_does_not_stand_in_line(node: Node) -> None:
    node.busy()
    node.look()
    assert (node.engine.probes, node.answers) == ([], [])
    node.step()
    assert node.answer()["status"] == "ok"


def test_a_new_engine_is_asked_anew(node: Node) -> None:
    node.busy()
    node.look()
    node.idle()
    node.turns.forecast.engine.why = "restarting: killed"
    node.advance(LIMITS.limit_ms)
    assert node.answer()["reasons"] == ["the engine is restarting: killed"]
    node.turns.forecast.engine.why = "ready"
    node.ref.send(EngineDown("killed", 0))
    node.system.run_pending()
    node.advance(60_000)
    node.look()
    assert node.answers == []
    node.generate()
    assert node.answer()["status"] == "ok"


def test_when_nothing_runs_any_more_a_probe_goes_out(node: Node) -> None:
    node.busy()
    node.look()
    node.idle()
    node.look()
    assert len(node.engine.probes) == 1
    node.generate()
    assert [answer["status"] for answer in node.answers] == ["ok", "ok"]


def test_an_engine_that_hangs_is_said_within_the_limit_and_then_at_once(node: Node) -> None:
    node.look()
    node.advance(LIMITS.limit_ms - 1)
    assert node.answers == []
    node.advance(1)
    answer = node.answer()
    assert answer["status"] == "unavailable"
    assert answer["reasons"] == ["the engine has made no step for 2000 ms"]
    node.advance(5_000)
    node.look()
    assert node.answer()["parts"]["engine"]["status"] == "failed"
    assert len(node.engine.probes) == 1, "a second probe would only wait behind the first"
    node.generate()
    node.look()
    assert node.answer()["status"] == "ok"


def test_a_store_that_hangs_is_said_within_the_limit(node: Node) -> None:
    node.step()
    node.disk.hangs = True
    node.look()
    for _ in range(LIMITS.limit_ms // 500):
        assert node.answers == []
        node.step()
        node.advance(500)
    answer = node.answer()
    assert answer["status"] == "unavailable"
    assert answer["parts"]["store"]["reason"] == "the database has not committed for 2000 ms"
    assert answer["parts"]["engine"]["status"] == "ok"
    assert node.disk.probes == 1


def test_a_proof_that_became_old_while_another_was_waited_for_does_not_count(node: Node) -> None:
    node.look()
    node.disk.hangs = True
    node.advance(FRESH_MS + 1)
    node.generate()
    assert node.answers == [], "the store's proof is older than a second"
    node.advance(LIMITS.limit_ms)
    node.step()
    assert node.answer()["parts"]["store"]["status"] == "failed"


@pytest.mark.parametrize(
    "end",
    [
        EngineLost(PROBE_KEY, "it was killed", caused=False),
        Rejected(PROBE_KEY, "engine_error", "the decoder failed", True),
    ],
    ids=["lost", "rejected"],
)
def test_an_engine_that_fails_the_probe_says_why(node: Node, end: object) -> None:
    node.look()
    node.ref.send(end)
    node.system.run_pending()
    answer = node.answer()
    assert answer["status"] == "unavailable"
    assert "killed" in answer["reasons"][0] or "decoder" in answer["reasons"][0]


def test_an_engine_that_restarts_is_not_asked(node: Node) -> None:
    node.turns.forecast.engine.why = "restarting: killed"
    node.look()
    answer = node.answer()
    assert (answer["status"], node.engine.probes) == ("unavailable", [])
    assert answer["reasons"] == ["the engine is restarting: killed"]


def test_a_node_with_a_fallback_is_degraded_while_its_engine_restarts(node: Node) -> None:
    node.turns.forecast.engine.why = "restarting: killed"
    node.turns.line.shared.fallback_slots = 1
    node.look()
    answer = node.answer()
    assert (answer["status"], node.engine.probes) == ("degraded", [])
    assert answer["reasons"] == [
        "the engine is restarting: killed; what allows it is answered without it"
    ]


def test_an_engine_that_comes_up_while_the_store_is_waited_for_has_to_prove_itself(
    node: Node,
) -> None:
    node.turns.forecast.engine.why = "starting"
    node.disk.hangs = True
    node.look()
    node.turns.forecast.engine.why = "ready"
    node.advance(LIMITS.limit_ms)
    assert node.answer()["parts"]["engine"]["status"] == "failed"
    node.disk.hangs = False
    node.actor._store_answered(None, 100 * MIB)
    node.look()
    assert node.answers == []
    node.generate()
    assert node.answer()["parts"]["engine"]["status"] == "ok"


def test_a_timer_that_is_early_is_set_again(node: Node) -> None:
    node.look()
    node.advance(LIMITS.limit_ms - 1)
    node.ref.send(_TimeUp())
    node.system.run_pending()
    assert node.answers == []
    node.advance(1)
    assert node.answer()["status"] == "unavailable"
    node.advance(10 * LIMITS.limit_ms)
    assert node.answers == []


def test_what_is_wrong_but_bearable_degrades(node: Node) -> None:
    node.step()
    node.disk.error = StorageError("the database refuses to write: no space")
    node.disk.free_mib = node.memory_free_mib = 9
    node.wait("a")
    node.wait("b")
    node.look()
    answer = node.answer()
    assert answer["status"] == "degraded"
    assert answer["reasons"] == [
        "the database refuses to write: no space; tasks live in memory alone",
        "the queue is full",
        "only 9 MiB of disk are free",
        "only 9 MiB of memory are free",
    ]


def test_rows_that_wait_for_the_disk_degrade_and_so_does_an_unreadable_file(node: Node) -> None:
    node.step()
    node.disk.durable = False
    node.look()
    assert "memory alone" in node.answer()["reasons"][0]
    node.disk.durable, node.disk.quarantined = True, "/data/old"
    node.look()
    answer = node.answer()
    assert answer["status"] == "degraded"
    assert "/data/old" in answer["reasons"][0]


def test_a_node_that_stops_is_unavailable(node: Node) -> None:
    node.step()
    node.accepts = False
    node.look()
    assert node.answer()["reasons"] == ["the node is stopping"]


def test_a_loop_that_was_late_degrades_for_some_seconds(node: Node) -> None:
    node.clock.advance((LAG_TICK_MS + 150) * NS_PER_MS)
    node.system.run_pending()
    node.step()
    node.look()
    answer = node.answer()
    assert answer["parts"]["loop"] == {
        "status": "degraded",
        "reason": "the event loop was late by 150 ms",
        "lag_ms": 150,
    }
    for _ in range(45):
        node.advance(LAG_TICK_MS)
    node.step()
    node.look()
    assert node.answer()["status"] == "ok"


def test_a_step_of_the_engine_before_proves_nothing(node: Node) -> None:
    node.step()
    node.ref.send(EngineDown("killed", 0))
    node.system.run_pending()
    node.look()
    assert node.answers == []
    node.generate()
    assert node.answer()["status"] == "ok"


def test_who_failed_for_good_is_said_although_the_node_goes_on(node: Node) -> None:
    node.given_up["janitor"] = "crash: ValueError: a defect"
    node.step()
    node.look()
    answer = node.answer()
    assert answer["status"] == "degraded"
    assert answer["reasons"] == [
        "the janitor has failed for good (crash: ValueError: a defect); start the node anew"
    ]
    assert answer["parts"]["helpers"]["given_up"] == ["janitor"]


def test_who_looked_on_and_failed_is_said(node: Node) -> None:
    node.detached.append("Metrics.hear")
    node.step()
    node.look()
    answer = node.answer()
    assert answer["status"] == "degraded"
    assert answer["reasons"] == [
        "Metrics.hear failed and hears no more of telemetry's events; start the node anew"
    ]
    assert answer["parts"]["helpers"]["detached"] == ["Metrics.hear"]


def test_a_dead_engine_actor_is_said_at_once(node: Node) -> None:
    node.engine_ref.kill()
    node.system.run_pending()
    node.look()
    assert node.answer()["reasons"] == ["the engine is being restarted"]


def test_a_store_that_hangs_is_found_while_the_engine_is_out_too(node: Node) -> None:
    node.busy()
    node.look()
    node.advance(LIMITS.limit_ms)
    node.answer()
    node.turns.forecast.engine.why = "given up: no memory"
    node.disk.hangs = True
    node.look()
    node.advance(LIMITS.limit_ms)
    assert node.answer()["parts"]["store"]["status"] == "failed"
    assert node.disk.probes == 2
