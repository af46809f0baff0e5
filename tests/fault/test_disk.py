"""A disk that is full or read-only for a while: tasks go on in memory, and are written down later.

The answers say ``durable: false`` meanwhile, and the node's health says degraded.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.support.chaos import BODY, SCRIPTED, SETTINGS, Attack, attacked
from tests.support.keeper import Keeper
from tests.support.ledger import Ledger
from tests.support.load import Load


def outage(breaks: Callable[[Keeper], object], mends: Callable[[Keeper], object]) -> Attack:
    """The disk breaks under load, and works again; the node has to say so at every moment."""

    async def attack(keeper: Keeper, load: Load) -> None:
        await load.pulse.after(100)
        assert await health(keeper) == ("ok", True)
        since = len(keeper.events)
        breaks(keeper)
        await keeper.event("store.failed", since)
        assert await health(keeper) == ("degraded", False)
        accepted = len(not_durable(load.ledger))
        await load.pulse.after(300)
        assert len(not_durable(load.ledger)) > accepted, "tasks are accepted, and told the truth"
        since = len(keeper.events)
        mends(keeper)
        await keeper.event("store.recovered", since)
        assert await health(keeper) == ("ok", True)
        await load.pulse.after(100)

    return attack


def not_durable(ledger: Ledger) -> list[int]:
    return [entry.number for entry in ledger.entries if entry.accepted and not entry.durable]


async def health(keeper: Keeper) -> tuple[str, bool]:
    async with aiohttp.ClientSession() as http, http.get(f"{keeper.url}/healthz") as answer:
        shown = await answer.json()
        return shown["status"], shown["durable"]


async def survives(keeper: Keeper, rng: Random, attack: Attack) -> None:
    """Nothing is lost, and all that was accepted is written down in the end."""
    load = Load(keeper, rng, BODY)
    verdict = await attacked(keeper, attack, load=load, clients=10)
    assert verdict.good, verdict
    assert all(entry.kept for entry in load.ledger.entries if entry.accepted)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are Linux's")
async def test_files_that_may_not_grow(tmp_path: Path, rng: Random) -> None:
    def limit(keeper: Keeper, size_bytes: int) -> None:
        _, hard = resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))

    keeper = Keeper(tmp_path, *SCRIPTED, settings=SETTINGS)
    attack = outage(lambda node: limit(node, 0), lambda node: limit(node, resource.RLIM_INFINITY))
    await survives(keeper, rng, attack)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Takes all the space that is left."""
    with (folder / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))


async def test_a_full_disk(small_disk: Path, rng: Random) -> None:
    keeper = Keeper(small_disk, *SCRIPTED, settings=SETTINGS)
    attack = outage(lambda _: fill(small_disk), lambda _: (small_disk / "ballast").unlink())
    await survives(keeper, rng, attack)


async def test_a_node_that_is_killed_while_the_disk_is_full(small_disk: Path, rng: Random) -> None:
    """What was promised as durable survives, and the node starts on a full disk, too. Ends that
    were told meanwhile are not durable: such a text may be another one after the kill."""

    async def attack(keeper: Keeper, load: Load) -> None:
        await load.pulse.after(100)
        since = len(keeper.events)
        fill(small_disk)
        await keeper.event("store.failed", since)
        await load.pulse.after(rng.randint(1, 100))
        await keeper.kill()
        await keeper.start()
        await load.pulse.after(rng.randint(1, 100))
        await keeper.kill()
        (small_disk / "ballast").unlink()
        await keeper.start()
        await load.pulse.after(100)

    keeper = Keeper(small_disk, *SCRIPTED, settings=SETTINGS)
    load = Load(keeper, rng, BODY)
    verdict = await attacked(keeper, attack, load=load, clients=10)
    assert (verdict.lost, verdict.duplicated) == (0, 0), verdict


async def test_a_folder_that_turns_read_only(tmp_path: Path, rng: Random) -> None:
    """A log that is open can be written on. Pruning folds it in, and the next commit makes one."""
    folder = tmp_path / "data"
    folder.mkdir()
    settings = SETTINGS | {"DATA__PRUNE_EVERY_MS": 1_000}
    keeper = Keeper(folder, *SCRIPTED, settings=settings, wrapper=as_others())
    attack = outage(lambda _: folder.chmod(0o555), lambda _: folder.chmod(0o755))
    await survives(keeper, rng, attack)


def as_others() -> tuple[str, ...]:
    """A command that has another one obey the permissions of files, as root need not."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and there is no setpriv")
    rights = "-dac_override,-dac_read_search"
    return ("setpriv", "--bounding-set", rights, "--inh-caps", rights)
