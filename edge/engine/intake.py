"""The way of a request from the pipe to the decode loop, on two threads beside it.

The `Reader` takes messages off the pipe. Requests go to the `Tokeniser`, which prepares all that
there are at the same time, a part of each in turn: so a short prompt waits a few milliseconds
behind a long one, and not for its end. All else goes straight to the loop, and overtakes them.

A cancel finds its request in one of three places. Still with the tokeniser: it is taken out there,
and the loop is told of it (`Dropped`). On its way to the loop: the request was put there under the
same lock that the cancel took, so the cancel comes behind it. In the loop: there it is obeyed. So
each request has one end, whatever overtakes what.
"""

from __future__ import annotations

import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from edge.engine.answering import Answering, Plan
from edge.engine.messages import (
    REQUESTS_MAX,
    TO_ENGINE_BYTES_MAX,
    Cancel,
    Count,
    Counted,
    FrameReader,
    Generate,
    Ping,
    Pong,
    Rejected,
    Shutdown,
    ToEngine,
    Tokenising,
)
from edge.engine.pipe import Pipe
from edge.engine.prompt import Prompts
from edge.engine.pulse import Pulse
from edge.errors import ClientError, EngineError, InvalidRequest, PromptTooLong

STACK_BYTES: Final = 16 * 1024 * 1024
"""Of the tokeniser's thread. A part of a prompt takes under 1 MiB (`seams.PART_CHARS_MAX`), in a
vocabulary that is not cut more; a system's own default may be as low as 128 KiB."""
COMMANDS_MAX: Final = 4 * REQUESTS_MAX
"""What waits for the decode loop while it makes a step."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its prompt's tokens, fewer than the context has, and how it is answered."""

    request: Generate
    tokens: tuple[int, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Dropped:
    """A request was cancelled before it was prepared."""

    key: int


Work = TypeVar("Work")
"""What the loop is given to do, and is told of it."""
Command = Prepared | Dropped | Cancel | Ping


class Commands(Generic[Work]):
    """What the decode loop is to do, in order; its end comes before all else.

    The node has at most `REQUESTS_MAX` requests in the engine: one command for each, one or two to
    cancel it, and a ping every few seconds. More than `COMMANDS_MAX` are a defect.

    A step that is under way (`stepping`) is ended by way of its `pulse` when all whom it serves are
    cancelled, or when it is the end. Where others are in it too, a cancel waits for it: it ends
    soon, and they would have to read the same again.
    """

    def __init__(self, pulse: Pulse | None = None) -> None:
        self._pulse = Pulse() if pulse is None else pulse
        self._serves: set[int] = set()
        self._step = 0
        self._beaten = 0
        self._commands: deque[Work | Cancel | Ping] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.fault: BaseException | None = None
        """Why it is the end, if it is by a defect of ours."""
        self.told = False
        """Whether it is the end because the node has said so."""

    def put(self, command: Work | Cancel | Ping) -> None:
        with self._changed:
            assert len(self._commands) < COMMANDS_MAX, "the node sends no more"
            self._commands.append(command)
            if isinstance(command, Cancel) and command.key in self._serves:
                self._serves.discard(command.key)
                if not self._serves:
                    self._pulse.stop()
            self._changed.notify()

    def close(self, fault: BaseException | None = None) -> None:
        """It is the end."""
        with self._changed:
            self._closed = True
            self.fault = self.fault or fault
            self._pulse.stop()
            self._changed.notify()

    def stepping(self, step: int, keys: Iterable[int]) -> None:
        """Step number so and so begins, for these sequences."""
        with self._changed:
            self._pulse.begin()
            self._step, self._beaten = step, 0
            self._serves = set(keys)
            for command in self._commands:
                if isinstance(command, Cancel):
                    self._serves.discard(command.key)
            if self._closed or not self._serves:
                self._pulse.stop()

    def stepped(self) -> None:
        """It is over; a cancel is obeyed before the next."""
        with self._changed:
            self._serves.clear()

    def beating(self) -> int | None:
        """The number of the step that is under way, if it has come further since somebody asked;
        None when there is none, when it stands still, or when nobody can know."""
        with self._changed:
            if not self._serves:
                return None
            before, self._beaten = self._beaten, self._pulse.operations
            return self._step if self._beaten > before else None

    def take(self, *, wait: bool) -> list[Work | Cancel | Ping] | None:
        """All that there are, with `wait` one at least; None when it is the end."""
        with self._changed:
            while wait and not self._commands and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            commands = list(self._commands)
            self._commands.clear()
            return commands


class _Job:
    """A request on its way to tokens."""

    def __init__(
        self,
        request: Generate | Count,
        prompts: Prompts,
        answering: Answering,
        context_tokens: int,
    ) -> None:
        self.request = request
        self._answering = answering
        begun = request.begun if isinstance(request, Generate) else ""
        self._work = prompts.tokens(
            request.prompt, request.messages, begun, request.tools, request.variables
        )
        self._context_tokens = context_tokens

    def advance(self) -> Prepared | Counted | Rejected | None:
        """Does the next part of the work; what came of all of it, once it is done."""
        request = self.request
        try:
            tokens = _next(self._work)
            if tokens is None:
                return None
            if isinstance(request, Count):
                return Counted(request.key, len(tokens), self._context_tokens)
            self._check(request, tokens)
            return Prepared(request, tokens, self._answering.plan(request, tokens))
        except (ClientError, EngineError) as error:
            return rejected(request.key, error)
        except Exception as error:
            return defect(request.key, error)

    def _check(self, request: Generate, tokens: tuple[int, ...]) -> None:
        field = "prompt" if request.messages is None else "messages"
        if not tokens:
            raise InvalidRequest("the prompt is empty; write something", field=field)
        if len(tokens) >= self._context_tokens:
            raise PromptTooLong(
                f"the prompt has {len(tokens)} tokens and the context only {self._context_tokens},"
                " of which the answer needs at least one; shorten it",
                field=field,
            )


class Tokeniser(threading.Thread):
    """Prepares requests; answers by itself those that need no decode step."""

    def __init__(
        self,
        pipe: Pipe,
        prompts: Prompts,
        answering: Answering,
        context_tokens: int,
        commands: Commands[Prepared | Dropped],
    ) -> None:
        super().__init__(name="engine-tokeniser", daemon=True)
        self._pipe = pipe
        self._prompts = prompts
        self._answering = answering
        self._context_tokens = context_tokens
        self._commands = commands
        self._jobs: OrderedDict[int, _Job] = OrderedDict()
        self._changed = threading.Condition()

    def add(self, request: Generate | Count) -> None:
        """Prepares the request, beside those that are there already."""
        job = _Job(request, self._prompts, self._answering, self._context_tokens)
        with self._changed:
            full = len(self._jobs) >= REQUESTS_MAX
            if not full:
                self._jobs[request.key] = job
                self._changed.notify()
        if full:
            self._pipe.send(overloaded(request.key))

    def cancel(self, key: int) -> None:
        """Ends this request, wherever it is."""
        with self._changed:
            dropped = self._jobs.pop(key, None) is not None
            self._commands.put(Dropped(key) if dropped else Cancel(key))

    def run(self) -> None:
        try:
            turned_to = None
            while True:
                job = self._next_job()
                if job is not turned_to:
                    turned_to = job
                    self._pipe.send(Tokenising(job.request.key))
                done = job.advance()
                if done is not None:
                    self._finish(job, done)
        except OSError:
            self._commands.close()  # the node is gone
        except BaseException as error:
            self._commands.close(error)
            raise

    def _next_job(self) -> _Job:
        """The one that has waited longest for its turn."""
        with self._changed:
            while not self._jobs:
                self._changed.wait()
            key, job = next(iter(self._jobs.items()))
            self._jobs.move_to_end(key)
            return job

    def _finish(self, job: _Job, done: Prepared | Counted | Rejected) -> None:
        key = job.request.key
        with self._changed:
            if self._jobs.get(key) is not job:
                return  # it was cancelled meanwhile, and its end has been told
            del self._jobs[key]
            if isinstance(done, Prepared):
                self._commands.put(done)
                return
        self._pipe.send(done)


class Preparing(Protocol):
    """Who has requests before they are the loop's."""

    def add(self, request: Any, /) -> None: ...

    def cancel(self, key: int, /) -> None: ...


class Reader(threading.Thread):
    """Reads the pipe until the node closes it, which is the end."""

    def __init__(self, pipe: Pipe, tokeniser: Preparing, commands: Commands[Any]) -> None:
        super().__init__(name="engine-reader", daemon=True)
        self._pipe = pipe
        self._tokeniser = tokeniser
        self._commands = commands

    def run(self) -> None:
        frames = FrameReader(TO_ENGINE_BYTES_MAX)
        try:
            while data := self._pipe.receive():
                for message in frames.feed(data):
                    self._take(message)  # type: ignore[arg-type]  # the node sends nothing else
        except OSError:
            self._commands.close()
        except BaseException as error:
            self._commands.close(error)
            raise
        else:
            self._commands.close()

    def _take(self, message: ToEngine) -> None:
        if isinstance(message, Cancel):
            self._tokeniser.cancel(message.key)
        elif isinstance(message, Ping):
            step = self._commands.beating()
            if step is None:
                self._commands.put(message)
            else:
                # A step may take longer than silence may last; what matters is that it goes on.
                self._pipe.send(Pong(message.nonce, step))
        elif isinstance(message, Shutdown):
            self._commands.told = True
            self._commands.close()
        else:
            self._tokeniser.add(message)


def rejected(key: int, error: ClientError | EngineError) -> Rejected:
    """What the node is told of it."""
    field = error.field if isinstance(error, ClientError) else None
    recoverable = isinstance(error, EngineError) and error.recoverable
    return Rejected(key, error.code, str(error), recoverable, field)


def overloaded(key: int) -> Rejected:
    """There are too many requests already."""
    return Rejected(key, "overloaded", "the engine has too many requests waiting", True)


def defect(key: int, error: Exception) -> Rejected:
    """An exception that nobody thought of is the end of this one request, not of the engine."""
    traceback.print_exception(error)
    sentence = f"the engine cannot take this request, by a defect of its own: {error!r:.300}"
    return Rejected(key, "engine_error", sentence, False)


def _next(work: Generator[None, None, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Runs to the next yield; what it returns, once it does."""
    try:
        next(work)
    except StopIteration as stop:
        tokens: tuple[int, ...] = stop.value
        return tokens
    return None
