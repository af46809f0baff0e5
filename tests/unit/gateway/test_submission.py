from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.engine.messages import Sampling
from edge.errors import InvalidRequest
from edge.gateway.problems import MalformedBody
from edge.gateway.submission import Submission, parse
from edge.services.task.messages import generate
from edge.settings import Tasks
from edge.tasks.task import Options, State, Task, request_from_json

BAD: list[tuple[str, Any]] = [
    ("prompt", 1), ("prompt", " "), ("task_id", "x"), ("task_id", 1), ("model", ""),
    ("max_tokens", 0), ("max_tokens", True), ("max_tokens", 1.5), ("temperature", -1),
    ("temperature", "1"), ("top_p", 1.1), ("top_k", -1), ("min_p", 2), ("seed", 2**32 - 1),
    ("stop", 1), ("stop", [""]), ("stop", ["x"] * 17), ("stop", "x" * 257), ("ignore_eos", 1),
    ("priority", 10), ("schedule_in_ms", -1), ("max_attempts", 0), ("timeout_ms", 0),
    ("fallback", "yes"), ("metadata", []), ("metadata", {"x": "y" * 16_384}), ("promt", "x"),
    ("repeat_penalty", 0), ("repeat_last_n", -2), ("frequency_penalty", 2.1),
    ("presence_penalty", -2.1), ("typical_p", 1.1), ("xtc_probability", -0.1),
    ("xtc_threshold", 1.1), ("dry_multiplier", -1), ("dry_base", 0.9), ("dry_allowed_length", -1),
    ("dry_penalty_last_n", 2**20 + 1), ("mirostat", 3), ("mirostat_tau", -1), ("mirostat_eta", 2),
    ("dry_sequence_breakers", ["x"] * 17), ("dry_sequence_breakers", ["x" * 41]),
    ("dry_sequence_breakers", [""]),
    ("logprobs", -1), ("logprobs", 21), ("logprobs", True), ("logprobs", 1.5),
    ("logit_bias", []), ("logit_bias", {"one": 1}), ("logit_bias", {"01": 1}),
    ("logit_bias", {"-1": 1}), ("logit_bias", {"1\n": 1}), ("logit_bias", {"1": 101}),
    ("logit_bias", {"1": None}), ("logit_bias", {"1": "1"}),
    ("logit_bias", {str(token): 1 for token in range(301)}),
    ("messages", []), ("messages", "x"), ("user", 1), ("user", " "), ("user", "x" * 129),
]  # fmt: skip


def submit(fields: object, key: str | None = None) -> Submission:
    body = fields if isinstance(fields, bytes) else orjson.dumps(fields)
    return parse(body, client="c", idempotency_key=key, defaults=Tasks())


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_field_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit({"prompt": "hi"} | {name: value})
    assert caught.value.field == name


@pytest.mark.parametrize(
    "message", [1, {"role": "user"}, {"role": "x", "content": "y"}, {"role": "user", "content": ""}]
)
def test_a_bad_message_is_numbered(message: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit({"messages": [{"role": "user", "content": "hi"}, message]})
    assert caught.value.field == "messages[1]"


@pytest.mark.parametrize(
    "fields", [{}, {"prompt": "x", "messages": [{"role": "user", "content": "y"}]}]
)
def test_one_of_prompt_and_messages(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit(fields)
    assert caught.value.field == "prompt"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b'{"prompt": NaN}'])
def test_no_json_object(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        submit(body)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_the_idempotency_key_is_bounded(key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit({"prompt": "x"}, key)
    assert caught.value.field == "Idempotency-Key"


def test_null_means_not_given() -> None:
    names = {name for name, _ in BAD} - {"prompt", "promt"}
    request, own_id, schedule_in_ms = submit({"prompt": "x"} | dict.fromkeys(names))
    assert (own_id, schedule_in_ms, request.fallback) == (False, 0, True)
    assert request.options.max_tokens == Tasks().max_tokens


def test_as_many_logprobs_as_a_task_may_have_are_asked_for() -> None:
    assert submit({"prompt": "x"}).request.options.logprobs is None
    assert submit({"prompt": "x", "logprobs": 0}).request.options.logprobs == 0
    most = {"prompt": "x", "logprobs": 20, "max_tokens": 1_560}
    request = submit(most).request
    assert request_from_json(request.to_json()) == request
    assert generate(Task(request, State.AVAILABLE, 0), 1).sampling.logprobs == 20
    with pytest.raises(InvalidRequest) as refused:
        submit(most | {"max_tokens": 1_561})
    assert refused.value.field == "logprobs"


def test_every_sampler_is_an_option() -> None:
    given: dict[str, Any] = {
        "repeat_penalty": 1.1, "repeat_last_n": -1, "frequency_penalty": 0.5,
        "presence_penalty": -0.5, "typical_p": 0.9, "xtc_probability": 0.5, "xtc_threshold": 0.2,
        "dry_multiplier": 0.8, "dry_base": 2.0, "dry_allowed_length": 3, "dry_penalty_last_n": 512,
        "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2,
    }  # fmt: skip
    breakers = ("###", "\n")
    biases = {str(token): -100 for token in range(299)} | {"7": 100}
    request = submit(
        {"prompt": "x", "logit_bias": biases, "dry_sequence_breakers": breakers} | given
    ).request
    assert request.options.dry_sequence_breakers == breakers
    assert {name: getattr(request.options, name) for name in given} == given
    assert dict(request.options.logit_bias)[7] == 100
    assert len(request.options.logit_bias) == 299
    assert request_from_json(request.to_json()) == request
    sampling = generate(Task(request, State.AVAILABLE, 0), 1).sampling
    shared = [name for name in Sampling.__slots__ if name in Options.__slots__]
    assert [getattr(sampling, name) for name in shared] == [
        getattr(request.options, name) for name in shared
    ]


BODY: dict[str, Any] = {"prompt": "x", "metadata": {"a": 1, "b": [{"c": 2, "d": 3}]}, "stop": "s"}


@pytest.mark.parametrize(
    "same",
    [
        b' {"stop" : ["s"], "metadata": {"b":[{"d":3,"c":2}],"a":1}, "prompt": "\\u0078"}',
        BODY | {"seed": None},
        BODY | {"stop": ["s"]},
    ],
)
def test_bodies_that_say_the_same_are_the_same_submission(same: object) -> None:
    assert submit(same).request.is_repeated_by(submit(BODY).request)
    assert submit(BODY, "a").request.is_repeated_by(submit(BODY, "b").request)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "y"}, {"prompt": "x "}, {"metadata": {"a": 1}}, {"metadata": {}},
        {"metadata": None}, {"priority": 1}, {"priority": 0}, {"max_tokens": 256}, {"seed": 0},
        {"schedule_in_ms": 1}, {"schedule_in_ms": 0}, {"fallback": True}, {"timeout_ms": 1},
        {"stop": ["s", "t"]}, {"stop": "t"},
        {"prompt": None, "messages": [{"role": "user", "content": "x"}]},
    ],
)  # fmt: skip
def test_a_body_that_says_something_else_is_another_submission(other: dict[str, Any]) -> None:
    """Also where it spells a default out, which may be another one tomorrow."""
    assert not submit(BODY).request.is_repeated_by(submit(BODY | other).request)


def test_a_default_that_has_changed_makes_no_other_submission_of_the_same_body() -> None:
    body = orjson.dumps(BODY)
    before = parse(body, client="c", idempotency_key="k", defaults=Tasks(max_tokens=1))
    after = parse(body, client="c", idempotency_key="k", defaults=Tasks(max_tokens=2))
    assert before.request.is_repeated_by(after.request)


def test_the_id_is_no_part_of_what_is_asked_for() -> None:
    named = submit(BODY | {"task_id": "8fd07545-0a1b-4c2d-9e3f-0123456789ab"})
    assert named.request.is_repeated_by(submit(BODY).request)


def test_a_request_from_before_there_were_fingerprints_is_taken_for_the_same() -> None:
    request = submit(BODY).request
    fields = orjson.loads(request.to_json())
    del fields["submission"]
    assert request_from_json(orjson.dumps(fields)).is_repeated_by(submit({"prompt": "y"}).request)
    assert request_from_json(request.to_json()) == request


def test_the_user_is_part_of_what_is_asked() -> None:
    requests = {submit({"prompt": "hi", "user": user}, "k").request for user in ("ada", "bob")}
    assert {each.user for each in requests} == {"ada", "bob"}
    assert len({each.submission for each in requests}) == 2
    assert submit({"prompt": "hi", "user": "x" * 128}).request.user == "x" * 128


def test_who_asks_for_whom_and_from_where_is_kept() -> None:
    body = orjson.dumps({"prompt": "hi", "user": "ada"})
    asked = parse(
        body, client="c", address="192.0.2.7", idempotency_key=None, defaults=Tasks()
    ).request
    assert request_from_json(asked.to_json()) == asked
    assert (asked.client, asked.account) == ("c", "192.0.2.7")


CHOICE = {"type": "choice", "choices": ["yes", "no"]}


def test_a_format_is_kept_and_sampled_by() -> None:
    request = submit({"prompt": "x", "response_format": CHOICE}).request
    assert orjson.loads(request.options.response_format or "") == CHOICE
    assert request_from_json(request.to_json()) == request
    assert generate(Task(request, State.AVAILABLE, 0), 1).sampling.grammar == (
        'root ::= "yes" | "no"\n'
    )
    plain = submit({"prompt": "x", "response_format": {"type": "text"}}).request
    assert plain.options == submit({"prompt": "x"}).request.options
    assert request.size_bytes > plain.size_bytes + len(orjson.dumps(CHOICE)) - 1


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": CHOICE, "ignore_eos": True}, "ignore_eos"),
        ({"response_format": CHOICE, "dry_multiplier": 0.5}, "dry_multiplier"),
    ],
)
def test_a_format_that_cannot_be_had_is_refused(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        submit({"prompt": "x"} | fields)
    assert caught.value.field == name


def test_a_format_may_stand_beside_what_is_switched_off() -> None:
    fields = {"response_format": CHOICE, "ignore_eos": False, "dry_multiplier": 0}
    assert submit({"prompt": "x"} | fields).request.options.response_format is not None


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return {"type": "json_schema", "json_schema": {"name": "deep", "schema": schema}}


def test_a_schema_may_be_deeper_than_other_members_but_not_by_much() -> None:
    assert submit({"prompt": "x", "response_format": nested(25)})
    with pytest.raises(InvalidRequest, match="Invalid schema for response_format") as caught:
        submit(json.dumps({"prompt": "x", "response_format": nested(150)}).encode())
    assert (caught.value.field or "").startswith("response_format")
