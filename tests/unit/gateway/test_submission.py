from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.errors import InvalidRequest
from edge.gateway.problems import MalformedBody
from edge.gateway.submission import Submission, parse
from edge.settings import Tasks

BAD: list[tuple[str, Any]] = [
    ("prompt", 1), ("prompt", " "), ("task_id", "x"), ("task_id", 1), ("model", ""),
    ("max_tokens", 0), ("max_tokens", True), ("max_tokens", 1.5), ("temperature", -1),
    ("temperature", "1"), ("top_p", 1.1), ("top_k", -1), ("min_p", 2), ("seed", 2**32 - 1),
    ("stop", 1), ("stop", [""]), ("stop", ["x"] * 17), ("stop", "x" * 257), ("ignore_eos", 1),
    ("priority", 10), ("schedule_in_ms", -1), ("max_attempts", 0), ("timeout_ms", 0),
    ("fallback", "yes"), ("metadata", []), ("metadata", {"x": "y" * 16_384}), ("promt", "x"),
    ("messages", []), ("messages", "x"),
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
