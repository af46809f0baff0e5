from __future__ import annotations

import hashlib
from dataclasses import replace

import orjson
import pytest

from edge.conversation import Message
from edge.tasks.task import (
    ENGINE_DIED,
    ERRORS_KEPT_MAX,
    UNREADABLE,
    Fallback,
    Options,
    Request,
    State,
    Task,
    TaskError,
    request_from_json,
    snapshot_from_json,
)
from tests.support.rows import with_text

REQUEST = Request("t", "c", None, (Message("user", "héllo 👩‍🚀"),), None, Options(stop=("🙂",)))


def test_a_snapshot_survives_json() -> None:
    task = with_text(Task(REQUEST, State.EXECUTING, 1, 2, tokens=[1, 2], attempt=2), "🙂 né\u0000")
    task.add_error(TaskError(1, 2, "engine_failed", "brøke 💥"))
    task.fallback_turn, task.fallback = True, Fallback("history", 3, 2)
    task.logprobs = ('["x",-1.5,0,[["y",-0.5]]]',)
    request = request_from_json(REQUEST.to_json())
    assert request == REQUEST
    assert snapshot_from_json(request, task.snapshot().to_json()).restore() == task


def test_a_request_from_before_there_were_more_samplers_can_be_read() -> None:
    fields = orjson.loads(REQUEST.to_json())
    first = [*fields["options"]][:9]
    fields["options"] = {name: fields["options"][name] for name in first}
    assert request_from_json(orjson.dumps(fields)) == REQUEST
    asked = [REQUEST.prompt, [["user", "héllo 👩‍🚀"]], REQUEST.model, fields["options"]]
    assert REQUEST.fingerprint() == hashlib.sha256(orjson.dumps(asked)).hexdigest()


@pytest.mark.parametrize("line", ["", "[]", '["x",-1,0]', '["\u0100",-1,0,[]]', 7])
def test_logprobs_of_another_kind_cannot_be_read(line: object) -> None:
    fields = orjson.loads(Task(REQUEST, State.EXECUTING, 1).snapshot().to_json())
    fields["logprobs"] = [line]
    with pytest.raises(UNREADABLE):
        snapshot_from_json(REQUEST, orjson.dumps(fields))


@pytest.mark.parametrize("bias", [[1], [1, "2"], ["1", 2.0], [1.5, 2.0], 7])
def test_a_bias_of_another_kind_cannot_be_read(bias: object) -> None:
    fields = orjson.loads(REQUEST.to_json())
    fields["options"]["logit_bias"] = [bias]
    with pytest.raises(UNREADABLE):
        request_from_json(orjson.dumps(fields))


def test_biases_take_memory() -> None:
    biased = replace(REQUEST, options=replace(REQUEST.options, logit_bias=((7, 0.5),) * 300))
    assert biased.size_bytes >= REQUEST.size_bytes + 300 * 100


def test_a_snapshot_stands_still() -> None:
    task = Task(REQUEST, State.EXECUTING, 1, 2, tokens=[1])
    snapshot = task.snapshot()
    task.tokens.append(2)
    assert snapshot.tokens == (1,)


def test_the_first_and_the_last_errors_are_kept() -> None:
    task = Task(REQUEST, State.EXECUTING, 1, 2)
    for attempt in range(1, 31):
        task.add_error(TaskError(attempt, 0, "x", "y"))
    assert len(task.errors) == ERRORS_KEPT_MAX
    assert [task.errors[at].attempt for at in (0, 1, -1)] == [1, 12, 30]


def test_the_fingerprint_is_of_what_is_asked() -> None:
    other = Request("u", "d", None, REQUEST.messages, None, REQUEST.options, priority=3)
    assert other.fingerprint() == REQUEST.fingerprint()
    hotter = Request("t", "c", None, REQUEST.messages, None, Options(temperature=1.0))
    assert hotter.fingerprint() != REQUEST.fingerprint()


def test_the_fallbacks_turn_is_stored_under_the_name_that_older_versions_gave_it() -> None:
    task = Task(REQUEST, State.EXECUTING, 1, 2, fallback_turn=True)
    stored = task.snapshot().to_json()
    fields = orjson.loads(stored)
    assert fields["detour"] is True
    assert "fallback_turn" not in fields
    assert snapshot_from_json(REQUEST, stored).restore() == task


def test_a_snapshot_from_before_the_fallback_can_be_read() -> None:
    task = Task(REQUEST, State.EXECUTING, 1, 2)
    fields = orjson.loads(task.snapshot().to_json())
    del fields["detour"], fields["fallback"]
    assert snapshot_from_json(REQUEST, orjson.dumps(fields)).restore() == task


@pytest.mark.parametrize(
    ("state", "available_ns", "started_ns", "had_turn"),
    [
        ("executing", None, 7, True),
        ("available", None, None, False),
        ("available", None, 7, True),
        ("available", 8, 7, False),
        ("retryable", None, 7, True),
    ],
)
def test_a_snapshot_from_before_run_time_was_counted_begins_with_the_counting(
    state: str, available_ns: int | None, started_ns: int | None, had_turn: bool
) -> None:
    fields = orjson.loads(Task(REQUEST, State(state), 5).snapshot().to_json())
    for name in list(fields):
        if name.endswith("_run_ns") or name == "due_ns":
            del fields[name]
    del fields["timings"]["ran_ms"], fields["timings"]["total_ms"]
    fields |= {"available_ns": available_ns, "started_ns": started_ns}
    task = snapshot_from_json(REQUEST, orjson.dumps(fields)).restore()
    assert task.ready_run_ns == (None if had_turn else 0)
    assert task.begun_run_ns == (None if started_ns is None else 0)
    assert task.created_ns == 5


def test_who_has_ended_the_engine_is_known_by_the_last_error() -> None:
    task = Task(REQUEST, State.EXECUTING, 1, 2)
    assert not task.ended_engine
    task.add_error(TaskError(1, 0, ENGINE_DIED, "SIGSEGV"))
    assert task.ended_engine
    task.add_error(TaskError(2, 0, "timeout", "slow"))
    assert not task.ended_engine


def test_users_have_flows_of_their_own_within_their_account() -> None:
    plain = replace(REQUEST, client="c")
    there = replace(plain, address="192.0.2.7")
    assert (plain.account, plain.flow) == ("c", "c")
    assert (there.account, there.flow) == ("192.0.2.7", "192.0.2.7")
    users = [replace(plain, user=user) for user in ("ada", "bob", "c")]
    assert {each.account for each in users} == {"c"}
    assert len({each.flow for each in (plain, *users)}) == 4


def test_a_request_from_before_there_were_users_can_be_read() -> None:
    fields = orjson.loads(REQUEST.to_json())
    del fields["address"], fields["user"]
    assert request_from_json(orjson.dumps(fields)) == REQUEST
