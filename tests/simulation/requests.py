"""What clients ask over HTTP: submissions, again without an answer, and commands."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edge.clock import NS_PER_MS
from edge.errors import ElwiftError, NotFound
from edge.tasks.task import Options, Request
from tests.simulation import checks, script
from tests.simulation.node import Life
from tests.simulation.truth import Known, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World


class Requests:
    """All requests of all clients. ``under_way`` counts answers that are coming, and requests that
    will be sent again."""

    def __init__(self, world: World, network: Random, ids: Random) -> None:
        self._world = world
        self._network = network
        self._ids = ids
        self.under_way = 0

    def _task_id(self, entry: script.Submit) -> str:
        if entry.own_id:
            return str(UUID(int=self._world.seed << 32 | entry.number, version=4))
        return str(UUID(int=self._ids.getrandbits(128), version=4))

    def post(self, entry: script.Submit) -> None:
        """Posts the task; without an answer a client that can do so safely posts it again."""
        request = Request(
            task_id=self._task_id(entry),
            client=entry.client,
            prompt=f"{entry.number} {entry.kind} {entry.size}",
            messages=None,
            model=None,
            options=Options(max_tokens=entry.max_tokens, stop=entry.stop),
            priority=entry.priority,
            max_attempts=entry.max_attempts,
            timeout_ms=entry.timeout_ms,
            idempotency_key=entry.key,
        )

        def answered(document: dict[str, Any]) -> None:
            self._accepted(entry, document)

        def failed(_error: Exception) -> None:
            # Only what is known to be the same task when it comes again may be sent again.
            if entry.own_id or entry.key is not None:
                wait_ns = self._network.randrange(50, 900) * NS_PER_MS
                self.under_way += 1
                self._world.clock.call_after(wait_ns, again)

        def again() -> None:
            self.under_way -= 1
            self.post(entry)

        life = self._world.life
        if life is None or not life.serving:
            failed(ConnectionRefusedError("there is no node"))
            return
        self._ask(
            life,
            lambda: life.tasks.submit(
                request, own_id=entry.own_id, schedule_in_ms=entry.schedule_in_ms
            ),
            answered,
            failed,
        )

    def _ask(self, life: Life, ask: Any, answered: Any, failed: Any) -> None:
        """An HTTP request of a client; the answer takes its time, or is lost with the node."""

        async def serve() -> None:
            try:
                value, error = await ask(), None
            except ElwiftError as refused:
                value, error = None, refused
            if error is None:
                self._world.watched(checks.answering, life, value)
            delay_ns = self._network.choice((0, 200_000, 9 * NS_PER_MS))
            del life.asking[request]
            self.under_way += 1
            self._world.clock.call_after(delay_ns, lambda: answer(value, error))

        def answer(value: Any, error: Exception | None) -> None:
            self.under_way -= 1
            if error is None:
                answered(value)
            else:
                failed(error)

        request = object()
        life.asking[request] = failed
        life.loop.spawn(serve())

    def _accepted(self, entry: script.Submit, document: dict[str, Any]) -> None:
        task_id = document["task_id"]
        self._world.note("accepted", entry.number, document)
        known = self._world.truth.accepted(
            task_id, entry.number, entry.client, entry.key, durable=document["durable"]
        )
        if not known.durable and task_id not in self._world.disk.latest:
            live = self._world.life is not None and self._world.life.tasks.live(task_id) is not None
            if not live:
                # It was lost with the memory of a node while its answer was under way.
                self._world.truth.forget(known)
                return
        self._world.known[entry.number] = known
        if entry.watches:
            self._world.clients[entry.client, 0].watch(known)

    def command(self, known: Known, entry: script.Command) -> None:
        life = self._world.life
        if life is None or not life.serving:
            return
        if not entry.http:
            for device in range(script.DEVICES):
                self._world.clients[known.client, device].command(known, entry.event)
            return
        for event in (entry.event, entry.then):
            if event is not None:
                self._command_http(life, known, event)

    def _command_http(self, life: Life, known: Known, event: str) -> None:
        tasks = life.tasks
        order = tasks.cancel if event == "cancel" else tasks.retry
        if event == "retry":
            known.retries_sent += 1

        def answered(document: dict[str, Any]) -> None:
            self._world.note(event, known.number, document["state"])

        def failed(error: Exception) -> None:
            self._world.note(f"{event} refused", known.number, str(error))
            if isinstance(error, NotFound) and known.task_id in self._world.truth.tasks:
                raise Violation("never lost", f"task {known.number}: {error}")

        self._ask(life, lambda: order(known.task_id, known.client), answered, failed)
