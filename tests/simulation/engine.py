"""The engine process in the simulated world: real messages, invented tokens, all kinds of deaths.

No two runs of a prompt give the same tokens, as with a real model in another batch. What a token
says is fixed, so that the text of any run can be worked out again from its tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from edge.clock import NS_PER_MS, ManualClock
from edge.engine.messages import (
    Admitted,
    Cancel,
    Finished,
    FromEngine,
    Generate,
    LoadFailed,
    Output,
    Ping,
    Pong,
    Ready,
    Rejected,
    Shutdown,
    Step,
    ToEngine,
    Tokenising,
)
from edge.engine.text import TextStream

PIECES: Final = (
    b"sun ", b"moon ", "été ".encode(), b"\xf0\x9f", b"\x98\x80", b"\n", b"E", b"ND", b"a",
    "über ".encode(), b" rain", b"\xe2\x82", b"\xac",
)  # fmt: skip
CHUNK: Final = 4
PIPE_MESSAGES_MAX: Final = 16
SEGFAULT: Final = 11
KILLED: Final = 9


def text_of(tokens: Iterable[int], stop: Sequence[str], *, final: bool) -> str:
    """The text that these tokens say, as far as it can be told."""
    stream = TextStream(stop)
    text = "".join(stream.feed(PIECES[token]) for token in tokens)
    return text + stream.flush() if final else text


@dataclass
class Prompt:
    """What a prompt says about itself: ``number`` names the submission."""

    number: int
    kind: str
    size: int

    @staticmethod
    def parse(request: Generate) -> Prompt:
        if request.messages is None:
            # Nobody's: the node looks whether the engine works.
            return Prompt(-1, "probe", len((request.prompt or "").split()))
        number, kind, size = (request.messages[-1].content or "").split()
        return Prompt(int(number), kind, int(size))


@dataclass
class Death:
    """An engine's end. ``cause`` is poison, crash, hang, outside or stopped."""

    cause: str
    running: set[int]
    culprit: int | None


@dataclass
class Running:
    """One sequence, in a slot or waiting for one; ``owed`` is text of resumed tokens."""

    request: Generate
    prompt: Prompt
    stream: TextStream
    tokens: list[int]
    owed: str
    read: int = 0


@dataclass
class Machine:
    """The machine that engines run on: what happens to them, and what has happened."""

    clock: ManualClock
    rng: Random
    slots: int
    step_ms: int
    load_ms: int = 300
    model: str = "sim"
    next_loads: list[str] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    finished: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    rejected: dict[int, int] = field(default_factory=dict)
    on_generate: Callable[[Prompt, Generate], None] = lambda _prompt, _request: None
    process: SimProcess | None = None
    pids: int = 100
    stepped_ns: int = 0  # when the last step was made
    failures: int = 0  # loads that were refused, and ends that nobody asked for

    def start_process(
        self,
        _command: Sequence[str],
        /,
        *,
        on_started: Callable[[int], object],
        on_message: Callable[[FromEngine], object],
        on_exit: Callable[[int | None, str], object],
        read: Callable[[Callable[[], object]], object],
    ) -> SimProcess:
        """Starts one (`StartProcess`). What it says is `read` when the node's loop gets to it."""
        self.pids += 1
        process = SimProcess(self, self.pids, on_message, on_exit, read)
        self.process = process
        on_start = self.next_loads.pop(0) if self.next_loads else "ready"
        self.clock.call_after(0, lambda: process.load(on_start, on_started))
        return process


class SimProcess:
    """One engine process (`Process`)."""

    def __init__(
        self,
        machine: Machine,
        pid: int,
        on_message: Callable[[FromEngine], object],
        on_exit: Callable[[int | None, str], object],
        read: Callable[[Callable[[], object]], object],
    ) -> None:
        self.pid: int | None = None
        self._machine = machine
        self._number = pid
        self._on_message = on_message
        self._on_exit = on_exit
        self._read = read
        self._unread = 0
        self._inbox: list[ToEngine] = []
        self._sequences: dict[int, Running] = {}
        self._waiting: list[Running] = []
        self._cancelled: list[Finished] = []
        self._steps = 0
        self._stepping = False
        self._pipe_ns = 0
        self.alive = True
        self._heard = True
        self._death: Death | None = None
        self.up = False
        self.hangs = False
        self.crash_next = False
        self.fail_next = False

    # ---- what the node does

    def send(self, message: ToEngine) -> None:
        """See `Process`."""
        if self.alive and self.up:
            self._inbox.append(message)
            self._arm()
        elif self._death is not None and isinstance(message, Generate):
            # The node does not know yet that it is dead: what it sends looks like what ran.
            self._death.running.add(Prompt.parse(message).number)

    def kill(self) -> None:
        """See `Process`."""
        self.die(-KILLED, "hang" if self.hangs else "outside")

    def vanish(self) -> None:
        """The node is gone, and so is this, unheard."""
        self.alive = self._heard = False

    # ---- what the world does

    def load(self, how: str, on_started: Callable[[int], object]) -> None:
        if not self.alive:
            return
        pid = self.pid = self._number
        self._read(lambda: on_started(pid))
        if how == "hang":
            self.hangs = True
            return
        self._after(self._machine.load_ms * NS_PER_MS, lambda: self._loaded(how))

    def _loaded(self, how: str) -> None:
        if not self.alive:
            return
        if how == "refuse":
            self._machine.failures += 1
            self._say(LoadFailed("the simulated model is broken"))
            self.die(1, "stopped")
        elif how == "crash":
            self.die(-SEGFAULT, "crash")
        else:
            self.up = True
            self._say(
                Ready(
                    self._machine.model,
                    1,
                    1,
                    len(PIECES),
                    4_096,
                    self._machine.slots,
                    False,
                    "",
                    False,
                )
            )

    def die(self, code: int, cause: str, culprit: int | None = None) -> None:
        """Ends the process; what it has said already still arrives."""
        if not self.alive:
            return
        self.alive = False
        running = {each.prompt.number for each in (*self._sequences.values(), *self._waiting)}
        running |= {Prompt.parse(each).number for each in self._inbox if isinstance(each, Generate)}
        self._death = Death(cause, running, culprit)
        self._machine.deaths.append(self._death)
        self._machine.failures += cause != "stopped"
        reason = f"the simulated engine ended with {code}"
        self._pipe(lambda: self._on_exit(code, reason))

    # ---- steps

    def _arm(self) -> None:
        # While the pipe is full it stands still.
        full = self._unread >= PIPE_MESSAGES_MAX
        if not self._stepping and self.alive and not self.hangs and not full:
            self._stepping = True
            machine = self._machine
            step_ns = machine.rng.randrange(1, machine.step_ms + 1) * NS_PER_MS
            self._after(step_ns, self._turn)

    def _turn(self) -> None:
        self._stepping = False
        if not self.alive or self.hangs:
            return
        self._obey()
        if self.alive and (self._sequences or self._waiting or self._cancelled):
            self._step()
        if self.alive and (self._sequences or self._waiting or self._inbox):
            self._arm()

    def _obey(self) -> None:
        inbox, self._inbox = self._inbox, []
        for message in inbox:
            if isinstance(message, Generate):
                self._begin(message)
            elif isinstance(message, Cancel):
                self._cancel(message.key)
            elif isinstance(message, Ping):
                self._say(Pong(message.nonce, self._steps))
            elif isinstance(message, Shutdown):
                self.die(0, "stopped")
                return

    def _begin(self, request: Generate) -> None:
        prompt = Prompt.parse(request)
        self._machine.on_generate(prompt, request)
        self._say(Tokenising(request.key))
        if prompt.kind == "overlong":
            self._say(Rejected(request.key, "prompt_too_long", "too long", False, "prompt"))
            return
        stream = TextStream(request.sampling.stop, request.resume_chars)
        owed = "".join(stream.feed(PIECES[token]) for token in request.resume_tokens)
        sequence = Running(request, prompt, stream, list(request.resume_tokens), owed)
        if stream.stopped or len(sequence.tokens) >= request.sampling.max_tokens:
            self._cancelled.append(self._end(sequence, "stop" if stream.stopped else "length"))
        else:
            self._waiting.append(sequence)

    def _cancel(self, key: int) -> None:
        sequence = self._sequences.pop(key, None)
        waiting = [each for each in self._waiting if each.request.key == key]
        for each in waiting:
            self._waiting.remove(each)
        if sequence is not None or waiting:
            self._cancelled.append(self._end(sequence or waiting[0], "cancelled"))

    def _step(self) -> None:
        machine = self._machine
        admitted = []
        while self._waiting and len(self._sequences) < machine.slots:
            sequence = self._waiting.pop(0)
            self._sequences[sequence.request.key] = sequence
            admitted.append(Admitted(sequence.request.key, sequence.prompt.size, 0))
        for sequence in self._sequences.values():
            if _is_deadly(sequence):
                self.die(-SEGFAULT, "poison", sequence.prompt.number)
                return
        if self.crash_next:
            self.die(-SEGFAULT, "crash")
            return
        if self.fail_next:
            self._fail_step()
            return
        outputs, finished = [], self._cancelled
        for key, sequence in list(self._sequences.items()):
            output, reason = self._advance(sequence)
            outputs.append(output)
            if reason is not None:
                del self._sequences[key]
                finished.append(self._end(sequence, reason))
        self._cancelled = []
        self._steps += 1
        machine.stepped_ns = machine.clock.now_ns()
        self._say(
            Step(
                self._steps, tuple(admitted), tuple(outputs), tuple(finished),
                len(self._sequences), len(self._waiting), len(outputs), 100,
            )
        )  # fmt: skip

    def _fail_step(self) -> None:
        """llama.cpp could not decode; all of the step go back to the node."""
        self.fail_next = False
        for key, sequence in self._sequences.items():
            number = sequence.prompt.number
            self._machine.rejected[number] = self._machine.rejected.get(number, 0) + 1
            self._say(Rejected(key, "engine_error", "the step failed", True))
        self._sequences.clear()

    def _advance(self, sequence: Running) -> tuple[Output, str | None]:
        key, size = sequence.request.key, sequence.prompt.size
        if sequence.read < size:
            sequence.read = min(size, sequence.read + CHUNK)
            if sequence.read < size:
                return Output(key, sequence.read, (), ""), None
        rng = self._machine.rng
        if rng.random() < 0.02:
            return Output(key, size, (), _settle(sequence)), "stop"
        token = rng.randrange(len(PIECES))
        sequence.tokens.append(token)
        text = _settle(sequence) + sequence.stream.feed(PIECES[token])
        output = Output(key, size, (token,), text)
        if sequence.stream.stopped:
            return output, "stop"
        full = len(sequence.tokens) >= sequence.request.sampling.max_tokens
        return output, "length" if full else None

    def _end(self, sequence: Running, reason: str) -> Finished:
        text = "" if reason == "cancelled" else _settle(sequence) + sequence.stream.flush()
        if reason != "cancelled":
            number = sequence.prompt.number
            self._machine.finished.setdefault(number, []).append(tuple(sequence.tokens))
        return Finished(
            sequence.request.key, reason, text, sequence.prompt.size, 0, len(sequence.tokens),
            1.0, 1.0,
        )  # fmt: skip

    # ---- the pipe

    def _say(self, message: FromEngine) -> None:
        self._pipe(lambda: self._on_message(message))

    def _pipe(self, deliver: Callable[[], object]) -> None:
        """Messages take their time and keep their order."""
        machine = self._machine
        delay_ns = machine.rng.choice((0, 0, 100_000, 2_000_000))
        now_ns = machine.clock.now_ns()
        self._pipe_ns = max(self._pipe_ns, now_ns + delay_ns)
        self._unread += 1
        self._after(self._pipe_ns - now_ns, lambda: self._read(lambda: self._was_read(deliver)))

    def _was_read(self, deliver: Callable[[], object]) -> None:
        self._unread -= 1
        if self._heard:
            deliver()
        if self._sequences or self._waiting or self._inbox:
            self._arm()

    def _after(self, delay_ns: int, call: Callable[[], object]) -> None:
        self._machine.clock.call_after(delay_ns, call)


def _settle(sequence: Running) -> str:
    owed, sequence.owed = sequence.owed, ""
    return owed


def _is_deadly(sequence: Running) -> bool:
    kind = sequence.prompt.kind
    if kind == "poison":
        return True
    return kind == "slow_poison" and len(sequence.tokens) >= 3
