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
