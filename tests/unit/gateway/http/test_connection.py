"""One connection, met by clients of every sort."""

from __future__ import annotations

import logging

import pytest

from tests.support.http_site import serving
from tests.support.odd_requests import ALL, LOOK, Odd
from tests.support.raw import raw, request

REQUEST = request(LOOK)


@pytest.mark.parametrize("odd", ALL, ids=[odd.name for odd in ALL])
async def test_odd_requests(odd: Odd, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as site:
        if odd.whole:
            async with raw(site.url) as client:
                await client.send(odd.data)
                answer = await client.answer()
                assert answer.status == odd.status
        async with raw(site.url) as client:
            await client.send(odd.data)
            client.half_close()
            answer = await client.answer()
            assert answer.status == odd.status
            await client.over()
        if odd.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == odd.status
        async with raw(site.url) as client:
            await client.send(REQUEST)
            assert (await client.answer()).status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
