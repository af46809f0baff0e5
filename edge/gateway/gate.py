"""The gate in front of everything: which requests reach a handler, whatever they ask for.

A browser lends its place on this machine, or behind its firewall, to every page that it shows. The
node is for programs and people, and for the pages that it was told of. So each request says by
which name it came (a page whose own name was bent to our address says that one: DNS rebinding),
which page sent it, and how (Fetch Metadata Request Headers); and a body is JSON, which no browser
sends for a foreign page without having asked (CORS preflight, `edge.gateway.cors`). What a handler
reads of a request besides its body is text: that is made sure of here, once.

`decide` is pure; `Gate` puts it in front of an application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from aiohttp import HttpVersion10, web

from edge.gateway import cors
from edge.gateway.own_names import OwnNames
from edge.gateway.problems import problem
from edge.settings import Server, host_patterns, origin_patterns
from edge.settings.authority import (
    DEFAULT_PORTS,
    Authority,
    HostPattern,
    Origin,
    OriginPattern,
    parse_authority,
    parse_origin,
)

JSON: Final = "application/json"
UNSAID: Final = ("", "application/x-www-form-urlencoded")
"""Types of a body that nobody chose: none, and what `curl -d` says unless told otherwise."""

_ONCE: Final = frozenset(
    {
        "authorization", "content-type", "host", "idempotency-key", "last-event-id", "origin",
        "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
    }
)  # fmt: skip
"""Nobody could say which of two counts."""

_UNREAD: Final = frozenset({"authorization", "cookie", "referer", "user-agent"})
"""These may be any bytes: a token is compared as bytes, and the others are not read. A browser
sends the cookies of other servers on this host along, and a program may be called what it likes."""

_OWN_SITES: Final = ("none", "same-origin")
"""What ``Sec-Fetch-Site`` says of a person's own wish, and of our own pages."""


class Visit(NamedTuple):
    """What the gate looks at. ``headers`` finds names in any case and lists all that there are;
    ``local_address`` is our end of the connection."""

    method: str
    target: str
    version_1_0: bool
    headers: Mapping[str, str]
    local_address: str


class Rules(NamedTuple):
    """By which names the node may be called, and which pages may use it besides its own."""

    own: OwnNames
    hosts: Sequence[HostPattern] = ()
    origins: Sequence[OriginPattern] = ()

    @classmethod
    def of(cls, own: OwnNames, server: Server) -> Rules:
        """Those of the settings. SettingsError when they are none."""
        return cls(own, host_patterns(server.hosts), origin_patterns(server.origins))


class Refused(NamedTuple):
    """The request is answered with this problem and reaches nobody."""

    status: int
    code: str
    title: str
    detail: str


class Admitted(NamedTuple):
    """The request may go on; ``origin`` is the page that sent it, if one did."""

    origin: str | None


def decide(visit: Visit, rules: Rules) -> Admitted | Refused:
    """The decision on one request, before anything is read of its body."""
    refused = _check_text(visit)
    if refused is not None:
        return refused
    host = _read_host(visit, rules)
    if isinstance(host, Refused):
        return host
    origin = visit.headers.get("Origin")
    refused = _check_site(visit) if origin is None else _check_origin(origin, host, rules)
    refused = refused or _check_type(visit)
    return Admitted(origin) if refused is None else refused


def _check_text(visit: Visit) -> Refused | None:
    try:
        # Bytes that are no UTF-8 have become lone surrogates, which cannot be encoded again.
        unquote_to_bytes(visit.target).decode()
    except UnicodeError:
        return _malformed("the path and the query have to be UTF-8")
    seen = set()
    for name, value in visit.headers.items():
        lowered = name.lower()
        if lowered in _ONCE:
            if lowered in seen:
                sentence = f"the header {name} may be there only once"
                return _foreign(sentence) if lowered == "origin" else _malformed(sentence)
            seen.add(lowered)
        if not value.isascii() and lowered not in _UNREAD:
            try:
                value.encode()
            except UnicodeEncodeError:
                return _malformed(f"the header {name} has to be UTF-8")
    return None


def _read_host(visit: Visit, rules: Rules) -> Authority | Refused | None:
    """By which name the node was called; None when the client knows no names (HTTP/1.0), as no
    browser does."""
    text = visit.headers.get("Host")
    if text is None:
        if visit.version_1_0:
            return None
        return _malformed("the header Host is missing (RFC 9112 section 3.2)")
    host = parse_authority(text)
    if host is None:
        return _malformed(f"{text!r} is no Host: it has to be a name or an address, and a port")
    if not visit.target.startswith(("/", "*")) and not _names(visit.target, host):
        return _malformed("the request's target and its Host have to name the same server")
    if not rules.own.include(host.host, visit.local_address) and not any(
        pattern.admits(host.host) for pattern in rules.hosts
    ):
        return Refused(
            421, "misdirected", "Not this node",
            f"this node does not go by the name {host.host!r}: call it by its address, or have"
            " its admin add the name to the setting server.hosts",
        )  # fmt: skip
    return host


def _names(target: str, host: Authority) -> bool:
    """A whole URL as the target (RFC 9112 section 3.2.2) names the same server as ``Host``."""
    try:
        named = parse_authority(urlsplit(target).netloc)
    except ValueError:  # brackets that do not close
        return False
    return named is not None and (named.host, named.port_for("http")) == (
        host.host,
        host.port_for("http"),
    )


def _check_origin(text: str, host: Authority | None, rules: Rules) -> Refused | None:
    origin = parse_origin(text)
    if origin is None:
        return _foreign(
            "a page without an origin of its own (a file, a sandboxed frame) may not use this"
            " node: serve it from a host, and have that origin added to the setting server.origins"
        )
    if _is_own(origin, host) or any(pattern.admits(origin) for pattern in rules.origins):
        return None
    return _foreign(
        f"pages of {text} may not use this node; if they are to, have its admin add that origin"
        " to the setting server.origins"
    )


def _is_own(origin: Origin, host: Authority | None) -> bool:
    """The page is from where it asks. Its scheme may differ from ours: TLS may end before us."""
    return (
        host is not None
        and origin.scheme in DEFAULT_PORTS
        and origin.authority.host == host.host
        and origin.port == host.port_for(origin.scheme)
    )


def _check_site(visit: Visit) -> Refused | None:
    """A page may send some requests without its origin: images, scripts, frames, links. Of these
    only a link that a person follows is let in: it shows its answer to that person alone."""
    headers = visit.headers
    site = headers.get("Sec-Fetch-Site")
    if site is None or site.lower() in _OWN_SITES:
        return None
    followed = (
        headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and visit.method in ("GET", "HEAD")
    )
    if followed:
        return None
    return _foreign("pages of other sites may not use this node as a part of theirs")


def _check_type(visit: Visit) -> Refused | None:
    headers = visit.headers
    if "Transfer-Encoding" not in headers and headers.get("Content-Length", "0") == "0":
        return None
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    by_browser = "Origin" in headers or "Sec-Fetch-Site" in headers
    if kind == JSON or (kind in UNSAID and not by_browser):
        return None
    return Refused(
        415, "unsupported_media_type", "Not JSON",
        f"the body has to be JSON: send it with Content-Type: {JSON}"
        + (f", not {kind}" if kind else ""),
    )  # fmt: skip


def _malformed(detail: str) -> Refused:
    return Refused(400, "malformed_request", "Malformed request", detail)


def _foreign(detail: str) -> Refused:
    return Refused(403, "foreign_page", "Page not allowed", detail)


class Gate:
    """`decide` in front of an application."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def guard(self, app: web.Application) -> None:
        """From now on every request passes here first, also one for which there is no handler."""
        app.middlewares.insert(0, self._pass)
        # Streamed answers are under way before a middleware sees them.
        app.on_response_prepare.append(self._prepare)

    @web.middleware
    async def _pass(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        outcome = decide(_visit(request), self._rules)
        if isinstance(outcome, Refused):
            return problem(*outcome)
        unrouted = request.match_info.http_exception
        if request.method == "OPTIONS" and isinstance(unrouted, web.HTTPMethodNotAllowed):
            return cors.options(request.headers, unrouted.allowed_methods)
        return await handler(request)

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        # Decided once more: what is not sent by a page, which is nearly all, costs nothing here.
        sent = decide(_visit(request), self._rules) if "Origin" in request.headers else None
        cors.allow_reading(response.headers, sent.origin if isinstance(sent, Admitted) else None)


def _visit(request: web.Request) -> Visit:
    transport = request.transport
    local = None if transport is None else transport.get_extra_info("sockname")
    return Visit(
        request.method,
        request.raw_path,
        request.version == HttpVersion10,
        request.headers,
        local[0] if isinstance(local, tuple) else "",
    )
