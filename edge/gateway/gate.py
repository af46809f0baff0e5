"""The gate in front of everything: which requests reach a handler, whatever they ask for.

A browser lends its place on this machine, or behind its firewall, to every page that it shows. The
node is for programs and people, and for the pages that it was told of. So each request says by
which name it came (a page whose own name was bent to our address says that one: DNS rebinding),
which page sent it, and how (Fetch Metadata Request Headers); and a body is JSON, which no browser
sends for a foreign page without having asked (CORS preflight, `edge.gateway.cors`). What a handler
reads of a request besides its body is text: that is made sure of here, once.

`admit` is pure; `Gate` puts it in front of an application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from aiohttp import HttpVersion10, web

from edge.errors import ClientError
from edge.gateway import cors
from edge.gateway.http.errors import (
    MalformedRequest,
    Misdirected,
    PageNotAllowed,
    UnsupportedType,
)
from edge.gateway.own_names import OwnNames
from edge.gateway.reading import clipped
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


def admit(visit: Visit, rules: Rules) -> None:
    """Returns for a request that may go on, before anything is read of its body. Raises
    `MalformedRequest`, `Misdirected`, `PageNotAllowed` or `UnsupportedType` for others."""
    _check_text(visit)
    host = _read_host(visit, rules)
    origin = visit.headers.get("Origin")
    if origin is None:
        _check_site(visit)
    else:
        _check_origin(origin, host, rules)
    _check_type(visit)


def reader(visit: Visit, rules: Rules) -> str | None:
    """The page that may read the answer: one that may use the node, also when what it asks for is
    refused. None where no page asks."""
    origin = visit.headers.get("Origin")
    if origin is None:
        return None
    try:
        _check_origin(origin, _read_host(visit, rules), rules)
    except ClientError:
        return None
    return origin


def _check_text(visit: Visit) -> None:
    try:
        # Bytes that are no UTF-8 have become lone surrogates, which cannot be encoded again.
        unquote_to_bytes(visit.target).decode()
    except UnicodeError as error:
        raise MalformedRequest("the path and the query have to be UTF-8") from error
    seen = set()
    for name, value in visit.headers.items():
        lowered = name.lower()
        if lowered in _ONCE:
            if lowered in seen:
                kind = PageNotAllowed if lowered == "origin" else MalformedRequest
                raise kind(f"the header {name} may be there only once", field=name)
            seen.add(lowered)
        if not value.isascii() and lowered not in _UNREAD:
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise MalformedRequest(f"the header {name} has to be UTF-8", field=name) from error


def _read_host(visit: Visit, rules: Rules) -> Authority | None:
    """By which name the node was called; None when the client knows no names (HTTP/1.0), as no
    browser does."""
    text = visit.headers.get("Host")
    if text is None:
        if visit.version_1_0:
            return None
        # RFC 9112 section 3.2.
        raise MalformedRequest("the header Host is missing", field="Host")
    host = parse_authority(text)
    if host is None:
        raise MalformedRequest(f"{clipped(text)!r} is no host's name or address", field="Host")
    if not visit.target.startswith(("/", "*")) and not _names(visit.target, host):
        raise MalformedRequest("the request's target and its Host have to name the same server")
    known = rules.own.include(host.host, visit.local_address)
    if not known and not any(pattern.admits(host.host) for pattern in rules.hosts):
        raise Misdirected(
            f"this node does not go by the name {clipped(host.host)!r}: call it by its address, or"
            " have its admin add the name to the setting server.hosts",
            field="Host",
        )
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


def _check_origin(text: str, host: Authority | None, rules: Rules) -> None:
    origin = parse_origin(text)
    if origin is None:
        raise PageNotAllowed(
            "a page without an origin of its own (a file, a sandboxed frame) may not use this"
            " node: serve it from a host, and have that origin added to the setting server.origins",
            field="Origin",
        )
    if not _is_own(origin, host) and not any(each.admits(origin) for each in rules.origins):
        raise PageNotAllowed(
            f"pages of {clipped(text)} may not use this node; if they are to, have its admin add"
            " that origin to the setting server.origins",
            field="Origin",
        )


def _is_own(origin: Origin, host: Authority | None) -> bool:
    """The page is from where it asks. Its scheme may differ from ours: TLS may end before us."""
    return (
        host is not None
        and origin.scheme in DEFAULT_PORTS
        and origin.authority.host == host.host
        and origin.port == host.port_for(origin.scheme)
    )


def _check_site(visit: Visit) -> None:
    """A page may send some requests without its origin: images, scripts, frames, links. Of these
    only a link that a person follows is let in: it shows its answer to that person alone."""
    headers = visit.headers
    site = headers.get("Sec-Fetch-Site")
    if site is None or site.lower() in _OWN_SITES:
        return
    followed = (
        headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
        and visit.method in ("GET", "HEAD")
    )
    if not followed:
        raise PageNotAllowed(
            "pages of other sites may not use this node as a part of theirs",
            field="Sec-Fetch-Site",
        )


def _check_type(visit: Visit) -> None:
    headers = visit.headers
    if "Transfer-Encoding" not in headers and headers.get("Content-Length", "0") == "0":
        return
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    by_browser = "Origin" in headers or "Sec-Fetch-Site" in headers
    if kind != JSON and (kind not in UNSAID or by_browser):
        raise UnsupportedType(
            f"the body has to be JSON: send it with Content-Type: {JSON}"
            + (f", not {clipped(kind)}" if kind else ""),
            field="Content-Type",
        )


class Gate:
    """`admit` in front of an application."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def guard(self, app: web.Application) -> None:
        """From now on every request passes here first, also one for which there is no handler;
        only what makes answers of errors comes before."""
        app.middlewares.append(self._pass)
        # Streamed answers are under way before a middleware sees them.
        app.on_response_prepare.append(self._prepare)

    @web.middleware
    async def _pass(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        admit(_visit(request), self._rules)
        unrouted = request.match_info.http_exception
        if request.method == "OPTIONS" and isinstance(unrouted, web.HTTPMethodNotAllowed):
            return cors.options(request.headers, unrouted.allowed_methods)
        return await handler(request)

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        cors.allow_reading(response.headers, reader(_visit(request), self._rules))


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
