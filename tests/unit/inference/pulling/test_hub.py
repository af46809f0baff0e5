"""What is asked of a hub, and what is made of its answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.pulling.hub import ANSWER_BYTES_MAX, USUAL_URL, Hub
from edge.inference.pulling.wanted import Repository
from tests.support import hub as stand_in
from tests.support.hub import OWNER, REPOSITORY, REVISION

NAME = f"{OWNER}/{REPOSITORY}"
WANTED = Repository(NAME)


async def test_it_says_what_there_is(hub: stand_in.Hub) -> None:
    hub.files = {"sub/it #1-Q8_0.gguf": b"GGUF"}
    offer = await Hub(hub.url + "/").ask(WANTED)
    assert offer.url == f"{hub.url}/{NAME}/resolve/{REVISION}/sub/it%20%231-Q8_0.gguf"
    assert (offer.file.size_bytes, offer.licence) == (4, "apache-2.0")
    assert offer.file.sha256 == hub.sum_of("sub/it #1-Q8_0.gguf")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("null", ""),
        ('{"license": "gemma"}', "gemma"),
        ('{"license": "other", "license_name": "qwen-research"}', "qwen-research"),
        ('{"license": ["a", "b"]}', ""),
    ],
)
async def test_the_licence_is_that_of_the_repository(
    hub: stand_in.Hub, card: str, licence: str
) -> None:
    siblings = '[{"rfilename": "it.gguf"}]'
    hub.answer = f'{{"sha": "aa", "siblings": {siblings}, "cardData": {card}}}'.encode()
    offer = await Hub(hub.url).ask(WANTED)
    assert (offer.licence, offer.file.sha256, offer.file.size_bytes) == (licence, None, None)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"<html>", "does not answer as a hub"),
        (b"[]", "does not answer as a hub"),
        (b"{}", "does not answer as a hub"),
        (b'{"sha": "aa", "siblings": [7]}', "does not answer as a hub"),
        (b'{"sha": "aa", "siblings": [{}]}', "does not answer as a hub"),
        (b'{"sha": "aa", "siblings": [{"rfilename": "a", "lfs": 7}]}', "does not answer as a hub"),
        (b'{"sha": "aa", "siblings": [], "cardData": 7}', "does not answer as a hub"),
        (b'{"sha": "aa", "siblings": []}', "no GGUF file"),
        (bytes(ANSWER_BYTES_MAX + 1), "more of owner/model-GGUF than can be read"),
    ],
)
async def test_an_odd_answer_is_a_sentence(hub: stand_in.Hub, answer: bytes, says: str) -> None:
    hub.answer = answer
    with pytest.raises(ModelError, match=says):
        await Hub(hub.url).ask(WANTED)


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, {"X-Error-Code": "RepoNotFound"}, "or it is private; check the name"),
        (403, {"X-Error-Code": "GatedRepo"}, f"accept its terms at .*/{NAME}, and name your token"),
        (404, {}, f"has no repository {NAME}"),
        (429, {"Retry-After": "30"}, r"too many requests of yours \(429\); try again in 30 s"),
        (429, {"Retry-After": "soon"}, "try again later"),
        (500, {}, "answers 500; try again later"),
    ],
)
async def test_a_refusal_is_a_sentence(
    hub: stand_in.Hub, status: int, headers: dict[str, str], says: str
) -> None:
    hub.status, hub.headers = status, headers
    with pytest.raises(ModelError, match=says):
        await Hub(hub.url).ask(WANTED)


async def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"cannot reach the hub http://127\.0\.0\.1:9: "):
        await Hub("http://127.0.0.1:9", {}).ask(WANTED)


def test_which_hub_it_is() -> None:
    assert Hub("", {}).url == USUAL_URL
    assert Hub("", {"HF_ENDPOINT": "https://mirror.org/"}).url == "https://mirror.org"
    assert Hub("https://own.org", {"HF_ENDPOINT": "https://mirror.org"}).url == "https://own.org"
    with pytest.raises(ModelError, match=r"set model\.hub_url"):
        Hub("http://mirror.org", {})


def test_the_token_is_where_the_hubs_own_programs_have_it(tmp_path: Path) -> None:
    assert Hub("", {}).headers == {}
    assert Hub("", {"HF_TOKEN": " hf_1\n"}).headers == {"Authorization": "Bearer hf_1"}
    cache = tmp_path / ".cache" / "huggingface"
    cache.mkdir(parents=True)
    (cache / "token").write_text("hf_2\n")
    for environment in (
        {"HOME": str(tmp_path)}, {"HF_HOME": str(cache)}, {"HF_TOKEN_PATH": str(cache / "token")},
    ):  # fmt: skip
        assert Hub("", environment).headers == {"Authorization": "Bearer hf_2"}
    assert Hub("", {"HOME": str(tmp_path / "none")}).headers == {}
