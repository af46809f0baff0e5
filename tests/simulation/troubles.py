"""How each trouble of a script is made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from edge.actors import Crash
from edge.clock import NS_PER_MS, NS_PER_S
from edge.inference.pool import ENGINE_NAME, Pool
from edge.storage import StoreOptions
from tests.simulation import script
from tests.simulation.mine import TOPIC

if TYPE_CHECKING:
    from tests.simulation.node import Life
    from tests.simulation.world import World


def network(world: World, entry: script.Network) -> None:
    """The connections of a device break, or it stops reading."""
    for listener in world.listeners:
        if listener.view.known.client == entry.user and entry.device == 1:
            if entry.what == "cut":
                listener.cut()
            else:
                listener.stall(entry.ms)
    link = world.clients[entry.user, entry.device].link
    if link is None:
        return
    if entry.what == "cut":
        link.break_off()
        world.clock.call_after(entry.ms * NS_PER_MS, link.notice)
    else:
        link.stall()
        world.clock.call_after(entry.ms * NS_PER_MS, link.resume)


def engine(world: World, what: str) -> None:
    """An engine dies, hangs, fails, or will not load: of several, another each time."""
    engines = world.engines()
    machine = engines[world.engine_troubles % len(engines)]
    world.engine_troubles += 1
    process = machine.process
    if what in ("refuse", "crash_load", "hang_load"):
        machine.next_loads.append(what.removesuffix("_load"))
    elif process is None or not process.alive:
        return
    elif what == "crash":
        process.crash_next = True
    elif what == "hang":
        process.hangs = True
    elif what == "kill":
        process.die(-9, "outside")
    else:
        process.fail_next = True


def disk(world: World, entry: script.DiskFault) -> None:
    """The disk refuses, or is slow, for a while."""
    disk = world.disk
    # The store may not try again before its longest pause is over.
    trouble_ms = entry.ms + StoreOptions().retry_ms[-1]
    disk.trouble_ns = world.clock.now_ns() + trouble_ms * NS_PER_MS
    if entry.what == "slow":
        disk.slow_ms = entry.ms
    if not disk.refuses_writes and entry.what in ("writes", "both"):
        disk.refuses_writes, disk.refuses_since_ns = True, world.clock.now_ns()
    disk.refuses_reads = disk.refuses_reads or entry.what in ("reads", "both")
    world.clock.call_after(entry.ms * NS_PER_MS, lambda: heal_disk(world))


def heal_disk(world: World) -> None:
    """The disk works again."""
    world.disk.refuses_writes = world.disk.refuses_reads = False
    world.disk.refuses_since_ns = None
    world.disk.slow_ms = 0


def freeze(world: World, ms: int) -> None:
    """The node's process stands still for a while."""
    life = world.life
    if life is not None and life.serving:
        life.frozen = True
        # It can write down nothing meanwhile.
        thawed_ns = world.clock.now_ns() + ms * NS_PER_MS
        world.disk.trouble_ns = max(world.disk.trouble_ns, thawed_ns + NS_PER_S)
        world.clock.call_after(ms * NS_PER_MS, lambda: thaw(world, life))


def thaw(world: World, life: Life | None) -> None:
    """It goes on."""
    if life is not None and life.frozen:
        life.frozen = False
        world.thawed_ns = world.clock.now_ns()


CRASH_GAP_NS: Final = 20 * NS_PER_MS
LASTS_NS_MAX: Final = 10 * CRASH_GAP_NS
"""How long the crashes of one entry can go on."""


def crash_actor(world: World, entry: script.CrashActor) -> None:
    """An exception in an actor, and maybe again and again."""
    for turn in range(entry.times):
        world.clock.call_after(turn * CRASH_GAP_NS, lambda: _crash_once(world, entry))


def _crash_once(world: World, entry: script.CrashActor) -> None:
    life, known = world.life, world.known.get(entry.number)
    if life is None or not life.serving:
        return
    names = [entry.what]
    if entry.what == "mine":
        names = life.channels_of(TOPIC)
    elif entry.what == "engine":
        others = (ENGINE_NAME, *map(Pool.other_engine, world.others))
        names = [others[entry.number % len(others)]]
    elif entry.what == "health":
        life.health_crashes += 1
    elif entry.what in ("task", "channel"):
        if known is None:
            return
        names = [f"task:{known.task_id}"]
        if entry.what == "channel":
            names = life.channels_of(names[0])
    for name in names:
        ref = life.ref(name)
        if ref is not None and ref.alive:
            if known is not None and entry.what == "task":
                known.crashes += 1
            crash = Crash(RuntimeError("simulated"))
            life.loop.call_now(partial(ref.kill, crash))
