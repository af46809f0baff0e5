"""The node's HTTP interface as an OpenAPI 3.1 document, ``GET /openapi.json``.

It is written once, from what is checked and answered: the members of a submission are
`edge.gateway.submission.FIELDS`, the statuses those of `edge.gateway.problems`, the bounds the
constants of who checks them. Tests hold it to the routes that there are, and to what a node says.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple, get_args

import orjson
from aiohttp import web

from edge import __version__
from edge.gateway import queue_api, shapes
from edge.gateway.archive_api import CONTENT_TYPES, PAGE_DEFAULT, PAGE_MAX
from edge.gateway.problems import CONTENT_TYPE, STATUSES
from edge.gateway.shapes import STATES, TIME, Schema, about, ref
from edge.gateway.submission import FIELDS, KEY_CHARS_MAX
from edge.services.task.queue_page import CURSOR_CHARS_MAX
from edge.settings.tree import LOG_LEVELS
from edge.storage import ExportFormat

PATH: Final = "/openapi.json"


class Operation(NamedTuple):
    """One method of one path. ``answers`` are its own, by status; ``problems`` those it has besides
    the ones that any request may get. ``secret`` says that a token is asked for, where there are
    any."""

    method: str
    path: str
    name: str
    about: str
    answers: dict[int, Schema]
    problems: tuple[int, ...] = ()
    parameters: tuple[Schema, ...] = ()
    body: Schema | None = None
    secret: bool = True


_NOT_OF_ALL: Final = (404, 405, 409, 422)
ANYWHERE: Final = tuple(status for status in sorted(STATUSES) if status not in _NOT_OF_ALL)
"""Statuses of problems that any request may get."""


_AS_PROBLEM: Final[Schema] = {CONTENT_TYPE: {"schema": ref("Problem")}}


def _json(schema: Schema, sentence: str) -> Schema:
    return {"description": sentence, "content": {"application/json": {"schema": schema}}}


def _parameter(place: str, name: str, schema: Schema, sentence: str) -> Schema:
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "schema": schema,
        "description": sentence,
    }


_TASK_ID: Final = _parameter("path", "task_id", shapes.UUID, "A UUID, in any spelling.")
_STATE: Final = _parameter(
    "query", "state", {"type": "string", "enum": list(STATES)}, "Only tasks in this state."
)
_SINCE: Final = _parameter("query", "since", TIME, "Only from this time on.")
_UNTIL: Final = _parameter("query", "until", TIME, "Only before this time.")
_LIMIT: Final = _parameter(
    "query",
    "limit",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    "At most so many.",
)
_BEFORE: Final = _parameter(
    "query", "before", shapes.UUID, "Go on behind this task, the last of the page before."
)
_FORMAT: Final = _parameter(
    "query", "format", {"type": "string", "enum": list(get_args(ExportFormat))}, "JSON by lines."
)
_LEVEL: Final = _parameter(
    "query",
    "level",
    {"type": "string", "enum": list(LOG_LEVELS)},
    "What is at least as grave is said; without it, as in the settings.",
)
_QUEUE_LIMIT: Final = _parameter(
    "query",
    "limit",
    {
        "type": "integer",
        "minimum": 1,
        "maximum": queue_api.PAGE_MAX,
        "default": queue_api.PAGE_DEFAULT,
    },
    "At most so many.",
)
_AFTER: Final = _parameter(
    "query",
    "after",
    {"type": "string", "maxLength": CURSOR_CHARS_MAX},
    "Go on behind this place, the next of the page before; it stays where it is while the queue"
    " moves.",
)
_KEY: Final = _parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX},
    "Submitting again with the same key and body is the same task, for as long as it is kept.",
)
_LAST_EVENT_ID: Final = _parameter(
    "header", "Last-Event-ID", {"type": "string", "pattern": "^([0-9]{1,15}|end)?$"},
    "The id of the last event that was heard.",
)  # fmt: skip
_TOKEN: Final = _parameter(
    "query", "token", shapes.TEXT, "Where a header cannot be sent, as by EventSource."
)

_SUBMISSION: Final[Schema] = {
    "type": "object",
    "properties": {name: field.schema for name, field in FIELDS.items()},
    "additionalProperties": False,
    "oneOf": [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
        for name in ("prompt", "messages")
    ],
    "description": "A member that is null is not given. Whole numbers have 64 bits at most.",
}

OPERATIONS: Final = (
    Operation(
        "post", "/tasks", "submitTask", "Submit a task.",
        {202: _json(ref("Accepted"), "It is accepted; Location says where it is.")},
        (404, 409, 422), (_KEY,), _SUBMISSION,
    ),
    Operation(
        "get", "/tasks", "listTasks", "A page of your tasks, the newest first.",
        {200: _json(ref("Page"), "The page.")},
        (404, 422), (_STATE, _SINCE, _UNTIL, _LIMIT, _BEFORE),
    ),
    Operation(
        "get", "/tasks/export", "exportTasks", "Your tasks as one file.",
        {
            200: {
                "description": "The file. Its times are in UTC and say so.",
                "content": {each: {} for each in CONTENT_TYPES.values()},
            }
        },
        (422,), (_STATE, _SINCE, _UNTIL, _FORMAT),
    ),
    Operation(
        "get", "/tasks/{task_id}", "showTask", "One task whole.",
        {200: _json(ref("Task"), "The task.")},
        (404,), (_TASK_ID,),
    ),
    Operation(
        "delete", "/tasks/{task_id}", "cancelTask", "Cancel a task.",
        {
            200: _json(ref("Task"), "It is cancelled, and that is committed."),
            202: _json(ref("Cancelling"), "It is being cancelled; the disk takes its time."),
        },
        (404, 409), (_TASK_ID,),
    ),
    Operation(
        "post", "/tasks/{task_id}/retry", "retryTask", "Run an ended task again.",
        {202: _json(ref("Task"), "It will run.")},
        (404, 409), (_TASK_ID,),
    ),
    Operation(
        "get", "/tasks/{task_id}/events", "watchTask", "A task's updates as Server-Sent Events.",
        {
            200: {
                "description": "Events until the task has ended.",
                "content": {"text/event-stream": {}},
            },
            204: {"description": "You have heard its end: do not come back."},
        },
        (404, 422), (_TASK_ID, _LAST_EVENT_ID, _TOKEN),
    ),
    Operation(
        "get", "/tasks/{task_id}/audit", "auditTask", "What happened to a task, and why.",
        {200: _json(ref("Audit"), "Every change, in order.")},
        (404,), (_TASK_ID,),
    ),
    Operation(
        "get", "/stats", "showStats", "How your tasks ended and how long they took.",
        {200: _json(ref("Figures"), "Percentiles; of the last day unless told otherwise.")},
        (422,), (_SINCE, _UNTIL),
    ),
    Operation(
        "get", "/queue", "showQueue",
        "A page of the tasks that run and of those that wait, in the order of their turns.",
        {200: _json(ref("Queue"), "The page; foreign tasks are without id, client and user.")},
        (422,), (_QUEUE_LIMIT, _AFTER),
    ),
    Operation(
        "post", "/queue/pause", "pauseQueue",
        "Give no more turns: what runs ends, what comes waits. A start of the node resumes.",
        {200: _json(ref("QueueTotals"), "It is paused.")},
    ),
    Operation(
        "post", "/queue/resume", "resumeQueue", "Give turns again.",
        {200: _json(ref("QueueTotals"), "It goes on.")},
    ),
    Operation(
        "get", "/healthz", "isAlive", "Whether the process is alive.",
        {200: _json(ref("Alive"), "It is.")}, secret=False,
    ),
    Operation(
        "get", "/readyz", "isReady", "Whether every part can do its work.",
        {
            200: _json(ref("Ready"), "It can, perhaps not as well as it should."),
            503: _json(ref("Ready"), "It cannot do its work now."),
        },
        secret=False,
    ),
    Operation(
        "get", "/metrics", "readMetrics",
        "The node's figures for Prometheus; without tokens, for the node's own machine alone.",
        {
            200: {
                "description": "The older text, or OpenMetrics where `Accept` names it.",
                "content": {"text/plain": {}, "application/openmetrics-text": {}},
            }
        },
    ),
    Operation(
        "get", "/log", "showLog", "How much the log says.",
        {200: _json(ref("Log"), "The level.")},
    ),
    Operation(
        "put", "/log", "setLog",
        "Have the log say more or less, until the node ends.",
        {200: _json(ref("Log"), "The new level.")}, (422,), (_LEVEL,),
    ),
    Operation(
        "get", PATH, "showInterface", "This document.",
        {200: _json({"type": "object"}, "OpenAPI 3.1.")}, secret=False,
    ),
    Operation(
        "get", "/socket/websocket", "openSocket", "The Phoenix socket; its protocol is Phoenix's.",
        {
            101: {"description": "The socket is open."},
            400: {"description": "This is no WebSocket handshake.", "content": {"text/plain": {}}},
            403: {"description": "You may not connect.", "content": {"text/plain": {}}},
            503: {"description": "The node restarts.", "content": {"text/plain": {}}},
        },
        parameters=(
            _parameter("query", "vsn", {"type": "string"}, "2.0.0; without it, 1.0.0."),
            _TOKEN,
        ),
    ),
)  # fmt: skip


def _problem(status: int) -> Schema:
    response: Schema = {
        "description": "; ".join(STATUSES[status]),
        "content": _AS_PROBLEM,
    }
    if status in (429, 503):
        retry_after = about({"type": "integer"}, "Seconds after which there may be room.")
        response["headers"] = {"Retry-After": {"schema": retry_after}}
    return response


def _operation(operation: Operation) -> Schema:
    statuses = {*ANYWHERE, *operation.problems}
    answers = {status: {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}
    for status, answer in operation.answers.items():
        if status in answers:
            # The operation means something of its own by it, and so may who stands before it.
            answer = answer | {"content": answer["content"] | _AS_PROBLEM}
        answers[status] = answer
    document: Schema = {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": list(operation.parameters),
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    if operation.body is not None:
        content = {"application/json": {"schema": ref("Submission")}}
        document["requestBody"] = {"required": True, "content": content}
    if operation.secret:
        document["security"] = [{"token": []}, {}]
    return document


def document() -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Elwift Edge",
            "version": __version__,
            "description": "AI tasks on your own box. Whatever has GET has HEAD, too, but for"
            " exports and events. Errors are problem documents (RFC 9457). What is under /v1 is"
            " OpenAI's interface, what is under /api is Ollama's, with a word at /: both are"
            " described by their makers.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes.COMPONENTS | {"Submission": _SUBMISSION},
            "responses": {f"Problem{status}": _problem(status) for status in sorted(STATUSES)},
            "securitySchemes": {
                "token": about({"type": "http", "scheme": "bearer"}, "Where the node wants one.")
            },
        },
    }


@cache
def _as_json() -> bytes:
    """The document as it is sent: made when first asked for, since few ask, and once a process."""
    return orjson.dumps(document())


class OpenApi:
    """Serves the document."""

    def mount(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.show)

    async def show(self, _request: web.Request) -> web.Response:
        return web.Response(body=_as_json(), content_type="application/json")
