"""How a node is named, and what is said when it is not there or not let in."""

from __future__ import annotations

import argparse

import pytest

from edge.cli.client import NodeClient, NodeError, local_url, named_url, task_path, token_of
from edge.settings import Server


def given(**flags: str | None) -> argparse.Namespace:
    return argparse.Namespace(**({"url": None, "token": None} | flags))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4000", "https://box.example/elwift/", "http://[::1]:4000"]
)
def test_an_address(url: str) -> None:
    assert named_url(given(url=url)) == url


@pytest.mark.parametrize("url", ["127.0.0.1:4000", "localhost", "box:4000/path"])
def test_a_missing_scheme_is_named(url: str) -> None:
    with pytest.raises(NodeError, match=f"--url lacks its scheme; write http://{url}"):
        named_url(given(url=url))


@pytest.mark.parametrize(
    "url", ["http://", "ftp://box", "http://box:port", "http://[::1", "http://box:70000"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(NodeError, match="no address of a node"):
        named_url(given(url=url))


def test_the_environment_names_a_node_and_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELWIFT_URL", "box:4000")
    monkeypatch.setenv("ELWIFT_TOKEN", "from the environment")
    with pytest.raises(NodeError, match="ELWIFT_URL lacks its scheme"):
        named_url(given())
    assert token_of(given()) == "from the environment"
    assert token_of(given(token="flag")) == "flag"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:4000"),
        ("0.0.0.0", "http://127.0.0.1:4000"),
        ("::", "http://[::1]:4000"),
        ("::1", "http://[::1]:4000"),
        ("192.168.1.7", "http://192.168.1.7:4000"),
    ],
)
def test_the_local_node_is_where_it_listens(host: str, url: str) -> None:
    assert local_url(Server(host=host)) == url


@pytest.mark.parametrize("token", ["a secret\n", "a\x00b", "schlüssel"])
def test_a_token_that_cannot_be_sent_is_not_shown(token: str) -> None:
    with pytest.raises(NodeError, match="--token") as refused:
        token_of(given(token=token))
    assert token.strip() not in str(refused.value)


async def test_no_sentence_has_the_password_of_an_address() -> None:
    async with NodeClient("http://ada:secret@127.0.0.1:9/path?token=secret") as client:
        with pytest.raises(NodeError) as unreachable:
            await client.call("GET", "/tasks")
    assert "secret" not in str(unreachable.value)
    assert "http://127.0.0.1:9/path" in str(unreachable.value)
    with pytest.raises(NodeError) as scheme:
        named_url(given(url="ada:secret@box:4000"))
    assert "secret" not in str(scheme.value)


def test_an_id_is_one_segment_of_a_path() -> None:
    assert task_path("../stats?x#y") == "/tasks/..%2Fstats%3Fx%23y"
