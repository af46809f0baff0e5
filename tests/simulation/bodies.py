"""The bodies of submissions: as they should be, and with all kinds of faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

BODY_BYTES_MAX: Final = 20_000
"""What the simulated node takes at most."""

_SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "canonical": lambda task_id: task_id,
    "capitals": str.upper,
    "bare": lambda task_id: task_id.replace("-", ""),
    "urn": lambda task_id: f"urn:uuid:{task_id}",
}


def spelled(task_id: str, spelling: str) -> str:
    """The same id, as other programs write it."""
    return _SPELLINGS[spelling](task_id)


def _deep(body: dict[str, Any], depth: int = 300) -> bytes:
    nested = b'{"in":' * depth + b"{}" + b"}" * depth
    return orjson.dumps(body)[:-1] + b',"metadata":' + nested + b"}"


def _with(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda body: orjson.dumps(body | fields)


FAULTS: Final[dict[str, Callable[[dict[str, Any]], bytes]]] = {
    "no JSON": lambda body: b"prompt=" + body["prompt"].encode(),
    "no object": lambda body: orjson.dumps([body]),
    "cut off": lambda body: orjson.dumps(body)[:-3],
    "no UTF-8": lambda body: orjson.dumps(body).replace(b"plain", b"pl\xe4in"),
    "unknown field": _with(promt="a slip"),
    "no prompt": _with(prompt=None),
    "prompt and messages": _with(messages=[{"role": "user", "content": "both"}]),
    "wrong type": _with(max_tokens="many"),
    "out of range": _with(priority=10),
    "no number": lambda body: orjson.dumps(body)[:-1] + b',"temperature":NaN}',
    "no id": _with(task_id="first"),
    "deep": _deep,
    "too large": _with(metadata={"long": "x" * BODY_BYTES_MAX}),
    "empty key": orjson.dumps,
}
"""What may be wrong, and how a good body gets it. The fault of ``empty key`` is in a header."""
