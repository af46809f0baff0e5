from __future__ import annotations

import re
from typing import Any

import pytest

from edge.metrics import Metrics, State
from edge.metrics.folded import CAUSES_MAX
from edge.telemetry import Telemetry
from edge.telemetry.buckets import Buckets
from tests.unit.metrics.test_state import FIGURES


class House:
    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.metrics = Metrics(
            self.telemetry, lambda: State.of(FIGURES, paused=False, held=0), Buckets((1_000_000,))
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def house() -> House:
    return House()


def step(telemetry: Telemetry, **changes: Any) -> None:
    fields = {
        "running": 1, "waiting": 0, "tokens": 3, "batch_tokens": 3, "decode_us": 2_000,
        "prefilled_tokens": 0, "reused_tokens": 0,
    }  # fmt: skip
    telemetry.emit("engine.step", **(fields | changes))


def test_tokens_are_counted_by_where_they_come_from(house: House) -> None:
    step(house.telemetry, prefilled_tokens=10, reused_tokens=90)
    step(house.telemetry)
    assert house.value("elwift_tokens_generated_total") == 6
    assert house.value("elwift_tokens_prefilled_total") == 10
    assert house.value("elwift_tokens_reused_total") == 90
    assert house.value("elwift_engine_decode_seconds_sum") == 0.004


def test_a_tasks_times_are_in_seconds(house: House) -> None:
    emit = house.telemetry.emit
    emit("task.accepted", task_id="1", client="ada")
    emit("task.started", task_id="1", attempt=1, queued_ms=250.0)
    emit("task.started", task_id="1", attempt=2, queued_ms=None)
    emit("task.first_text", task_id="1", ttft_ms=300.0)
    emit("task.retrying", task_id="1", attempt=2, in_ms=10, error="gone")
    emit(
        "task.finished", task_id="1", state="completed", source="model", duration_ms=900.0,
        decode_ms=500.0, completion_tokens=10,
    )  # fmt: skip
    assert house.value("elwift_tasks_accepted_total") == 1
    assert house.value("elwift_task_wait_seconds_sum") == 0.25
    assert house.value("elwift_task_wait_seconds_count") == 1
    assert house.value("elwift_task_first_token_seconds_sum") == 0.3
    assert house.value("elwift_task_token_seconds_sum") == 0.05
    assert house.value("elwift_task_retries_total") == 1
    assert house.value("elwift_tasks_ended_total", state="completed", source="model") == 1


@pytest.mark.parametrize(("decode_ms", "tokens"), [(None, 5), (10.0, 0)])
def test_who_generated_nothing_has_no_time_for_it(
    house: House, decode_ms: float | None, tokens: int
) -> None:
    house.telemetry.emit(
        "task.finished", task_id="1", state="cancelled", source=None, duration_ms=None,
        decode_ms=decode_ms, completion_tokens=tokens,
    )  # fmt: skip
    assert house.value("elwift_task_token_seconds_count") == 0
    assert house.value("elwift_tasks_ended_total", state="cancelled", source="none") == 1


def test_trouble_is_counted(house: House) -> None:
    emit = house.telemetry.emit
    emit("engine.died", pid=1, reason="gone", running=2)
    emit("engine.stalled", pid=1, silent_ms=900)
    emit("fallback.opened", reason="gone")
    emit("actor.crashed", name="task:1", error=ValueError())
    emit("store.failed", error=ValueError(), rows_waiting=1)
    emit("store.committed", rows=4, commits_waiting=1, commit_us=1_500)
    for name in (
        "engine_deaths", "engine_stalls", "fallback_openings", "actor_crashes", "store_failures"
    ):  # fmt: skip
        assert house.value(f"elwift_{name}_total") == 1
    assert house.value("elwift_store_rows_committed_total") == 4
    assert house.value("elwift_store_commit_seconds_sum") == 0.0015


def test_a_label_has_few_values_whatever_is_said(house: House) -> None:
    for number in range(100):
        house.telemetry.emit("supervisor.restarted", child=f"task:{number}", restarts=1)
        house.telemetry.emit(
            "task.finished", task_id=str(number), state="completed", source=f"odd {number}",
            duration_ms=1.0, decode_ms=1.0, completion_tokens=1,
        )  # fmt: skip
    house.telemetry.emit("supervisor.restarted", child="engine", restarts=1)
    assert house.value("elwift_supervisor_restarts_total", child="other") == 100
    assert house.value("elwift_supervisor_restarts_total", child="engine") == 1
    assert house.value("elwift_tasks_ended_total", state="completed", source="other") == 100


def test_refusals_are_told_apart_up_to_a_bound(house: House) -> None:
    def answer(status: int, cause: str | None) -> None:
        house.telemetry.emit(
            "request.stop", duration_us=9, status=status, method="GET", route="/tasks",
            request_id="1", cause=cause,
        )  # fmt: skip

    answer(200, None)
    for number in range(CAUSES_MAX + 10):
        answer(422, f"cause_{number}")
    answer(422, "cause_0")
    assert house.value("elwift_requests_total", status="200") == 1
    assert house.value("elwift_requests_refused_total", cause="cause_0") == 2
    assert house.value("elwift_requests_refused_total", cause="other") == 10


def test_no_handler_fails(house: House) -> None:
    test_trouble_is_counted(house)
    assert house.telemetry.detached == ()


def test_the_names_are_prometheus_own(house: House) -> None:
    step(house.telemetry)
    for family in house.metrics.registry.collect():
        assert re.fullmatch(r"elwift(_[a-z]+)+", family.name)
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_us"))
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes"))
        for sample in family.samples:
            assert not sample.labels.keys() & {"client", "task_id", "address"}
            assert (family.type == "counter") == sample.name.endswith("_total") or (
                sample.name.endswith("_created")
            )
