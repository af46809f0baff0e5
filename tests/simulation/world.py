"""The world: a node, its clients, its engine's machine and its disk, from a seed to the end of all.

Time passes in instants. At each one the clocks' timers run, then the node's loop, breath by breath,
until it is at rest; now and then a little time passes between two breaths, so that whatever comes
from outside comes in the middle of something, too. After every breath the promises are checked.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any
from unittest import mock
from uuid import UUID

from edge.clock import NS_PER_MS, NS_PER_S, ManualClock
from edge.gateway import submission
from edge.telemetry import Event, context
from tests.simulation import checks, clocks, health, line, script, troubles
from tests.simulation.archive import Archivist
from tests.simulation.client import Client
from tests.simulation.disk import Disk
from tests.simulation.engine import Machine
from tests.simulation.events import Listener
from tests.simulation.limits import Config
from tests.simulation.node import OTHERS, Life
from tests.simulation.requests import Requests
from tests.simulation.sockets import Link
from tests.simulation.truth import TERMINAL, End, Known, Truth, View

CALM_S_MAX = 1_800
"""How long after the last trouble everything may take to end."""

LOOKED_AT = 4
"""Tasks whose promises are checked after each breath, at an average."""

_QUIET = frozenset({"engine.step", "store.committed", "actor.crashed"})


class World:
    """One run of one script. ``trace`` is all that happened, in order; ``reached`` are the bounds
    that somebody came to (`limits.BOUNDS`)."""

    def __init__(self, seed: int, entries: script.Script) -> None:
        self.seed = seed
        self.entries = entries
        self.clock = ManualClock()
        self.trace: list[Any] = []
        self.truth = Truth()
        self.config = Config.draw(self._rng("config"), seed)
        self.disk = Disk(self.clock, self._rng("disk"), kept=script.is_kept(seed))
        self.disk.on_cleared = partial(self.watched, checks.cleared)
        self.machine = Machine(
            self.clock, self._rng("engine"), self.config.slots, self.config.step_ms
        )
        self.second = Machine(self.clock, self._rng("second engine"), 1, self.config.step_ms)
        self.others = {
            each.name: Machine(
                self.clock, self._rng(each.name), self.config.slots, self.config.step_ms,
                model=each.name, deaths=self.machine.deaths, finished=self.machine.finished,
                rejected=self.machine.rejected,
            )
            for each in OTHERS[: self.config.others]
        }  # fmt: skip
        for machine in (self.machine, self.second, *self.others.values()):
            machine.on_generate = partial(checks.generate, self, machine)
        self.clients = {
            (user, device): Client(
                user, self.clock, self._rng(f"{user} {device}"), self, self.config, self.trace
            )
            for user in script.USERS
            for device in range(script.DEVICES)
        }
        self.submitted: dict[int, script.Submit] = {}
        self.known: dict[int, Known] = {}
        self.posted_us = {
            entry.number: at_us for at_us, entry in entries if isinstance(entry, script.Submit)
        }
        self.has_crashes = any(isinstance(entry, script.CrashActor) for _, entry in entries)
        self.accepted_ns: dict[str, int] = {}
        self.listeners: list[Listener] = []
        self.reached: set[str] = set()
        self._line = line.Watch()
        self.engine_troubles = 0
        self.told_in_memory: set[str] = set()  # their ends were told while the disk refused
        self.broken: Exception | None = None
        self.life: Life | None = None
        self.lives = 0
        self.thawed_ns = 0  # when the node last was itself again
        self._breaths = self._rng("breaths")
        self._looks = self._rng("looks")
        self._network = self._rng("network")
        self.requests = Requests(self, self._network, self._rng("ids"))
        self.archivist = Archivist(self)

    def _rng(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    def note(self, what: str, *details: Any) -> None:
        """Writes something into the trace."""
        self.trace.append((self.clock.now_ns(), what, *details))

    # ---- time

    def run(self) -> None:
        """Everything, to the end. `Violation` when a promise is broken."""
        # A world is the same whatever the chance of the real machine says.
        ids = mock.patch.object(submission, "uuid4", self.requests.new_id)
        chance = self._rng("request ids")

        def of_request() -> UUID:
            return UUID(int=chance.getrandbits(128))

        of_requests = mock.patch.object(context, "uuid4", of_request)
        try:
            with ids, of_requests, self.config.applied():
                self._run()
        finally:
            if self.life is not None:
                self.life.kill()
            self.disk.close()

    def _run(self) -> None:
        self._start_node()
        for at_us, entry in self.entries:
            self.clock.call_after(at_us * 1_000, partial(self._happen, entry))
        last_us = self.entries[-1][0] if self.entries else 0
        self._run_until(last_us * 1_000 + troubles.LASTS_NS_MAX)
        self._calm_down()
        self.wait_for(self._at_rest)
        checks.everything_ended(self)
        self.archivist.read_all()
        health.gets_well(self)
        checks.nothing_left(self)

    def _run_until(self, until_ns: int, over: Any = lambda: False) -> None:
        while True:
            self._settle()
            if over():
                return
            due_ns = self._next_due_ns()
            if due_ns is None or due_ns > until_ns:
                self._pass(max(0, until_ns - self.clock.now_ns()))
                return
            # What a node that was frozen has missed was due before.
            self._pass(max(0, due_ns - self.clock.now_ns()))

    def _next_due_ns(self) -> int | None:
        life = self.life
        awake = life is not None and not life.frozen
        dues = [self.clock.next_due_ns(), life.clock.next_due_ns() if life and awake else None]
        return min((due for due in dues if due is not None), default=None)

    def _pass(self, delta_ns: int) -> None:
        """Time passes, for the world first and then for the node, if it still lives."""
        life = self.life
        target_ns = self.clock.now_ns() + delta_ns
        self.clock.advance(delta_ns)
        if life is not None and life.alive:
            life.pass_until(target_ns)

    def _settle(self) -> None:
        while (life := self.life) is not None and not life.frozen and len(life.loop):
            life.loop.breath()
            checks.after_a_breath(self, life)
            self._line.look(self)
            if self._breaths.random() < 0.3:
                self._pass(self._breaths.choice((20_000, 200_000, 1_000_000)))

    def settle_for(self, span_ns: int) -> None:
        """Lets this much time pass."""
        self._run_until(self.clock.now_ns() + span_ns)

    def is_time_to_look_at_all(self) -> bool:
        """Of a few tasks after every breath, of hundreds after some."""
        tasks = len(self.truth.tasks)
        return tasks <= LOOKED_AT or self._looks.random() < LOOKED_AT / tasks

    def wait_for(self, over: Any) -> None:
        """Lets time pass until this is so, or it is too long for anything in a calm world."""
        self._run_until(self.clock.now_ns() + CALM_S_MAX * NS_PER_S, over)

    # ---- what clients know of it; see `Host`

    def known_of(self, task_id: str) -> Known | None:
        return self.truth.tasks.get(task_id)

    def told_end(self, known: Known, end: End, sent_ns: int, durable: bool) -> None:
        checks.told_end(self, known, end, sent_ns, durable)

    def reach(self, bound: str | None) -> None:
        if bound is not None:
            self.reached.add(bound)

    def model_of(self, number: int) -> str | None:
        """Which model this submission asks for; None where it names none."""
        names = (None, *self.others)
        return names[number % len(names)]

    def engines(self) -> tuple[Machine, ...]:
        """The machines of all models that clients may name."""
        return (self.machine, *self.others.values())

    # ---- the node

    def _start_node(self) -> None:
        self.lives += 1
        rng = self._rng(f"life {self.lives}")
        self.note("node starts", self.lives)
        life = Life(
            self.config, self.clock, self.disk, self.machine, self.second, self.others, rng,
            self._node_ends,
        )  # fmt: skip
        self.life = life
        life.telemetry.attach(lambda event: self._heard(life, event))

    def _heard(self, life: Life, event: Event) -> None:
        if event.name not in _QUIET:
            fields = {k: str(v) if k == "error" else v for k, v in event.fields.items()}
            self.note(event.name, fields)
        self.watched(checks.heard, life, event)
        self.watched(clocks.heard, life, event)

    def watched(self, check: Any, *arguments: Any) -> None:
        """A check inside of the node's own calls: what it finds is raised outside of them, where
        nobody takes it for a fault of theirs; also that the check itself is broken."""
        try:
            check(self, *arguments)
        except Exception as error:
            self.broken = self.broken or error

    def _node_ends(self) -> None:
        """It could not start or go on, or was stopped. What waits for the disk is written, if the
        disk lets it; then whoever looks after the node starts it again."""
        life = self.life

        def end() -> None:
            if life is not self.life or life is None:
                return
            if life.store.rows_waiting and not self.disk.refuses_writes:
                self.clock.call_after(NS_PER_MS, end)
            else:
                self._kill_node(1_000)

        if life is not None:
            life.serving = False
            self.clock.call_after(0, end)

    def _stop_node(self) -> None:
        life = self.life
        if life is not None and life.serving:
            self.note("node stops")
            life.loop.spawn(life.stop())

    def _kill_node(self, down_ms: int) -> None:
        life = self.life
        if life is None:
            return
        self.note("node killed")
        checks.before_a_kill(self)
        life.kill()
        for machine in (self.machine, self.second, *self.others.values()):
            if machine.process is not None:
                machine.process.vanish()
        self.life = None
        for failed in life.asking.values():
            failed(ConnectionResetError("the node is gone"))
        self.clock.call_after(down_ms * NS_PER_MS, self._start_node)

    def connect(self, client: Client) -> Link | None:
        """See `Host`."""
        life = self.life
        if life is None or not life.serving or not life.has_place():
            return None
        link = Link(
            self.clock, self._network, life.loop.real, client,
            lambda: life.store.durable,
        )  # fmt: skip
        life.loop.call_now(lambda: life.accept(link, client.name))
        return link

    # ---- what happens

    def _happen(self, entry: script.Entry) -> None:
        self.note("script", entry)
        match entry:
            case script.Submit():
                self.submitted[entry.number] = entry
                self.requests.post(entry)
            case script.Repeat(number):
                if number in self.submitted:
                    self.requests.post(self.submitted[number])
            case script.Invalid():
                self.requests.post_invalid(entry)
            case script.Follow(user, device):
                self.clients[user, device].follow()
            case script.Unfollow(user, device):
                self.clients[user, device].unfollow()
            case script.Listen(number):
                self._with(number, self.listen)
            case script.Page(user, limit):
                self.archivist.walk(user, limit)
            case script.Export(user, times):
                self.archivist.export(user, times)
            case script.Pause():
                line.pause(self, entry)
            case script.LookAtHealth():
                health.look(self)
            case script.Watch(number, device):
                self._with(number, lambda known: self.clients[known.client, device].watch(known))
            case script.Leave(number, device):
                self._with(number, lambda known: self.clients[known.client, device].leave(known))
            case script.Command():
                self._with(entry.number, lambda known: self.requests.command(known, entry))
            case script.Network():
                troubles.network(self, entry)
            case script.Engine(what):
                troubles.engine(self, what)
            case script.DiskFault():
                troubles.disk(self, entry)
            case script.CrashActor():
                troubles.crash_actor(self, entry)
            case script.Freeze(ms):
                troubles.freeze(self, ms)
            case script.SetClock():
                clocks.set_wall(self, entry)
            case script.KillNode(gently=True):
                self._stop_node()
            case script.KillNode(down_ms):
                self._kill_node(down_ms)

    def _with(self, number: int, act: Any) -> None:
        known = self.known.get(number)
        if known is not None:
            act(known)

    def listen(self, known: Known) -> None:
        """Its owner reads the task as a stream of events."""
        listener = Listener(self, known, self._rng(f"listener {len(self.listeners)}"))
        self.listeners.append(listener)
        listener.connect()

    def views(self) -> list[View]:
        """All looks at single tasks."""
        views = [view for client in self.clients.values() for view in client.views]
        return views + [listener.view for listener in self.listeners]

    def look_away(self, known: Known) -> None:
        """Nobody looks at the task any more."""
        for client in self.clients.values():
            client.drop(known)
        for listener in self.listeners:
            if listener.view.known is known:
                listener.leave()
        self.listeners = [each for each in self.listeners if not each.over]

    def drop(self, known: Known) -> None:
        """The task is gone, as was promised."""
        self.truth.forget(known)
        self.known = {number: each for number, each in self.known.items() if each is not known}
        self.look_away(known)

    # ---- the end

    def _calm_down(self) -> None:
        """No trouble from now on, and everybody looks."""
        self.note("calm")
        troubles.heal_disk(self)
        troubles.thaw(self, self.life)
        for machine in (self.machine, *self.others.values()):
            machine.next_loads.clear()
        for client in self.clients.values():
            if client.link is not None:
                client.link.resume()

    def _at_rest(self) -> bool:
        life = self.life
        if life is None or not life.serving or life.asking or self.requests.under_way:
            return False
        if any(row.state not in TERMINAL for row in self.disk.latest.values()):
            return False
        if not all(view.closed for view in self.views()):
            return False
        if not all(client.mine is None or client.mine.at_rest for client in self.clients.values()):
            return False
        return not life.system.registry.names("task:") and life.store.rows_waiting == 0
