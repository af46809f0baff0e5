"""What the node answers with, as JSON Schema: the components of `edge.gateway.openapi`.

A test holds them to what `edge.services.task.wire` and the others write.
"""

from __future__ import annotations

from typing import Any, Final

from edge.gateway.problems import TYPE_PREFIX
from edge.services.task.actor import CANCELLING
from edge.settings.tree import LOG_LEVELS
from edge.tasks.task import State

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
UUID: Final[Schema] = {"type": "string", "format": "uuid"}
MS: Final[Schema] = {"type": "number", "minimum": 0}
STATES: Final = tuple(str(state) for state in State)
SOURCES: Final = ("model", "history", "fallback_model", "notice")


def ref(name: str) -> Schema:
    """One of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """Either that or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"]
    schema = schema | {"type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}
    return schema | {"enum": [*schema["enum"], None]} if "enum" in schema else schema


def about(schema: Schema, sentence: str) -> Schema:
    """The schema with a sentence about what it means."""
    return schema | {"description": sentence}


def object_of(properties: Schema, *, maybe: Schema | None = None, sentence: str = "") -> Schema:
    """An object with all these members, and ``maybe`` some of those."""
    schema: Schema = {
        "type": "object",
        "properties": properties | (maybe or {}),
        "required": list(properties),
    }
    return about(schema, sentence) if sentence else schema


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_ERROR: Final = object_of({"attempt": COUNT, "at": TIME, "code": TEXT, "message": TEXT})

_FALLBACK: Final = object_of(
    {"source": {"type": "string", "enum": list(SOURCES[1:])}, "offset": COUNT},
    sentence="From this character on the text is not the model's.",
)

_OPTIONS: Final = object_of(
    {
        "max_tokens": COUNT,
        "temperature": {"type": "number"},
        "top_p": {"type": "number"},
        "top_k": COUNT,
        "min_p": {"type": "number"},
        "seed": nullable(COUNT),
        "stop": list_of(TEXT),
        "ignore_eos": FLAG,
        "response_format": nullable({"type": "object"}),
        "repeat_penalty": {"type": "number"},
        "repeat_last_n": {"type": "integer"},
        "frequency_penalty": {"type": "number"},
        "presence_penalty": {"type": "number"},
        "logit_bias": {"type": "object", "additionalProperties": {"type": "number"}},
        "typical_p": {"type": "number"},
        "xtc_probability": {"type": "number"},
        "xtc_threshold": {"type": "number"},
        "dry_multiplier": {"type": "number"},
        "dry_base": {"type": "number"},
        "dry_allowed_length": COUNT,
        "dry_penalty_last_n": {"type": "integer"},
        "mirostat": {"type": "integer", "enum": [0, 1, 2]},
        "mirostat_tau": {"type": "number"},
        "mirostat_eta": {"type": "number"},
        "logprobs": nullable(COUNT),
        "dry_sequence_breakers": list_of(TEXT),
    }
)

_RESULT: Final = object_of(
    {
        "text": about(TEXT, "As the model wrote it."),
        "message": about(
            nullable(ref("AnswerMessage")),
            "What the text says, where it may say more than its content: calls of tools, and what"
            " the model thought.",
        ),
        "finish_reason": nullable(
            {"type": "string", "enum": ["stop", "length", "tool_calls", "cancelled"]}
        ),
        "usage": object_of(
            {
                "prompt_tokens": COUNT,
                "cached_tokens": COUNT,
                "completion_tokens": COUNT,
                "reasoning_tokens": about(COUNT, "Of the completion's."),
            }
        ),
        "timings": object_of(
            {
                name: nullable(MS)
                for name in (
                    "queued_ms",
                    "prefill_ms",
                    "ttft_ms",
                    "decode_ms",
                    "tokens_per_second",
                )
            }
        ),
        "source": nullable({"type": "string", "enum": list(SOURCES)}),
        "degraded": about(FLAG, "The answer is not the model's, or not all of it."),
        "logprobs": about(
            nullable(list_of(ref("TokenLogprob"))),
            "Where a task was asked for by its id, and was submitted with logprobs.",
        ),
    }
)

_LIKELY: Final[Schema] = {
    "token": about(TEXT, "Half a character is shown as U+FFFD."),
    "bytes": list_of(COUNT),
    "logprob": {"type": "number"},
}

_TOKEN_LOGPROB: Final = object_of(
    _LIKELY
    | {
        "offset": about(COUNT, "Where in the result's text it begins, in characters."),
        "top_logprobs": about(list_of(object_of(_LIKELY)), "The likeliest first."),
    },
    sentence="Natural logarithms of probabilities before temperature and filters.",
)

_MESSAGE: Final = object_of({"role": TEXT, "content": TEXT})

_ANSWER_MESSAGE: Final = object_of(
    {
        "role": {"const": "assistant"},
        "content": about(nullable(TEXT), "Null where there are calls alone."),
    },
    maybe={
        "reasoning_content": TEXT,
        "tool_calls": list_of(
            object_of(
                {
                    "id": TEXT,
                    "type": {"const": "function"},
                    "function": object_of(
                        {"name": TEXT, "arguments": about(TEXT, "JSON, unless it was cut short.")}
                    ),
                }
            )
        ),
    },
)

_TASK: Final = object_of(
    {
        "task_id": UUID,
        "topic": about(TEXT, "The Phoenix channel to watch it on."),
        "state": {"type": "string", "enum": list(STATES)},
        "model": nullable(TEXT),
        "client": TEXT,
        "user": about(nullable(TEXT), "For whom the client asked, if it said so."),
        "options": ref("Options"),
        "priority": COUNT,
        "attempt": COUNT,
        "max_attempts": COUNT,
        "created_at": TIME,
        "scheduled_at": nullable(TIME),
        "started_at": nullable(TIME),
        "finished_at": nullable(TIME),
        "position": about(nullable(COUNT), "Its place in the queue while it waits; 1 is next."),
        "eta_ms": about(
            nullable(COUNT),
            "Until its turn while it waits, until its end after; null when nobody knows.",
        ),
        "waits_for": about(nullable(TEXT), "What it waits for besides its turn, in words."),
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "tokens": COUNT,
        "fallback": nullable(ref("Fallback")),
        "dialect": about(
            nullable(TEXT),
            "How its text says calls and what was thought; null if it does not.",
        ),
        "seq": about(COUNT, "Of the last event that was told."),
        "durable": about(FLAG, "It is on disk: it will end, whatever dies."),
        "metadata": nullable({"type": "object"}),
        "errors": about(list_of(ref("TaskError")), "Of its attempts; the last one is last."),
        "result": about(nullable(ref("Result")), "Once it has completed or was cancelled."),
    },
    maybe={
        "prompt": nullable(TEXT),
        "messages": list_of(_MESSAGE),
        "traceparent": about(TEXT, "That of the request that submitted it (W3C Trace Context)."),
    },
    sentence="A task whole. What was asked is either its prompt or its messages.",
)

_CANCELLING: Final = about(
    _TASK | {"properties": _TASK["properties"] | {"state": {"const": CANCELLING}}},
    "The task runs no more, but the disk does not have that yet.",
)

_ACCEPTED: Final = object_of(
    {
        "task_id": UUID,
        "topic": TEXT,
        "state": {"type": "string", "enum": list(STATES)},
        "position": about(
            nullable(COUNT), "1 is next, 0 has its turn at once; null when it waits for its time."
        ),
        "eta_ms": about(nullable(COUNT), "Until its turn; null when nobody knows."),
        "waits_for": about(nullable(TEXT), "What it waits for besides its turn, in words."),
        "durable": FLAG,
    },
    maybe={
        "phase": about({"const": "loading"}, "While its model is loaded."),
        "loaded": about({"type": "number", "minimum": 0, "maximum": 1}, "So much of that is done."),
    },
)

_TOTALS: Final[Schema] = {
    "paused": about(FLAG, "No turns are given until it is resumed, or the node started anew."),
    "waiting": COUNT,
    "running": COUNT,
    "slots": about(COUNT, "Tasks that all engines run side by side; 0 while there is none."),
    "tokens_per_second": about(COUNT, "What the model wrote in the last whole second."),
    "eta_ms": about(
        nullable(COUNT), "How long a task would wait that came now; null while paused."
    ),
}

_QUEUED: Final = object_of(
    {
        "state": {"type": "string", "enum": [str(State.EXECUTING), str(State.AVAILABLE)]},
        "position": about(nullable(COUNT), "1 is next of its model; null when it runs."),
        "task_id": about(nullable(UUID), "Null, as client and user, for a foreign task."),
        "client": nullable(TEXT),
        "user": nullable(TEXT),
        "model": about(nullable(TEXT), "Null for the node's own, where none was named."),
        "priority": COUNT,
        "since": about(TIME, "Since when it waits, or runs."),
        "eta_ms": about(nullable(COUNT), "Until its turn while it waits, until its end after."),
        "expected_tokens": object_of({"prompt": COUNT, "output": COUNT}),
    }
)

_CHANGE: Final = object_of(
    {
        "at": TIME,
        "event": TEXT,
        "from_state": nullable(TEXT),
        "to_state": TEXT,
        "cause": nullable(TEXT),
    }
)

_PERCENTILES: Final = object_of({"p50": MS, "p95": MS, "p99": MS})

_FIGURES: Final = object_of(
    {
        "since": TIME,
        "until": nullable(TIME),
        "ended": object_of({"completed": COUNT, "cancelled": COUNT, "discarded": COUNT}),
        "wait_ms": nullable(ref("Percentiles")),
        "duration_ms": nullable(ref("Percentiles")),
    }
)

_ALIVE: Final = object_of(
    {"status": {"type": "string", "enum": ["ok", "degraded"]}},
    maybe={
        "version": TEXT,
        "engine": TEXT,
        "model": TEXT,
        "safe_mode": FLAG,
        "template_fault": nullable(TEXT),
        "models": about(list_of({"type": "object"}), "Those in memory, or wanted."),
        "slots": COUNT,
        "room": about(nullable(TEXT), "What the model got for lack of memory."),
        "threads": about(nullable(COUNT), "How many the engine works with now."),
        "threads_because": about(nullable(TEXT), "Why it may have as many as it has at most."),
        "cache": about(
            nullable({"type": "object", "additionalProperties": COUNT}),
            "What came of what is kept of prompts, since the engine's start.",
        ),
        "running": COUNT,
        "queued": COUNT,
        "durable": FLAG,
        "quarantined": nullable(TEXT),
    },
    sentence="Who has no token, where tokens are wanted, sees the status alone.",
)

_READY: Final = object_of(
    {"status": {"type": "string", "enum": ["ok", "degraded", "unavailable"]}},
    maybe={"reasons": list_of(TEXT), "parts": {"type": "object"}},
    sentence="Who has no token, where tokens are wanted, sees the status alone.",
)

_PROBLEM: Final = object_of(
    {
        "type": about(TEXT, f"Stable: {TYPE_PREFIX} and a name."),
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": about(TEXT, "For people: whose fault it is, and what to do."),
    },
    maybe={
        "field": about(TEXT, "The member, parameter or header at fault."),
        "request_id": about(TEXT, "As in the header X-Request-Id, and in the node's log."),
    },
    sentence="RFC 9457.",
)

COMPONENTS: Final[Schema] = {
    "Accepted": _ACCEPTED,
    "Alive": _ALIVE,
    "AnswerMessage": _ANSWER_MESSAGE,
    "Audit": object_of({"task_id": UUID, "audit": list_of(ref("Change"))}),
    "Cancelling": _CANCELLING,
    "Change": _CHANGE,
    "Fallback": _FALLBACK,
    "Figures": _FIGURES,
    "Log": object_of({"level": {"type": "string", "enum": list(LOG_LEVELS)}}),
    "Options": _OPTIONS,
    "Page": object_of({"tasks": list_of(ref("Task"))}),
    "Percentiles": _PERCENTILES,
    "Problem": _PROBLEM,
    "Queue": object_of(
        _TOTALS
        | {
            "tasks": list_of(ref("QueuedTask")),
            "next": about(nullable(TEXT), "Where the next page goes on; null on the last one."),
        }
    ),
    "QueueTotals": object_of(_TOTALS),
    "QueuedTask": _QUEUED,
    "Ready": _READY,
    "Result": _RESULT,
    "Task": _TASK,
    "TaskError": _ERROR,
    "TokenLogprob": _TOKEN_LOGPROB,
}
