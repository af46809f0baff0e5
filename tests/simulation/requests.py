"""What clients ask over HTTP: submissions, good ones and others, again without an answer, and
commands."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from edge.clock import NS_PER_MS
from tests.simulation import checks, script
from tests.simulation.bodies import FAULTS, spelled
from tests.simulation.client import PATIENCE_MAX
from tests.simulation.http import Answer
from tests.simulation.limits import bound_of, token_of
from tests.simulation.node import Life
from tests.simulation.truth import Known, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

Answered = Callable[[Answer], object]
Failed = Callable[[Exception], object]

LATER: Final = (429, 503)
"""The answers that say: not now. All others have to be what was asked for."""


class Requests:
    """All requests of all clients. ``under_way`` counts answers that are coming, and requests that
    will be sent again."""

    def __init__(self, world: World, network: Random, ids: Random) -> None:
        self._world = world
        self._network = network
        self._ids = ids
        self.under_way = 0
        self.invalid: set[int] = set()

    def new_id(self) -> UUID:
        """An id that the node makes, in place of its own chance."""
        return UUID(int=self._ids.getrandbits(128), version=4)

    # ---- submissions

    def post(self, entry: script.Submit, tries: int = 0) -> None:
        """Posts the task; without an answer a client that can do so safely posts it again, with
        more and more patience."""

        def answered(answer: Answer) -> None:
            if answer.status == 202:
                self._accepted(entry, answer.document)
            elif answer.status in LATER:
                failed(OSError(answer.document["detail"]))
            else:
                raise Violation("answers", f"submission {entry.number} was answered {answer}")

        def failed(_error: Exception) -> None:
            # Only what is known to be the same task when it comes again may be sent again.
            if entry.own_id or entry.key is not None:
                wait_ms = self._network.randrange(50, 900) << min(tries, PATIENCE_MAX)
                self.later(wait_ms, lambda: self.post(entry, tries + 1))

        headers = {} if entry.key is None else {"Idempotency-Key": entry.key}
        body = orjson.dumps(self._body(entry))
        self.ask("POST", "/tasks", entry.client, answered, failed, headers, body)

    def _body(self, entry: script.Submit) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": f"{entry.number} {entry.kind} {entry.size}",
            "max_tokens": entry.max_tokens,
            "stop": entry.stop,
            "priority": entry.priority,
            "schedule_in_ms": entry.schedule_in_ms,
            "max_attempts": entry.max_attempts,
            "timeout_ms": entry.timeout_ms,
            "user": entry.asks_for,
        }
        model = self._world.model_of(entry.number)
        if model is not None:
            body["model"] = model if entry.number % 2 else f"{model.upper()}:latest"
        if entry.own_id:
            task_id = str(UUID(int=self._world.seed << 32 | entry.number, version=4))
            body["task_id"] = spelled(task_id, entry.spelling)
        return body

    def post_invalid(self, entry: script.Invalid) -> None:
        """Posts what cannot be accepted: it is refused, and nothing comes of it."""
        self.invalid.add(entry.number)
        body = FAULTS[entry.fault]({"prompt": f"{entry.number} plain 1"})
        headers = {"Idempotency-Key": ""} if entry.fault == "empty key" else {}

        def answered(answer: Answer) -> None:
            if not 400 <= answer.status < 500:
                raise Violation("answers", f"a body with {entry.fault} was answered {answer}")

        self.ask("POST", "/tasks", entry.client, answered, _no_matter, headers, body)

    def _accepted(self, entry: script.Submit, document: dict[str, Any]) -> None:
        world, task_id = self._world, document["task_id"]
        world.note("accepted", entry.number, document)
        known = world.truth.accepted(
            task_id, entry.number, entry.client, entry.key, durable=document["durable"]
        )
        may_be_gone = not known.durable or task_id in world.disk.pruned
        lives = world.life is not None and world.life.tasks.live(task_id) is not None
        if task_id not in world.disk.latest and may_be_gone and not lives:
            # It was lost with the memory of a node while its answer was under way; or it has ended
            # and was cleared away meanwhile.
            world.truth.forget(known)
            return
        world.known[entry.number] = known
        if entry.watches == "channel":
            world.clients[entry.client, 0].watch(known)
        elif entry.watches == "events":
            world.listen(known)

    # ---- commands

    def command(self, known: Known, entry: script.Command) -> None:
        if not entry.http:
            for device in range(script.DEVICES):
                self._world.clients[known.client, device].command(known, entry.event)
            return
        for event in (entry.event, entry.then):
            if event is not None:
                self._command_http(known, event)

    def _command_http(self, known: Known, event: str) -> None:
        world = self._world
        if world.life is None or not world.life.serving:
            return
        if event == "retry":
            known.retries_sent += 1

        def answered(answer: Answer) -> None:
            world.note(event, known.number, answer.status)
            if answer.status == 404 and known.task_id in world.truth.tasks:
                raise Violation("never lost", f"task {known.number}: {answer}")
            if answer.status not in (200, 202, 404, 409, *LATER):
                raise Violation("answers", f"to {event} task {known.number}: {answer}")

        path = f"/tasks/{known.task_id}"
        method, path = ("DELETE", path) if event == "cancel" else ("POST", f"{path}/retry")
        self.ask(method, path, known.client, answered, _no_matter)

    # ---- one request

    def ask(
        self,
        method: str,
        path: str,
        user: str,
        answered: Answered,
        failed: Failed,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        """A request of a client; the answer takes its time, or is lost with the node."""
        world, life = self._world, self._world.life
        if life is None or not life.serving:
            failed(ConnectionRefusedError("there is no node"))
            return
        if not life.has_place():
            world.reach("connections")
            failed(ConnectionRefusedError("the node takes no more connections"))
            return

        async def serve(life: Life) -> None:
            answer = await life.http.ask(
                method, path, token=token_of(user), headers=headers, body=body
            )
            world.watched(checks.answering, life, answer)
            if answer.status in LATER:
                world.reach(bound_of(answer.body.decode()))
            delay_ns = self._network.choice((0, 200_000, 9 * NS_PER_MS))
            del life.asking[request]
            self.under_way += 1
            world.clock.call_after(delay_ns, lambda: arrive(answer))

        def arrive(answer: Answer) -> None:
            self.under_way -= 1
            answered(answer)

        request = object()
        life.asking[request] = failed
        life.loop.spawn(serve(life))

    def later(self, wait_ms: int, call: Callable[[], object]) -> None:
        """Something that will be asked again."""

        def again() -> None:
            self.under_way -= 1
            call()

        self.under_way += 1
        self._world.clock.call_after(wait_ms * NS_PER_MS, again)


def _no_matter(_error: Exception) -> None:
    """There is no answer, and nobody asks again."""
