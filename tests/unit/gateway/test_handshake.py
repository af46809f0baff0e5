from __future__ import annotations

import pytest

from edge.gateway.handshake import Handshake, Refusal, examine, flaw, read_query

V2 = "vsn=2.0.0"


def accepted(query: str = V2, **headers: str) -> Handshake:
    outcome = examine(query, _spell(headers))
    assert isinstance(outcome, Handshake)
    return outcome


def refused(query: str = V2, **headers: str) -> int:
    outcome = examine(query, _spell(headers))
    assert isinstance(outcome, Refusal)
    return outcome.status


def _spell(headers: dict[str, str]) -> dict[str, str]:
    names = {"protocols": "Sec-WebSocket-Protocol"}
    return {names.get(name, name.capitalize()): value for name, value in headers.items()}


class TestVersion:
    def test_absent_is_the_first(self) -> None:
        assert accepted("").serializer.version == 1

    def test_last_wins(self) -> None:
        assert accepted("vsn=3.0.0&vsn=2.0.0").serializer.version == 2

    @pytest.mark.parametrize("query", ["vsn=", "vsn=2.0", "vsn[]=2.0.0", "vsn%5B%5D=2.0.0"])
    def test_others_are_refused(self, query: str) -> None:
        assert refused(query) == 403


class TestQuery:
    def test_params_leave_out_what_is_read_here(self) -> None:
        handshake = accepted("user=7&&vsn=2.0.0&token=t&a%5Bb%5D=1&user=8")
        assert handshake.params == {"user": "8", "a[b]": "1"}
        assert handshake.token == "t"

    def test_form_rules(self) -> None:
        assert read_query("a=ab+cd%2B&b=%zz&c&=d&&e=%C3%A9") == {
            "a": "ab cd+",
            "b": "%zz",
            "c": "",
            "e": "é",
        }

    def test_invalid_utf8_is_a_bad_request(self) -> None:
        assert refused("vsn=2.0.0&x=%ff") == 400


class TestSubprotocol:
    @pytest.mark.parametrize(
        ("offer", "answer", "token"),
        [
            ("phoenix, base64url.bearer.phx.bXktdG9rZW4", "phoenix", "my-token"),
            ("base64url.bearer.phx.bXktdG9rZW4,phoenix", "phoenix", "my-token"),
            ("base64url.bearer.phx.bXktdG9rZW4", None, "my-token"),
            ("phoenix", "phoenix", None),
            ("phoenix, foo", "phoenix", None),
            ("phoenix, base64url.bearer.phx.YQ, base64url.bearer.phx.Yg", "phoenix", None),
            ("phoenix, base64url.bearer.phx.fn5+Pz8", "phoenix", "~~~??"),
            ("phoenix, base64url.bearer.phx.fn5-Pz8", "phoenix", "~~~??"),
            ("phoenix, base64url.bearer.phx.fn5-Pz8=", "phoenix", "~~~??"),
        ],
    )
    def test_accepted(self, offer: str, answer: str | None, token: str | None) -> None:
        handshake = accepted(protocols=offer)
        assert (handshake.subprotocol, handshake.token) == (answer, token)

    @pytest.mark.parametrize(
        "offer",
        [
            "foo",
            "foo, base64url.bearer.phx.YQ",
            "phoenix, base64url.bearer.phx.Y",
            "phoenix, base64url.bearer.phx./w",
            "phoenix, base64url.bearer.phx.!!!!",
        ],
    )
    def test_refused(self, offer: str) -> None:
        assert refused(protocols=offer) == 403

    def test_no_header_no_answer(self) -> None:
        assert accepted().subprotocol is None


class TestToken:
    def test_authorization(self) -> None:
        assert accepted(authorization="Bearer abc").token == "abc"
        assert accepted(authorization="bearer  abc ").token == "abc"
        assert accepted(authorization="Basic abc").token is None

    def test_closest_carrier_wins(self) -> None:
        query = "vsn=2.0.0&token=query"
        assert accepted(query, authorization="Bearer header").token == "header"
        offer = "phoenix, base64url.bearer.phx.bXktdG9rZW4"
        assert accepted(query, authorization="Bearer h", protocols=offer).token == "my-token"


UPGRADE = {
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class TestUpgrade:
    def test_a_good_one(self) -> None:
        assert flaw(UPGRADE) is None

    @pytest.mark.parametrize("name", UPGRADE)
    def test_all_three_headers_have_to_be_there(self, name: str) -> None:
        given = {each: value for each, value in UPGRADE.items() if each != name}
        assert name in (flaw(given) or "")

    @pytest.mark.parametrize("name", UPGRADE)
    @pytest.mark.parametrize("value", ["", "h2c", "12", "YWJj", "d*==", "\xff", "\udcff"])
    def test_and_to_be_right(self, name: str, value: str) -> None:
        assert name in (flaw(UPGRADE | {name: value}) or "")
