"""``/v1/embeddings``, and ``/v1/rerank`` as Jina's and Cohere's services have it.

OpenAI's libraries ask for Base64 where their user has not said anything, and read numbers wrongly
then; who asks for nothing gets numbers.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

import orjson
from aiohttp import web

from edge.clock import NS_PER_S
from edge.errors import EngineError, InvalidRequest
from edge.gateway.access import Caller
from edge.gateway.calls import names
from edge.gateway.calls.entrance import Entrance
from edge.gateway.calls.errors import TaskFailed
from edge.gateway.calls.reading import read_object
from edge.gateway.http.body import read_body
from edge.gateway.json import json_response
from edge.gateway.patience import while_there
from edge.inference import ModelFile
from edge.inference.embedding.protocol import Vectors
from edge.json_values import whole_number
from edge.services.embedding import EmbeddingService, Ranked
from edge.settings import Embeddings

T = TypeVar("T")

COUNT_MAX: Final = 65_536
"""Of dimensions, or of documents that are wanted."""
_ENCODINGS: Final = ("float", "base64")
_ROOTS: Final = ("/v1", "")


class Wanted(NamedTuple):
    """A checked body of ``/v1/embeddings``; 0 ``dimensions`` are all."""

    texts: tuple[str, ...]
    as_json: bool
    dimensions: int


class Query(NamedTuple):
    """A checked body of ``/v1/rerank``."""

    query: str
    documents: tuple[str, ...]
    top_n: int
    return_documents: bool


def read_embeddings(body: dict[str, Any]) -> Wanted:
    """InvalidRequest with the name of what is wrong."""
    encoding = body.get("encoding_format", "float")
    if encoding not in _ENCODINGS:
        raise InvalidRequest(
            f"encoding_format has to be one of {', '.join(_ENCODINGS)}", field="encoding_format"
        )
    return Wanted(_texts(body), encoding == "float", _count(body, "dimensions", 0))


def _texts(body: dict[str, Any]) -> tuple[str, ...]:
    if "input" not in body:
        raise InvalidRequest("input is missing", field="input")
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    if not texts:
        raise InvalidRequest("input is an empty list; send a text at least", field="input")
    if any(isinstance(each, int | list) and not isinstance(each, bool) for each in texts):
        raise InvalidRequest(
            "input has to be text: token ids are of another model's vocabulary. LangChain sends"
            " text with OpenAIEmbeddings(check_embedding_ctx_length=False)",
            field="input",
        )
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest("input has to be a text or a list of texts", field="input")
        if not text:
            field = f"input[{number}]" if isinstance(given, list) else "input"
            raise InvalidRequest(f"{field} is an empty text; leave it out", field=field)
    return tuple(texts)


def read_rerank(body: dict[str, Any]) -> Query:
    """InvalidRequest with the name of what is wrong."""
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not query:
        raise InvalidRequest("query has to be a text that is not empty", field="query")
    if not isinstance(documents, list) or not documents:
        raise InvalidRequest("documents has to be a list of one text at least", field="documents")
    top_n = _count(body, "top_n", len(documents))
    shown = body.get("return_documents", False)
    if not isinstance(shown, bool):
        raise InvalidRequest("return_documents has to be true or false", field="return_documents")
    texts = tuple(_document(each, number) for number, each in enumerate(documents))
    return Query(query, texts, top_n, shown)


def _document(value: object, number: int) -> str:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        field = f"documents[{number}]"
        sentence = f'{field} has to be a text, or an object with one, {{"text": …}}'
        raise InvalidRequest(sentence, field=field)
    return text


def _count(body: dict[str, Any], name: str, default: int) -> int:
    if name not in body:
        return default
    number = whole_number(body[name])
    if number is None or not 1 <= number <= COUNT_MAX:
        raise InvalidRequest(f"{name} has to be a whole number from 1", field=name)
    return number


def embeddings(model: str, answer: Vectors, *, as_json: bool) -> dict[str, Any]:
    """The answer of ``/v1/embeddings``; the engine has written the vectors as they go out."""
    tokens = sum(answer.tokens)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": orjson.Fragment(vector) if as_json else vector,
            }
            for index, vector in enumerate(answer.vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def ranking(model: str, asked: Query, ranked: Ranked) -> dict[str, Any]:
    """The answer of ``/v1/rerank``: the best first; of equals who came first."""
    order = sorted(range(len(ranked.scores)), key=lambda index: -ranked.scores[index])
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": ranked.scores[index]} for index in order[: asked.top_n]
    ]
    if asked.return_documents:
        for result in results:
            result["document"] = {"text": asked.documents[result["index"]]}
    return {
        "id": str(uuid4()),
        "object": "list",
        "model": model,
        "results": results,
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    }


class EmbeddingsApi:
    """The handlers."""

    def __init__(self, service: EmbeddingService, entrance: Entrance, settings: Embeddings) -> None:
        self._service = service
        self._entrance = entrance
        self._clock = entrance.calls.clock
        begun_s = self._clock.wall_ns() // NS_PER_S
        self.embeds = _known(service.models.embeds, begun_s, settings.aliases)
        self._ranks = _known(service.models.ranks, begun_s, ())

    @property
    def known(self) -> tuple[names.Known, ...]:
        """The models that can be asked here."""
        return (*self.embeds, *self._ranks)

    def mount(self, app: web.Application) -> None:
        for root in _ROOTS:
            app.router.add_post(f"{root}/embeddings", self.embeddings)
            app.router.add_post(f"{root}/rerank", self.rerank)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        caller, body = await self._read(request)
        model = _model(body, self.embeds)
        wanted = read_embeddings(body)
        how = {"dimensions": wanted.dimensions, "as_json": wanted.as_json}
        answer = await self.vectors(request, caller, wanted.texts, **how)
        return json_response(embeddings(model, answer, as_json=wanted.as_json))

    async def vectors(
        self, request: web.Request, caller: Caller, texts: Sequence[str], **how: Any
    ) -> Vectors:
        """Those of the texts, for whichever interface; ``how`` is as `EmbeddingService.embed` takes
        it, and the errors are its own."""
        return await self._ask(request, self._service.embed(_whose(caller), texts, **how))

    async def rerank(self, request: web.Request) -> web.StreamResponse:
        caller, body = await self._read(request)
        model = _model(body, self._ranks)
        asked = read_rerank(body)
        ranked = await self._ask(
            request, self._service.rerank(_whose(caller), asked.query, asked.documents)
        )
        return json_response(ranking(model, asked, ranked))

    async def _read(self, request: web.Request) -> tuple[Caller, dict[str, Any]]:
        caller = self._entrance.who(request)
        return caller, read_object(await read_body(request))

    async def _ask(self, request: web.Request, question: Coroutine[Any, Any, T]) -> T:
        """The answer, as long as the client is there."""
        try:
            return await while_there(request, self._clock, question)
        except EngineError as error:
            if error.recoverable:
                raise
            # Libraries ask again for what is called an engine that is not there.
            raise TaskFailed(str(error), error.code) from error


def _known(
    model: ModelFile | None, begun_s: int, aliases: Sequence[str]
) -> tuple[names.Known, ...]:
    if model is None:
        return ()
    known = names.Known(
        model.name,
        (model.path.stem, *aliases),
        begun_s,
        model.context_tokens,
        model.context_tokens,
        model.size_bytes,
        model,
    )
    return (known,)


def _model(body: dict[str, Any], known: tuple[names.Known, ...]) -> str:
    """The name of the model that is asked. Where there is none the service says so."""
    wanted = body.get("model")
    if wanted is not None and not isinstance(wanted, str):
        raise InvalidRequest("model has to be text", field="model")
    return names.find(wanted, known).name if known else ""


def _whose(caller: Caller) -> str:
    """Whose turn it is about: on an open node addresses take turns."""
    return caller.address or caller.client
