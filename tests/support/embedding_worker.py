"""The real engine process of embeddings over its socket, without a node."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engine.messages import Embed, Embedded, EmbeddingReady, FrameReader, Message, encode


class Worker:
    """A worker process and what it says."""

    def __init__(self, model: Path, *flags: str) -> None:
        self.pipe, theirs = socket.socketpair()
        self.pipe.settimeout(30)
        with theirs:
            fd = theirs.fileno()
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "edge.engine.embedding.worker", "--fd", str(fd)),
                    *("--model", str(model), "--threads", "1", "--safe", *flags),
                ],
                pass_fds=[fd],
                stderr=subprocess.PIPE,
            )
        self._frames = FrameReader()
        self._unread: list[Message] = []

    def send(self, *messages: Message) -> None:
        self.pipe.sendall(b"".join(map(encode, messages)))

    def next(self) -> Message:
        while not self._unread:
            data = self.pipe.recv(1 << 16)
            assert data, "the worker is gone"
            self._unread = self._frames.feed(data)
        return self._unread.pop(0)

    def ready(self) -> EmbeddingReady:
        said = self.next()
        assert isinstance(said, EmbeddingReady), said
        return said

    def embed(self, *texts: str, **how: Any) -> Embedded:
        self.send(Embed(1, texts, **how))
        said = self.next()
        assert isinstance(said, Embedded), said
        return said

    def close(self) -> bytes:
        self.pipe.close()
        try:
            return self.process.communicate(timeout=20)[1]
        finally:
            self.process.kill()
            self.process.wait()


def rows(answer: Embedded) -> NDArray[np.float32]:
    return np.array(
        [np.frombuffer(base64.b64decode(each), "<f4") for each in answer.vectors], np.float32
    )
