from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from edge.errors import Overloaded
from edge.services.keeping.archive import EXPORTS_MAX, EXPORTS_PER_CLIENT_MAX, Archive, ArchiveStore
from edge.services.task.tasks import Tasks
from edge.storage import ExportFormat, Wanted


class SlowDisk:
    """Exports end when the test says so."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.go_on = asyncio.Event()

    async def export(self, _path: Path, _format: ExportFormat, wanted: Wanted) -> int:
        self.wanted.append(wanted)
        await self.go_on.wait()
        return 7


async def test_only_so_many_exports_are_under_way_and_each_is_of_its_client() -> None:
    disk = SlowDisk()
    archive = Archive(cast(Tasks, None), cast(ArchiveStore, disk))

    async def export(client: str) -> int:
        # Whom a request says it wants counts for nothing.
        with archive.exporting(client):
            return await archive.export(client, Path("x"), "csv", Wanted(client="somebody else"))

    waiting = [asyncio.ensure_future(export(f"c{number}")) for number in range(EXPORTS_MAX)]
    await asyncio.sleep(0)
    assert archive.exports == EXPORTS_MAX
    with pytest.raises(Overloaded, match="as many as there may be"):
        await export("late")
    disk.go_on.set()
    assert await asyncio.gather(*waiting) == [7] * EXPORTS_MAX
    assert [each.client for each in disk.wanted] == [f"c{number}" for number in range(EXPORTS_MAX)]
    assert await export("later") == 7
    assert archive.exports == 0


def test_one_of_several_clients_leaves_places_for_others() -> None:
    archive = Archive(cast(Tasks, None), cast(ArchiveStore, None), EXPORTS_PER_CLIENT_MAX)
    with ExitStack() as held:
        for _ in range(EXPORTS_PER_CLIENT_MAX):
            held.enter_context(archive.exporting("ada"))
        with pytest.raises(Overloaded, match="of yours"), archive.exporting("ada"):
            pass
        with archive.exporting("bob"):
            assert archive.exports == EXPORTS_PER_CLIENT_MAX + 1
    with archive.exporting("ada"):
        assert archive.exports == 1
