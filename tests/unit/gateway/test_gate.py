from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from edge.errors import ClientError
from edge.gateway.gate import Rules, Visit, admit, reader
from edge.gateway.http.errors import MalformedRequest, Misdirected
from edge.gateway.own_names import OwnNames
from edge.gateway.problems import from_error
from edge.settings import host_patterns, origin_patterns

PAGE = "http://localhost:5173"
RULES = Rules(
    OwnNames(["box"], ["127.0.0.1"]),
    host_patterns(["node.example.com"]),
    origin_patterns([PAGE, "//app.example.com"]),
)


def ask(
    *headers: tuple[str, str],
    method: str = "GET",
    target: str = "/tasks",
    host: str | None = "localhost:4000",
    version_1_0: bool = False,
    rules: Rules = RULES,
) -> ClientError | None:
    """Why it is refused, if it is."""
    named = CIMultiDict(headers)
    if host is not None:
        named.add("Host", host)
    try:
        admit(Visit(method, target, version_1_0, named, "127.0.0.1"), rules)
    except ClientError as error:
        return error
    return None


def may_read(origin: str | None, host: str = "localhost:4000", **more: str) -> bool:
    named = CIMultiDict({"Host": host} | more | ({} if origin is None else {"Origin": origin}))
    page = reader(Visit("POST", "/%ff", False, named, "127.0.0.1"), RULES)
    assert page in (None, origin)
    return page is not None


def status(*headers: tuple[str, str], **request: object) -> int:
    """Of the refusal; 0 where there is none."""
    refusal = ask(*headers, **request)  # type: ignore[arg-type]  # passed on as it came
    return from_error(refusal).status if refusal else 0


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost", "localhost:1", "LOCALHOST:4000", "localhost.:4000", "127.0.0.1",
            "127.3.2.1:9", "[::1]:4000", "[::ffff:127.0.0.1]", "box", "Box:4000",
            "node.example.com", "node.example.com:443",
        ],
    )  # fmt: skip
    def test_ours(self, host: str) -> None:
        assert status(host=host) == 0

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:4000", "127.example.com", "localhost.evil.example", "0.0.0.0:4000",
            "10.0.0.1", "8.8.8.8", "[fe80::1]", "127.1", "a.node.example.com", "example.com",
        ],
    )  # fmt: skip
    def test_not_ours(self, host: str) -> None:
        refusal = ask(host=host)
        assert isinstance(refusal, Misdirected)
        assert "server.hosts" in str(refusal)
        assert status(host=host) == 421

    @pytest.mark.parametrize(
        "host", ["", "user@localhost", "localhost:4000x", "local host", "localhost, evil.example"]
    )
    def test_none_at_all(self, host: str) -> None:
        assert status(host=host) == 400

    def test_missing(self) -> None:
        assert status(host=None) == 400
        # Clients that are older than the header, as some load balancers are. No browser is.
        assert status(host=None, version_1_0=True) == 0
        assert status(("Origin", "http://localhost"), host=None, version_1_0=True) == 403

    def test_twice(self) -> None:
        assert status(("Host", "localhost:4000")) == 400
        assert status(("host", "evil.example")) == 400

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("http://localhost:4000/tasks", 0),
            ("http://LOCALHOST:4000/tasks?x=//y", 0),
            ("http://evil.example/tasks", 400),
            ("http://localhost:4001/tasks", 400),
            ("http://user@localhost:4000/tasks", 400),
            ("http://[::1/tasks", 400),
            ("localhost:4000", 400),
            ("*", 0),
            ("//evil.example/tasks", 0),  # a path like any other
        ],
    )
    def test_a_target_with_a_server_of_its_own(self, target: str, expected: int) -> None:
        assert status(target=target) == expected

    def test_a_foreign_host_is_foreign_for_its_own_pages_too(self) -> None:
        assert status(("Origin", "http://evil.example:4000"), host="evil.example:4000") == 421
        assert status(host="evil.example", target="http://evil.example/tasks") == 421


class TestOrigin:
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://localhost:4000", "localhost:4000"),
            ("HTTP://LOCALHOST:4000", "localhost.:4000"),
            ("ws://127.0.0.1:4000", "127.0.0.1:4000"),
            ("https://node.example.com", "node.example.com"),
            ("https://node.example.com", "node.example.com:443"),
            ("http://localhost", "localhost:80"),
            ("http://[::1]:4000", "[::1]:4000"),
        ],
    )
    def test_our_own_pages(self, origin: str, host: str) -> None:
        assert ask(("Origin", origin), host=host) is None

    @pytest.mark.parametrize(
        "origin", [PAGE, "https://app.example.com", "http://app.example.com:1"]
    )
    def test_pages_that_we_were_told_of(self, origin: str) -> None:
        assert ask(("Origin", origin)) is None

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example", "http://localhost:4001", "http://localhost", "http://127.0.0.1:4000",
            "http://localhost:5174", "https://localhost:5173", "capacitor://localhost:4000",
            "null", "", "localhost:4000", "http://localhost:4000/", f"{PAGE} {PAGE}",
            f"{PAGE}, {PAGE}", "http://evil.example@localhost:4000",
        ],
    )  # fmt: skip
    def test_all_others(self, origin: str) -> None:
        assert status(("Origin", origin)) == 403

    def test_several(self) -> None:
        assert status(("Origin", PAGE), ("Origin", PAGE)) == 403

    def test_every_page_but_one_without_an_origin(self) -> None:
        rules = RULES._replace(origins=origin_patterns(["*"]))
        assert status(("Origin", "https://any.example"), rules=rules) == 0
        assert status(("Origin", "null"), rules=rules) == 403
        assert status(("Origin", "https://any.example"), rules=rules, host="any.example") == 421

    def test_who_may_use_the_node_reads_its_refusals(self) -> None:
        mistyped = {"Content-Type": "text/plain", "Content-Length": "1"}
        assert may_read(PAGE, **mistyped)
        assert may_read("http://localhost:4000")
        for origin in ("http://evil.example", "null", "", None):
            assert not may_read(origin)
        assert not may_read(PAGE, host="evil.example")
        assert not may_read(PAGE, host="?")

    def test_what_a_page_would_have_to_be_added_is_said(self) -> None:
        refusal = ask(("Origin", "http://localhost:3000"))
        assert refusal is not None
        assert refusal.field == "Origin"
        assert "http://localhost:3000" in str(refusal)
        assert "server.origins" in str(refusal)


class TestSite:
    @pytest.mark.parametrize("site", ["none", "same-origin"])
    def test_a_person_and_our_own_pages(self, site: str) -> None:
        assert status(("Sec-Fetch-Site", site)) == 0

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "", "some-news"])
    def test_an_image_of_another_page(self, site: str) -> None:
        headers = (("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "no-cors"))
        assert status(*headers, ("Sec-Fetch-Dest", "image")) == 403

    @pytest.mark.parametrize(
        ("method", "dest", "expected"),
        [
            ("GET", "document", 0), ("HEAD", "document", 0), ("POST", "document", 403),
            ("GET", "iframe", 403), ("GET", "embed", 403),
        ],
    )  # fmt: skip
    def test_a_link_that_a_person_follows(self, method: str, dest: str, expected: int) -> None:
        headers = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"))
        assert status(*headers, ("Sec-Fetch-Dest", dest), method=method) == expected

    def test_a_page_that_we_were_told_of_is_another_site(self) -> None:
        assert status(("Sec-Fetch-Site", "same-site"), ("Origin", PAGE)) == 0
        assert status(("Sec-Fetch-Site", "same-site"), ("Origin", "http://localhost:1")) == 403


def body(*headers: tuple[str, str]) -> int:
    return status(*headers, ("Content-Length", "10"), method="POST")


class TestType:
    @pytest.mark.parametrize(
        "kind",
        [
            "application/json", "application/JSON; charset=utf-8", "application/json;x=y",
            "Application/Json",
        ],
    )  # fmt: skip
    def test_json(self, kind: str) -> None:
        assert body(("Content-Type", kind)) == 0
        assert body(("Content-Type", kind), ("Origin", PAGE)) == 0
        assert body(("Content-Type", kind), ("Sec-Fetch-Site", "same-origin")) == 0

    @pytest.mark.parametrize(
        "headers", [(), (("Content-Type", "application/x-www-form-urlencoded"),)]
    )
    def test_what_curl_says(self, headers: tuple[tuple[str, str], ...]) -> None:
        assert body(*headers) == 0
        assert body(*headers, ("Origin", PAGE)) == 415
        assert body(*headers, ("Origin", "http://localhost:4000")) == 415
        assert body(*headers, ("Sec-Fetch-Site", "none")) == 415

    @pytest.mark.parametrize(
        "kind",
        [
            "text/plain", "multipart/form-data; boundary=x", "application/octet-stream",
            "text/json", "application/jsonp", "application/json, text/plain", "x",
            "application/problem+json",
        ],
    )  # fmt: skip
    def test_all_others(self, kind: str) -> None:
        assert body(("Content-Type", kind)) == 415

    def test_a_body_is_known_by_its_framing(self) -> None:
        text = ("Content-Type", "text/plain")
        assert status(text, ("Transfer-Encoding", "chunked"), method="POST") == 415
        assert status(text, ("Content-Length", "5"), method="GET") == 415
        assert status(text, ("Content-Length", "0"), method="POST") == 0
        assert status(text, method="POST") == 0

    def test_two_types_are_none(self) -> None:
        assert body(("Content-Type", "application/json"), ("Content-Type", "text/plain")) == 400


class TestText:
    @pytest.mark.parametrize(
        "name",
        ["Idempotency-Key", "Last-Event-ID", "Sec-WebSocket-Protocol", "Content-Type", "X-Own"],
    )
    def test_a_header_that_is_no_text_is_named(self, name: str) -> None:
        refusal = ask((name, b"caf\xe9".decode("utf-8", "surrogateescape")))
        assert isinstance(refusal, MalformedRequest)
        assert refusal.field == name
        assert name in str(refusal)
        assert status((name, "café"), method="GET") == 0

    @pytest.mark.parametrize("name", ["Authorization", "Cookie", "User-Agent", "Referer"])
    def test_what_nobody_reads_as_text_may_be_none(self, name: str) -> None:
        assert status((name, "\udcff")) == 0

    def test_a_host_and_an_origin_that_are_no_text(self) -> None:
        assert status(host="localhost\udcff") == 400
        assert status(("Origin", "http://localhost:4000\udcff")) == 400

    @pytest.mark.parametrize(
        "target", ["/tasks/%ff", "/tasks/%ed%a0%80", "/tasks?before=%ff", "/tasks?%ff", "/\udcff"]
    )
    def test_a_target_that_is_no_text(self, target: str) -> None:
        assert status(target=target) == 400

    @pytest.mark.parametrize("target", ["/tasks/%C3%A9", "/tasks?x=%00", "/%zz", "/é"])
    def test_a_target_that_is_text(self, target: str) -> None:
        assert status(target=target) == 0

    @pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Last-Event-ID"])
    def test_a_header_that_counts_is_there_once(self, name: str) -> None:
        assert status((name, "a"), (name.lower(), "b")) == 400


_TEXT = st.text(max_size=30)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ("Origin", "Host", "Content-Type", "Sec-Fetch-Site", "Authorization", "X-Other")
            ),
            _TEXT | st.sampled_from(("null", PAGE, "localhost", "text/plain", "cross-site")),
        ),
        max_size=6,
    ),
    st.sampled_from(("/tasks", "*", "http://localhost/")) | _TEXT,
)
def test_whatever_is_asked_is_decided(headers: list[tuple[str, str]], target: str) -> None:
    refusal = ask(*headers, target=target, host=None)
    if refusal is not None:
        assert from_error(refusal).status in (400, 403, 415, 421)
        assert str(refusal)
    else:
        hosts = [value for name, value in headers if name == "Host"]
        assert [host.lower().partition(":")[0].rstrip(".") for host in hosts] in (
            ["localhost"], ["box"], ["node.example.com"], ["127.0.0.1"],
        )  # fmt: skip
