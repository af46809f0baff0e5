"""The engine process of embeddings: ``python -m edge.engine.embedding.worker --fd N --model PATH``.

Three threads, as in the engine that writes: one reads the pipe, one tokenises, the main one owns
llama.cpp and makes pass after pass. When the pipe closes the node is gone, and so is this process.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from edge.engine.batching.passes import Passes
from edge.engine.devices import Layers
from edge.engine.embedding.encoder import POOLINGS, Encoder
from edge.engine.embedding.frame import Frame
from edge.engine.embedding.intake import TextTokeniser, Tokenised
from edge.engine.embedding.loop import EmbeddingLoop
from edge.engine.intake import STACK_BYTES, Commands, Reader
from edge.engine.llama import FLASH_ATTN, BackendBroken, Limits
from edge.engine.messages import BACKEND_BROKEN_STATUS, EmbeddingReady, LoadFailed
from edge.engine.pipe import Pipe
from edge.engine.pulse import Pulse
from edge.engine.standing import end_with_the_node, offer_itself
from edge.engine.threads import Threads
from edge.errors import EngineError, ModelError

SELF_TEST_TOKENS: Final = 64
"""Enough for one pass to take the matrix paths that may crash on some processors."""
MEASURED_PASSES: Final = 3


def self_test(encoder: Encoder, threads: Threads) -> None:
    """Passes with each number of threads: a setting that crashes does so now, and `threads` begins
    with the fastest."""
    token = (encoder.vocabulary.tokenize("a") or [0])[0]
    text = (token,) * min(SELF_TEST_TOKENS, encoder.context_tokens)
    took_ns: dict[int, int] = {}
    for number in threads.ladder():
        encoder.use_threads(number)
        # The best of a few: the first with a number wakes its threads.
        took_ns[number] = min(_measure(encoder, text) for _ in range(MEASURED_PASSES))
    threads.begin(len(text), took_ns, time.perf_counter_ns())
    encoder.use_threads(threads.now)


def _measure(encoder: Encoder, text: tuple[int, ...]) -> int:
    started_ns = time.perf_counter_ns()
    encoder.encode([text])
    return time.perf_counter_ns() - started_ns


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m edge.engine.embedding.worker", description=__doc__
    )
    parser.add_argument("--fd", type=int, required=True, help="the socket to the node")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sequences", type=int, default=64, help="texts of one pass at most")
    parser.add_argument("--context-tokens", type=int, default=0)
    parser.add_argument("--pass-tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--layer-bytes", type=int, default=0)
    parser.add_argument("--buffer-bytes", type=int, default=0)
    parser.add_argument("--pooling", choices=POOLINGS, default="auto")
    parser.add_argument("--flash-attn", choices=FLASH_ATTN, default="auto")
    parser.add_argument("--no-mmap", dest="mmap", action="store_false")
    parser.add_argument("--mlock", action="store_true")
    parser.add_argument("--safe", action="store_true", help="without the CPU's extra buffer types")
    return parser.parse_args()


def main() -> int:
    """0 after `Shutdown` or when the node is gone; 1 when the model cannot be used."""
    given = _arguments()
    offer_itself()
    end_with_the_node()
    pipe = Pipe(given.fd)
    limits = Limits(
        given.sequences, given.context_tokens, 0, given.pass_tokens, given.threads,
        given.gpu_layers, given.safe, flash_attn=given.flash_attn, mmap=given.mmap,
        mlock=given.mlock, layers=Layers(given.layers, given.layer_bytes, given.buffer_bytes),
    )  # fmt: skip
    try:
        encoder = Encoder(given.model, limits, given.pooling)
        threads = Threads(given.threads)
        self_test(encoder, threads)
    except (ModelError, EngineError) as error:
        pipe.send(LoadFailed(str(error)))
        return 1
    try:
        return serve(encoder, threads, pipe, given)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except BackendBroken as error:
        sys.stderr.write(f"{error}\n")
        return BACKEND_BROKEN_STATUS


def serve(encoder: Encoder, threads: Threads, pipe: Pipe, given: argparse.Namespace) -> int:
    """Works for the node until it says so or is gone; 1 when a thread has ended by a defect."""
    pulse = Pulse()
    encoder.watch(pulse)
    commands = Commands[Tokenised](pulse)
    threading.stack_size(STACK_BYTES)
    frame = Frame(encoder.vocabulary, encoder.rerank_template if encoder.ranks else None)
    tokeniser = TextTokeniser(pipe, frame, encoder.context_tokens, commands)
    reader = Reader(pipe, tokeniser, commands)
    # What lives now lives for ever: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    tokeniser.start()
    reader.start()
    pipe.send(
        EmbeddingReady(
            model=given.model.stem,
            parameters=encoder.parameters,
            size_bytes=encoder.size_bytes,
            dimensions=encoder.dimensions,
            context_tokens=encoder.context_tokens,
            pooling=encoder.pooling,
            safe_mode=given.safe,
            description=encoder.description,
        )
    )
    passes = Passes(given.pass_tokens, given.sequences)
    EmbeddingLoop(encoder, passes, threads, pipe, commands).run()
    return 0 if commands.fault is None else 1


if __name__ == "__main__":
    sys.exit(main())
