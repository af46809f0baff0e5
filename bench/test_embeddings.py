"""How many texts a second become vectors: through OpenAI's interface of a whole node, beside what
llama-cpp-python's own `Llama.embed` makes of the same model in this process.

A text is a sentence of some 24 tokens; the model has the size of all-MiniLM-L6-v2 and random
weights, which take as long as any others.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

import aiohttp
import llama_cpp
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.node import start_module
from tests.support.random_encoders import CONTEXT_TOKENS, MINI, WORDS, write_encoder
from tests.support.storyteller import STORYTELLER

WORDS_OF_TEXT = 22
TEXTS = 128
"""In all, in calls of so many each."""
CLIENTS = 4
"""At a time, where a call has few texts."""


def sentences(count: int) -> list[str]:
    """So many, no two alike."""
    random = Random(0)
    return [" ".join(random.choices(WORDS, k=WORDS_OF_TEXT)) for _ in range(count)]


def by_library(model: Path, texts: list[str], per_call: int) -> float:
    """Seconds that `Llama.embed` takes for the texts, so many a call."""
    llama = llama_cpp.Llama(
        str(model), embedding=True, n_ctx=CONTEXT_TOKENS, n_batch=CONTEXT_TOKENS,
        n_ubatch=CONTEXT_TOKENS, n_seq_max=64, verbose=False,
    )  # fmt: skip
    llama.embed(texts[:per_call], normalize=True)
    started = time.perf_counter()
    for first in range(0, len(texts), per_call):
        llama.embed(texts[first : first + per_call], normalize=True)
    took = time.perf_counter() - started
    llama.close()
    return took


async def by_node(
    url: str, texts: list[str], per_call: int, clients: int
) -> tuple[float, list[float]]:
    """Seconds that a node takes, and how many milliseconds each call did; the clients take calls as
    they come."""
    calls = [texts[first : first + per_call] for first in range(0, len(texts), per_call)]
    took_ms: list[float] = []
    async with aiohttp.ClientSession() as http:

        async def ask(some: list[str]) -> None:
            started = time.perf_counter()
            body = {"input": some, "encoding_format": "base64"}
            async with http.post(f"{url}/v1/embeddings", json=body) as response:
                answer = await response.json()
                assert len(answer["data"]) == len(some), answer
            took_ms.append((time.perf_counter() - started) * 1e3)

        async def client() -> None:
            while calls:
                await ask(calls.pop())

        await ask(texts[:per_call])
        took_ms.clear()
        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return time.perf_counter() - started, took_ms


async def node_figures(
    model: Path, folder: Path, texts: list[str], per_call: int, clients: int
) -> tuple[float, list[float]]:
    node = await start_module(
        *("edge.cli.main", "serve", "--port", "0", "--data-dir", str(folder)),
        *("--model", STORYTELLER),
        environment={"ELWIFT_EMBEDDINGS__MODEL": str(model)},
    )
    try:
        return await by_node(node.url, texts, per_call, clients)
    finally:
        await node.kill()


@pytest.mark.benchmark(group="embeddings")
@pytest.mark.parametrize("per_call", [1, 16, 64])
@pytest.mark.parametrize("clients", [1, CLIENTS])
def test_texts_a_second(
    benchmark: BenchmarkFixture, tmp_path: Path, per_call: int, clients: int
) -> None:
    model = write_encoder(tmp_path / "encoder.gguf", size=MINI)
    texts = sentences(TEXTS)
    # In a process of its own: it turns the standard streams off and on again.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        library_s = pool.submit(by_library, model, texts, per_call).result()

    def run() -> tuple[float, list[float]]:
        return asyncio.run(node_figures(model, tmp_path / "data", texts, per_call, clients))

    node_s, calls_ms = benchmark.pedantic(run, rounds=1)  # type: ignore[no-untyped-call]  # no types
    benchmark.extra_info |= {
        "texts_per_s": round(TEXTS / node_s, 1),
        "library_texts_per_s": round(TEXTS / library_s, 1),
        "call_ms_p50": round(statistics.median(calls_ms), 2),
        "call_ms_p99": round(float(np.percentile(calls_ms, 99)), 2),
    }
