"""The interface document says what is checked and what is answered."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.conversation import Message
from edge.errors import ElwiftError, InvalidRequest
from edge.gateway import problems
from edge.gateway.openapi import ANYWHERE, OPERATIONS, document
from edge.gateway.shapes import COMPONENTS
from edge.gateway.submission import FIELDS, METADATA_BYTES_MAX, parse
from edge.services.task import wire
from edge.settings import Tasks
from edge.tasks.task import Fallback, Options, Request, State, Task, TaskError
from edge.tasks.text import Text
from tests.support.json_schema import Checker

DOCUMENT = orjson.loads(orjson.dumps(document()))
CHECKER = Checker(DOCUMENT)
BY_NAME = {operation.name: operation for operation in OPERATIONS}


def walk(value: Any) -> Any:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from walk(each)


def test_it_is_whole() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert len(BY_NAME) == len(OPERATIONS)
    for each in walk(DOCUMENT):
        if "$ref" in each:
            assert CHECKER.resolve(each), each["$ref"]
    for path, methods in DOCUMENT["paths"].items():
        in_path = set(re.findall(r"{(\w+)}", path))
        for operation in methods.values():
            named = [(each["in"], each["name"]) for each in operation["parameters"]]
            assert len(named) == len(set(named))
            assert {name for place, name in named if place == "path"} == in_path
            assert operation["responses"]


def test_every_component_is_used() -> None:
    used = {each["$ref"] for each in walk(DOCUMENT) if "$ref" in each}
    for kind in ("schemas", "responses"):
        names = DOCUMENT["components"][kind]
        unused = {name for name in names if f"#/components/{kind}/{name}" not in used}
        # What no documented method gets: 405 is the answer to the others.
        assert unused <= {"Problem405"}


def errors_of(base: type[ElwiftError]) -> set[type[ElwiftError]]:
    return {base}.union(*(errors_of(each) for each in base.__subclasses__()))


def test_every_status_of_a_problem_is_there() -> None:
    """Whichever error of the house becomes one."""
    statuses = set()
    for kind in errors_of(ElwiftError):
        error = kind.__new__(kind)
        Exception.__init__(error, "a sentence")
        for name, value in (("field", None), ("retry_after_ms", 1), ("for_clients", None)):
            if not hasattr(error, name):
                setattr(error, name, value)
        statuses.add(problems.from_error(error).status)
    documented = {int(name.removeprefix("Problem")) for name in DOCUMENT["components"]["responses"]}
    assert statuses <= documented
    assert set(problems.STATUSES) == documented
    assert set(ANYWHERE) | {404, 405, 409, 422} == documented


# No larger whole number comes out of a body (`edge.json_values`).
WHOLE = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
NEAR = st.sampled_from(
    [0, 1, -1, 0.5, 1.0, 5, 5.0001, 9, 10, 2**32 - 2, 2**32 - 1, 1_048_576, 1_048_577, 1_000_000,
     1_000_001, 366 * 86_400_000, 366 * 86_400_000 + 1, 7 * 86_400_000, 7 * 86_400_000 + 1, 1_000,
     1_001, True, "", " ", "\x1c", "x" * 256, "x" * 257, [""], ["x"] * 16, ["x"] * 17, [],
     "8fd07545-0a1b-4c2d-9e3f-0123456789ab", "8FD075450A1B4C2D9E3F0123456789AB",
     [{"role": "user", "content": "x"}], [{"role": "user", "content": " "}],
     [{"role": "user", "content": "x"}] * 1_000, [{"role": "user", "content": "x"}] * 1_001,
     [{"role": "robot", "content": "x"}], [{"role": "user"}], {},
     [{"role": "user", "content": "x", "name": "ada"}], {"7": 100}, {"7": 100.5}, {"07": 1},
     {"999999999": -100}, {"1000000000": 1}, {"x": 1}, {"1\n": 1}, {"7": None}, {"7": True},
     {str(token): 1 for token in range(300)}, {str(token): 1 for token in range(301)}]
)  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@given(NEAR | JSON)
def test_a_member_is_accepted_if_and_only_if_the_schema_says_so(name: str, value: Any) -> None:
    field = FIELDS[name]
    if CHECKER.wrong(value, field.schema) is None:
        field.check(name, value)
    else:
        with pytest.raises(InvalidRequest):
            field.check(name, value)


@pytest.mark.parametrize("name", FIELDS)
def test_every_bound_is_where_the_document_says(name: str) -> None:
    schema = FIELDS[name].schema
    for bound, beyond in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            assert FIELDS[name].check(name, schema[bound]) == schema[bound]
            for step in (beyond, beyond * 1e-6 * max(1, abs(schema[bound]))):
                with pytest.raises(InvalidRequest):
                    FIELDS[name].check(name, schema[bound] + step)


@given(st.dictionaries(st.sampled_from([*FIELDS, "promt"]), NEAR | JSON, max_size=4))
@example({"prompt": "a"})
@example({"prompt": "a", "messages": None})
@example({"prompt": None, "messages": [{"role": "user", "content": "x"}]})
@example({"prompt": "a", "messages": [{"role": "user", "content": "x"}]})
@example({"metadata": {"a": "x" * METADATA_BYTES_MAX}, "prompt": "a"})
def test_a_body_that_the_schema_refuses_is_refused(body: dict[str, Any]) -> None:
    """And the other way round, but for what a schema cannot say: depth, bytes, and 64 bits."""
    wrong = CHECKER.wrong(body, DOCUMENT["components"]["schemas"]["Submission"])
    try:
        data = orjson.dumps(body)
    except TypeError:
        return  # an integer that is no JSON of ours
    refusal = ""
    try:
        parse(data, client="c", idempotency_key=None, defaults=Tasks())
    except InvalidRequest as error:
        refusal = str(error)
    assert bool(refusal) == (wrong is not None) or re.search("bytes|levels|64 bits", refusal)


REQUESTS = (
    Request("8fd07545-0a1b-4c2d-9e3f-0123456789ab", "c", "hi", None, None, Options()),
    Request(
        *("8fd07545-0a1b-4c2d-9e3f-0123456789ab", "c", None, (Message("user", "hi"),), "tiny"),
        Options(seed=1, stop=("x",), response_format="{}"), metadata='{"a":1}',
    ),
)  # fmt: skip
TASK = Task(REQUESTS[0], State.EXECUTING, 1)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": State.SCHEDULED, "scheduled_ns": 5},
        {"state": State.COMPLETED, "output": Text("x"), "finish_reason": "stop", "source": "model"},
        {"state": State.CANCELLED, "finish_reason": "cancelled", "finished_ns": 7},
        {"state": State.DISCARDED, "errors": (TaskError(1, 2, "timeout", "it took too long"),)},
        {"fallback": Fallback("notice", 3, 4)},
    ],
)
def test_a_task_is_what_the_document_says(request_: Request, changes: dict[str, Any]) -> None:
    shown = orjson.loads(orjson.dumps(wire.document(replace(TASK, request=request_, **changes))))
    schema = CHECKER.resolve(COMPONENTS["Task"])
    assert CHECKER.wrong(shown, schema) is None
    assert set(shown) <= set(schema["properties"])
    for name, component in (("options", "Options"), ("result", "Result"), ("fallback", "Fallback")):
        if shown[name] is not None:
            assert set(shown[name]) == set(COMPONENTS[component]["properties"])
    for error in shown["errors"]:
        assert set(error) == set(COMPONENTS["TaskError"]["properties"])
