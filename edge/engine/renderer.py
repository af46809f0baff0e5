"""The engine's side of the process that renders chat templates (`edge.engine.template`)."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from edge.clock import SystemClock
from edge.engine.template import CPU_S_MAX
from edge.errors import EngineError, InvalidRequest

ANSWER_S_MAX: Final = 10.0
"""A rendering ends by itself after `CPU_S_MAX` of work, which takes longer on a busy machine."""
START_S_MAX: Final = 30.0
"""Python starts in a tenth of a second when nobody else wants the processor."""
KNOWN_MAX: Final = 1_000
"""Messages kept, as a hash and for a minute at most, with which the template did not come to an end
in time. They would take seconds each time, in which nobody else's are rendered."""
TRIED: Final = (
    ({"role": "user", "content": "a"},),
    ({"role": "system", "content": "a"}, {"role": "user", "content": "a"}),
)
"""A template that refuses both of these is of no use."""

NS_PER_MINUTE: Final = 60_000_000_000
_CLOCK: Final = SystemClock()


class Renderer:
    """One such process, started again once it has died or had to be ended. Used by one thread.

    What the arguments are `edge.engine.template.Template` says. The process ends with this one;
    `close` ends it earlier. `wall_ns` is the time of day.
    """

    def __init__(
        self,
        template: str,
        special: Mapping[str, str],
        controls: Iterable[str] = (),
        wall_ns: Callable[[], int] = _CLOCK.wall_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._program = orjson.dumps([template, special, list(controls)])
        self.broken = ""
        """Why no messages can be rendered at all, once `examine` has found that."""
        self.process: subprocess.Popen[bytes] | None = None
        self._started = False
        self.known: dict[bytes, InvalidRequest] = {}
        self._known_minute = 0
        with contextlib.suppress(OSError):  # it is tried again when it is needed
            # Now, so that the first request need not wait for it.
            self._start()

    def examine(self) -> str:
        """Tries the template; returns why it cannot be used, or nothing. From then on `render`
        refuses with that at once."""
        sentences = []
        for messages in TRIED:
            try:
                self.render(messages)
            except InvalidRequest as error:
                sentences.append(str(error))
            except EngineError:
                return ""  # no fault of the template's; the next request tries again
            else:
                return ""
        self.broken = sentences[0]
        return self.broken

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any] | None = None,
        stand_ins: Mapping[str, str] | None = None,
    ) -> str:
        """See `Template.render`; `EngineError` when it is no fault of the template's."""
        if self.broken:
            raise InvalidRequest(self.broken, field="messages")
        minute = self._wall_ns() // NS_PER_MINUTE
        if minute != self._known_minute or len(self.known) >= KNOWN_MAX:
            self.known.clear()
            self._known_minute = minute
        line = orjson.dumps((messages, variables or {}, stand_ins or {}))
        key = hashlib.blake2b(line, digest_size=16).digest()
        answer = self.known.get(key) or self._ask(line, key)
        if isinstance(answer, InvalidRequest):
            raise InvalidRequest(str(answer), field=answer.field)
        return answer

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self.process is not None:
            self._lines.close()
            self._pipe.close()
            self.process.kill()
            self.process.wait()
            self.process = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = subprocess.Popen(
                    (sys.executable, "-m", "edge.engine.template"),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    # The node reads our own to its end, which is not to wait for this process.
                    stderr=subprocess.DEVNULL,
                )
        except OSError:
            ours.close()
            raise
        self._pipe, self._lines = ours, ours.makefile("rb")
        self._started = False

    def _ask(self, line: bytes, key: bytes) -> str | InvalidRequest:
        try:
            if self.process is None:
                self._start()
            if not self._started:
                self._say(self._program, START_S_MAX)
                self._started = True
            answer = self._say(line, ANSWER_S_MAX)
        except OSError as error:
            late = isinstance(error, TimeoutError) or self._ended_for_time()
            self.close()
            if late:
                self.known[key] = InvalidRequest(
                    "the model's chat template has not come to an end for these messages within"
                    f" {CPU_S_MAX} s; use another model",
                    field="messages",
                )
                return self.known[key]
            raise EngineError(f"the chat template could not be rendered: {error}") from error
        if "error" in answer:
            return InvalidRequest(answer["error"], field="messages")
        text: str = answer["text"]
        return text

    def _say(self, line: bytes, limit_s: float) -> dict[str, Any]:
        """The answer. TimeoutError after the limit, another OSError when the process is gone."""
        self._pipe.settimeout(limit_s)
        self._pipe.sendall(line + b"\n")
        answer = self._lines.readline()
        if not answer:
            raise ConnectionResetError("the process that renders it has ended")
        document: dict[str, Any] = orjson.loads(answer)
        return document

    def _ended_for_time(self) -> bool:
        if self.process is None:
            return False
        try:
            return self.process.wait(ANSWER_S_MAX) == -signal.SIGXCPU
        except subprocess.TimeoutExpired:
            return False
