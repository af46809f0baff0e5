"""Whatever clients say to a whole node: it answers, by its own document, and lives on.

``FUZZ_EXAMPLES`` says how many requests of each kind are tried; the usual number takes seconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_from_bytes
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from edge.gateway.openapi import OPERATIONS, Operation, document
from edge.gateway.page_files import is_page
from edge.gateway.problems import CONTENT_TYPE
from edge.gateway.submission import FIELDS
from edge.json_values import LEVELS_MAX
from tests.support.blocking import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Node,
    Response,
    WebSocket,
    blocking_node,
)
from tests.support.json_schema import Checker

USUAL = 150
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", USUAL))
THOROUGH = settings(
    max_examples=EXAMPLES,
    # A long run is to see what no run has seen before.
    derandomize=EXAMPLES <= USUAL,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
DOCUMENT = orjson.loads(orjson.dumps(document()))
CHECKER = Checker(DOCUMENT)
SOCKET = "/socket/websocket"

ELSEWHERE = {400, 403, 404, 405, 413, 414, 415, 417, 421, 431}
"""The answers where there is nothing, or nothing of this method."""

CLOSE_CODES = {1000, 1001, 1002, 1003, 1007, 1009, 1011, 1013}
"""Those that say whose fault it was (RFC 6455 section 7.4.1)."""

WAITING, ENDED = str(uuid4()), str(uuid4())
"""Two tasks that there are."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """It is slow on purpose: what is submitted here is not worth a core."""
    folder = tmp_path_factory.mktemp("node")
    with blocking_node(folder, "--rate", "20", model__slots=2) as node:
        waiting = {"prompt": "a", "task_id": WAITING, "schedule_in_ms": 86_400_000}
        assert node.json("POST", "/tasks", waiting)[0] == 202
        ended = {"prompt": "a", "task_id": ENDED, "metadata": {"a": 1}}
        assert node.json("POST", "/tasks", ended)[0] == 202
        assert node.json("DELETE", f"/tasks/{ENDED}")[0] == 200
        yield node


# ---- what is said

ODD_TEXTS = st.sampled_from(
    ["", " ", "\0", "\x1b[2J", "\u2028", "\ufffe", "\U0001f98a", "é" * 300, "x" * 70_000, "null",
     "../..", "%", "%00", "task:", "-1", "0", "1e308", "1" * 5_000, "٣", "true", "{", "\r\n"]
)  # fmt: skip
TEXTS = st.text(max_size=20) | ODD_TEXTS
NUMBERS = st.sampled_from(
    [b"0", b"-0", b"-1", b"1.0", b"1e5", b"1E400", b"-1e-400", b"NaN", b"Infinity", b"1" * 20,
     b"1" * 5_000, b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809",
     b"0.1", b"01", b"1e", b"2147483648"]
)  # fmt: skip


def _json_text(text: str) -> bytes:
    return orjson.dumps(text)


SCALARS = (
    st.sampled_from([b"null", b"true", b"false", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b""])
    | NUMBERS
    | TEXTS.map(_json_text)
)


def _array(items: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(items)


def _object(members: list[tuple[bytes, bytes]]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % member for member in members)


NAMES = (st.sampled_from([*FIELDS, "offset", "offsets", "stay", "role", WAITING]) | TEXTS).map(
    _json_text
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(_array)
        | st.lists(st.tuples(NAMES, inner), max_size=4).map(_object)
        | st.tuples(st.sampled_from([1, LEVELS_MAX, LEVELS_MAX + 1, 300, 2_000]), inner).map(
            lambda deep: b"[" * deep[0] + deep[1] + b"]" * deep[0]
        )
    ),
    max_leaves=10,
)
"""JSON as text, mostly: with numbers that none can hold, and names that come twice."""


def nested(levels: int) -> bytes:
    """An object in which there are lists in lists."""
    return b'{"a":%b}' % (b"[" * (levels - 1) + b"]" * (levels - 1))


DEEP = st.sampled_from([LEVELS_MAX, LEVELS_MAX + 1, 252, 254, 1_000]).map(nested)

IDS = st.sampled_from(
    [WAITING, WAITING.upper(), "{" + ENDED + "}", ENDED.replace("-", ""), f"urn:uuid:{ENDED}",
     str(uuid4()), "export", "x"]
) | ODD_TEXTS  # fmt: skip


def _good(name: str) -> st.SearchStrategy[bytes]:
    """A member of a submission as it should be."""
    schema = FIELDS[name].schema
    kinds = schema["type"]
    if "integer" in kinds:
        return st.integers(schema["minimum"], schema["maximum"]).map(orjson.dumps)
    if "number" in kinds:
        return st.floats(schema["minimum"], schema["maximum"]).map(orjson.dumps)
    if "boolean" in kinds:
        return st.sampled_from([b"true", b"false"])
    samples = {
        "task_id": IDS.map(_json_text),
        "model": st.just(b'"elwift-tiny"'),
        "stop": st.lists(TEXTS, max_size=3).map(orjson.dumps),
        "messages": st.just(b'[{"role":"user","content":"a"}]'),
        "metadata": JSON.map(lambda value: b'{"a":%b}' % value) | DEEP,
    }
    return samples.get(name, TEXTS.map(_json_text))


# Anything may be in metadata, and a body is only as good as its worst member.
MEMBERS = st.sampled_from([*FIELDS, "metadata", "metadata"]).flatmap(
    lambda name: st.tuples(st.just(_json_text(name)), _good(name) | _good(name) | JSON)
)
BODIES = st.lists(MEMBERS, max_size=3).map(
    lambda members: _object([(b'"prompt"', b'"a"'), (b'"max_tokens"', b"3"), *members])
)

ODD_VALUES = {
    "state": ["completed", "Completed", "done", ""],
    "limit": ["1", "500", "501", "-1", "1.0", "007", "1" * 5_000, "\u0663", "\u00b2"],
    "format": ["json", "csv", "parquet", "CSV"],
    "before": [WAITING, WAITING.upper(), "{" + ENDED + "}", "x", str(uuid4())],
    "token": ["", "x", "\0"],
    "after": ["r:1", "r:0", "w:6:0.0:1", "w:0:-1e5:-3", "w:11:1e400:1", "w:12:0.0:0", "w:6:1", "x"],
    "vsn": ["2.0.0", "1.0.0", "3.0.0", "2"],
}
TIMES = [
    "2026-01-01T00:00:00Z", "2026-01-01 00:00:00+01:00", "0001-01-01T00:00:00+14:00",
    "0000-01-01T00:00:00Z", "9999-12-31T23:59:60-23:59", "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00." + "9" * 5_000 + "Z", "2026-01-01", "now",
]  # fmt: skip


def _parameter(name: str) -> st.SearchStrategy[str]:
    values = st.sampled_from(ODD_VALUES.get(name, TIMES))
    return (values | values | TEXTS).map(lambda value: f"{quote(name)}={quote(value)}")


def _queries(operation: Operation) -> st.SearchStrategy[str]:
    """A query of the operation's own parameters, mostly."""
    own = [each["name"] for each in operation.parameters if each["in"] == "query"]
    odd = st.binary(max_size=12).map(quote_from_bytes) | TEXTS.map(quote)
    if not own:
        return st.just("") | odd
    pairs = st.lists(st.sampled_from(own).flatmap(_parameter), max_size=3).map("&".join)
    return pairs | pairs | pairs | odd


METHODS = ["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE"]


def _targets(operation: Operation) -> st.SearchStrategy[tuple[str, str, str]]:
    """A method, a path and a query that are about this operation."""
    return st.tuples(
        st.sampled_from([operation.method.upper()] * 2 * len(METHODS) + METHODS),
        IDS.map(lambda one: operation.path.replace("{task_id}", quote(one, safe=""))),
        _queries(operation),
    )


HEADERS = st.tuples(
    st.sampled_from(
        [b"Idempotency-Key", b"Last-Event-ID", b"Authorization", b"Accept", b"Content-Type",
         b"Content-Encoding", b"Origin", b"Host", b"Cookie", b"Expect", b"Range", b"X-Odd",
         b"If-None-Match", b"Sec-Fetch-Site", b"Connection"]
    ),
    TEXTS.map(lambda text: text.encode())
    | st.binary(max_size=12)
    | st.sampled_from([b"end", b"0", b"1" * 5_000, b"gzip", b"application/json", b"*/*", b"close",
                       b"text/plain", b"null", b"http://evil.example", b"Bearer \xff"]),
).map(lambda header: (header[0], header[1].translate(None, b"\r\n\0")[:6_000]))  # fmt: skip


def as_bytes(
    method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes | None
) -> bytes:
    """A request that is one, whatever is in it."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: localhost"]
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", b""]) + (body or b"")


# ---- what is held of every answer


def operation_at(method: str, path: str) -> dict[str, Any] | None:
    """What the document says of a method of a path; None when it knows neither."""
    parts = path.split("/")
    for template, methods in DOCUMENT["paths"].items():
        pattern = template.split("/")
        same = len(parts) == len(pattern) and all(
            there in ("{task_id}", here) for here, there in zip(parts, pattern, strict=True)
        )
        if same:
            found: dict[str, Any] | None = methods.get(method.lower())
            return found
    return None


def check(answer: Response, method: str, path: str) -> None:
    """The answer is nobody's defect, and what the document says."""
    late = answer.status == 503 and "retry-after" in answer.headers
    assert answer.status < 500 or late or path == "/readyz", answer
    if method == "HEAD" or answer.body is None:
        return
    if answer.status >= 400 and answer.kind == CONTENT_TYPE:
        problem = orjson.loads(answer.body)
        assert CHECKER.wrong(problem, DOCUMENT["components"]["schemas"]["Problem"]) is None
        assert problem["status"] == answer.status
    operation = operation_at(method, path)
    if operation is None:
        # The pages are for people, and no part of the document.
        shown = is_page(path) and (method, answer.status) in (("GET", 200), ("HEAD", 200))
        preflight = (method, answer.status) == ("OPTIONS", 204)
        assert answer.status in ELSEWHERE or shown or preflight, answer
        return
    responses = operation["responses"]
    assert str(answer.status) in responses, (method, path, answer)
    content = CHECKER.resolve(responses[str(answer.status)]).get("content", {})
    kinds = {name.partition(";")[0]: each for name, each in content.items()}
    assert answer.kind in kinds or not answer.body, (method, path, answer)
    schema = kinds.get(answer.kind, {}).get("schema")
    if schema is not None:
        assert CHECKER.wrong(orjson.loads(answer.body), schema) is None


def lives(node: Node) -> None:
    """The node serves the next one, and has nothing to complain of."""
    assert node.json("GET", "/healthz")[0] == 200
    log = node.new_log()
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log


NO_HEADERS: list[tuple[bytes, bytes]] = []
FEW_HEADERS = st.just(NO_HEADERS) | st.just(NO_HEADERS) | st.lists(HEADERS, max_size=2)
NO_BODY = st.none() | st.none() | BODIES | JSON


def exchange(
    node: Node,
    target: tuple[str, str, str],
    headers: list[tuple[bytes, bytes]],
    body: bytes | None,
) -> None:
    method, path, query = target
    request = as_bytes(method, f"{path}?{query}" if query else path, headers, body)
    note(f"{request!r}")
    answer = node.ask(request)
    assert answer is not None, "the node hung up"
    check(answer, method, path)
    lives(node)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@settings(THOROUGH, max_examples=EXAMPLES // 3)
@given(st.data(), FEW_HEADERS, NO_BODY)
def test_any_request_for_what_there_is(
    node: Node,
    operation: Operation,
    data: st.DataObject,
    headers: list[tuple[bytes, bytes]],
    body: bytes | None,
) -> None:
    exchange(node, data.draw(_targets(operation)), headers, body)
    if operation.name == "pauseQueue":
        # The others are not to meet a node that does nothing.
        assert node.json("POST", "/queue/resume")[0] == 200


@THOROUGH
@given(
    st.tuples(
        st.sampled_from(METHODS),
        st.binary(max_size=20).map(lambda data: "/" + quote_from_bytes(data)),
        st.binary(max_size=12).map(quote_from_bytes),
    ),
    st.lists(HEADERS, max_size=3),
    NO_BODY,
)
def test_any_other_request(
    node: Node,
    target: tuple[str, str, str],
    headers: list[tuple[bytes, bytes]],
    body: bytes | None,
) -> None:
    exchange(node, target, headers, body)


@THOROUGH
@given(BODIES, st.lists(HEADERS.filter(lambda header: header[0] == b"Idempotency-Key"), max_size=1))
@example(b'{"prompt":"a","metadata":%b}' % nested(252), [])
@example(b'{"prompt":"a","metadata":%b}' % nested(254), [])
@example(b'{"prompt":"a","metadata":{"a":%b}}' % (b"1" * 5_000), [])
@example(b'{"prompt":"\\u0000","stop":"\\u0000"}', [(b"Idempotency-Key", b"\xe9")])
def test_any_submission(node: Node, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """What is accepted can be read again in every way, and be cancelled."""
    request = as_bytes("POST", "/tasks", headers, body)
    note(f"{request!r}")
    answer = node.ask(request)
    assert answer is not None, "the node hung up"
    check(answer, "POST", "/tasks")
    if answer.status == 202:
        assert answer.body is not None
        task_id = orjson.loads(answer.body)["task_id"]
        for method, path in (
            ("DELETE", f"/tasks/{task_id}"),
            ("GET", f"/tasks/{task_id}"),
            ("GET", f"/tasks/{task_id}/audit"),
            ("GET", "/tasks"),
            ("GET", "/tasks/export"),
        ):
            again = node.ask(as_bytes(method, path, [], None))
            assert again is not None
            check(again, method, path)
            assert again.status == 200 or (method, again.status) == ("DELETE", 409)
    lives(node)


TOPICS = IDS.map("task:{}".format) | st.sampled_from(
    [f"task:{WAITING}", f"task:{ENDED}", "tasks:mine", "node:status", "phoenix"]
)
EVENTS = st.sampled_from(["phx_join", "phx_leave", "cancel", "retry", "heartbeat", "phx_reply"])
OFFSETS = NUMBERS | st.integers(-2, 2**64).map(orjson.dumps) | JSON
PAYLOADS = (
    JSON
    | st.tuples(OFFSETS, SCALARS).map(lambda given: b'{"offset":%b,"stay":%b}' % given)
    | st.tuples(IDS.map(_json_text), OFFSETS).map(lambda given: b'{"offsets":{%b:%b}}' % given)
    | st.just(b"{}")
)
REFS = st.sampled_from([b'"1"', b"1", b"null"]) | JSON
MESSAGES = (
    (
        st.tuples(
            st.just(b'"1"'),
            st.just(b'"1"'),
            TOPICS.map(_json_text),
            st.just(b'"phx_join"'),
            PAYLOADS,
        )
        | st.tuples(
            st.just(b'"1"'),
            st.just(b'"2"'),
            TOPICS.map(_json_text),
            EVENTS.map(_json_text),
            PAYLOADS,
        )
        | st.tuples(
            REFS, REFS, TOPICS.map(_json_text) | JSON, EVENTS.map(_json_text) | JSON, PAYLOADS
        )
    )
    .map(list)
    .map(_array)
)
FRAMES = (
    MESSAGES.map(lambda data: (TEXT, data))
    | JSON.map(lambda data: (TEXT, data))
    | st.binary(max_size=40).map(lambda data: (BINARY, data))
    | st.binary(max_size=125).map(lambda data: (PING, data))
)


@THOROUGH
@given(st.lists(FRAMES, max_size=6))
def test_any_frames(node: Node, frames: list[tuple[int, bytes]]) -> None:
    """The socket lives through them, or is closed with a code that says why."""
    note(f"{frames!r}")
    with WebSocket(node) as socket:
        for opcode, data in frames:
            socket.send(opcode, data)
        socket.send(TEXT, b'[null,"the last one","phoenix","heartbeat",{}]')
        while True:
            opcode, data = socket.receive()
            if opcode == CLOSE:
                assert len(data) >= 2, "the node hung up"
                assert struct.unpack("!H", data[:2])[0] in CLOSE_CODES
                break
            if opcode == PONG:
                continue
            assert opcode in (TEXT, BINARY)
            if opcode == TEXT:
                _, ref, topic, event, payload = orjson.loads(data)
                assert isinstance(payload, dict)
                assert event != "phx_error", "a channel crashed"
                if (ref, topic) == ("the last one", "phoenix"):
                    break
    lives(node)
