"""Who runs next: the waiting line, the engine's slots, and everybody's place in the line.

Tasks enqueue themselves; the dispatcher gives each its turn (`Turn`) when a slot is free, and tells
those that somebody watches where they stand, at most every ``position_push_ms``.

Two kinds of turns are out of the ordinary:

* A *trial*: the engine died, and this task was one of several that may have caused it. Those come
  first, one at a time: the next, and everybody else, only once this one has made a token
  (`Cleared`) or is done. So the guilty one will be alone in the engine when it dies again.
* A *detour*: the fallback's turn. The tasks for which only that is left have a line of their own;
  and while the engine is out for long (`Outage`), those in the common line that allow it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.actors import Actor, Down, Ref, Supervisor
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.wire import Place
from edge.tasks.eta import Estimator
from edge.tasks.queue import FairQueue

PLACES_MAX: Final = 1_000
"""Tasks that are told their place at a time: those next in line, whose place says most."""


@dataclass(frozen=True, slots=True)
class Enqueue:
    """A task stands in the line; ``front`` if it had its turn already. ``trial``: it may have ended
    an engine. ``fallback``: it may be answered otherwise; ``detour``: it can only be."""

    task_id: str
    client: str
    priority: int
    front: bool
    ref: Ref
    trial: bool = False
    fallback: bool = False
    detour: bool = False


@dataclass(frozen=True, slots=True)
class Dequeue:
    """A task leaves the line."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """It is this task's turn, under ``key``: it may send its request to the engine, or, on a
    ``detour``, ask the fallback."""

    key: int
    trial: bool = False
    detour: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """The task on trial has made a token: it was not the one."""

    key: int


@dataclass(frozen=True, slots=True)
class Outage:
    """Whether the engine has been out for so long that tasks may be answered otherwise."""

    out: bool


@dataclass(frozen=True, slots=True)
class Release:
    """A task is done with its slot after ``service_ms``."""

    key: int
    service_ms: float
    completion_tokens: int
    decode_ms: float


class Recount:
    """To all tasks: say where you stand (`Holding`, and `Enqueue` again). The dispatcher has
    crashed, and what it had not read yet is lost."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The turn that the task with this actor holds, if it holds one."""

    ref: Ref
    key: int | None


@dataclass(frozen=True, slots=True)
class Watched:
    """Somebody watches this waiting task: it wants to hear of its place."""

    task_id: str


class _PushPlaces:
    """It is time to tell the places."""


_PUSH_PLACES = _PushPlaces()


@dataclass(slots=True)
class _Running:
    ref: Ref
    started_ns: int


class Board:
    """The dispatcher's state: it alone writes it, others on the loop's thread may read it.

    It stands apart from the actor so that it survives a crash of the actor. ``detour_slots`` is how
    many tasks may be on a detour at a time, 0 where there is no fallback.
    """

    def __init__(self, tasks_max: int, detour_slots: int = 0) -> None:
        self.queue = FairQueue(tasks_max)
        self.estimator = Estimator()
        self.slots = 0
        self.running: dict[int, _Running] = {}
        self.refs: dict[str, Ref] = {}
        self.last_key = 0
        self.engine = "starting"
        self.now_ns: Callable[[], int] = lambda: 0
        self.trials: OrderedDict[str, None] = OrderedDict()
        self.on_trial: int | None = None
        self.detour_slots = detour_slots
        self.detour_line = FairQueue(tasks_max)
        self.detours: dict[int, _Running] = {}
        self.divertible: set[str] = set()  # those that wait and may be answered otherwise
        self.outage = False
        self.served = False  # there was a dispatcher before
        self.draining = False  # no more turns are given; `when_idle` is called once none is held
        self.when_idle: Callable[[], object] = lambda: None

    @property
    def waiting(self) -> int:
        """How many tasks wait for a turn of any kind."""
        return len(self.queue) + len(self.trials) + len(self.detour_line)

    @property
    def busy(self) -> int:
        """How many tasks have their turn."""
        return len(self.running) + len(self.detours)

    def place_of_next(self, client: str, priority: int) -> Place:
        """Where a task accepted now will stand."""
        position = self.queue.position_of_next(client, priority)
        return Place(position, self.wait_ms(position))

    def place(self, task_id: str) -> Place | None:
        """Where a waiting task stands; None when it does not wait."""
        if task_id in self.trials:
            return Place(1, self.wait_ms(1))
        position = self.queue.positions({task_id}).get(task_id)
        return None if position is None else Place(position, self.wait_ms(position))

    def wait_ms(self, position: int) -> int:
        """The estimated wait at this position."""
        now_ns = self.now_ns()
        service_ms = self.estimator.service_ms
        left_ms = [
            max(0.0, service_ms - (now_ns - each.started_ns) / 1e6)
            for each in self.running.values()
        ]
        return self.estimator.wait_ms(position, self.slots, left_ms)

    def take_out(self, task_id: str) -> bool:
        """Takes a task out of whichever line it stands in; False when it stands in none."""
        self.divertible.discard(task_id)
        if task_id in self.trials:
            del self.trials[task_id]
            return True
        return self.queue.remove(task_id) or self.detour_line.remove(task_id)

    def next_to_run(self) -> str | None:
        """Takes out whose turn the next free slot is."""
        if self.trials:
            return self.trials.popitem(last=False)[0]
        return self.queue.pop()

    def next_to_divert(self) -> str | None:
        """Takes out who is to be answered otherwise, if anybody is."""
        task_id = self.detour_line.pop()
        if task_id is None and self.outage and self.divertible:
            task_id = next((each for each in self.trials if each in self.divertible), None)
            if task_id is None:
                task_id = self.queue.pop(self.divertible)
            else:
                del self.trials[task_id]
        return task_id


class Dispatcher(Actor):
    """Owns the line. Permanent: after a crash it goes on with the same `Board`, once it has asked
    the children of the supervisor of the tasks where they stand."""

    def __init__(
        self,
        board: Board,
        engine_name: str,
        position_push_ms: int,
        tasks_name: str = "tasks",
    ) -> None:
        self._board = board
        self._tasks_name = tasks_name
        self._unconfirmed: dict[Ref, set[int]] = {}
        self._engine_name = engine_name
        self._position_push_ms = position_push_ms
        self._watched: dict[str, None] = {}
        self._armed = False

    def started(self) -> None:
        self._board.now_ns = self.system.clock.now_ns
        if self._board.served:
            self._recount()
        self._board.served = True
        engine = self.system.registry.whereis(self._engine_name)
        if engine is not None:
            self.monitor(engine)
            engine.send(Subscribe(self.ref))

    def handle(self, message: object) -> None:
        if type(message) is Release:
            self._release(message)
        elif type(message) is Holding:
            for key in self._unconfirmed.pop(message.ref, ()):
                if key != message.key:
                    self._release(Release(key, 0.0, 0, 0.0))
        elif type(message) is Enqueue:
            self._enqueue(message)
        elif type(message) is Dequeue:
            self._board.refs.pop(message.task_id, None)
            self._watched.pop(message.task_id, None)
            if self._board.take_out(message.task_id):
                self._places_changed()
        elif type(message) is Cleared:
            self._trial_over(message.key)
            self._give_turns()
        elif type(message) is Watched:
            if message.task_id in self._board.refs:  # else its turn is under way to it
                self._watched[message.task_id] = None
                self._places_changed()
        elif type(message) is Down:
            self._down(message.ref)
        elif type(message) is _PushPlaces:
            self._push_places()
        else:
            self._engine_event(message)

    def _recount(self) -> None:
        for key, running in (*self._board.running.items(), *self._board.detours.items()):
            self.monitor(running.ref)
            self._unconfirmed.setdefault(running.ref, set()).add(key)
        tasks = self.system.registry.whereis(self._tasks_name)
        if tasks is not None:
            for ref in Supervisor.of(tasks).children().values():
                ref.send(Recount())

    def _engine_event(self, message: object) -> None:
        board = self._board
        if isinstance(message, Outage):
            board.outage = message.out
            self._give_turns()
        elif isinstance(message, EngineUp):
            board.slots = message.ready.slots
            board.engine = "ready"
            self._give_turns()
        elif isinstance(message, EngineDown):
            board.slots = 0
            board.engine = f"restarting: {message.reason}"
        elif isinstance(message, EngineGivenUp):
            board.slots = 0
            board.engine = f"given up: {message.reason}"

    def _enqueue(self, message: Enqueue) -> None:
        board, task_id = self._board, message.task_id
        trial = message.trial and not message.detour
        line = board.detour_line if message.detour else board.queue
        # Who enqueues again, after a crash of its own or ours, keeps its place.
        if task_id not in (board.trials if trial else line):
            board.take_out(task_id)
            if trial:
                board.trials[task_id] = None
                board.trials.move_to_end(task_id, last=not message.front)
            else:
                line.push(task_id, message.client, message.priority, front=message.front)
        if message.fallback:
            board.divertible.add(task_id)
        else:
            board.divertible.discard(task_id)
        board.refs[task_id] = message.ref
        self._give_turns()
        self._places_changed()

    def _give_turns(self) -> None:
        board = self._board
        if board.draining:
            if not board.busy:
                board.when_idle()
            return
        if self.system.registry.whereis(self._engine_name) is not None:
            while len(board.running) < board.slots and board.on_trial is None:
                trial = bool(board.trials)
                task_id = board.next_to_run()
                if task_id is None:
                    break
                key = self._give_turn(task_id, board.running, trial=trial)
                if trial:
                    board.on_trial = key
        while len(board.detours) < board.detour_slots:
            task_id = board.next_to_divert()
            if task_id is None:
                break
            self._give_turn(task_id, board.detours, detour=True)

    def _give_turn(
        self, task_id: str, lane: dict[int, _Running], *, trial: bool = False, detour: bool = False
    ) -> int | None:
        """The key of the turn; None when nobody is there to take it."""
        board = self._board
        board.divertible.discard(task_id)
        self._watched.pop(task_id, None)
        ref = board.refs.pop(task_id)
        if not ref.alive:
            return None
        board.last_key += 1
        lane[board.last_key] = _Running(ref, self.system.clock.now_ns())
        self.monitor(ref)
        ref.send(Turn(board.last_key, trial, detour))
        self._places_changed()
        return board.last_key

    def _trial_over(self, key: int) -> None:
        if key == self._board.on_trial:
            self._board.on_trial = None

    def _release(self, message: Release) -> None:
        board = self._board
        running = board.running.pop(message.key, None)
        if running is not None and message.completion_tokens:
            board.estimator.observe(
                message.service_ms, message.completion_tokens, message.decode_ms
            )
        running = running or board.detours.pop(message.key, None)
        if running is None:
            return
        self.demonitor(running.ref)
        self._trial_over(message.key)
        self._give_turns()

    def _down(self, ref: Ref) -> None:
        """The actor of a task ended without releasing its slot, or the engine's did."""
        board = self._board
        self._unconfirmed.pop(ref, None)
        engine = self.system.registry.whereis(self._engine_name)
        held = [key for key, running in board.running.items() if running.ref is ref]
        for key in held:
            del board.running[key]
            self._trial_over(key)
            if engine is not None:
                engine.send(Abort(key))
        # What runs for nobody in the engine of a detour is noticed there.
        detours = [key for key, running in board.detours.items() if running.ref is ref]
        for key in detours:
            del board.detours[key]
        if not held and not detours and engine is not None and engine is not ref:
            self.monitor(engine)
            engine.send(Subscribe(self.ref))
        self._give_turns()

    def _places_changed(self) -> None:
        if self._watched and not self._armed:
            self._armed = True
            self.send_after(self._position_push_ms, _PUSH_PLACES)

    def _push_places(self) -> None:
        self._armed = False
        positions = self._board.queue.positions(self._watched.keys(), PLACES_MAX)
        for task_id, position in positions.items():
            self._board.refs[task_id].send(Place(position, self._board.wait_ms(position)))
