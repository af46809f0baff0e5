from __future__ import annotations

from edge.gateway.cors import allow_reading, options

PAGE = "http://localhost:5173"


def test_what_is_kept_by_a_cache_depends_on_the_page() -> None:
    headers = {"Vary": "Accept"}
    allow_reading(headers, None)
    assert headers == {"Vary": "Accept, Origin"}


def test_a_page_may_read_by_its_own_name_alone() -> None:
    headers: dict[str, str] = {}
    allow_reading(headers, PAGE)
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Credentials" not in headers


def test_without_a_page_only_the_methods_are_said() -> None:
    answer = options({}, ["POST", "GET"])
    assert answer.headers["Allow"] == "GET, OPTIONS, POST"
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_a_page_may_send_what_it_asks_for_and_what_we_read() -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-stainless-os,",
    }
    answer = options(asked, ["POST"])
    names = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert names == [
        "Authorization", "content-type", "Idempotency-Key", "Last-Event-ID", "Prefer",
        "X-Request-Id", "api-key", "traceparent", "x-api-key", "x-stainless-os",
    ]  # fmt: skip
    assert "Access-Control-Allow-Private-Network" not in answer.headers
