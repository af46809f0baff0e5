"""A database file or its log is damaged while the node is down: it starts, says so, keeps the old.

What was in an unreadable file is gone for the node, but not for the admin.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp
import pytest

from edge.node import DATABASE
from edge.storage.database import connect
from tests.support.chaos import BODY, SCRIPTED, SETTINGS
from tests.support.keeper import Keeper, kept
from tests.support.node import joined

TASKS = 12
SLOW = ("--rate", "5", "--slots", "2", "--signed")

Damage = Callable[[Path, Random], object]


async def unfinished(folder: Path) -> list[str]:
    """Leaves a database and its log with tasks that have not ended; their ids."""
    task_ids = []
    async with kept(Keeper(folder, *SLOW, settings=SETTINGS)) as keeper:
        url = await keeper.start()
        async with aiohttp.ClientSession() as http:
            for number in range(TASKS):
                if number == TASKS // 2:
                    await keeper.kill()
                    checkpoint(folder / DATABASE)
                    url = await keeper.start()
                body = BODY | {"max_tokens": 60}
                async with http.post(f"{url}/tasks", json=body) as answer:
                    assert answer.status == 202
                    task_ids.append((await answer.json())["task_id"])
    return task_ids


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder to be copied, and the tasks in it."""
    folder = tmp_path_factory.mktemp("left")
    return folder, asyncio.run(unfinished(folder))


def checkpoint(path: Path) -> None:
    """Half of the tasks are to be in the file, the others in the log."""
    with connect(path, memory_mib_max=512) as connection:
        connection.execute("CHECKPOINT")


def cut(path: Path, rng: Random) -> None:
    """The end is missing."""
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


def scramble(path: Path, rng: Random) -> None:
    """Here and there are other bytes than were written."""
    content = bytearray(path.read_bytes())
    for _ in range(4):
        start = rng.randrange(len(content) - 512)
        content[start : start + 512] = rng.randbytes(512)
    path.write_bytes(content)


def behead(path: Path, rng: Random) -> None:
    """The beginning is gone, without which the rest cannot be understood."""
    path.write_bytes(rng.randbytes(4_096) + path.read_bytes()[4_096:])


def falsify(path: Path, _rng: Random) -> None:
    """One letter of what was written is another one."""
    path.write_bytes(path.read_bytes().replace(b'"prompt"', b'"pronpt"', 1))


def empty(path: Path, _rng: Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, _rng: Random) -> None:
    path.unlink()


async def start_damaged(folder: Path, task_ids: list[str]) -> tuple[str | None, set[str]]:
    """Starts a node on what is left, which has to serve as ever. Where it has put the old file, if
    it has, and which of the tasks have come to their end."""
    async with kept(Keeper(folder, *SCRIPTED, settings=SETTINGS)) as keeper:
        url = await keeper.start()
        async with aiohttp.ClientSession(url) as http:
            async with http.get("/healthz") as answer:
                kept_as: str | None = (await answer.json())["quarantined"]
            body = BODY | {"max_tokens": 3}
            async with http.post("/tasks", json=body) as answer:
                accepted = await answer.json()
                assert answer.status == 202
                assert accepted["durable"] is True
            ended = {
                task_id
                for task_id in (accepted["task_id"], *task_ids)
                if await watched_to_its_end(http, url, task_id)
            }
        assert accepted["task_id"] in ended
        said = [fields for name, fields in keeper.events if name == "store.quarantined"]
        assert [fields["kept_as"] for fields in said] == ([kept_as] if kept_as else [])
        return kept_as, ended - {accepted["task_id"]}


async def watched_to_its_end(http: aiohttp.ClientSession, url: str, task_id: str) -> bool:
    """False when there is no such task."""
    async with http.get(f"/tasks/{task_id}") as answer:
        if answer.status == 404:
            return False
        assert answer.status == 200
    async with joined(http, url, task_id) as channel:
        while not channel.closed:
            assert await channel.hear()
    return True


def files(folder: Path, name: str) -> dict[str, bytes]:
    """The file of this name and those beside it, by what is added to the name."""
    return {
        file.name.removeprefix(name): file.read_bytes()
        for file in folder.iterdir()
        if file.name in (name, f"{name}.wal")
    }


LOG = f"{DATABASE}.wal"
CERTAIN: list[tuple[str, Damage]] = [
    (DATABASE, behead), (DATABASE, empty), (DATABASE, remove), (LOG, falsify), (LOG, behead),
]  # fmt: skip
POSSIBLE: list[tuple[str, Damage]] = [
    (DATABASE, cut), (DATABASE, scramble), (LOG, cut), (LOG, scramble),
]  # fmt: skip


@pytest.mark.parametrize(("which", "damage"), CERTAIN + POSSIBLE)
async def test_the_node_starts_and_keeps_what_it_cannot_read(
    tmp_path: Path, left_behind: tuple[Path, list[str]], rng: Random, which: str, damage: Damage
) -> None:
    folder, task_ids = left_behind
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / which, rng)
    before = files(tmp_path, DATABASE)
    kept_as, ended = await start_damaged(tmp_path, task_ids)
    if kept_as is None:
        assert (which, damage) in POSSIBLE, "such damage cannot stay unseen"
        # The end of a log may be missing after a power cut; what comes before it is good.
        assert ended == set(task_ids[: len(ended)])
    elif kept_as.endswith(".wal"):
        assert (tmp_path / kept_as).read_bytes() == before[".wal"]
        # A log that is none, or has no file; what is in a file without its log is as good as ever.
        assert ended == set(task_ids[: TASKS // 2] if "" in before else ())
    else:
        assert not ended
        assert files(tmp_path, Path(kept_as).name) == before
