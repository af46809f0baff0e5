"""The way of texts from the pipe to the loop: they are tokenised on a thread beside it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from edge.engine.embedding.frame import Frame
from edge.engine.intake import Commands, defect, overloaded
from edge.engine.messages import REQUESTS_MAX, Cancel, Embed, Rejected, Unfit
from edge.engine.pipe import Pipe


@dataclass(frozen=True, slots=True)
class Tokenised:
    """The texts of a request, as tokens: of each one at least, and as many as fit at most."""

    request: Embed
    texts: tuple[tuple[int, ...], ...]

    @property
    def key(self) -> int:
        return self.request.key


class TextTokeniser(threading.Thread):
    """Prepares requests in the order in which they came. It is for the node to send no long ones,
    so that a short one behind does not wait (`edge.inference.embedding.line`)."""

    def __init__(
        self, pipe: Pipe, frame: Frame, context_tokens: int, commands: Commands[Tokenised]
    ) -> None:
        super().__init__(name="engine-tokeniser", daemon=True)
        self._pipe = pipe
        self._frame = frame
        self._context_tokens = context_tokens
        self._commands = commands
        self._requests: OrderedDict[int, Embed] = OrderedDict()
        self._changed = threading.Condition()

    def add(self, request: Embed, /) -> None:
        """Prepares the request, behind those that are there already."""
        with self._changed:
            full = len(self._requests) >= REQUESTS_MAX
            if not full:
                self._requests[request.key] = request
                self._changed.notify()
        if full:
            self._pipe.send(overloaded(request.key))

    def cancel(self, key: int, /) -> None:
        """Ends this request, wherever it is."""
        with self._changed:
            self._requests.pop(key, None)
            self._commands.put(Cancel(key))

    def run(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._requests:
                        self._changed.wait()
                    request = next(iter(self._requests.values()))
                self._finish(request, self._prepare(request))
        except OSError:
            self._commands.close()  # the node is gone
        except BaseException as error:
            self._commands.close(error)
            raise

    def _prepare(self, request: Embed) -> Tokenised | Unfit | Rejected:
        try:
            return self._tokenise(request)
        except Exception as error:
            return defect(request.key, error)

    def _tokenise(self, request: Embed) -> Tokenised | Unfit:
        most = self._context_tokens
        cut = most if request.truncate else None
        texts = []
        for index, text in enumerate(request.texts):
            if request.query is None:
                tokens = self._frame.text(text, cut)
            else:
                tokens = self._frame.pair(request.query, text, cut)
            if not 0 < len(tokens) <= most:
                return Unfit(request.key, index, len(tokens), most)
            texts.append(tokens)
        return Tokenised(request, tuple(texts))

    def _finish(self, request: Embed, done: Tokenised | Unfit | Rejected) -> None:
        with self._changed:
            if self._requests.pop(request.key, None) is None:
                return  # it was cancelled meanwhile
            if isinstance(done, Tokenised):
                self._commands.put(done)
                return
        self._pipe.send(done)
