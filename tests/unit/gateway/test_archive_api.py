"""The history over HTTP, of a real database."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge.clock import NS_PER_MS, NS_PER_S, ManualClock
from edge.errors import NotFound
from edge.gateway import problems
from edge.gateway.access import Access
from edge.gateway.archive_api import ArchiveApi
from edge.services.keeping.archive import EXPORTS_PER_CLIENT_MAX, Archive
from edge.services.task.journal import Journal
from edge.services.task.tasks import Tasks
from edge.storage import Store, queries
from edge.tasks import machine
from edge.tasks.events import Cancel, Finish, Start
from edge.tasks.task import Options, Request, Task, Usage
from tests.support.raw import RawClient, raw
from tests.support.rows import open_store, uid
from tests.support.turns import until

OPTIONS = Options()
TIMES = ("created_at", "scheduled_at", "started_at", "finished_at")
WRITE_MS = 2_000
LARGE_ROW = """
    uuid(), 1, 'ada', 'completed', 1000 + i, 2000 + i, 1.0, 2.0, NULL, NULL, '{}', '{}'::BLOB,
    repeat('long text ', 100_000)::BLOB, 0
"""


class Site:
    """Tasks of two clients, one a second, and who asks for them."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.journal = Journal(store, clock, 500)
        self.owners: dict[str, str] = {}
        self.archive = Archive(cast(Tasks, self), store, EXPORTS_PER_CLIENT_MAX)
        self.http: Any = None
        self.url = ""

    async def document(self, task_id: str, client: str) -> dict[str, Any]:
        """As `Tasks` does it."""
        if self.owners.get(task_id) != client:
            raise NotFound(f"there is no task {task_id}", field="task_id")
        return {}

    def accept(self, number: int, client: str = "ada") -> Task:
        self.clock.advance(NS_PER_S)
        request = Request(uid(number), client, str(number), None, None, OPTIONS)
        task, _ = machine.accept(request, self.clock.moment())
        self.owners[task.task_id] = client
        self.journal.record(task, "accepted", None)
        return task

    def complete(self, task: Task) -> None:
        """It waits for a second and takes two."""
        for seconds, event in (
            (1, Start()),
            (2, Finish("stop", "🦊", Usage(1, 0, 1), 1.0, 1.0)),
        ):
            self.clock.advance(seconds * NS_PER_S)
            before = task.state
            machine.apply(task, event, self.clock.moment())
            self.journal.record(task, type(event).__name__.lower(), before)

    async def get(self, path: str, token: str = "a") -> tuple[int, Any]:
        await self.store.commit([])
        async with self.http.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            return response.status, await response.json(content_type=None)

    async def ids(self, path: str, token: str = "a") -> list[str]:
        status, page = await self.get(path, token)
        assert status == 200, page
        return [task["task_id"] for task in page["tasks"]]

    async def fetch(self, path: str, token: str = "a") -> tuple[bytes, str]:
        async with self.http.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200
            return await response.read(), response.content_type


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock = ManualClock()
    store = await open_store(tmp_path / "edge.duckdb", clock=clock)
    site = Site(store, clock)
    app = web.Application(middlewares=[problems.middleware])
    ArchiveApi(site.archive, Access({"ada": "a", "bob": "b"}), clock, WRITE_MS).mount(app)
    async with TestClient(TestServer(app)) as client:
        site.http = client
        site.url = str(client.make_url("/"))
        yield site
    await store.close()


async def test_the_history_is_asked_by_time(site: Site) -> None:
    tasks = [site.accept(number) for number in range(1, 5)]
    times = [(await site.get("/tasks"))[1]["tasks"][3 - at]["created_at"] for at in range(4)]
    ids = [task.task_id for task in tasks]
    assert await site.ids(f"/tasks?since={times[1]}") == ids[:0:-1]
    assert await site.ids(f"/tasks?until={times[1]}") == ids[:1]
    assert await site.ids(f"/tasks?since={times[1]}&until={times[3]}&limit=1") == [ids[2]]
    other_zone = times[3].replace("Z", "+00:00")
    assert await site.ids(f"/tasks?since={other_zone}") == ids[3:]
    assert await site.ids("/tasks", "b") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("until=2026-01-31T12:00:00", "until"),
        ("state=done", "state"),
        ("state=Completed", "state"),
        ("state=", "state"),
        ("state=%ff", "state"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%C2%B2", "limit"),  # a digit to Python, and no number
        ("limit=%D9%A1%D9%A2", "limit"),  # twelve, in Arabic
        ("limit=" + "1" * 5_000, "limit"),
        ("limit=1&limit=2", "limit"),
        ("since=2026-01-01T00:00:00Z&since=2027-01-01T00:00:00Z", "since"),
        ("stat=completed", "stat"),
        ("%00=1", "\0"),
        ("format=json", "format"),
    ],
)
async def test_a_question_that_makes_no_sense_names_its_field(
    site: Site, query: str, field: str
) -> None:
    status, problem = await site.get(f"/tasks?{query}")
    assert (status, problem["field"]) == (422, field), problem


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("since=0001-01-01T00:00:00%2B14:00", 2),  # what an app calls the distant past
        ("until=0001-01-01T00:00:00Z", 0),
        ("since=9999-12-31T23:59:59.999999999-23:59", 0),
        ("until=9999-12-31T23:59:60Z", 2),
        ("since=2025-06-15T15:06:41.000000000Z", 2),
        ("since=2025-06-15T15:06:41.000000001Z", 1),
        ("since=2025-06-15T15:06:40.9999999999999999Z", 2),
        ("since=2025-06-16t00:06:42 09:00", 1),
        ("until=2025-06-15T15:05:60Z", 0),
        ("&&until=2026-01-01T00:00Z", 2),
    ],
)
async def test_any_time_is_a_time(site: Site, query: str, expected: int) -> None:
    for number in (1, 2):
        site.accept(number)
    assert len(await site.ids(f"/tasks?{query}")) == expected
    assert (await site.get(f"/stats?{query}"))[0] == 200
    body, _ = await site.fetch(f"/tasks/export?{query}")
    assert len(body.splitlines()) == expected


async def test_every_change_of_state_has_its_cause(site: Site) -> None:
    task = site.accept(1)
    site.complete(task)
    status, answer = await site.get(f"/tasks/{task.task_id}/audit")
    assert status == 200
    assert [(row["event"], row["from_state"], row["to_state"]) for row in answer["audit"]] == [
        ("accepted", None, "available"),
        ("start", "available", "executing"),
        ("finish", "executing", "completed"),
    ]
    assert all(row["at"].endswith("Z") for row in answer["audit"])
    assert (await site.get(f"/tasks/{task.task_id}/audit", "b"))[0] == 404


async def test_figures_are_of_ones_own_tasks_within_a_time(site: Site) -> None:
    assert (await site.get("/stats"))[1]["wait_ms"] is None
    for number in (1, 2):
        site.complete(site.accept(number))
    site.complete(site.accept(3, "bob"))
    cancelled = site.accept(4)
    machine.apply(cancelled, Cancel(), site.clock.moment())
    site.journal.record(cancelled, "cancelled", None)
    _, figures = await site.get("/stats")
    assert figures["ended"] == {"completed": 2, "cancelled": 1, "discarded": 0}
    assert figures["wait_ms"] == {"p50": 1_000.0, "p95": 1_000.0, "p99": 1_000.0}
    assert figures["duration_ms"] == {"p50": 2_000.0, "p95": 2_000.0, "p99": 2_000.0}
    site.clock.advance(25 * 3_600 * NS_PER_S)
    assert (await site.get("/stats"))[1]["ended"]["completed"] == 0
    assert (await site.get(f"/stats?since={figures['since']}"))[1]["ended"]["completed"] == 2


@pytest.mark.parametrize("jump_s", [86_400, -86_400, 315_360_000, -315_360_000, 10**12, -(10**12)])
async def test_a_jump_takes_nothing_out_of_the_last_day(site: Site, jump_s: int) -> None:
    site.complete(site.accept(1))
    site.clock.set_wall(site.clock.wall_ns() + jump_s * NS_PER_S)
    site.complete(site.accept(2))
    _, figures = await site.get("/stats")
    assert figures["ended"]["completed"] == 2
    _, again = await site.get(f"/stats?since={figures['since']}")
    assert again["ended"] == figures["ended"]
    site.clock.advance(25 * 3_600 * NS_PER_S)
    assert (await site.get("/stats"))[1]["ended"]["completed"] == 0


async def test_an_export_has_ones_own_tasks_alone(site: Site, tmp_path: Path) -> None:
    site.complete(site.accept(1))
    site.accept(2)
    site.accept(3, "bob")
    await site.store.commit([])
    body, kind = await site.fetch("/tasks/export")
    tasks = [json.loads(line) for line in body.splitlines()]
    assert kind == "application/x-ndjson"
    assert [(row["task_id"], row["state"]) for row in tasks] == [
        (uid(1), "completed"),
        (uid(2), "available"),
    ]
    assert json.loads(tasks[0]["request"])["prompt"] == "1"
    assert json.loads(tasks[0]["snapshot"])["text"] == "🦊"
    body, kind = await site.fetch("/tasks/export?format=csv&state=completed")
    assert kind == "text/csv"
    assert len(body.splitlines()) == 2
    body, _ = await site.fetch("/tasks/export?format=parquet", "b")
    file = tmp_path / "bob.parquet"
    file.write_bytes(body)
    rows = duckdb.read_parquet(str(file)).project("task_id, client")
    assert rows.fetchall() == [(uid(3), "bob")]
    assert (await site.get("/tasks/export?format=xml"))[0] == 422


async def test_who_may_not_connect_may_not_look(site: Site) -> None:
    for path in ("/tasks", "/tasks/export", "/stats", f"/tasks/{uid(1)}/audit"):
        assert (await site.get(path, "c"))[0] == 401


async def test_exported_times_say_their_zone(site: Site, tmp_path: Path) -> None:
    """Whatever the zone of the node, or of the reader."""
    site.complete(site.accept(1))
    _, page = await site.get("/tasks")
    (task,) = page["tasks"]
    times = {name: task[name] for name in TIMES}
    assert times["created_at"] == "2025-06-15T15:06:41.000Z"
    body, _ = await site.fetch("/tasks/export")
    assert {name: json.loads(body)[name] for name in TIMES} == times
    body, _ = await site.fetch("/tasks/export?format=csv")
    (row,) = csv.DictReader(body.decode().splitlines())
    assert {name: row[name] or None for name in TIMES} == times
    body, _ = await site.fetch("/tasks/export?format=parquet")
    file = tmp_path / "tasks.parquet"
    file.write_bytes(body)
    with duckdb.connect() as reader:
        reader.execute("SET TimeZone = 'Asia/Tokyo'")
        relation = reader.read_parquet(str(file)).project(", ".join(TIMES))
        assert {str(kind) for kind in relation.types} == {"TIMESTAMP WITH TIME ZONE"}
        (found,) = relation.fetchall()
    read = dict(zip(TIMES, found, strict=True))
    assert read == {
        name: None if text is None else datetime.fromisoformat(text) for name, text in times.items()
    }


def named(folder: Path) -> list[Path]:
    """The files that have a name in there."""
    return [each for each in folder.rglob("*") if each.is_file()]


class TestSlowReaders:
    """Who wants an export of some 60 MB, which no socket takes by itself."""

    @pytest.fixture
    async def large(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Path]:
        """The folder for temporary files, empty at the end."""
        site.store._database.ask(f"INSERT INTO journal SELECT {LARGE_ROW} FROM range(60) rows(i)")
        folder = tmp_path / "temporary"
        await asyncio.to_thread(folder.mkdir)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder
        await until(lambda: not os.listdir(folder))

    async def begun(self, site: Site, client: RawClient, token: str = "a") -> None:
        """The export is asked for, and its beginning is there."""
        head = f"GET /tasks/export HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}"
        await client.send(f"{head}\r\n\r\n".encode())
        assert b" 200 " in await client.reader.readline()

    async def refused(self, site: Site, token: str) -> bool:
        async with site.http.get(
            "/tasks/export?state=cancelled", headers={"Authorization": f"Bearer {token}"}
        ) as response:
            await response.read()
            assert response.status == 200 or response.headers["Retry-After"] == "5"
            return bool(response.status == 429)

    async def test_an_export_counts_until_it_is_taken(self, site: Site, large: Path) -> None:
        async with raw(site.url) as first, raw(site.url) as second:
            await self.begun(site, first)
            assert not await self.refused(site, "a")
            await until(lambda: site.archive.exports == 1)
            await self.begun(site, second)
            assert await self.refused(site, "a")
            # The other client finds a place, and what is being sent has no name any more.
            assert not await self.refused(site, "b")
            await until(lambda: site.archive.exports == 2)
            assert not named(large)
            assert len(await first.reader.read(200_000_000)) > 1
            assert await self.refused(site, "a")
        await until(lambda: not site.archive.exports)
        assert not await self.refused(site, "a")

    async def test_who_takes_nothing_is_cut_off(self, site: Site, large: Path) -> None:
        async with raw(site.url) as client:
            await self.begun(site, client)
            site.clock.advance((WRITE_MS - 1) * NS_PER_MS)
            assert site.archive.exports == 1
            await until(
                lambda: not site.archive.exports, lambda: site.clock.advance(WRITE_MS * NS_PER_MS)
            )
            assert len(await client.rest()) < 60_000_000

    async def test_who_reads_slowly_gets_all_of_it(self, site: Site, large: Path) -> None:
        async with raw(site.url) as client:
            await self.begun(site, client)
            head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
            size_bytes = int(head.partition("Content-Length: ")[2].split()[0])
            assert size_bytes > 60_000_000
            took_ms = 0
            while size_bytes:
                # A read takes some 100 kB, but the node hears of it only when a third of the
                # socket's buffer is free again, which may be more than a megabyte: so each is quick
                # beside the limit, and all of them are long.
                took_ms += WRITE_MS // 40
                site.clock.advance(WRITE_MS // 40 * NS_PER_MS)
                chunk = await client.reader.read(1_000_000)
                assert chunk, "it was cut off"
                size_bytes -= len(chunk)
            assert took_ms > 2 * WRITE_MS

    async def test_who_leaves_while_it_is_written_has_it_given_up(
        self, site: Site, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        endless = "SELECT x FROM range(1_000_000) a(x), range(1_000_000) b(y) WHERE x + y = -1"
        with monkeypatch.context() as patched:
            patched.setattr(queries, "export", lambda _wanted: (endless, []))
            async with raw(site.url) as client:
                await client.send(
                    b"GET /tasks/export HTTP/1.1\r\nHost: localhost\r\n"
                    b"Authorization: Bearer a\r\n\r\n"
                )
                await until(lambda: site.archive.exports)
            await until(
                lambda: not site.archive.exports, lambda: site.clock.advance(50 * NS_PER_MS)
            )
        body, _ = await site.fetch("/tasks/export?state=cancelled")
        assert body == b""

    async def test_who_leaves_is_looked_for_no_longer(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        endless = "SELECT count(*) FROM range(1_000_000) a(x), range(1_000_000) b(y) WHERE x < y"
        with monkeypatch.context() as patched:
            patched.setattr(queries, "percentiles", lambda *_: (endless, []))
            async with raw(site.url) as client:
                await client.send(
                    b"GET /stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\n\r\n"
                )
                await until(site.store._database.scans._lock.locked)
            await until(
                lambda: not site.store._database.scans._lock.locked(),
                lambda: site.clock.advance(50 * NS_PER_MS),
            )
        assert (await site.get("/stats", "b"))[0] == 200

    async def test_without_room_there_is_a_sentence(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        status, problem = await site.get("/tasks/export")
        assert status == 503
        assert "cannot write temporary files" in problem["detail"]
        assert "nowhere" not in problem["detail"]
        assert not site.archive.exports
