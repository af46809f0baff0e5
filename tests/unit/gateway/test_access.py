from __future__ import annotations

import pytest

from edge.errors import Forbidden
from edge.gateway.access import LOCAL, Access, bearer


def test_without_tokens_everybody_is_local() -> None:
    assert Access({}).open
    assert Access({}).client(None) == LOCAL


@pytest.mark.parametrize("token", [None, "", "s", "secre", "secret ", "phone", "sécret"])
def test_a_wrong_token_is_refused(token: str | None) -> None:
    with pytest.raises(Forbidden):
        Access({"phone": "secret"}).client(token)


@pytest.mark.parametrize("token", [None, "", " "])
@pytest.mark.parametrize("secret", ["", " "])
def test_a_missing_token_is_never_valid(token: str | None, secret: str) -> None:
    access = Access({"phone": secret})
    assert not access.open
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with pytest.raises(Forbidden):
        access.client_of(headers, token.strip() if token else None)
    assert not access.admits(headers)


def test_a_token_is_any_bytes() -> None:
    access = Access({"phone": "secret"})
    for token in (b"\xff", b"secret\xff", b"\xed\xa0\x80"):
        with pytest.raises(Forbidden):
            access.client(token.decode("utf-8", "surrogateescape"))


def test_who_sees_it_sees_no_secret() -> None:
    access = Access({"phone": "a secret of the phone"})
    assert "a secret" not in repr(vars(access))


def test_a_token_names_its_client() -> None:
    access = Access({"phone": "secret", "desk": "öther"})
    assert (access.client("secret"), access.client("öther")) == ("phone", "desk")


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", None), ("Bearer ", None), (None, None)],
)
def test_the_bearer_header(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


def test_a_client_is_known_by_its_header_or_else_by_another_token() -> None:
    access = Access({"ada": "a", "bob": "b"})
    assert access.client_of({"Authorization": "Bearer a"}) == "ada"
    assert access.client_of({"Authorization": "Bearer a"}, "b") == "ada"
    assert access.client_of({}, "b") == "bob"
    with pytest.raises(Forbidden):
        access.client_of({"Authorization": "Bearer "})


@pytest.mark.parametrize(
    ("host", "address", "operates"),
    [
        ("127.0.0.1", "127.0.0.1", True), ("::1", "::1", True), ("192.0.2.7", "192.0.2.7", False),
        ("::ffff:192.0.2.7", "192.0.2.7", False), ("2001:db8::7", "2001:db8::", False),
        ("2001:db8::ffff:1", "2001:db8::", False), ("2001:db8:0:1::7", "2001:db8:0:1::", False),
        ("fe80::1%eth0", "fe80::", False), (None, None, False),
    ],
)  # fmt: skip
def test_callers_of_an_open_node_are_told_apart_by_their_networks(
    host: str | None, address: str | None, operates: bool
) -> None:
    assert Access({}).caller_of({}, host) == (LOCAL, address, operates)


def test_what_a_proxy_is_said_to_have_written_is_not_believed() -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    assert Access({}).caller_of(forwarded, "127.0.0.1").address == "127.0.0.1"


def test_a_caller_with_a_token_is_known_by_that_wherever_it_is() -> None:
    access = Access({"ada": "a"})
    for host in ("127.0.0.1", "192.0.2.7", None):
        assert access.caller_of({"Authorization": "Bearer a"}, host) == ("ada", None, True)
    with pytest.raises(Forbidden):
        access.caller_of({}, "127.0.0.1")
