"""The engine process: ``python -m edge.engine.worker --fd N --model PATH …``.

Three threads and a process. One thread reads the pipe, one tokenises (both in `intake`), the main
one owns llama.cpp and makes step after step (`loop`). Chat templates are rendered by a process of
their own (`renderer`). When there is nothing to do the loop waits for a command; when the pipe
closes the node is gone, and so is this process.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from edge.engine.answering import Answering
from edge.engine.archive import Archive, file_identity
from edge.engine.batching.batcher import Batcher
from edge.engine.batching.budget import Budget
from edge.engine.batching.caches import Caches
from edge.engine.batching.shelf import Shelf
from edge.engine.devices import Layers
from edge.engine.intake import STACK_BYTES, Commands, Dropped, Prepared, Reader, Tokeniser
from edge.engine.llama import FLASH_ATTN, KV_TYPES, BackendBroken, Limits, Llama
from edge.engine.loop import Loop
from edge.engine.messages import BACKEND_BROKEN_STATUS, REQUESTS_MAX, LoadFailed, Loading, Ready
from edge.engine.pipe import Pipe
from edge.engine.prompt import CHATML, Prompts
from edge.engine.pulse import Pulse
from edge.engine.renderer import Renderer
from edge.engine.standing import end_with_the_node, offer_itself
from edge.engine.threads import Threads
from edge.errors import EngineError, ModelError

SELF_TEST_TOKENS: Final = 64
"""Enough for one step to take the matrix paths that may crash on some processors."""
MEASURED_STEPS: Final = 3
PROGRESS_PERCENT: Final = 5
"""How far the loading goes on before it is told again."""
SAVE_S: Final = 3.0
"""For writing caches down at the end. The node waits for 5 seconds (`LifecyclePolicy.stop_ms`)."""
_NOT_OF_CACHES: Final = frozenset(
    {
        *("fd", "probe", "slots", "cache_tokens", "batch_tokens", "step_ms", "threads"),
        *("prompt_cache_bytes", "prompt_cache_dir", "prompt_cache_dir_bytes", "no_speculation"),
        *("mmap", "mlock", "layers", "layer_bytes", "buffer_bytes"),
    }
)
"""Flags that do not change what a cache is like."""


def self_test(llama: Llama, threads: Threads, budget: Budget) -> bool:
    """A step of many tokens and one of a single one: a setting that crashes does so now. Returns
    whether this model's cache can be cut (a recurrent one's cannot). What the steps take is learnt:
    `threads` and `budget` begin with it."""
    token = (llama.vocabulary.tokenize("a") or [0])[0]
    measured = MEASURED_STEPS * len(threads.ladder())
    size = max(1, min(SELF_TEST_TOKENS, llama.context_tokens - 1 - measured))
    batch = [(token, position, 0, position == size - 1) for position in range(size)]
    budget.saw(0, size, _measure(llama, batch))
    took_ns: dict[int, int] = {}
    for number in threads.ladder():
        llama.use_threads(number)
        # The best of a few: the first with a number wakes its threads.
        took_ns[number] = min(
            _measure(llama, [(token, size + each, 0, True)]) for each in range(MEASURED_STEPS)
        )
        size += MEASURED_STEPS
    threads.begin(1, took_ns, time.perf_counter_ns())
    llama.use_threads(threads.now)
    divisible = llama.trim(0, size // 2)
    llama.trim(0, 0)
    return divisible


def _measure(llama: Llama, batch: list[tuple[int, int, int, bool]]) -> int:
    started_ns = time.perf_counter_ns()
    llama.decode(batch)
    return time.perf_counter_ns() - started_ns


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m edge.engine.worker", description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--fd", type=int, help="the socket to the node")
    way.add_argument("--probe", action="store_true", help="load, decode a few tokens, exit")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context-tokens", type=int, default=0)
    parser.add_argument("--cache-tokens", type=int, default=0)
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--step-ms", type=int, default=200)
    parser.add_argument("--prompt-cache-bytes", type=int, default=256 << 20)
    parser.add_argument("--no-speculation", action="store_true")
    parser.add_argument("--prompt-cache-dir", type=Path)
    parser.add_argument("--prompt-cache-dir-bytes", type=int, default=256 << 20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--layer-bytes", type=int, default=0)
    parser.add_argument("--buffer-bytes", type=int, default=0)
    parser.add_argument("--kv-type", choices=KV_TYPES, default="f16")
    parser.add_argument("--flash-attn", choices=FLASH_ATTN, default="auto")
    parser.add_argument("--no-mmap", dest="mmap", action="store_false")
    parser.add_argument("--mlock", action="store_true")
    parser.add_argument("--safe", action="store_true", help="without the CPU's extra buffer types")
    return parser.parse_args()


def _telling(pipe: Pipe) -> Callable[[int], object]:
    """Tells the node how far the loading is, in steps that a person would notice."""
    told = 0

    def tell(percent: int) -> None:
        nonlocal told
        if percent >= told + PROGRESS_PERCENT:
            told = percent
            pipe.send(Loading(percent))

    return tell


def _archive(given: argparse.Namespace) -> Archive | None:
    """Where caches are kept over a restart, if they are."""
    if given.prompt_cache_dir is None or not given.prompt_cache_dir_bytes:
        return None
    flags = {name: str(value) for name, value in vars(given).items() if name not in _NOT_OF_CACHES}
    flags["model"] = file_identity(given.model)
    made_by = f"llama-cpp-python {version('llama-cpp-python')} {sorted(flags.items())}"
    return Archive(given.prompt_cache_dir, made_by, given.prompt_cache_dir_bytes)


def _bring_back(archive: Archive, caches: Caches) -> None:
    """What an earlier engine wrote down. Without it prompts are read again, no more."""
    try:
        for kept in archive.load():
            caches.shelf.put(kept.tokens, kept.state)
    except OSError as error:
        sys.stderr.write(f"the caches of prompts on disk cannot be read: {error}\n")


def _write_down(archive: Archive, caches: Caches) -> None:
    until = time.monotonic() + SAVE_S
    try:
        archive.save(caches.shelf.all(), lambda: time.monotonic() < until)
    except OSError as error:
        sys.stderr.write(f"the caches of prompts cannot be written down: {error}\n")


def main() -> int:
    """0 after `Shutdown`, when the node is gone or the probe went well; 1 when the model cannot be
    used."""
    given = _arguments()
    offer_itself()
    end_with_the_node()
    pipe = None if given.probe else Pipe(given.fd)
    limits = Limits(
        given.slots, given.context_tokens, given.cache_tokens, given.batch_tokens, given.threads,
        given.gpu_layers, given.safe, given.kv_type, given.flash_attn, given.mmap, given.mlock,
        Layers(given.layers, given.layer_bytes, given.buffer_bytes),
    )  # fmt: skip
    try:
        llama = Llama(given.model, limits, None if pipe is None else _telling(pipe))
        threads = Threads(given.threads)
        budget = Budget(given.step_ms, max(given.batch_tokens, given.slots))
        cuts = self_test(llama, threads, budget)
    except (ModelError, EngineError) as error:
        if pipe is None:
            sys.stderr.write(f"{error}\n")
        else:
            pipe.send(LoadFailed(str(error)))
        return 1
    if pipe is None:
        return 0
    caches = Caches(given.slots, Shelf(given.prompt_cache_bytes), cuts=cuts)
    archive = _archive(given)
    if archive is not None:
        _bring_back(archive, caches)
    # What was guessed wrongly has to be cut off again.
    drafts = cuts and not given.no_speculation
    batcher = Batcher(caches, budget, REQUESTS_MAX, drafts=drafts)
    try:
        return serve(llama, batcher, threads, pipe, given, archive)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except BackendBroken as error:
        sys.stderr.write(f"{error}\n")
        return BACKEND_BROKEN_STATUS


def serve(
    llama: Llama,
    batcher: Batcher,
    threads: Threads,
    pipe: Pipe,
    given: argparse.Namespace,
    archive: Archive | None,
) -> int:
    """Works for the node until it says so or is gone; 1 when a thread has ended by a defect."""
    vocabulary = llama.vocabulary
    template = llama.chat_template or CHATML
    names = ("bos", "eos", "pad", "unk")
    special = {f"{name}_token": vocabulary.special(name)[1] for name in names}
    renderer = Renderer(template, special, vocabulary.controls)
    template_fault = renderer.examine()
    answering = Answering(template, vocabulary.controls, vocabulary.text_of)
    speaks = answering.model
    vocabulary.show(speaks.marks)
    prompts = Prompts(
        vocabulary, llama.context_tokens, renderer.render, template, usable=not template_fault,
        speaks=speaks,
    )  # fmt: skip
    pulse = Pulse()
    llama.watch(pulse)
    commands = Commands[Prepared | Dropped](pulse)
    threading.stack_size(STACK_BYTES)
    tokeniser = Tokeniser(pipe, prompts, answering, llama.context_tokens, commands)
    reader = Reader(pipe, tokeniser, commands)
    # What lives now lives for ever: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    tokeniser.start()
    reader.start()
    pipe.send(
        Ready(
            model=given.model.stem,
            parameters=llama.parameters,
            size_bytes=llama.size_bytes,
            vocab=vocabulary.size,
            context_tokens=llama.context_tokens,
            slots=given.slots,
            safe_mode=given.safe,
            description=llama.description,
            has_chat_template=llama.chat_template is not None,
            longest_token_bytes=vocabulary.longest_bytes,
            template_fault=template_fault,
            dialect=speaks.dialect.name,
            native_tools=speaks.native,
            thinks=speaks.thinks,
        )
    )
    loop = Loop(llama, batcher, threads, pipe, commands)
    loop.run()
    if archive is not None and commands.told:
        loop.put_all_away()
        _write_down(archive, batcher.caches)
    return 0 if commands.fault is None else 1


if __name__ == "__main__":
    sys.exit(main())
