"""What a body may say of embeddings and of ranking, and what is answered."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.errors import InvalidRequest
from edge.gateway.openai.embeddings import (
    Query,
    embeddings,
    ranking,
    read_embeddings,
    read_rerank,
)
from edge.inference.embedding.protocol import Vectors
from edge.services.embedding import Ranked


def test_one_text_or_several() -> None:
    assert read_embeddings({"input": "hi"}).texts == ("hi",)
    assert read_embeddings({"input": ["hi", "ho"]}).texts == ("hi", "ho")


@pytest.mark.parametrize(
    ("fields", "as_json"),
    [({}, True), ({"encoding_format": "float"}, True), ({"encoding_format": "base64"}, False)],
)
def test_who_asks_for_nothing_gets_numbers(fields: dict[str, Any], as_json: bool) -> None:
    assert read_embeddings({"input": "hi"} | fields).as_json is as_json


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "input", "missing"),
        ({"input": []}, "input", "empty list"),
        ({"input": ""}, "input", "empty text"),
        ({"input": ["a", ""]}, "input[1]", "empty text"),
        ({"input": [1, 2]}, "input", "check_embedding_ctx_length=False"),
        ({"input": [[1, 2], [3]]}, "input", "check_embedding_ctx_length=False"),
        ({"input": 5}, "input", "check_embedding_ctx_length=False"),
        ({"input": [True]}, "input", "list of texts"),
        ({"input": {"text": "a"}}, "input", "list of texts"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", "float, base64"),
        ({"input": "a", "encoding_format": []}, "encoding_format", "float, base64"),
        ({"input": "a", "dimensions": 0}, "dimensions", "whole number"),
        ({"input": "a", "dimensions": "64"}, "dimensions", "whole number"),
        ({"input": "a", "dimensions": 2**70}, "dimensions", "whole number"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        read_embeddings(body)
    assert caught.value.field == field


def test_a_whole_number_may_be_written_as_any_number() -> None:
    assert read_embeddings({"input": "a", "dimensions": 64.0}).dimensions == 64


def test_vectors_are_answered_in_their_order() -> None:
    answer = orjson.dumps(embeddings("m", Vectors(("[1.0,0.0]", "[0.5]"), (2, 3)), as_json=True))
    assert orjson.loads(answer) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [1.0, 0.0]},
            {"object": "embedding", "index": 1, "embedding": [0.5]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }
    packed = embeddings("m", Vectors(("AAAA",), (2,)), as_json=False)
    assert packed["data"][0]["embedding"] == "AAAA"


def test_documents_are_texts_or_objects_with_one() -> None:
    asked = read_rerank({"query": "q", "documents": ["a", {"text": "b", "title": "c"}], "top_n": 1})
    assert asked == Query("q", ("a", "b"), 1, False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"query": ["q"]}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": ["a", 1]}, "documents[1]"),
        ({"documents": [{"title": "a"}]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "all"}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
def test_what_is_wrong_with_a_query_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_rerank({"query": "q", "documents": ["a"]} | fields)
    assert caught.value.field == field


def test_the_best_document_comes_first_and_of_equals_the_earlier_one() -> None:
    asked = Query("q", ("a", "b", "c", "d"), 3, True)
    answer = ranking("m", asked, Ranked((0.5, 0.75, 0.5, 0.25), 9))
    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
        {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}},
        {"index": 2, "relevance_score": 0.5, "document": {"text": "c"}},
    ]
    assert answer["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    short = ranking("m", asked._replace(return_documents=False, top_n=1), Ranked((1.0, 0, 0, 0), 1))
    assert short["results"] == [{"index": 0, "relevance_score": 1.0}]
