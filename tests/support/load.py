"""Clients that submit tasks, watch them through every cut, and write down what they were told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import aiohttp

from edge.storage.database import connect
from edge.storage.queries import TERMINAL
from tests.support.keeper import Keeper
from tests.support.ledger import Entry, Ledger
from tests.support.reader import Reader

CUTS = (aiohttp.ClientError, ConnectionError, TimeoutError)
"""What a client sees of a node that is killed."""

UNFINISHED_STATES = ("scheduled", "available", "executing", "retryable")
SILENCE_S = 60
CANCELS_SHARE = 0.05
LOOKS_AGAIN_SHARE = 0.2
TIMEOUT = aiohttp.ClientTimeout(total=60)


class Pulse:
    """Counts what clients hear: the moments of faults are counts and not times."""

    def __init__(self) -> None:
        self._left = 0
        self._due = asyncio.Event()

    def beat(self) -> None:
        """A client has heard something."""
        self._left -= 1
        if self._left <= 0:
            self._due.set()

    async def after(self, beats: int) -> None:
        """Waits until clients have heard so many messages more, for one who waits at a time.
        TimeoutError when they don't."""
        self._left = beats
        self._due.clear()
        async with asyncio.timeout(SILENCE_S):
            await self._due.wait()


async def by_channel(
    http: aiohttp.ClientSession, url: str, task_id: str, offset: int
) -> AsyncGenerator[tuple[str, Any], None]:
    """What the task's channel says, from the join's reply on."""
    async with http.ws_connect(f"{url}/socket/websocket?vsn=2.0.0", max_msg_size=0) as socket:
        await socket.send_json(["1", "1", f"task:{task_id}", "phx_join", {"offset": offset}])
        async for message in socket:
            _, _, _, event, payload = json.loads(message.data)
            yield event, payload


async def by_events(
    http: aiohttp.ClientSession, url: str, task_id: str, offset: int
) -> AsyncGenerator[tuple[str, Any], None]:
    """The same by Server-Sent Events, in the channel's words."""
    headers = {"Last-Event-ID": str(offset)}
    async with http.get(f"{url}/tasks/{task_id}/events", headers=headers) as stream:
        if stream.status != 200:
            yield "phx_reply", {"status": "error", "response": await stream.text()}
            return
        event = ""
        async for line in stream.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "task":
                yield "phx_reply", {"status": "ok", "response": json.loads(value)}
            elif name == "data":
                yield event, json.loads(value)
        yield "phx_close", {}


class Load:
    """Clients without pause: each submits a task, follows it to its end, and submits the next.

    ``body`` is what all tasks have in common; chance does the rest. `stop` lets the clients finish
    what they have begun.
    """

    def __init__(
        self, keeper: Keeper, rng: Random, body: dict[str, Any], tokens_max: int = 50
    ) -> None:
        self.ledger = Ledger()
        self.pulse = Pulse()
        self._keeper = keeper
        self._rng = rng
        self._body = body
        self._tokens_max = tokens_max
        self._stopped = False

    def stop(self) -> None:
        """No further submissions."""
        self._stopped = True

    async def run(self, clients: int) -> None:
        """Until every client is done."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http, asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(http, Random(self._rng.getrandbits(64))))

    async def _client(self, http: aiohttp.ClientSession, rng: Random) -> None:
        while not self._stopped:
            entry = self._new_entry(rng)
            if await self._submit(http, entry, copies=rng.choice((1, 1, 1, 2))):
                await self._follow(http, entry, rng)
                if rng.random() < LOOKS_AGAIN_SHARE:
                    await self._look_again(http, entry, rng)

    def _new_entry(self, rng: Random) -> Entry:
        body = self._body | {
            "max_tokens": rng.randint(1, self._tokens_max),
            "priority": rng.choice((0, 0, 0, 5)),
            "schedule_in_ms": rng.choice((0, 0, 0, rng.randint(1, 300))),
        }
        identity = rng.choice(("own id", "key", "none"))
        if identity == "own id":
            body["task_id"] = str(UUID(int=rng.getrandbits(128), version=4))
        return self.ledger.add(body, f"{rng.getrandbits(64):x}" if identity == "key" else None)

    async def _submit(self, http: aiohttp.ClientSession, entry: Entry, copies: int) -> bool:
        """Submits until it is answered; what can be repeated is, also side by side. False when it
        cannot be repeated and the node died over it, or nobody can say whether it was accepted
        before: its client goes on with something else, or all would end up waiting for a disk that
        is mended only when clients have been heard."""
        if not entry.repeatable:
            return bool(await self._post(http, entry))
        while True:
            answers = await asyncio.gather(*(self._post(http, entry) for _ in range(copies)))
            if all(answers):
                return True
            if None in answers:
                return entry.accepted

    async def _post(self, http: aiohttp.ClientSession, entry: Entry) -> bool | None:
        """Whether it was accepted; None when the database cannot be asked about it."""
        url = await self._keeper.up()
        headers = {} if entry.key is None else {"Idempotency-Key": entry.key}
        try:
            async with http.post(f"{url}/tasks", json=entry.body, headers=headers) as answer:
                accepted = await answer.json()
        except CUTS:
            return False
        if answer.status == 503:
            if accepted["type"] == "urn:elwift:problem:storage_error":
                return None
            return False  # it is stopping; the next one takes it
        assert answer.status == 202, accepted
        self.pulse.beat()
        entry.task_ids.add(accepted["task_id"])
        entry.durable |= accepted["durable"]
        return True

    async def _follow(self, http: aiohttp.ClientSession, entry: Entry, rng: Random) -> None:
        """Watches the task to its end, over as many connections as it takes."""
        cancels = rng.random() < CANCELS_SHARE
        while not entry.reader.done:
            # Some connections are cut by the client itself, in the middle.
            frames_max = rng.choice((None, rng.randint(1, 40)))
            url = await self._keeper.up()
            try:
                await self._watch(http, url, entry, frames_max)
                if cancels and not entry.reader.done:
                    cancels = False
                    await self._cancel(http, url, entry)
            except CUTS:
                continue

    async def _look_again(self, http: aiohttp.ClientSession, entry: Entry, rng: Random) -> None:
        """Somebody else has the same end, and the same text from the first character on."""
        other = replace(entry, reader=Reader())
        await self._follow(http, other, rng)
        same = (entry.reader.text, entry.reader.ends) == (other.reader.text, other.reader.ends)
        entry.reader.oddities += other.reader.oddities
        if not same:
            entry.reader.oddities.append(f"another client is told {other.reader!r}")

    async def _watch(
        self, http: aiohttp.ClientSession, url: str, entry: Entry, frames_max: int | None
    ) -> None:
        """One connection: until the task ends, the node is gone, or enough is heard."""
        connect = by_events if entry.number % 4 == 0 else by_channel
        task_id, reader = min(entry.task_ids), entry.reader
        async with aclosing(connect(http, url, task_id, len(reader.text))) as messages:
            async for event, payload in messages:
                reader.hear(event, payload)
                self.pulse.beat()
                if reader.done or event == "phx_error":
                    return
                if frames_max is not None:
                    frames_max -= 1
                    if frames_max <= 0:
                        return

    async def _cancel(self, http: aiohttp.ClientSession, url: str, entry: Entry) -> None:
        async with http.delete(f"{url}/tasks/{min(entry.task_ids)}") as answer:
            assert answer.status in (200, 202, 409), await answer.text()
            self.pulse.beat()

    async def settle(self) -> None:
        """After all is over: waits for the tasks whose `202` got lost, and asks for those that
        were accepted."""
        url = await self._keeper.up()
        async with aiohttp.ClientSession(url, timeout=TIMEOUT) as http:
            known = {min(entry.task_ids) for entry in self.ledger.entries if entry.accepted}
            for state in UNFINISHED_STATES:
                async with http.get("/tasks", params={"state": state, "limit": 500}) as answer:
                    tasks = (await answer.json())["tasks"]
                for task in tasks:
                    if task["task_id"] not in known:
                        unknown = Entry(-1, {}, None, task_ids={task["task_id"]})
                        await self._watch(http, url, unknown, None)
            for entry in self.ledger.entries:
                if entry.accepted:
                    async with http.get(f"/tasks/{min(entry.task_ids)}") as answer:
                        entry.document = await answer.json() if answer.status == 200 else None


def read_back(database: Path, ledger: Ledger) -> None:
    """Reads from the file of a node that is dead what it kept of every submission."""
    with connect(database, memory_mib_max=512) as connection:
        ends = dict(connection.execute(_ENDS).fetchall())
        tasks = connection.execute(_TASKS).fetchall()
    for task_id, state, spec in tasks:
        number = json.loads(json.loads(spec)["metadata"])["number"]
        entry = ledger.entries[number]
        entry.kept[task_id] = state
        entry.recorded_ends = max(entry.recorded_ends, ends.get(task_id, 0))


_ENDS = f"""
    SELECT task_id::VARCHAR, count(*) FROM journal
    WHERE version IS NULL AND state IN {TERMINAL} GROUP BY task_id
"""
_TASKS = """
    SELECT task_id::VARCHAR, max_by(state, version), min_by(spec, version) FROM journal
    WHERE version IS NOT NULL GROUP BY task_id
"""
