"""The real engine process of embeddings over its socket, beside llama.cpp's own vectors of the same
file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import orjson
import pytest
from gguf import PoolingType
from numpy.typing import NDArray

from edge.engine.messages import (
    Cancel,
    Embed,
    Embedded,
    LoadFailed,
    Ping,
    Pong,
    Shutdown,
    Unfit,
)
from tests.support.embedding_worker import Worker, rows
from tests.support.random_encoders import CONTEXT_TOKENS, SPECIAL_TOKENS, write_encoder
from tests.support.random_gguf import write_random_gguf

TEXTS = (
    "the quick brown fox",
    "a lazy dog tells its story to you",
    "fox " * 200,
    "x",
    "over and over and over",
    "[SEP] is what it says, and no special token",
    "the quick brown fox",
)
CLOSE = 2e-3
"""Numbers of half precision are rounded otherwise in a pass of another shape. Texts that differ do
so by more than 0.01."""


def reference(model: Path, texts: tuple[str, ...]) -> NDArray[np.float32]:
    """What llama-cpp-python makes of these texts, each for itself."""
    llama = llama_cpp.Llama(
        str(model), embedding=True, n_ctx=CONTEXT_TOKENS, n_batch=CONTEXT_TOKENS,
        n_ubatch=CONTEXT_TOKENS, n_threads=1, verbose=False, use_extra_bufts=False,
    )  # fmt: skip
    try:
        return np.array([llama.embed(text, normalize=True) for text in texts], np.float32)
    finally:
        llama.close()


def encoder(path: Path) -> Path:
    return write_encoder(path)


def cls_encoder(path: Path) -> Path:
    return write_encoder(path, PoolingType.CLS, seed=1)


def decoder(path: Path) -> Path:
    return write_random_gguf(path, pooling=PoolingType.LAST)


@pytest.fixture(scope="module", params=[encoder, cls_encoder, decoder])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path_factory.mktemp("model") / "random.gguf")


@pytest.fixture(scope="module")
def worker(model: Path) -> Iterator[Worker]:
    running = Worker(model)
    ready = running.ready()
    assert (ready.dimensions, ready.context_tokens) == (64, CONTEXT_TOKENS)
    yield running
    assert running.close() == b""


@pytest.fixture(scope="module")
def expected(model: Path) -> NDArray[np.float32]:
    return reference(model, TEXTS)


def test_vectors_are_those_of_llama_cpp(worker: Worker, expected: NDArray[np.float32]) -> None:
    together = rows(worker.embed(*TEXTS))
    assert np.abs(together - expected).max() < CLOSE
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < CLOSE
    # What is beside a text in a pass is none of its affair.
    assert np.abs(together[0] - together[-1]).max() < CLOSE
    assert np.abs(together[0] - together[1]).max() > 0.01
    alone = [rows(worker.embed(text))[0] for text in TEXTS]
    assert np.abs(np.array(alone) - expected).max() < CLOSE


def test_requests_of_many_go_together(worker: Worker, expected: NDArray[np.float32]) -> None:
    worker.send(*(Embed(key, (TEXTS[key % len(TEXTS)],)) for key in range(100)))
    answers = [worker.next() for _ in range(100)]
    for answer in answers:
        assert isinstance(answer, Embedded)
        assert np.abs(rows(answer)[0] - expected[answer.key % len(TEXTS)]).max() < CLOSE
    assert {answer.key for answer in answers} == set(range(100))  # type: ignore[union-attr]  # as seen


def test_vectors_are_cut_to_length_one(worker: Worker, expected: NDArray[np.float32]) -> None:
    cut = rows(worker.embed(TEXTS[0], dimensions=16))[0]
    first = expected[0][:16]
    assert np.abs(cut - first / np.linalg.norm(first)).max() < CLOSE
    assert len(rows(worker.embed(TEXTS[0], dimensions=64))[0]) == 64


def test_vectors_may_be_json(worker: Worker) -> None:
    packed, written = worker.embed(TEXTS[0]), worker.embed(TEXTS[0], as_json=True)
    numbers = np.array(orjson.loads(written.vectors[0]), np.float32)
    assert (numbers == rows(packed)[0]).all(), "to the last bit"


def test_it_lives(worker: Worker) -> None:
    worker.send(Ping(7))
    pong = worker.next()
    assert isinstance(pong, Pong)
    assert (pong.nonce, pong.threads) == (7, 1)


def test_what_is_cancelled_is_not_answered(worker: Worker) -> None:
    long = TEXTS[2]
    worker.send(Embed(1, (long,) * 30), Cancel(1), Embed(2, ("x",)))
    answer = worker.next()
    if answer.key == 1:  # type: ignore[union-attr]  # it was faster
        answer = worker.next()
    assert isinstance(answer, Embedded)
    assert answer.key == 2


def test_a_text_that_is_too_long_is_named_or_cut(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "random.gguf")
    worker = Worker(path)
    worker.ready()
    fits = "fox " * (CONTEXT_TOKENS - SPECIAL_TOKENS)
    assert worker.embed(fits).tokens == (CONTEXT_TOKENS,)
    worker.send(Embed(2, ("x", fits + "dog")))
    assert worker.next() == Unfit(2, 1, CONTEXT_TOKENS + 1, CONTEXT_TOKENS)
    cut = worker.embed(fits + "dog", truncate=True)
    assert cut.tokens == (CONTEXT_TOKENS,)
    assert np.abs(rows(cut) - rows(worker.embed(fits))).max() < CLOSE
    # A text of nothing is its special tokens.
    assert worker.embed("").tokens == (SPECIAL_TOKENS,)
    worker.send(Shutdown())
    assert worker.process.wait(20) == 0
    worker.close()


def test_of_nothing_a_decoder_makes_no_vector(tmp_path: Path) -> None:
    worker = Worker(decoder(tmp_path / "random.gguf"))
    worker.ready()
    worker.send(Embed(1, ("x", "")))
    assert worker.next() == Unfit(1, 1, 0, CONTEXT_TOKENS)
    worker.close()


def test_a_model_that_ranks_gives_a_number_between_0_and_1(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "random.gguf", PoolingType.RANK)
    worker = Worker(path, "--pooling", "rank")
    ready = worker.ready()
    assert (ready.pooling, ready.dimensions) == ("rank", 1)
    answer = worker.embed("the lazy dog", "a quick fox", "the lazy dog", query="dog")
    scores = rows(answer)[:, 0]
    assert scores[0] == pytest.approx(scores[2], abs=CLOSE)
    assert scores[0] != pytest.approx(scores[1], abs=CLOSE)
    assert ((scores > 0) & (scores < 1)).all()
    # "[CLS] dog [SEP] the lazy dog [SEP]"
    assert answer.tokens == (7, 7, 7)
    # Of a document too long its end is left out, and never the query.
    long = worker.embed("fox " * CONTEXT_TOKENS, query="dog", truncate=True)
    assert long.tokens == (CONTEXT_TOKENS,)
    worker.send(Embed(5, ("x",), "fox " * CONTEXT_TOKENS, True))
    unfit = worker.next()
    assert isinstance(unfit, Unfit)
    assert unfit.tokens > CONTEXT_TOKENS
    worker.close()


def test_a_model_that_does_not_say_how_is_refused(tmp_path: Path) -> None:
    path = write_random_gguf(tmp_path / "random.gguf")
    worker = Worker(path)
    failed = worker.next()
    assert isinstance(failed, LoadFailed)
    assert "embeddings.pooling" in failed.message
    worker.close()
    # Unless it is told.
    worker = Worker(path, "--pooling", "mean")
    assert worker.ready().pooling == "mean"
    worker.close()
