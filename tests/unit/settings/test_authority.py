from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.settings.authority import (
    Authority,
    HostPattern,
    OriginPattern,
    canonical_host,
    is_loopback,
    parse_authority,
    parse_origin,
)


class TestAuthority:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("localhost", "localhost", None),
            ("LocalHost:4000", "localhost", 4000),
            ("localhost.:4000", "localhost", 4000),
            ("localhost:", "localhost", None),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:4000", "::1", 4000),
            ("[0:0:0:0:0:0:0:1]", "::1", None),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1", 1),
            ("my_service.lan", "my_service.lan", None),
            ("xn--bro-hoa.example", "xn--bro-hoa.example", None),
        ],
    )
    def test_one_form(self, text: str, host: str, port: int | None) -> None:
        assert parse_authority(text) == Authority(host, port)

    @pytest.mark.parametrize(
        "text",
        [
            "", ".", "a..b", "local host", "user@localhost", "localhost:65536", "localhost:4000x",
            "localhost:+80", "localhost:-1", "localhost:٤", "localhost:80:80", "[::1", "::1",
            "[::1]x", "[1.2.3.4]", "localhost/", "localhost,evil", "büro", "localhost\x00",
            "a" * 256, "localhost..",
        ],
    )  # fmt: skip
    def test_what_is_none(self, text: str) -> None:
        assert parse_authority(text) is None

    @given(st.text(max_size=40))
    def test_its_form_is_stable(self, text: str) -> None:
        found = parse_authority(text)
        if found is not None:
            assert canonical_host(found.host) == found.host


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"],
)
def test_what_only_this_machine_reaches(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "127.example.com", "127.0.0.1.example.com", "localhost.example.com", "127.1",
        "127.0.0.256", "2130706433", "0.0.0.0", "::", "::2", "10.0.0.1", "::ffff:10.0.0.1",
        "localhost..", "ip6-localhost",
    ],
)  # fmt: skip
def test_what_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


class TestOrigin:
    @pytest.mark.parametrize(
        ("text", "scheme", "host", "port"),
        [
            ("http://localhost:5173", "http", "localhost", 5173),
            ("HTTPS://Example.com", "https", "example.com", 443),
            ("http://[::1]", "http", "::1", 80),
            ("capacitor://localhost", "capacitor", "localhost", None),
            ("chrome-extension://abcdefgh", "chrome-extension", "abcdefgh", None),
        ],
    )
    def test_its_parts(self, text: str, scheme: str, host: str, port: int | None) -> None:
        origin = parse_origin(text)
        assert origin is not None
        assert (origin.scheme, origin.authority.host, origin.port) == (scheme, host, port)

    @pytest.mark.parametrize(
        "text",
        [
            "", "null", "NULL", "localhost", "//localhost", "http://", "file://", "http://a/",
            "http://a/b", "http://u@a", "http://a http://b", "http://a, http://b", "http:a",
            "http://a:port", "1http://a", "http://[::1",
        ],
    )  # fmt: skip
    def test_what_is_none(self, text: str) -> None:
        assert parse_origin(text) is None


class TestOriginPattern:
    @pytest.mark.parametrize(
        ("text", "pattern", "admitted"),
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
            ("https://example.com:8443", "example.com:8443", True),
            ("http://[::1]:5173", "http://[0::1]:5173", True),
            ("http://localhost:5173", "http://localhost:5173/", True),
            ("http://localhost:5174", "http://localhost:5173", False),
            ("https://anything.example", "*", True),
        ],
    )
    def test_what_it_leaves_out_is_not_compared(
        self, text: str, pattern: str, admitted: bool
    ) -> None:
        parsed, origin = OriginPattern.parse(pattern), parse_origin(text)
        assert parsed is not None
        assert origin is not None
        assert parsed.admits(origin) is admitted

    @pytest.mark.parametrize(
        "text",
        [
            "", "null", "http://", "http//a", "http://a/page", "http://a:*", "http://u@a", "**",
            "http://*", "*.", "a b", "://a", "http://*.127.0.0.1",
        ],
    )  # fmt: skip
    def test_what_is_none(self, text: str) -> None:
        assert OriginPattern.parse(text) is None


class TestHostPattern:
    def test_a_name_and_those_below_it(self) -> None:
        exact, below = HostPattern.parse("Node.Example.com."), HostPattern.parse("*.example.com")
        assert exact is not None
        assert below is not None
        for host, by_exact, by_below in (
            ("node.example.com", True, True),
            ("example.com", False, True),
            ("a.node.example.com", False, True),
            ("notexample.com", False, False),
        ):
            assert (exact.admits(host), below.admits(host)) == (by_exact, by_below)

    @pytest.mark.parametrize("text", ["10.0.0.1", "[::2]", "::2"])
    def test_addresses(self, text: str) -> None:
        assert HostPattern.parse(text) is not None

    @pytest.mark.parametrize("text", ["", "*", "a:80", "http://a", "a/b", "*.*.a", "*.10.0.0.1"])
    def test_what_is_none(self, text: str) -> None:
        assert HostPattern.parse(text) is None
