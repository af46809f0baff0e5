"""Files from any address, over connections of every sort."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.pulling.web import ATTEMPTS_MAX, PAUSE_S_MAX, fetch
from tests.support.hub import Hub

DATA = bytes(range(256)) * 1_000


class Fetching:
    """Fetches ``/cdn/it.gguf``, and remembers what was told meanwhile."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        hub.files["it.gguf"] = DATA
        self.hub = hub
        self.folder = folder
        self.pauses_s: list[float] = []
        self.told: list[tuple[int, int | None]] = []

    async def __call__(self, path: str = "cdn/it.gguf") -> bytes:
        async def pause(wait_s: float) -> None:
            self.pauses_s.append(wait_s)

        def progress(done_bytes: int, total_bytes: int | None) -> None:
            self.told.append((done_bytes, total_bytes))

        file = await fetch(f"{self.hub.url}/{path}", self.folder, progress, pause=pause)
        return file.read_bytes()


@pytest.fixture
def fetching(hub: Hub, tmp_path: Path) -> Fetching:
    return Fetching(hub, tmp_path)


async def test_a_file_comes_whole_and_it_is_told_how_far(fetching: Fetching) -> None:
    assert await fetching() == DATA
    assert fetching.told[0] == (0, len(DATA))
    assert fetching.told[-1] == (len(DATA), len(DATA))
    assert fetching.pauses_s == []


async def test_a_connection_that_is_cut_is_gone_on_with(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", "cut 2000", "say 503"])
    assert await fetching() == DATA
    assert hub.ranges == ["", "bytes=1000-", "bytes=3000-", "bytes=3000-"]


async def test_who_comes_back_later_goes_on(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", *["say 500"] * ATTEMPTS_MAX])
    with pytest.raises(ModelError, match="the server answers 500; try again later"):
        await fetching()
    assert len(fetching.pauses_s) == ATTEMPTS_MAX
    assert await fetching() == DATA
    assert hub.ranges[-1] == "bytes=1000-"
    # All of it is there: nothing is asked for again.
    requests = len(hub.requests)
    assert await fetching() == DATA
    assert len(hub.requests) == requests + 1


async def test_another_file_at_the_address_is_begun_anew(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", *["say 500"] * ATTEMPTS_MAX])
    with pytest.raises(ModelError):
        await fetching()
    hub.files["it.gguf"], hub.tag = DATA[::-1], '"two"'
    assert await fetching() == DATA[::-1]


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
async def test_what_could_be_another_file_is_not_gone_on_with(
    hub: Hub, fetching: Fetching, tag: str
) -> None:
    hub.tag = tag
    hub.troubles.append("cut 1000")
    assert await fetching() == DATA
    assert hub.ranges == ["", ""]


async def test_a_server_that_knows_no_parts(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", "deaf"])
    assert await fetching() == DATA


async def test_a_server_that_has_fewer_bytes_than_it_said(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", "stop 500"])
    assert await fetching() == DATA
    assert hub.ranges == ["", "bytes=1000-", "bytes=1500-"]


async def test_what_was_there_may_be_too_much(hub: Hub, fetching: Fetching) -> None:
    hub.troubles.extend(["cut 1000", *["say 500"] * ATTEMPTS_MAX])
    with pytest.raises(ModelError):
        await fetching()
    hub.files["it.gguf"] = DATA[:900]
    assert await fetching() == DATA[:900]


async def test_a_server_that_asks_to_wait_is_waited_for(hub: Hub, fetching: Fetching) -> None:
    hub.headers = {"Retry-After": "7"}
    hub.troubles.append("say 429")
    assert await fetching() == DATA
    assert fetching.pauses_s == [7]
    hub.headers = {"Retry-After": "86400"}
    hub.troubles.append("say 429")
    hub.tag = '"three"'
    assert await fetching() == DATA
    assert max(fetching.pauses_s) == PAUSE_S_MAX


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_is_not_repeated(hub: Hub, fetching: Fetching, status: int) -> None:
    hub.troubles.append(f"say {status}")
    with pytest.raises(ModelError, match=f"answers {status} .*; check the address"):
        await fetching()
    assert len(hub.ranges) == 1


async def test_it_is_followed_where_it_leads_but_not_into_the_open(
    hub: Hub, fetching: Fetching
) -> None:
    assert await fetching("leads/it.gguf") == DATA
    port = hub.url.rpartition(":")[2]
    # A name that is no loopback address, and yet leads here.
    hub.elsewhere = f"http://0.0.0.0:{port}"
    hub.tag = '"two"'
    with pytest.raises(ModelError, match=r"leads to http://0\.0\.0\.0"):
        await fetching("leads/it.gguf?other")


async def test_nobody_there_is_said_without_what_is_secret(tmp_path: Path) -> None:
    async def pause(_wait_s: float) -> None:
        pass

    url = "http://me:secret@127.0.0.1:9/it.gguf?key=hidden"
    with pytest.raises(ModelError, match=r"cannot get http://127\.0\.0\.1:9/it\.gguf: ") as caught:
        await fetch(url, tmp_path, lambda *_: None, pause=pause)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_a_disk_that_refuses_is_said(fetching: Fetching) -> None:
    fetching.folder = fetching.folder / "none"
    with pytest.raises(ModelError, match="cannot write"):
        await fetching()
