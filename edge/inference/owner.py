"""An actor that owns an engine process: starts it, watches it, brings it back.

It decides nothing itself: what happens to the process is `Lifecycle`, the process and its pipe are
`Worker`. What the process is for is its subclasses' affair: `EngineActor` has it write texts,
`EmbeddingActor` has it turn them into vectors. Messages from the pipe are handled as they arrive,
on the loop's thread between two mailbox turns, and not by way of the mailbox: one hop less for
every token.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

from edge.actors import Actor, Crash, Reason, Reply
from edge.clock import NS_PER_MS, Timer
from edge.engine.messages import BACKEND_BROKEN_STATUS, FromEngine, LoadFailed, Ping, Pong, Shutdown
from edge.inference import lifecycle as life
from edge.inference.policy import LifecyclePolicy
from edge.inference.process import Process, StartProcess, Worker
from edge.inference.witness import Witness
from edge.telemetry import Telemetry


class TimeUp:
    """The timer with this number has run out; a message of an owner to itself."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class EngineOwner(Actor):
    """See the module. ``command`` gives the worker's command line for fast or safe mode, with
    ``{fd}`` where the number of its socket belongs; ``start_process`` runs it, by default as a
    `Worker`, which needs a running event loop.

    A subclass hears what became of the process by the methods without an underscore, and has
    `time_up` called for `TimeUp`. An orderly stop (`Ref.stop`) ends when the process is gone, any
    other kills it.
    """

    def __init__(
        self,
        command: Callable[[bool], tuple[str, ...]],
        *,
        telemetry: Telemetry,
        policy: LifecyclePolicy,
        rng: Random,
        safe: bool = False,
        start_process: StartProcess = Worker,
    ) -> None:
        self.life = life.Lifecycle(policy, rng, safe=safe)
        self.worker: Process | None = None
        self.deaths = 0
        self.telemetry = telemetry
        self._command = command
        self._start_process = start_process
        self._witness = Witness()
        self._was_stopped = False
        self._spawned_ns = 0
        self._timer: Timer | None = None
        self._timer_number = 0
        self._pings = 0
        self._stop_replies: list[Reply] = []
        self._end_reason: Reason | None = None

    # ---- for subclasses to say

    def received(self, message: FromEngine) -> None:
        """What the process says, but for what is a matter of its life alone."""
        raise NotImplementedError

    def lost(self, reason: str, *, own_fault: bool) -> None:
        """All that ran in the process is lost; see `lifecycle.Lost`."""
        raise NotImplementedError

    def at_work(self) -> str:
        """What the process died over, as the end of a sentence about its death; may be empty."""
        return ""

    def has_culprit(self) -> bool:
        """Whether it is known who asked for what the process was doing, should it die of it."""
        return False

    def running(self) -> int:
        """How many requests the process has."""
        return 0

    def loading(self) -> None:
        """A process is started."""

    def backing_off(self, reason: str, delay_ms: int) -> None:
        """There is no process; the next is started after so long."""

    def gave_up(self, reason: str, *, refused: bool) -> None:
        """See `lifecycle.GaveUp`."""

    def has_stopped(self) -> None:
        """The process was stopped as asked, and is gone."""

    # ---- for subclasses to call

    def apply(self, event: life.Event) -> None:
        """Something happens to the process."""
        self._carry_out(self.life.apply(event, self.system.clock.now_ns()))

    def heard(self) -> None:
        """A sign of life."""
        lifecycle = self.life
        if lifecycle.state is life.State.READY:
            lifecycle.last_heard_ns = self.system.clock.now_ns()
        else:
            self.apply(life.Heard())

    def came_up(self, model: str, slots: int) -> bool:
        """The process says that it is ready; False when that comes too late."""
        self.apply(life.Up())
        if self.life.state is not life.State.READY:
            return False
        assert self.worker is not None
        self.telemetry.emit(
            "engine.ready",
            pid=self.worker.pid,
            model=model,
            slots=slots,
            load_ms=(self.system.clock.now_ns() - self._spawned_ns) / NS_PER_MS,
        )
        return True

    def start_again(self) -> None:
        """Starts the process where there is none, and forgets what it died of before."""
        if self.life.state in {life.State.STOPPED, life.State.BACKOFF, life.State.GIVEN_UP}:
            self.apply(life.Start())

    def stop_engine(self, reply: Reply | None = None) -> None:
        """Stops the process; who asked is answered, with None, when it is gone."""
        if reply is not None:
            self._stop_replies.append(reply)
        self.apply(life.Stop())

    def time_up(self, message: TimeUp) -> None:
        """To be called for each `TimeUp`."""
        if message.number == self._timer_number:
            self.apply(life.TimeUp())

    # ---- as an actor

    def stopping(self, reason: Reason) -> None:
        self._end_reason = reason
        self.apply(life.Stop())

    def stopped(self, reason: Reason) -> None:
        self.lost(f"the engine's actor ended: {reason}", own_fault=False)
        if self.worker is not None:
            self.worker.kill()

    # ---- from the process

    def _from(self, worker: Process, act: Callable[[], None]) -> None:
        """Code that the worker calls, outside of the mailbox: held to an actor's rules."""
        if worker is not self.worker or not self.ref.alive:
            return
        try:
            act()
        except Exception as error:
            self.telemetry.emit("actor.crashed", name=self.ref.label, error=error)
            self.ref.kill(Crash(error))

    def _receive(self, message: FromEngine) -> None:
        if isinstance(message, LoadFailed):
            self.apply(life.Refused(message.message))
            return
        if isinstance(message, Pong):
            self.heard()
        self.received(message)

    def _exited(self, code: int | None, reason: str) -> None:
        pid = self.worker.pid if self.worker is not None else None
        self.worker = None
        running = self.running()
        if self.life.state in life.WITH_PROCESS:
            expected = self.life.state in {life.State.STOPPING, life.State.REFUSED}
            outside = True if self._was_stopped or code == BACKEND_BROKEN_STATUS else None
            if code == -signal.SIGKILL and self._witness.ran_out_of_memory():
                outside, reason = False, "the engine was ended for lack of memory"
            reason += self.at_work()
            exited = life.Exited(code, reason, self.has_culprit(), outside)
            effects = self.life.apply(exited, self.system.clock.now_ns())
            lost = next((effect for effect in effects if isinstance(effect, life.Lost)), None)
            if not expected:
                self.deaths += 1
                reason = reason if lost is None else lost.reason
                self.telemetry.emit("engine.died", pid=pid, reason=reason, running=running)
            self._carry_out(effects)

    # ---- effects

    def _carry_out(self, effects: list[life.Effect]) -> None:
        for effect in effects:
            match effect:
                case life.Spawn(safe):
                    self._spawn(safe)
                case life.Kill():
                    if self.worker is not None:
                        self._was_stopped = self._witness.is_stopped(self.worker.pid)
                        self.worker.kill()
                case life.Shut():
                    if self.worker is not None:
                        self.worker.send(Shutdown())
                case life.Arm(delay_ms):
                    self._arm(delay_ms)
                case life.Disarm():
                    self._disarm()
                case life.SendPing():
                    self._ping()
                case life.Probed(safe_mode, code):
                    self.telemetry.emit("engine.probed", safe_mode=safe_mode, exit_code=code)
                case life.Stalled(silent_ms):
                    pid = None if self.worker is None else self.worker.pid
                    self.telemetry.emit("engine.stalled", pid=pid, silent_ms=silent_ms)
                case life.Lost(reason, own_fault):
                    self.lost(reason, own_fault=own_fault)
                case life.BackingOff(reason, delay_ms, deaths):
                    self.telemetry.emit("engine.backoff", in_ms=delay_ms, deaths=deaths)
                    self.backing_off(reason, delay_ms)
                case life.GaveUp(reason, refused):
                    self.telemetry.emit("engine.given_up", reason=reason)
                    self.gave_up(reason, refused=refused)
                case life.Stopped():
                    self._has_stopped()

    def _spawn(self, safe: bool) -> None:
        self._spawned_ns = self.system.clock.now_ns()
        self._was_stopped = False
        self._witness.began()
        self.loading()
        worker = self._start_process(
            self._command(safe),
            on_started=lambda pid: self.telemetry.emit("engine.started", pid=pid),
            on_message=lambda message: self._from(worker, lambda: self._receive(message)),
            on_exit=lambda code, reason: self._from(worker, lambda: self._exited(code, reason)),
        )
        self.worker = worker

    def _arm(self, delay_ms: int) -> None:
        self._disarm()
        self._timer = self.send_after(delay_ms, TimeUp(self._timer_number))

    def _disarm(self) -> None:
        # The number makes a message void that is in the mailbox already.
        self._timer_number += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self) -> None:
        if self.worker is not None:
            self._pings += 1
            self.worker.send(Ping(self._pings))

    def _has_stopped(self) -> None:
        self.has_stopped()
        replies, self._stop_replies = self._stop_replies, []
        for reply in replies:
            reply(None)
        if self._end_reason is not None:
            self.stop(self._end_reason)
