"""The pages for people: the playground at ``/``, and what it loads under ``/pages/``.

They are files, the same for everybody and without a word of any task, so nobody needs a token for
them; what they show they ask of the node as any client does. A page may run the node's own scripts
alone, speak to its own node alone, be in no frame, and make no markup of text (Trusted Types): a
prompt or an answer is text, whatever it says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final, TypeAlias

from aiohttp import web

from edge.gateway.page_files import PageFile, read_files

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Content Security Policy, level 3."""

HEADERS: Final = {
    # Asked for again each time, which costs a 304: a page of an older node would not fit the node.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _files() -> tuple[PageFile, ...]:
    return tuple(read_files())


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PagesApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(self, word: Handler) -> None:
        """``word`` answers at ``/`` who asks for no page: programs that look who is there."""
        self._word = word

    def mount(self, app: web.Application) -> None:
        for file in _files():
            handler = _for_people(file, self._word) if file.path == "/" else _handler(file)
            app.router.add_get(file.path, handler)


def _handler(file: PageFile) -> Handler:
    async def show(request: web.Request) -> web.StreamResponse:
        headers = HEADERS | {"ETag": f'W/"{file.etag}"'}
        known = request.if_none_match or ()
        if any(each.value in (file.etag, "*") for each in known):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        body = file.body
        if takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = file.zipped
        return web.Response(body=body, headers=headers)

    return show


def _for_people(file: PageFile, word: Handler) -> Handler:
    show = _handler(file)

    async def choose(request: web.Request) -> web.StreamResponse:
        # Every browser names HTML when a person goes somewhere; programs take anything.
        for_people = "text/html" in request.headers.get("Accept", "").lower()
        response = await (show if for_people else word)(request)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response

    return choose


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` has gzip (RFC 9110 section 12.5.3). Who has only ``*`` gets
    the file as it is, which is always right."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.strip().removeprefix("q=").strip("0.") != "" or not weight.strip()
    return False
