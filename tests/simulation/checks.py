"""The promises, checked after every breath of the node's loop and once more at the end of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.clock import NS_PER_MS, NS_PER_S
from edge.engine.messages import Generate
from edge.gateway.events import KEEP_ALIVE_MS
from edge.services.task.actor import MODEL_UNAVAILABLE
from edge.services.task.journal import rebuild
from edge.storage import StoredTask
from edge.tasks.task import Snapshot, State
from edge.telemetry import Event
from tests.simulation import clocks
from tests.simulation.engine import Machine, Prompt, text_of
from tests.simulation.http import Answer
from tests.simulation.mine import Mine
from tests.simulation.node import Life
from tests.simulation.truth import TERMINAL, End, Known, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

INNOCENT: Final = frozenset({"outside", "stopped"})

COMMIT_NS_MAX: Final = NS_PER_S // 4
"""How long a commit takes at most, with all that waits before it, while the disk works."""


def after_a_breath(world: World, life: Life) -> None:
    """What has to hold at any time."""
    if world.broken is not None:
        raise world.broken
    if life.loop.failures:
        raise Violation("defect", f"a callback raised: {life.loop.failures[0]}")
    for error in life.failures:
        if life.serving and "simulated" not in str(error):
            raise Violation("defect", f"an actor crashed: {error!r}")
    life.failures.clear()
    if life.overflows:
        raise Violation("bounds", f"the mailbox of {life.overflows[0]} overflowed")
    for lane in life.turns.lanes:
        if lane.line.busy_slots > world.config.slots:
            raise Violation("bounds", f"{lane.line.busy_slots} tasks of {lane.model} run at once")
    pool = life.parts.pool
    if pool.used_bytes > pool.budget_bytes:
        raise Violation("bounds", f"all models together have {pool.used_bytes} bytes")
    # Hundreds are looked at by turns.
    if world.is_time_to_look_at_all():
        _look_at_all(world, life)


def _look_at_all(world: World, life: Life) -> None:
    latest = world.disk.latest
    for known in world.truth.tasks.values():
        if known.task_id in latest:
            if life.serving and latest[known.task_id].state not in TERMINAL:
                _lives(life, known.number, known.task_id)
        elif known.durable:
            raise Violation("never lost", f"task {known.number} was accepted and is not on disk")
    if life.serving and world.clock.now_ns() > world.thawed_ns + clocks.LATE_NS_MAX:
        clocks.not_late(world, life)


def _lives(life: Life, number: int, task_id: str) -> None:
    if life.tasks.live(task_id) is None and not life.store.rows_waiting:
        raise Violation("never lost", f"task {number} has not ended, and has no actor")


def heard(world: World, life: Life, event: Event) -> None:
    """The node's own account of what it does."""
    if event.name == "task.accepted":
        accepted = life.tasks.live(str(event.fields["task_id"]))
        if accepted is not None and accepted.alive:
            prompt = accepted.actor().task.request.prompt  # type: ignore[attr-defined]  # a task's
            if int(prompt.split()[0]) in world.requests.invalid:
                raise Violation("answers", f"what was to be refused is accepted: {prompt}")
        # Who comes back to the line always finds a place; those who never left it are bounded.
        tasks = [each.owner.task for each, _ in life.turns.in_order()]
        waiting = sum(task.begun_run_ns is None and task.version == 1 for task in tasks)
        if waiting > world.config.queue_max:
            raise Violation("bounds", f"{waiting} tasks wait")
    elif event.name == "task.finished":
        row = world.disk.latest.get(str(event.fields["task_id"]))
        written = row is not None and row.state == event.fields["state"]
        if not written and not life.store.durable:
            world.told_in_memory.add(str(event.fields["task_id"]))
        elif not written:
            raise Violation("commit first", f"the end was told before its commit: {event.fields}")


def answering(world: World, life: Life, answer: Answer) -> None:
    """An HTTP answer is about to leave."""
    if answer.status >= 500 and answer.status != 503:
        raise Violation("answers", f"a request was answered {answer}")
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return
    document = answer.document
    if "task_id" not in document or "durable" not in document:
        return
    task_id = document["task_id"]
    row = world.disk.latest.get(task_id)
    gone = task_id in world.disk.pruned
    if document["durable"] and row is None and not gone:
        raise Violation("never lost", f"task {task_id} was called durable and is not on disk")
    known = world.truth.tasks.get(task_id)
    if known is None or document["state"] not in TERMINAL or known.retries_sent:
        return
    untold = life.store.durable and task_id not in world.told_in_memory and not gone
    if untold and (row is None or row.state not in TERMINAL):
        raise Violation("commit first", f"an answer shows an end that is not on disk: {document}")
    known.announced(End(document["state"], (document.get("result") or {}).get("text")))


def told_end(world: World, known: Known, end: End, sent_ns: int, durable: bool) -> None:
    """An end was announced to a client: it had to be on the disk by then, if the disk worked."""
    ended_ns = world.disk.ended_ns.get(known.task_id)
    durable = durable and known.task_id not in world.told_in_memory
    if durable and not known.retries_sent and (ended_ns is None or ended_ns > sent_ns):
        raise Violation("commit first", f"task {known.number} was told as {end} too early")


def cleared(world: World, task_ids: set[str]) -> None:
    """The janitor has taken tasks from the disk: ended ones, and not more than too many."""
    latest = world.disk.latest
    for task_id in task_ids:
        if latest[task_id].state not in TERMINAL:
            raise Violation("pruning", f"an unfinished task was cleared away: {latest[task_id]}")
        known = world.truth.tasks.get(task_id)
        if known is not None:
            world.drop(known)
    left = sum(row.state in TERMINAL for row in latest.values()) - len(task_ids)
    if left < world.config.keep_tasks_max:
        raise Violation("pruning", f"{len(task_ids)} were cleared away and only {left} kept")


def generate(world: World, machine: Machine, prompt: Prompt, request: Generate) -> None:
    """The node has sent a request to an engine, which has the model that was asked for: it goes on
    behind what clients have."""
    own = prompt.number >= 0 and machine is not world.second
    if own and (world.model_of(prompt.number) or world.machine.model) != machine.model:
        raise Violation("models", f"task {prompt.number} runs on {machine.model}")
    said = text_of(request.resume_tokens, request.sampling.stop, final=False)
    if len(said) != request.resume_chars:
        raise Violation(
            "text", f"task {prompt.number} goes on at {request.resume_chars} after {said!r}"
        )


def before_a_kill(world: World) -> None:
    """What lived in memory alone is about to be lost; that may be nothing that was promised."""
    _check_snapshots(world)
    for known in tuple(world.truth.tasks.values()):
        row = world.disk.latest.get(known.task_id)
        if row is None:
            world.drop(known)
        elif row.state not in TERMINAL and known.ends and not known.retries_sent:
            # Its end was told while the disk refused, which the answers said; it ends once more.
            known.ends.clear()
            world.look_away(known)


def _check_snapshots(world: World) -> None:
    """Of text no more is lost than what came after the last snapshot was due."""
    due_ns = world.clock.now_ns() - world.config.snapshot_ms * NS_PER_MS - COMMIT_NS_MAX
    if due_ns < world.disk.trouble_ns or world.config.rows_waiting_max < 100:
        return  # too few rows may wait to promise anything
    for view in world.views():
        known = view.known
        heard = view.heard_by(due_ns)
        if not view.joined or not heard or known.retries_sent or known.crashes:
            continue
        kept = len(_snapshot(world, known.task_id).text)
        if kept < heard:
            raise Violation("snapshots", f"{view} had {heard} characters, {kept} are kept")


# ---- at the end


def everything_ended(world: World) -> None:
    """Everything has ended as promised."""
    life = world.life
    if life is None or not life.serving:
        raise Violation("at rest", "the node does not come up")
    for task_id, row in world.disk.latest.items():
        if row.state not in TERMINAL:
            raise Violation("one end", f"a task never ends: {_snapshot(world, task_id)}")
    for known in world.truth.tasks.values():
        if known.task_id not in world.disk.latest:
            raise Violation("never lost", f"task {known.number} is not on disk")
    for view in world.views():
        if not view.closed:
            raise Violation("one end", f"{view} never saw an end")
    if names := life.system.registry.names("task:"):
        raise Violation("leak", f"the actors of ended tasks stay: {names}")
    if life.store.rows_waiting:
        raise Violation("leak", f"{life.store.rows_waiting} rows wait for a disk that works")
    for task_id in world.disk.latest:
        _check_task(world, _snapshot(world, task_id))
    for key, ids in world.disk.by_key.items():
        if len(ids) > 1:
            raise Violation("idempotency", f"{key} was accepted {len(ids)} times")
    for client in world.clients.values():
        if client.mine is not None:
            _check_mine(world, client.mine)


def _check_mine(world: World, mine: Mine) -> None:
    """Who looks at all tasks has seen all, each to its end, with its own text."""
    if mine.refused:
        return
    if not mine.joined:
        raise Violation("one end", f"{mine.user} cannot look at all tasks")
    for known in world.truth.tasks.values():
        if known.client != mine.user or known.task_id in world.told_in_memory:
            continue
        seen = mine.tasks.get(known.task_id)
        snapshot = _snapshot(world, known.task_id)
        if seen is None:
            if world.disk.accepted_ns[known.task_id] > mine.joined_ns:
                raise Violation("own tasks", f"{mine.user} was never told of task {known.number}")
        elif seen.whole and not known.retries_sent:
            if seen.end is None or seen.end.state != snapshot.state:
                raise Violation("one end", f"{mine.user} saw {seen}, and on disk is {snapshot}")
            if seen.text != snapshot.text:
                raise Violation("text", f"{mine.user} reads {seen}, and on disk is {snapshot}")


def _snapshot(world: World, task_id: str) -> Snapshot:
    stored = world.disk.stored(task_id)
    if not stored:
        raise Violation("never lost", f"task {task_id} is on disk without its request")
    return rebuild(StoredTask(*stored[0]))


def _check_task(world: World, snapshot: Snapshot) -> None:
    clocks.check_timings(world, snapshot)
    number = int((snapshot.request.prompt or "").split()[0])
    if number in world.requests.invalid:
        raise Violation("answers", f"what was refused has become a task: {snapshot}")
    completed = snapshot.state is State.COMPLETED
    stop = snapshot.request.options.stop
    by_model = snapshot.fallback is None or snapshot.fallback.source == "fallback_model"
    begun = snapshot.fallback.offset if snapshot.fallback is not None else 0
    if by_model and snapshot.text[begun:] != text_of(snapshot.tokens, stop, final=completed):
        raise Violation("text", f"task {number} has another text than its tokens: {snapshot}")
    machine = world.machine if snapshot.fallback is None else world.second
    if by_model and completed and snapshot.tokens not in machine.finished.get(number, ()):
        raise Violation("text", f"task {number} has not what the engine said: {snapshot}")
    known = world.truth.tasks.get(snapshot.request.task_id)
    if known is not None and known.ends:
        _check_views(world, snapshot)
    _check_attempts(world, number, snapshot)
    if known is not None and not known.crashes:
        _check_trail(world, snapshot)


def _check_trail(world: World, snapshot: Snapshot) -> None:
    """Every change of state has left a row, where none can have been lost with a node."""
    if world.lives > 1 or world.config.rows_waiting_max < 1_000:
        return
    state = ""
    for row in world.disk.trails[snapshot.request.task_id]:
        if row.from_state != state:
            raise Violation("trail", f"after {state!r} comes {row}")
        state = row.to_state
    if state != snapshot.state:
        raise Violation("trail", f"the trail ends with {state!r}, not {snapshot.state!r}")


def _check_views(world: World, snapshot: Snapshot) -> None:
    for view in world.views():
        known = view.known
        if known.task_id != snapshot.request.task_id or known.retries_sent:
            continue
        if view.end is not None and view.end.state != snapshot.state:
            raise Violation("one end", f"{view} saw {view.end}, and on disk is {snapshot}")
        if view.text != snapshot.text:
            raise Violation("text", f"{view} reads {view.text!r}, not {snapshot.text!r}")


def _check_attempts(world: World, number: int, snapshot: Snapshot) -> None:
    """Who did nothing is charged nothing."""
    deaths = rejections = 0
    name = world.model_of(number)
    asked_for = world.machine if name is None else world.others[name]
    for error in snapshot.errors:
        if error.code == MODEL_UNAVAILABLE and not (name and asked_for.failures):
            raise Violation("models", f"task {number} was refused {name}: {error.message}")
        deaths += error.code == "engine_died"
        rejections += error.code == "engine_error"
    suspected = sum(
        number in death.running and death.cause not in INNOCENT and death.culprit in (None, number)
        for death in world.machine.deaths
    )
    if suspected:
        # Once taken for the cause by bad luck, it is the nearest at hand when the engine dies of
        # one who was there before it, or when a node that was killed has forgotten who did it.
        suspected += sum(number in death.running for death in world.machine.deaths)
    innocent = "poison" not in (snapshot.request.prompt or "")
    if innocent and deaths > suspected:
        raise Violation("attempts", f"task {number} was charged {deaths} deaths, not {suspected}")
    if rejections > world.machine.rejected.get(number, 0):
        raise Violation("attempts", f"task {number} was charged {rejections} failed steps")
    charged = sum(error.code != "prompt_too_long" for error in snapshot.errors)
    known = world.truth.tasks.get(snapshot.request.task_id)
    retries = known.retries_sent if known is not None else 0
    if snapshot.attempt > charged + 1 + retries:
        raise Violation("attempts", f"task {number} is at attempt {snapshot.attempt}: {snapshot}")


def nothing_left(world: World) -> None:
    """Once everybody is gone and the node has ended, there is nothing left over."""
    life = world.life
    assert life is not None, "everything has ended well"
    for client in world.clients.values():
        client.views.clear()
        client.mine = None
        if client.link is not None:
            client.link.break_off()
    for link in tuple(life.links):
        link.notice()
    for listener in world.listeners:
        listener.leave()
    # Who reads a stream of events that has nothing to say is missed at its next sign of life.
    world.settle_for((KEEP_ALIVE_MS * NS_PER_MS if life.parts.streams._open else 0) + NS_PER_S)
    turns, tasks = life.turns, life.tasks
    left: dict[str, object] = {
        "waiting": turns.waiting,
        "running": turns.busy,
        "turns held": turns._held,
        "flows": turns.line.flows._flows,
        "open": tasks._quotas._open,
        "lives": tasks._live_tasks,
        "keys": tasks._by_key,
        "bytes": tasks._held_bytes,
        "accepting": tasks._accepting,
        "fetching": tasks._runners,
        "dirty": life.parts.journal._dirty | life.parts.journal._due,
        "rows": life.store.rows_waiting,
        "followers": tasks.followers._of,
        "streams": life.parts.streams._open,
        "sockets": life.parts.sockets.sockets,
        "watched": [lane.news._watched for lane in turns.lanes if lane.news._watched],
        "models wanted": [lane.model for lane in turns.lanes if lane.wanted],
        "channels": life.system.registry.names("channel:"),
        "coroutines": life.loop.runners,
        "requests": life.asking,
    }
    _check_left(left)
    life.on_over = lambda: None  # nobody starts it again
    life.parts.pool.close()
    life.loop.call_now(life.parts.root.stop)
    world.settle_for(20 * NS_PER_S)
    _check_left(
        {
            "actors": {ref for ref in life.system.actors if ref is not life.parts.listener.ref},
            "mailboxes": life.system.run_queue,
            "timers": life.clock.timers_pending(),
        }
    )


def _check_left(left: dict[str, object]) -> None:
    found = {name: what for name, what in left.items() if what}
    if found:
        raise Violation("leak", f"left over: {found}")
