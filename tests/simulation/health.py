"""Whether the node tells the truth about its health (``/readyz``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edge.clock import NS_PER_MS, NS_PER_S
from edge.gateway.health_api import SLACK_MS
from edge.services.health.readiness import FRESH_MS
from tests.simulation.http import Answer
from tests.simulation.script import USERS
from tests.simulation.truth import Violation

if TYPE_CHECKING:
    from tests.simulation.node import Life
    from tests.simulation.world import World

LATE_NS: Final = NS_PER_S // 10
"""A step, or a commit, takes so long to be heard of."""

WELL_AFTER_S: Final = 90
"""So long after the last trouble a node is well again."""


def look(world: World) -> None:
    """Somebody asks."""
    life, asked_ns = world.life, world.clock.now_ns()

    def answered(answer: Answer) -> None:
        # How much room the real machine has is no part of this world.
        kinds = {name: part["status"] for name, part in answer.document["parts"].items()}
        world.note("health", answer.status, kinds)
        frozen = asked_ns < world.thawed_ns + NS_PER_S
        if life is not None and life is world.life and life.serving and not frozen:
            _check(world, life, answer, asked_ns)

    world.requests.ask("GET", "/readyz", USERS[0], answered, lambda _error: None)


def _check(world: World, life: Life, answer: Answer, asked_ns: int) -> None:
    report = answer.document
    if (answer.status == 503) != (report["status"] == "unavailable"):
        raise Violation("health", f"{report['status']} was answered with {answer.status}")
    took_ns = world.clock.now_ns() - asked_ns
    limit_ms = world.config.settings().health.limit_ms
    if took_ns > (limit_ms + SLACK_MS) * NS_PER_MS + LATE_NS:
        raise Violation("health", f"the answer took {took_ns / NS_PER_S} s")
    since_ns = asked_ns - FRESH_MS * NS_PER_MS - LATE_NS
    parts: dict[str, Any] = report["parts"]
    refuses_since_ns = world.disk.refuses_since_ns
    if refuses_since_ns is not None and refuses_since_ns < since_ns and _is_ok(parts, "store"):
        raise Violation("health", f"the disk refuses, and the store is said to be well: {report}")
    asked = _is_ok(parts, "engine") and parts["engine"]["state"] == "ready"
    if world.machine.stepped_ns < since_ns and asked:
        raise Violation("health", f"the engine makes no step, and is said to be well: {report}")
    kinds = {part["status"] for part in parts.values()}
    worst = "unavailable" if "failed" in kinds else "degraded" if "degraded" in kinds else "ok"
    if parts and worst != report["status"]:
        raise Violation("health", f"the whole is not as its worst part: {report}")
    if not parts and not life.health_crashes:
        raise Violation("health", f"nobody looks after the health: {report}")


def _is_ok(parts: dict[str, Any], name: str) -> bool:
    return name in parts and parts[name]["status"] == "ok"


def _is_well(life: Life, report: dict[str, Any]) -> bool:
    """All is well, but for those that were given up, which has to be said for as long as the node
    runs."""
    parts: dict[str, Any] = report["parts"]
    given_up = parts["helpers"]["given_up"] if parts else []
    for name in ("janitor", "timekeeper", *given_up):
        if (life.ref(name) is None) != (name in given_up):
            raise Violation("health", f"{name} is not as it is said: {report}")
    bad = [name for name, part in parts.items() if part["status"] != "ok"]
    return bad == (["helpers"] if given_up else []) and bool(parts)


def gets_well(world: World) -> None:
    """When all trouble is over the node says that it is well, after a while."""
    life = world.life
    assert life is not None, "everything has ended well"
    if life.ref("health") is None and life.health_crashes:
        return  # it was given up, as it should be
    answers: list[Answer] = []
    for _ in range(WELL_AFTER_S):
        world.requests.ask("GET", "/readyz", USERS[0], answers.append, lambda _error: None)
        world.settle_for(NS_PER_S)
        if answers and _is_well(life, answers[-1].document):
            return
    raise Violation("health", f"the node does not get well: {answers[-1:]}")
