"""Bodies and answers of embeddings."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.errors import InvalidRequest
from edge.gateway.ollama import embeddings
from edge.gateway.ollama.embeddings import Wanted
from edge.inference.embedding.protocol import Vectors

TWO = Vectors(("[1.0,0.0]", "[0.0,1.0]"), (3, 4))


def test_texts() -> None:
    assert embeddings.read({"input": "a"}) == Wanted(("a",), True, 0)
    assert embeddings.read({"input": ["a", "b"], "truncate": False, "dimensions": 7}) == Wanted(
        ("a", "b"), False, 7
    )
    assert embeddings.read_one({"prompt": "a"}) == Wanted(("a",))
    nothing: list[dict[str, Any]] = [{}, {"input": ""}, {"input": []}, {"input": [""]}]
    assert all(embeddings.read(body).texts == () for body in nothing)
    assert embeddings.read_one({}).texts == ()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": 1}, "input"), ({"input": [1, 2]}, "input"), ({"input": ["a", ""]}, "input"),
        ({"input": "a", "truncate": "no"}, "truncate"),
        ({"input": "a", "dimensions": -1}, "dimensions"),
        ({"input": "a", "dimensions": "2"}, "dimensions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        embeddings.read(body)
    assert caught.value.field == field
    with pytest.raises(InvalidRequest):
        embeddings.read_one({"prompt": ["a"]})


def test_answers() -> None:
    told = orjson.loads(orjson.dumps(embeddings.answer("a:latest", TWO, 5)))
    assert told == {
        "model": "a:latest", "embeddings": [[1.0, 0.0], [0.0, 1.0]], "total_duration": 5,
        "load_duration": 1, "prompt_eval_count": 7,
    }  # fmt: skip
    one = Vectors(TWO.vectors[:1], (3,))
    assert orjson.loads(orjson.dumps(embeddings.answer_one(one))) == {"embedding": [1.0, 0.0]}
    none = orjson.loads(orjson.dumps(embeddings.answer_one(Vectors((), ()))))
    assert none == {"embedding": []}
