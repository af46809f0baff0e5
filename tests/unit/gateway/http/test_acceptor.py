"""Clients that are many, and a process that is short of descriptors."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest

from tests.support.http_site import Site, serving, settle
from tests.support.odd_requests import LOOK
from tests.support.raw import RawClient, raw, request

REQUEST = request(LOOK)


async def crowd(stack: AsyncExitStack, site: Site, count: int, address: str) -> list[RawClient]:
    """So many connections that ask for something and do not get it yet."""
    clients = []
    for _ in range(count):
        client = await stack.enter_async_context(raw(site.url, address))
        await client.send(request("GET /slow HTTP/1.1"))
        clients.append(client)
        await settle()
    return clients


async def silent_crowd(stack: AsyncExitStack, site: Site, count: int) -> list[RawClient]:
    """So many connections that say nothing."""
    clients = [await stack.enter_async_context(raw(site.url)) for _ in range(count)]
    await settle()
    return clients


async def test_silent_ones_lock_nobody_out() -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        first, *others = await silent_crowd(stack, site, 14)
        async with raw(site.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
        assert await first.over()
        for other in others:
            await other.send(REQUEST)
            assert (await other.answer()).status == 200


async def test_nor_do_those_who_have_asked_once_or_half() -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        clients = await silent_crowd(stack, site, 14)
        for client in clients[:7]:
            await client.send(REQUEST)
            await client.answer()
        for client in clients[7:]:
            await client.send(REQUEST[:9])
        await site.pass_ms(1_000)
        for _ in range(14):
            await crowd(stack, site, 1, "127.0.0.1")
        assert site.server.connections == 14
        for client in clients:
            await client.over()


async def test_who_has_just_begun_to_ask_is_not_put_out() -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        clients = await silent_crowd(stack, site, 14)
        for client in clients:
            await client.send(REQUEST[:9])
        await site.pass_ms(999)
        async with raw(site.url) as refused:
            assert (await refused.answer()).status == 503
        await site.pass_ms(1)
        async with raw(site.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200


async def test_those_who_come_all_at_once_do_not_put_each_other_out() -> None:
    async with serving(places=16) as site:
        address = ("127.0.0.1", int(site.url.rsplit(":", 1)[1]))
        clients = [socket.create_connection(address) for _ in range(100)]
        for client in clients:
            client.sendall(REQUEST)
            client.setblocking(False)
        statuses: list[bytes] = []
        while len(statuses) < 100:
            await settle()
            for client in tuple(clients):
                with contextlib.suppress(BlockingIOError):
                    statuses.append(client.recv(100).split()[1])
                    clients.remove(client)
                    client.close()
        # Each has an answer, and none a reset.
        assert set(statuses) == {b"200", b"503"}


async def test_who_finds_no_place_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        waiting = await crowd(stack, site, 14, "127.0.0.1")
        await site.pass_ms(10_000)
        for _ in range(20):
            refused = await stack.enter_async_context(raw(site.url))
            await refused.send(REQUEST)
            answer = await refused.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "urn:elwift:problem:overloaded"
            assert await refused.over()
        async with raw(site.url, "127.0.0.2") as another:
            await another.send(REQUEST)
            assert (await another.answer()).status == 200
        site.go_on.set()
        for client in waiting:
            assert (await client.answer()).status == 200
        await site.pass_ms(10_000)
        async with raw(site.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
    complaints = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(complaints) == 1
    assert "server.connections_max" in complaints[0].getMessage()


async def test_who_was_gone_before_the_answer_makes_no_room() -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        async with AsyncExitStack() as leaving:
            for client in await crowd(leaving, site, 14, "127.0.0.1"):
                client.will_reset()
        await settle()
        assert site.server.connections == 0
        site.go_on.set()
        await settle()
        site.go_on.clear()
        await crowd(stack, site, 14, "127.0.0.1")
        await site.pass_ms(10_000)
        async with raw(site.url) as client:
            assert (await client.answer()).status == 503


async def test_the_limit_of_one_address() -> None:
    async with serving(places=64, connections_per_client_max=3) as site, AsyncExitStack() as stack:
        await crowd(stack, site, 3, "127.0.0.1")
        async with raw(site.url) as client:
            assert (await client.answer()).status == 503
        await crowd(stack, site, 3, "127.0.0.2")
        assert site.server.connections == 6


async def test_a_refused_client_is_held_for_a_second() -> None:
    async with serving(places=16) as site, AsyncExitStack() as stack:
        await crowd(stack, site, 14, "127.0.0.1")
        before = _descriptors()
        refused = await silent_crowd(stack, site, 40)
        # Their own ends, and of the node's ends sixteen.
        assert _descriptors() - before == 40 + 16
        await site.pass_ms(1_000)
        assert _descriptors() - before == 40
        for client in refused:
            assert (await client.answer()).status == 503


async def test_a_process_without_a_descriptor_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []
    accept = socket.socket.accept

    def counted(listener: socket.socket) -> tuple[socket.socket, object]:
        tries.append(1)
        return accept(listener)

    async with serving() as site:
        monkeypatch.setattr(socket.socket, "accept", counted)
        port = int(site.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(REQUEST)
            with no_descriptor_left():
                for _ in range(3):
                    await settle()
                    await site.pass_ms(499)
                    await site.pass_ms(1)
            assert len(tries) == 4, "at once, and then every half a second"
            await site.pass_ms(500)
            client.setblocking(False)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        (complaint,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert "no new connection can be taken in" in complaint.getMessage()


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process may open nothing for the time of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.exists("/proc") else "/dev/fd"))
