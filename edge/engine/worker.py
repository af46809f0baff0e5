"""The engine process: ``python -m edge.engine.worker --fd N --model PATH …``.

Two threads. One reads commands, renders templates and tokenises; the other owns llama.cpp and makes
step after step: commands, admissions, decode, sample, one `Step` message. When there is nothing to
do it waits for a command; when the pipe closes the node is gone, and so is this process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.engine.batcher import Batcher, Entry
from edge.engine.llama import DecodeFailed, Limits, Llama
from edge.engine.messages import (
    Admitted,
    Cancel,
    Count,
    Counted,
    Finished,
    FrameReader,
    FromEngine,
    Generate,
    LoadFailed,
    Output,
    Ping,
    PipeError,
    Pong,
    Ready,
    Rejected,
    Shutdown,
    Step,
    ToEngine,
    encode,
)
from edge.engine.prompt import Prompts
from edge.engine.sequences import Sequence, begin
from edge.errors import EngineError, InvalidRequest, ModelError

COMMANDS_MAX: Final = 20_000
SELF_TEST_TOKENS: Final = 64
"""Enough for one step to take the matrix paths that may crash on some processors."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its prompt's tokens."""

    request: Generate
    tokens: tuple[int, ...]


class Gone:
    """The node has closed the pipe."""


Command = Prepared | Cancel | Ping | Shutdown | Gone


class Reader(threading.Thread):
    """Reads the pipe and prepares requests; answers by itself what needs no decode step."""

    def __init__(self, pipe: Pipe, llama: Llama, commands: queue.Queue[Command]) -> None:
        super().__init__(name="engine-reader", daemon=True)
        self._pipe = pipe
        self._llama = llama
        self._prompts = Prompts(llama)
        self._commands = commands

    def run(self) -> None:
        frames = FrameReader()
        try:
            while data := self._pipe.receive():
                for message in frames.feed(data):
                    self._take(message)  # type: ignore[arg-type]  # the node sends nothing else
        except (OSError, PipeError) as error:
            sys.stderr.write(f"the pipe to the node broke: {error}\n")
        finally:
            # Whatever ended this thread, the decode loop must not wait for it in vain.
            self._commands.put(Gone())

    def _take(self, message: ToEngine) -> None:
        if isinstance(message, Generate):
            self._prepare(message)
        elif isinstance(message, Count):
            try:
                tokens = self._prompts.tokens(message.prompt, message.messages)
            except (InvalidRequest, EngineError) as error:
                self._pipe.send(_rejected(message.key, error))
            else:
                self._pipe.send(Counted(message.key, len(tokens), self._llama.context_tokens))
        else:
            self._commands.put(message)

    def _prepare(self, request: Generate) -> None:
        try:
            tokens = self._prompts.tokens(request.prompt, request.messages, request.begun)
        except (InvalidRequest, EngineError) as error:
            self._pipe.send(_rejected(request.key, error))
            return
        context = self._llama.context_tokens
        field = "prompt" if request.messages is None else "messages"
        if not tokens:
            empty = InvalidRequest("the prompt is empty; write something", field=field)
            self._pipe.send(_rejected(request.key, empty))
            return
        if len(tokens) >= context:
            sentence = (
                f"the prompt has {len(tokens)} tokens and the context only {context}, of which the"
                " answer needs at least one; shorten it"
            )
            self._pipe.send(Rejected(request.key, "prompt_too_long", sentence, False, field))
            return
        self._commands.put(Prepared(request, tokens))


class Pipe:
    """The socket to the node; both threads may send."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._lock = threading.Lock()

    def send(self, message: FromEngine) -> None:
        """Blocks until the node has taken it; OSError when the node is gone."""
        frame = encode(message)
        with self._lock:
            self._socket.sendall(frame)

    def receive(self) -> bytes:
        """What has come; empty once the node has closed the pipe."""
        return self._socket.recv(1 << 16)


class Loop:
    """The decode loop and all that it owns."""

    def __init__(
        self, llama: Llama, batcher: Batcher, pipe: Pipe, commands: queue.Queue[Command]
    ) -> None:
        self._llama = llama
        self._batcher = batcher
        self._pipe = pipe
        self._commands = commands
        self._sequences: dict[int, Sequence] = {}
        self._finished: list[Finished] = []
        self._admitted: list[Admitted] = []
        self._steps = 0
        self._over = False

    def run(self) -> None:
        """Until the node says so, or is gone."""
        while True:
            self._obey()
            if self._over:
                return
            self._admit()
            entries = self._batcher.plan()
            if entries or self._finished:
                self._step(entries)

    # ---- commands

    def _obey(self) -> None:
        """All commands that wait; waits for one when there is nothing else to do."""
        idle = not self._batcher.running and not self._batcher.waiting and not self._finished
        try:
            self._command(self._commands.get(block=idle))
            while True:
                self._command(self._commands.get_nowait())
        except queue.Empty:
            return

    def _command(self, command: Command) -> None:
        if isinstance(command, Prepared):
            self._begin(command)
        elif isinstance(command, Cancel):
            self._end(command.key, "cancelled")
        elif isinstance(command, Ping):
            self._pipe.send(Pong(command.nonce, self._steps))
        else:
            self._over = True

    def _begin(self, prepared: Prepared) -> None:
        request = prepared.request
        try:
            sequence = begin(self._llama, request, prepared.tokens)
        except InvalidRequest as error:
            self._pipe.send(_rejected(request.key, error))
            return
        if sequence.is_full or sequence.stream.stopped:
            reason = "stop" if sequence.stream.stopped else "length"
            self._finished.append(sequence.end(reason))
        # What an earlier engine said is read like a prompt.
        elif self._batcher.add(request.key, (*prepared.tokens, *request.resume_tokens)):
            self._sequences[request.key] = sequence
        else:
            sequence.end("cancelled")
            full = "the engine has too many requests waiting"
            self._pipe.send(Rejected(request.key, "overloaded", full, True))

    def _end(self, key: int, reason: str) -> None:
        sequence = self._sequences.pop(key, None)
        if sequence is not None:
            self._batcher.remove(key)
            self._finished.append(sequence.end(reason))

    # ---- a step

    def _admit(self) -> None:
        for admission in self._batcher.admit():
            if admission.copy_from is not None:
                self._llama.copy(admission.copy_from, admission.slot)
            if not self._llama.trim(admission.slot, admission.keep) and admission.keep:
                raise EngineError("llama.cpp could not cut a cache that the self-test could")
            sequence = self._sequences[admission.key]
            sequence.started_ns = time.perf_counter_ns()
            sequence.cached_tokens = min(admission.keep, sequence.prompt_tokens)
            self._admitted.append(
                Admitted(admission.key, sequence.prompt_tokens, sequence.cached_tokens)
            )

    def _step(self, entries: list[Entry]) -> None:
        started_ns = time.perf_counter_ns()
        outputs: list[Output] = []
        if entries:
            try:
                self._llama.decode(
                    (token, entry.start + offset, entry.slot,
                     entry.wants_logits and offset == len(entry.tokens) - 1)
                    for entry in entries
                    for offset, token in enumerate(entry.tokens)
                )  # fmt: skip
            except DecodeFailed as error:
                self._fail(entries, error)
                return
        decode_us = (time.perf_counter_ns() - started_ns) // 1_000
        self._batcher.decoded(entries)
        index = -1
        for entry in entries:
            index += len(entry.tokens)
            outputs.append(self._output(entry, index))
        self._steps += 1
        self._pipe.send(
            Step(
                step=self._steps,
                admitted=tuple(self._admitted),
                outputs=tuple(outputs),
                finished=tuple(self._finished),
                running=self._batcher.running,
                waiting=self._batcher.waiting,
                batch_tokens=index + 1,
                decode_us=decode_us,
            )
        )
        self._admitted.clear()
        self._finished.clear()

    def _output(self, entry: Entry, index: int) -> Output:
        sequence = self._sequences[entry.key]
        if not entry.wants_logits:
            done = min(self._batcher.prefilled(entry.key), sequence.prompt_tokens)
            return Output(entry.key, done, (), "")
        token = self._llama.sample(sequence.sampler.chain, index)
        output, reason = sequence.take(self._llama, token)
        if reason is None:
            self._batcher.sampled(entry.key, token)
        else:
            self._end(entry.key, reason)
        return output

    def _fail(self, entries: list[Entry], error: DecodeFailed) -> None:
        """The step's sequences go back to the node; their caches are in an unknown state."""
        for entry in entries:
            sequence = self._sequences.pop(entry.key)
            self._batcher.remove(entry.key)
            self._batcher.forget(entry.slot)
            self._llama.trim(entry.slot, 0)
            sequence.sampler.close()
            self._pipe.send(Rejected(entry.key, error.code, str(error), True))
        self._admitted = [each for each in self._admitted if each.key in self._sequences]


def _rejected(key: int, error: InvalidRequest | EngineError) -> Rejected:
    field = error.field if isinstance(error, InvalidRequest) else None
    recoverable = isinstance(error, EngineError) and error.recoverable
    return Rejected(key, error.code, str(error), recoverable, field)


def self_test(llama: Llama) -> bool:
    """A step of many tokens and one of a single one: a setting that crashes does so now. Returns
    whether this model's cache can be cut (a recurrent one's cannot)."""
    token = (llama.tokenize("a", special=False) or [0])[0]
    size = min(SELF_TEST_TOKENS, llama.context_tokens - 1)
    llama.decode((token, position, 0, position == size - 1) for position in range(size))
    llama.decode([(token, size, 0, True)])
    divisible = llama.trim(0, size // 2)
    llama.trim(0, 0)
    return divisible


def _end_with_the_node() -> None:
    """Even if it hangs: it would keep memory from the engine of the next node. Other systems than
    Linux cannot do that, and it ends after the step that it is at."""
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG of prctl(2).
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m edge.engine.worker", description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--fd", type=int, help="the socket to the node")
    way.add_argument("--probe", action="store_true", help="load, decode a few tokens, exit")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context-tokens", type=int, default=0)
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--prefill-chunk-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--safe", action="store_true", help="without the CPU's extra buffer types")
    return parser.parse_args()


def _offer_itself() -> None:
    """When memory runs out, let it be this process: the node brings it back, nobody the node."""
    with contextlib.suppress(OSError):  # no Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> int:
    """0 after `Shutdown`, when the node is gone or the probe went well; 1 when the model cannot be
    used."""
    given = _arguments()
    _offer_itself()
    _end_with_the_node()
    pipe = None if given.probe else Pipe(given.fd)
    limits = Limits(
        given.slots, given.context_tokens, given.batch_tokens, given.threads,
        given.gpu_layers, given.safe,
    )  # fmt: skip
    try:
        llama = Llama(given.model, limits)
        reuse = self_test(llama)
    except (ModelError, EngineError) as error:
        if pipe is None:
            sys.stderr.write(f"{error}\n")
        else:
            pipe.send(LoadFailed(str(error)))
        return 1
    if pipe is None:
        return 0
    commands: queue.Queue[Command] = queue.Queue(COMMANDS_MAX)
    reader = Reader(pipe, llama, commands)
    # What lives now lives for ever: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    reader.start()
    pipe.send(
        Ready(
            model=given.model.stem,
            parameters=llama.parameters,
            size_bytes=llama.size_bytes,
            vocab=llama.vocab_size,
            context_tokens=llama.context_tokens,
            slots=given.slots,
            safe_mode=given.safe,
            description=llama.description,
            has_chat_template=llama.chat_template is not None,
        )
    )
    batcher = Batcher(given.slots, given.batch_tokens, given.prefill_chunk_tokens, reuse=reuse)
    try:
        Loop(llama, batcher, pipe, commands).run()
    except (BrokenPipeError, ConnectionResetError):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
