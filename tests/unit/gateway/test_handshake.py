from __future__ import annotations

import pytest

from edge.gateway.handshake import Handshake, Refusal, examine, origin_allowed, read_query

V2 = "vsn=2.0.0"


def accepted(query: str = V2, **headers: str) -> Handshake:
    outcome = examine(query, _spell(headers), ["//example.com"])
    assert isinstance(outcome, Handshake)
    return outcome


def refused(query: str = V2, **headers: str) -> int:
    outcome = examine(query, _spell(headers), ["//example.com"])
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


class TestOrigin:
    @pytest.mark.parametrize(
        ("origin", "pattern", "allowed"),
        [
            ("http://example.com:8080", "//example.com", True),
            ("https://EXAMPLE.com", "//example.com", True),
            ("https://a.example.com", "//example.com", False),
            ("https://evil.example.net", "//example.com", False),
            ("https://notexample.com", "//*.example.com", False),
            ("https://example.com", "//*.example.com", True),
            ("https://a.b.example.com", "//*.example.com", True),
            ("http://example.com", "https://example.com", False),
            ("https://example.com", "https://example.com:443", True),
            ("https://example.com:4001", "//example.com:4000", False),
            ("capacitor://localhost", "capacitor://localhost", True),
            ("https://example.com", "example.com", True),
            ("null", "//example.com", False),
            ("null", "*", True),
            ("http://example.com:port", "//example.com", False),
            ("http://[::1", "//example.com", False),
        ],
    )
    def test_patterns(self, origin: str, pattern: str, allowed: bool) -> None:
        assert origin_allowed(origin, "127.0.0.1:4000", [pattern]) is allowed

    def test_own_page(self) -> None:
        assert origin_allowed("http://127.0.0.1:4000", "127.0.0.1:4000", [])
        assert not origin_allowed("http://127.0.0.1:4001", "127.0.0.1:4000", [])

    def test_native_clients_have_none(self) -> None:
        assert refused(origin="http://evil.example.net") == 403
        assert accepted(origin="http://example.com").token is None
        assert accepted().token is None
