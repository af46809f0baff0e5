"""``/api/embed``, and ``/api/embeddings`` as it was before: what their bodies say, and the answers.
Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from edge.errors import InvalidRequest
from edge.gateway.calls.reading import flag, whole
from edge.gateway.openai.embeddings import COUNT_MAX
from edge.inference.embedding.protocol import Vectors


class Wanted(NamedTuple):
    """A checked body; 0 ``dimensions`` are all. Without ``texts`` only the model is to be there."""

    texts: tuple[str, ...]
    truncate: bool = True
    dimensions: int = 0


def read(body: dict[str, Any]) -> Wanted:
    """The body of ``/api/embed``. InvalidRequest with the name of what is wrong."""
    given = body.get("input", [])
    texts = given if isinstance(given, list) else [given]
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest("input has to be a text or a list of texts", field="input")
        if not text and len(texts) > 1:
            raise InvalidRequest(f"input[{at}] is an empty text; leave it out", field="input")
    if texts == [""]:
        texts = []
    return Wanted(
        tuple(texts),
        flag({"truncate": True} | body, "truncate"),
        whole(body, "dimensions", 0, COUNT_MAX, default=0),
    )


def read_one(body: dict[str, Any]) -> Wanted:
    """The body of ``/api/embeddings``, which has one text."""
    text = body.get("prompt", "")
    if not isinstance(text, str):
        raise InvalidRequest("prompt has to be text", field="prompt")
    return Wanted((text,) if text else ())


def answer(model: str, vectors: Vectors, total_ns: int) -> dict[str, Any]:
    """What ``/api/embed`` answers; the engine has written the vectors as they go out."""
    return {
        "model": model,
        "embeddings": [orjson.Fragment(vector) for vector in vectors.vectors],
        "total_duration": max(1, total_ns),
        "load_duration": 1,
        "prompt_eval_count": sum(vectors.tokens),
    }


def answer_one(vectors: Vectors) -> dict[str, Any]:
    """What ``/api/embeddings`` answers."""
    (vector,) = vectors.vectors or ("[]",)
    return {"embedding": orjson.Fragment(vector)}
