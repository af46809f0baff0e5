"""Who runs next: the waiting line, the engine's slots, and everybody's place in the line.

Tasks enqueue themselves; the dispatcher gives each its turn (`Turn`) when a slot is free, and tells
those that somebody watches where they stand, at most every ``position_push_ms``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge.actors import Actor, Down, Ref
from edge.inference import Abort, EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.wire import Place
from edge.tasks.eta import Estimator
from edge.tasks.queue import FairQueue

PLACES_MAX: Final = 1_000
"""Tasks that are told their place at a time: those next in line, whose place says most."""


@dataclass(frozen=True, slots=True)
class Enqueue:
    """A task stands in the line; ``front`` if it had its turn already."""

    task_id: str
    client: str
    priority: int
    front: bool
    ref: Ref


@dataclass(frozen=True, slots=True)
class Dequeue:
    """A task leaves the line."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """It is this task's turn: it may send its request to ``engine`` under ``key``."""

    key: int
    engine: Ref


@dataclass(frozen=True, slots=True)
class Release:
    """A task is done with its slot after ``service_ms``."""

    key: int
    service_ms: float
    completion_tokens: int
    decode_ms: float


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

    It stands apart from the actor so that it survives a crash of the actor.
    """

    def __init__(self, tasks_max: int) -> None:
        self.queue = FairQueue(tasks_max)
        self.estimator = Estimator()
        self.slots = 0
        self.running: dict[int, _Running] = {}
        self.refs: dict[str, Ref] = {}
        self.last_key = 0
        self.engine = "starting"
        self.now_ns: Callable[[], int] = lambda: 0

    def place_of_next(self, client: str, priority: int) -> Place:
        """Where a task accepted now will stand."""
        position = self.queue.position_of_next(client, priority)
        return Place(position, self.wait_ms(position))

    def place(self, task_id: str) -> Place | None:
        """Where a waiting task stands; None when it does not wait."""
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


class Dispatcher(Actor):
    """Owns the line. Permanent: after a crash it goes on with the same `Board`."""

    def __init__(self, board: Board, engine_name: str, position_push_ms: int) -> None:
        self._board = board
        self._engine_name = engine_name
        self._position_push_ms = position_push_ms
        self._watched: dict[str, None] = {}
        self._armed = False

    def started(self) -> None:
        self._board.now_ns = self.system.clock.now_ns
        for running in self._board.running.values():
            self.monitor(running.ref)
        engine = self.system.registry.whereis(self._engine_name)
        if engine is not None:
            self.monitor(engine)
            engine.send(Subscribe(self.ref))

    def handle(self, message: object) -> None:
        if type(message) is Release:
            self._release(message)
        elif type(message) is Enqueue:
            self._enqueue(message)
        elif type(message) is Dequeue:
            self._board.refs.pop(message.task_id, None)
            self._watched.pop(message.task_id, None)
            if self._board.queue.remove(message.task_id):
                self._places_changed()
        elif type(message) is Watched:
            self._watched[message.task_id] = None
            self._places_changed()
        elif type(message) is Down:
            self._down(message.ref)
        elif type(message) is _PushPlaces:
            self._push_places()
        else:
            self._engine_event(message)

    def _engine_event(self, message: object) -> None:
        board = self._board
        if isinstance(message, EngineUp):
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
        queue = self._board.queue
        if message.task_id in queue:
            # An actor that was restarted enqueues its task again.
            queue.remove(message.task_id)
        queue.push(message.task_id, message.client, message.priority, front=message.front)
        self._board.refs[message.task_id] = message.ref
        self._give_turns()
        self._places_changed()

    def _give_turns(self) -> None:
        board = self._board
        engine = self.system.registry.whereis(self._engine_name)
        if engine is None:
            return
        while len(board.running) < board.slots:
            task_id = board.queue.pop()
            if task_id is None:
                return
            self._watched.pop(task_id, None)
            ref = self._board.refs.pop(task_id)
            if not ref.alive:
                continue
            board.last_key += 1
            board.running[board.last_key] = _Running(ref, self.system.clock.now_ns())
            self.monitor(ref)
            ref.send(Turn(board.last_key, engine))
            self._places_changed()

    def _release(self, message: Release) -> None:
        running = self._board.running.pop(message.key, None)
        if running is None:
            return
        self.demonitor(running.ref)
        if message.completion_tokens:
            self._board.estimator.observe(
                message.service_ms, message.completion_tokens, message.decode_ms
            )
        self._give_turns()

    def _down(self, ref: Ref) -> None:
        """A running task's actor ended without releasing its slot, or the engine's did."""
        engine = self.system.registry.whereis(self._engine_name)
        held = [key for key, running in self._board.running.items() if running.ref is ref]
        for key in held:
            del self._board.running[key]
            if engine is not None:
                engine.send(Abort(key))
        if not held and engine is not None and engine is not ref:
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
