"""Calls as tasks: they are accepted, followed and answered, whole or as it comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from aiohttp import web

from edge.clock import NS_PER_MS, Clock
from edge.errors import ClientError, ElwiftError, Overloaded, StorageError
from edge.gateway.calls import errors
from edge.gateway.calls.connection import Connection
from edge.gateway.calls.following import Following, Surroundings, Wake
from edge.gateway.calls.forms import Chunks, Ended
from edge.gateway.calls.reading import Call, choice_id
from edge.gateway.calls.retries import LostCalls
from edge.gateway.length import LengthCheck
from edge.services.task.tasks import Tasks
from edge.tasks import logprobs
from edge.tasks.task import Request, State

EARLY_MS: Final = 30_000
"""A whole answer that takes longer begins with its head and white space: without a head, libraries
take the connection for dead and send the request again."""
GRACE_MS: Final = 2_000
"""For so long a task runs on whose client may be about to send the same again: libraries wait for
half a second, or for a whole one."""


@dataclass(frozen=True, slots=True)
class Held:
    """A call that is being answered: whose it is and which tasks; ``choices`` of each prompt.

    ``keep``: they go on without their client. ``again`` is by what a repetition is known, None for
    a client that repeats nothing by itself. ``logprobs``: they were asked for.
    """

    client: str
    task_ids: tuple[str, ...]
    request_id: str
    choices: int = 1
    keep: bool = False
    again: bytes | None = None
    logprobs: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Those by which the call can be found again."""
        return {"X-Task-Id": self.task_ids[0], errors.REQUEST_ID: self.request_id}


class Calls:
    """All calls that are being answered."""

    def __init__(
        self, tasks: Tasks, around: Surroundings, clock: Clock, length: LengthCheck
    ) -> None:
        self.tasks = tasks
        self.clock = clock
        self._around = around
        self._length = length
        self._lost = LostCalls()
        self._repeatable: dict[bytes, tuple[str, ...]] = {}  # calls that are being answered
        self._readers: Counter[str] = Counter()  # of each call's first task
        self._open: set[Following] = set()
        self._runners: set[asyncio.Task[None]] = set()

    # ---- accepting

    async def accept(self, call: Call) -> tuple[str, ...]:
        """Has all tasks of the call accepted, or none; their ids. Raises what `Tasks.submit` and
        `LengthCheck.check` do."""
        for request in call.requests[:: call.choices]:
            await self._length.check(request)
        first, *others = call.requests
        task_id = str((await self.tasks.submit(first, own_id=False))["task_id"])
        requests = [
            replace(each, task_id=choice_id(task_id, number))
            for number, each in enumerate(others, 1)
        ]
        accepted = (task_id, *(each.task_id for each in requests))
        ends = await asyncio.gather(*map(self._accept_other, requests), return_exceptions=True)
        failed = [end for end in ends if isinstance(end, BaseException)]
        if failed:
            await self.cancel(first.client, accepted)
            raise failed[0]
        return accepted

    async def _accept_other(self, request: Request) -> None:
        await self.tasks.submit(request, own_id=True)

    async def rejoin(self, client: str, again: bytes) -> tuple[str, ...] | None:
        """The tasks of a call that was lost a moment ago, and goes on; None when there is none.
        That it is lost need not have been noticed: its client says so by sending it again."""
        task_ids = self._lost.join(again, self.clock.now_ns()) or self._repeatable.get(again)
        for task_id in task_ids or ():
            try:
                document = await self.tasks.document(task_id, client)
                if document["state"] == State.CANCELLED:
                    await self.tasks.retry(task_id, client)
            except ClientError:
                return None  # somebody has done something else with it
        return task_ids

    async def family(self, client: str, task_id: str, most: int) -> list[dict[str, Any]]:
        """The documents of all tasks of a call, by the id of its first. NotFound when there is
        none."""
        documents = [await self.tasks.document(task_id, client)]
        with suppress(ClientError):
            while len(documents) < most:
                other = choice_id(task_id, len(documents))
                documents.append(await self.tasks.document(other, client))
        return documents

    # ---- answering

    async def whole(
        self, request: web.Request, held: Held, render: Callable[[Sequence[Ended]], dict[str, Any]]
    ) -> web.StreamResponse:
        """Answers once all tasks have ended, with what ``render`` makes of their ends."""
        with self._reading(held):
            return await self._whole(request, held, render)

    async def _whole(
        self, request: web.Request, held: Held, render: Callable[[Sequence[Ended]], dict[str, Any]]
    ) -> web.StreamResponse:
        wake, head = Wake(), None
        connection = Connection(request, self.clock, wake, EARLY_MS)
        try:
            with self._follow(held, wake, text=False) as followings:
                while not all(each.over for each in followings) and not _error(followings):
                    await wake.wait()
                    if connection.gone:
                        raise ConnectionResetError("the client has gone away")
                    if connection.silent:
                        connection.spoke()
                        if head is None:
                            head = await _begin(request, held, "application/json")
                        await head.write(b" ")
                _raise_any(followings)
            answer = orjson.dumps(render(await self._ends(held)))
            if head is None:
                headers = held.headers | {"Content-Type": "application/json"}
                return web.Response(body=answer, headers=headers)
            await head.write(answer)
            await head.write_eof()
            return head
        except ConnectionError:
            self._leave(held, answered=head is not None)
            raise
        except ElwiftError as error:
            await self._failed(held, error)
            if head is None:
                raise
            # The status says that all is well: only a cut says that it is not.
            if request.transport is not None:
                request.transport.abort()
            return head
        finally:
            connection.close()

    async def stream(self, request: web.Request, held: Held, chunks: Chunks) -> web.StreamResponse:
        """Answers in chunks, as the text comes."""
        with self._reading(held):
            return await self._stream(request, held, chunks)

    async def _stream(self, request: web.Request, held: Held, chunks: Chunks) -> web.StreamResponse:
        wake = Wake()
        response = await _begin(request, held, chunks.content_type)
        connection = Connection(request, self.clock, wake, 0)
        connection.spoke()
        try:
            count = len(held.task_ids)
            await response.write(b"".join(map(chunks.begin, range(count))))
            with self._follow(held, wake, text=True) as followings:
                ended = await self._say(response, held, chunks, followings, wake, connection)
            await response.write(chunks.close(ended, held.choices))
        except ConnectionError:
            self._leave(held, answered=True)
            raise
        except ElwiftError as error:
            await self._failed(held, error)
            await response.write(chunks.fail(error))
        finally:
            connection.close()
        await response.write_eof()
        return response

    async def _say(
        self,
        response: web.StreamResponse,
        held: Held,
        chunks: Chunks,
        followings: Sequence[Following],
        wake: Wake,
        connection: Connection,
    ) -> list[Ended]:
        ends: dict[int, Ended] = {}
        speaking: set[int] = set()
        while len(ends) < len(followings):
            await wake.wait()
            if connection.gone:
                raise ConnectionResetError("the client has gone away")
            said: list[bytes] = []
            for index, following in enumerate(followings):
                if index in ends:
                    continue
                text, tokens = following.take()
                if text:
                    if following.dialect is not None and index not in speaking:
                        speaking.add(index)
                        chunks.speaks(index, following.dialect)
                    logs = [logprobs.shown(each) for each in tokens] if held.logprobs else None
                    said.append(chunks.text(index, text, logs))
                if following.over:
                    if following.error is not None:
                        await response.write(b"".join(said))
                        raise following.error
                    ends[index] = await self._end(held.client, following.task_id)
                    rest = following.untold(ends[index].tokens or ())
                    if held.logprobs and rest:
                        said.append(chunks.text(index, "", rest))
                    said.append(chunks.end(index, ends[index]))
            if connection.silent and not said:
                left = next(index for index in range(len(followings)) if index not in ends)
                said.append(chunks.nothing(left))
            if said:
                await response.write(b"".join(said))
                connection.spoke()
        return [ends[index] for index in range(len(followings))]

    @contextmanager
    def _follow(self, held: Held, wake: Wake, *, text: bool) -> Iterator[list[Following]]:
        followings = [
            Following(held.client, task_id, self._around, wake, text=text)
            for task_id in held.task_ids
        ]
        self._open.update(followings)
        try:
            for each in followings:
                each.begin()
            yield followings
        finally:
            for each in followings:
                each.close()
            self._open.difference_update(followings)

    async def _ends(self, held: Held) -> list[Ended]:
        return [await self._end(held.client, task_id) for task_id in held.task_ids]

    async def _end(self, client: str, task_id: str) -> Ended:
        return end_of(await self.tasks.document(task_id, client))

    def end_all(self) -> None:
        """Ends all answers that are under way: the node stops, and the tasks go on afterwards."""
        for each in tuple(self._open):
            each.give_up(errors.going_down())

    # ---- what becomes of the tasks of an answer that is none

    @contextmanager
    def _reading(self, held: Held) -> Iterator[None]:
        """A task may have several readers, and is not cancelled before the last has gone."""
        task_id = held.task_ids[0]
        self._readers[task_id] += 1
        if held.again is not None:
            self._repeatable[held.again] = held.task_ids
        try:
            yield
        finally:
            if not self._is_last(held):
                self._readers[task_id] -= 1
            else:
                del self._readers[task_id]
                if held.again is not None and self._repeatable.get(held.again) == held.task_ids:
                    del self._repeatable[held.again]

    def _is_last(self, held: Held) -> bool:
        return self._readers[held.task_ids[0]] == 1

    def _leave(self, held: Held, *, answered: bool) -> None:
        """The client has gone. One that had begun to be answered sends nothing again."""
        if held.keep or not self._is_last(held):
            return
        again = None if answered else held.again
        if again is None:
            self._run(self.cancel(held.client, held.task_ids))
            return
        self._lost.lose(again, held.task_ids, self.clock.now_ns())

        def give_up() -> None:
            if self._lost.is_lost(again, held.task_ids):
                self._run(self.cancel(held.client, held.task_ids))

        self.clock.call_after(GRACE_MS * NS_PER_MS, give_up)

    async def _failed(self, held: Held, error: ElwiftError) -> None:
        """One of them has ended without an answer: nobody waits for the others."""
        if isinstance(error, errors.TaskFailed) and len(held.task_ids) > 1:
            await self.cancel(held.client, held.task_ids)

    async def cancel(self, client: str, task_ids: Sequence[str]) -> None:
        """Cancels what has not ended."""
        for task_id in task_ids:
            # It has ended, or was never accepted; or the node is too busy, and it runs on.
            with suppress(ClientError, Overloaded, StorageError):
                await self.tasks.cancel(task_id, client)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        runner = asyncio.get_running_loop().create_task(work)
        self._runners.add(runner)
        runner.add_done_callback(self._runners.discard)


def end_of(document: dict[str, Any]) -> Ended:
    """The answer that a document of an ended task has. `errors.TaskFailed` when it has none."""
    state = document["state"]
    if state == State.COMPLETED:
        return Ended.of(document)
    if state == State.DISCARDED:
        raise errors.failed(document["errors"][-1] if document["errors"] else None)
    raise errors.cancelled()


async def _begin(request: web.Request, held: Held, kind: str) -> web.StreamResponse:
    """An answer whose head is written, and whose body comes."""
    headers = held.headers | {
        "Content-Type": kind,
        "Cache-Control": "no-cache",
        # A proxy that collects the answer before it passes it on would make live text late.
        "X-Accel-Buffering": "no",
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


def _error(followings: Sequence[Following]) -> ElwiftError | None:
    return next((each.error for each in followings if each.error is not None), None)


def _raise_any(followings: Sequence[Following]) -> None:
    error = _error(followings)
    if error is not None:
        raise error
