"""The loop of the engine of embeddings: pass after pass, as long as texts wait."""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from edge.engine.batching.passes import Passes, Text
from edge.engine.embedding.encoder import Encoder
from edge.engine.embedding.intake import Tokenised
from edge.engine.intake import Commands
from edge.engine.llama import CacheFull, DecodeFailed, Stopped
from edge.engine.messages import Cancel, Embed, Embedded, Ping, Pong, Rejected
from edge.engine.pipe import Pipe
from edge.engine.threads import Threads


@dataclass(slots=True)
class _Open:
    """A request whose vectors are not all there."""

    request: Embed
    tokens: tuple[int, ...]
    vectors: dict[int, str] = field(default_factory=dict)


class EmbeddingLoop:
    """The loop and all that it owns."""

    def __init__(
        self,
        encoder: Encoder,
        passes: Passes,
        threads: Threads,
        pipe: Pipe,
        commands: Commands[Tokenised],
    ) -> None:
        self._encoder = encoder
        self._passes = passes
        self._threads = threads
        self._pipe = pipe
        self._commands = commands
        self._open: dict[int, _Open] = {}
        self._made = 0

    def run(self) -> None:
        """Until the commands say that it is the end."""
        while True:
            commands = self._commands.take(wait=not self._passes)
            if commands is None:
                return
            for command in commands:
                self._command(command)
            texts = self._passes.take()
            if texts:
                self._pass(texts)

    def _command(self, command: Tokenised | Cancel | Ping) -> None:
        if isinstance(command, Ping):
            self._pipe.send(Pong(command.nonce, self._made, self._threads.now))
        elif isinstance(command, Cancel):
            self._close(command.key)
        else:
            self._open[command.key] = _Open(command.request, tuple(map(len, command.texts)))
            for index, tokens in enumerate(command.texts):
                self._passes.add(Text(command.key, index, tokens))

    def _close(self, key: int) -> None:
        self._open.pop(key, None)
        self._passes.drop(key)

    def _pass(self, texts: list[Text]) -> None:
        keys = {text.key for text in texts}
        started_ns = time.perf_counter_ns()
        self._commands.stepping(self._made + 1, keys)
        try:
            rows = self._encoder.encode([text.tokens for text in texts])
        except Stopped:
            return  # all whom it served were cancelled, which is the next command; or it is the end
        except (CacheFull, DecodeFailed) as error:
            for key in keys:
                self._close(key)
                self._pipe.send(Rejected(key, error.code, str(error), True))
            return
        finally:
            self._commands.stepped()
        self._made += 1
        self._learn(sum(len(text.tokens) for text in texts), time.perf_counter_ns() - started_ns)
        for text, row in zip(texts, rows, strict=True):
            self._keep(text, row)

    def _keep(self, text: Text, row: NDArray[np.float32]) -> None:
        request = self._open.get(text.key)
        if request is None:
            return  # another text of it has failed
        if not np.isfinite(row).all():
            self._close(text.key)
            sentence = f"the model makes no numbers of text {text.place}; its file may be damaged"
            self._pipe.send(Rejected(text.key, "engine_error", sentence, False))
            return
        request.vectors[text.place] = _written(row, request.request)
        if len(request.vectors) == len(request.tokens):
            del self._open[text.key]
            vectors = tuple(request.vectors[index] for index in range(len(request.tokens)))
            self._pipe.send(Embedded(text.key, vectors, request.tokens))

    def _learn(self, tokens: int, took_ns: int) -> None:
        before = self._threads.now
        self._threads.saw(tokens, took_ns, time.perf_counter_ns())
        if self._threads.now != before:
            self._encoder.use_threads(self._threads.now)


def _written(row: NDArray[np.float32], request: Embed) -> str:
    """The vector as it crosses the pipe, and goes on to the client: the node's loop has nothing to
    do with its numbers."""
    if 0 < request.dimensions < len(row):
        row = row[: request.dimensions]
        length = np.linalg.norm(row)
        row = row / length if length > 0 else row
    if request.as_json:
        return orjson.dumps(np.ascontiguousarray(row), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return b64encode(row.astype("<f4").tobytes()).decode("ascii")
