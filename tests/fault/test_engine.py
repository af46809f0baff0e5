"""The engine hangs, aborts, or stands still for a while: tasks end all the same, told gaplessly."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from random import Random

import pytest

from tests.support.chaos import BODY, SCRIPTED, SETTINGS, attacked
from tests.support.keeper import Keeper, kept
from tests.support.load import Load

IMPATIENT = SETTINGS | {"MODEL__STALL_REPORT_MS": 200, "MODEL__STALL_KILL_MS": 2_000}
PATIENT = SETTINGS | {"MODEL__STALL_REPORT_MS": 200}


async def test_a_hang_is_reported_and_then_ended(tmp_path: Path, rng: Random) -> None:
    async def hang(keeper: Keeper, load: Load) -> None:
        await load.pulse.after(rng.randint(1, 60))
        since, pid = len(keeper.events), keeper.engine_pid
        assert keeper.signal_engine(signal.SIGSTOP)
        stalled = await keeper.event("engine.stalled", since)
        died = await keeper.event("engine.died", since)
        assert stalled["pid"] == died["pid"] == pid
        assert 200 <= stalled["silent_ms"] < 2_000
        assert "no step" in died["reason"]
        await load.pulse.after(60)
        assert keeper.engine_pid != pid

    keeper = Keeper(tmp_path, *SCRIPTED, settings=IMPATIENT)
    load = Load(keeper, rng, BODY)
    verdict = await attacked(keeper, hang, load=load, clients=10)
    assert verdict.good, verdict


async def test_a_hang_that_passes_is_only_reported(tmp_path: Path, rng: Random) -> None:
    async def pause(keeper: Keeper, load: Load) -> None:
        await load.pulse.after(rng.randint(1, 60))
        since, pid = len(keeper.events), keeper.engine_pid
        assert pid is not None
        assert keeper.signal_engine(signal.SIGSTOP)
        await keeper.event("engine.stalled", since)
        os.kill(pid, signal.SIGCONT)
        await load.pulse.after(60)
        assert keeper.engine_pid == pid

    keeper = Keeper(tmp_path, *SCRIPTED, settings=PATIENT)
    load = Load(keeper, rng, BODY)
    verdict = await attacked(keeper, pause, load=load, clients=10)
    assert verdict.good, verdict


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
async def test_an_engine_that_hangs_ends_with_its_node(tmp_path: Path) -> None:
    async with kept(Keeper(tmp_path, "--model")) as keeper:
        await keeper.start()
        assert keeper.signal_engine(signal.SIGSTOP)
        await keeper.kill()
        await keeper.orphans_gone()


# With one client the task that runs is the only suspect, with ten nobody is.
@pytest.mark.parametrize("clients", [1, 10])
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
async def test_a_crash_is_survived(
    tmp_path: Path, rng: Random, number: signal.Signals, clients: int
) -> None:
    async def crash(keeper: Keeper, load: Load) -> None:
        for _ in range(5):
            await load.pulse.after(rng.randint(1, 3 * clients))
            since = len(keeper.events)
            if keeper.signal_engine(number):
                died = await keeper.event("engine.died", since)
                assert number.name in died["reason"]

    keeper = Keeper(tmp_path, *SCRIPTED, settings=SETTINGS)
    load = Load(keeper, rng, BODY)
    verdict = await attacked(keeper, crash, load=load, clients=clients)
    assert verdict.good, verdict
