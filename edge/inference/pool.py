"""The engines of all models: each has a process of its own while its model is in memory.

Which are is decided by `Residency`. Whoever gives turns says at once what is wanted and what runs,
by plain calls: were there a mailbox between the two, a model could be unloaded that had just been
given a turn. What happens to the engines comes from who follows them (`Pool.up` and what is beside
it).

The engine of the node's own model is a child of the node, is there from the start, and is told to
stop and to start; it goes only when others need its room. Those of the others are children of the
supervisor `SUPERVISOR_NAME`, started when they are wanted. An own model that cannot be loaded is
tried again and again, as a node of one model does; another is refused to those who wait for it,
and tried again for the next who wants it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from edge.actors import ActorDown, ChildSpec, Ref, Supervisor, System
from edge.actors.errors import AlreadyRegistered
from edge.clock import NS_PER_MS, Timer
from edge.errors import ClientError
from edge.inference.model_file import ModelFile
from edge.inference.protocol import FollowEngine, StartEngine, StopEngine
from edge.inference.residency import (
    Arm,
    Began,
    Disarm,
    Effect,
    Ended,
    Event,
    Failed,
    Gone,
    Hold,
    Load,
    Open,
    Place,
    Refuse,
    Residency,
    TimeUp,
    Unload,
    Unwanted,
    Up,
    Wanted,
)

SUPERVISOR_NAME: Final = "engines"
FOLLOWER_NAME: Final = "follower"
"""Who is told of another engine. One that is started later asks for all (`Pool.engine_names`)."""
ENGINE_NAME: Final = "engine"
"""The actor of the engine of the node's own model."""
_OTHER: Final = ENGINE_NAME + ":"

FOR_EVER: Final = -1
"""In place of how long a model stays that nobody uses: for as long as there is room."""


@dataclass(frozen=True, slots=True)
class Loadable:
    """A model as it is loaded: the command line of its engine's process (`EngineActor`), the memory
    that it takes, and how many tokens one task may use, 0 where the file does not say."""

    model: ModelFile
    command: Callable[[bool], tuple[str, ...]]
    needs_bytes: int
    context_tokens: int

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True, slots=True)
class Limits:
    """Of all models together: the memory, for how long one has it at least where two do not fit
    beside each other, and for how long one stays that nobody uses (`FOR_EVER`)."""

    budget_bytes: int
    share_ms: int
    keep_alive_ms: int


class Pool:
    """See the module. ``find`` gives a model by its name, with the errors of `KnownModels.find`;
    ``spec`` makes the actor of its engine, which is registered as `engine_name` says.

    ``on_turns`` is called with a model that may give turns now, or may not any more; ``on_refused``
    with one that those who wait for it cannot have, and why.
    """

    def __init__(
        self,
        own: Loadable,
        system: System,
        limits: Limits,
        *,
        find: Callable[[str | None], Awaitable[Loadable]],
        spec: Callable[[Loadable, str], ChildSpec],
    ) -> None:
        self.own = own
        self.find = find
        self.on_turns: Callable[[str], object] = lambda _model: None
        self.on_refused: Callable[[str, str], object] = lambda _model, _reason: None
        self._system = system
        self._limits = limits
        self._spec = spec
        # The node's own model is loaded whatever it takes.
        budget_bytes = max(limits.budget_bytes, own.needs_bytes)
        self._residency = Residency(budget_bytes, share_ms=limits.share_ms)
        self._loadables: dict[str, Loadable] = {own.name: own}
        self._wishes: dict[str, int | None] = {}  # of models that are being looked for
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._events: deque[Event] = deque()
        self._applying = False
        self._timer: Timer | None = None
        self._closed = False
        # Its engine is started with the node.
        self._residency.apply(Wanted(own.name, own.needs_bytes), system.clock.now_ns())
        self._residency.apply(Unwanted(own.name), system.clock.now_ns())

    # ---- what there is

    @staticmethod
    def other_engine(model: str) -> str:
        """The name of the actor of another engine than the own."""
        return _OTHER + model

    def engine_name(self, model: str) -> str:
        """The registered name of the actor of this model's engine."""
        return ENGINE_NAME if model == self.own.name else self.other_engine(model)

    def model_of(self, engine_name: str) -> str:
        """The inverse of `engine_name`."""
        return self.own.name if engine_name == ENGINE_NAME else engine_name.removeprefix(_OTHER)

    def loadable(self, model: str) -> Loadable | None:
        """What is known of a model that was wanted before, or looked for."""
        return self._loadables.get(model)

    def place(self, model: str) -> Place | None:
        """Where it is; None when it is not in memory."""
        return self._residency.place(model)

    def gives_turns(self, model: str) -> bool:
        """Whether a task of it may have its turn now, if its engine is up."""
        return self._residency.gives_turns(model)

    def residents(self) -> list[Loadable]:
        """Those that have memory, the node's own first."""
        return [each for name, each in self._loadables.items() if self.place(name) is not None]

    @property
    def budget_bytes(self) -> int:
        """What all together may have."""
        return self._residency.budget_bytes

    @property
    def used_bytes(self) -> int:
        """What those in memory are reckoned to take."""
        return self._residency.used_bytes

    # ---- what who gives turns says

    async def look_up(self, wanted: str | None) -> Loadable:
        """The model of this name, which may be wanted from now on; the errors are those of
        ``find``."""
        found = await self.find(wanted)
        self._enter(found)
        return found

    def wanted(self, model: str, keep_alive_ms: int | None) -> None:
        """A task of this model waits, the first or one more. It stays for so long when it is idle,
        or `FOR_EVER`; None is for as long as the settings say."""
        loadable = self._loadables.get(model)
        if loadable is None:
            # Of an earlier life of the node: nobody has asked for it in this one.
            self._wishes[model] = keep_alive_ms
            if model not in self._lookups:
                runner = asyncio.get_running_loop().create_task(self._look_for(model))
                self._lookups[model] = runner
                runner.add_done_callback(lambda _: self._lookups.pop(model, None))
            return
        self._apply(Wanted(model, loadable.needs_bytes, self._kept_ms(model, keep_alive_ms)))

    def unwanted(self, model: str) -> None:
        """No task of it waits any more."""
        self._wishes.pop(model, None)
        self._apply(Unwanted(model))

    def began(self, model: str) -> None:
        """A task of it has its turn on its engine."""
        self._apply(Began(model))

    def ended(self, model: str) -> None:
        """Such a turn is over."""
        self._apply(Ended(model))

    # ---- what who follows the engines says

    def up(self, model: str) -> None:
        """Its engine takes requests."""
        place = self.place(model)
        if place is Place.LOADING:
            self._apply(Up(model))
        elif place in (None, Place.LEAVING):
            # Its actor was started anew while it was on its way out.
            self._stop(model)

    def failed(self, model: str, reason: str) -> None:
        """Its engine cannot be had. That of the node's own model is tried again by itself."""
        if model != self.own.name and self.place(model) not in (None, Place.LEAVING):
            self._apply(Failed(model, reason))

    def stopped(self, model: str) -> None:
        """Its engine was stopped as it was told to."""
        if self.place(model) is Place.LEAVING:
            self._apply(Gone(model))

    def lost(self, model: str) -> None:
        """The actor of its engine has ended, and there is no other."""
        self.failed(model, "its engine has failed again and again, which is a defect of the node")
        self.stopped(model)

    def engine_names(self) -> Iterable[str]:
        """Those that may be there, to be followed: the node's own also while it is stopped, since
        its actor stays."""
        others = (each.name for each in self.residents() if each is not self.own)
        return [ENGINE_NAME, *map(self.other_engine, others)]

    def close(self) -> None:
        """The node ends: nothing more is begun."""
        self._closed = True
        self._disarm()
        for runner in tuple(self._lookups.values()):
            runner.cancel()

    # ---- inside

    def _kept_ms(self, model: str, keep_alive_ms: int | None) -> int | None:
        if model == self.own.name:
            return None
        chosen = self._limits.keep_alive_ms if keep_alive_ms is None else keep_alive_ms
        return None if chosen == FOR_EVER else chosen

    def _enter(self, found: Loadable) -> None:
        if self.place(found.name) is None:
            # Another file may go by this name by now. One that is loaded stays what it is.
            self._loadables[found.name] = self.own if found.name == self.own.name else found

    async def _look_for(self, model: str) -> None:
        try:
            found = await self.look_up(model)
        except ClientError as error:
            if model in self._wishes:
                del self._wishes[model]
                self.on_refused(model, str(error))
            return
        if model not in self._wishes:
            return
        keep_alive_ms = self._wishes.pop(model)
        if found.name == model:
            self.wanted(model, keep_alive_ms)
        else:
            self.on_refused(model, f"the model {model!r} is {found.name!r} now; ask for that")

    def _apply(self, event: Event) -> None:
        """What follows is carried out before the next, which may come of it."""
        self._events.append(event)
        if self._applying:
            return
        self._applying = True
        try:
            while self._events:
                now_ns = self._system.clock.now_ns()
                for effect in self._residency.apply(self._events.popleft(), now_ns):
                    self._carry_out(effect)
        finally:
            self._applying = False

    def _carry_out(self, effect: Effect) -> None:
        if self._closed:
            return
        match effect:
            case Load(model):
                self._start(model)
            case Unload(model):
                self.on_turns(model)
                self._stop(model)
            case Hold(model) | Open(model):
                self.on_turns(model)
            case Refuse(model, reason):
                if model != self.own.name:
                    self.on_refused(model, reason)
            case Arm(delay_ms):
                self._disarm()
                self._timer = self._system.clock.call_after(delay_ms * NS_PER_MS, self._time_up)
            case Disarm():
                self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_up(self) -> None:
        self._timer = None
        self._apply(TimeUp())

    def _supervisor(self) -> Supervisor:
        supervisor = self._system.registry.whereis(SUPERVISOR_NAME)
        if supervisor is None:
            raise LookupError(f"there is no supervisor {SUPERVISOR_NAME!r}")
        return Supervisor.of(supervisor)

    def _start(self, model: str) -> None:
        name = self.engine_name(model)
        if model == self.own.name:
            self._send(name, StartEngine())
            return
        try:
            self._supervisor().start_child(self._spec(self._loadables[model], name))
        except (ActorDown, AlreadyRegistered, LookupError) as error:
            self._events.append(Failed(model, f"its engine cannot be started: {error}"))
        else:
            self._send(FOLLOWER_NAME, FollowEngine(name))

    def _stop(self, model: str) -> None:
        name = self.engine_name(model)
        if model == self.own.name:
            self._send(name, StopEngine())
            return
        there = False
        with suppress(ActorDown, LookupError):
            there = self._supervisor().terminate_child(name)
        if not there and self.place(model) is Place.LEAVING:
            self._events.append(Gone(model))

    def _send(self, name: str, message: object) -> None:
        ref: Ref | None = self._system.registry.whereis(name)
        if ref is not None:
            ref.send(message)
