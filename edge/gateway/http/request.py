"""What is looked at of every request as HTTP, before anybody asks what it wants."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from edge.errors import ClientError
from edge.gateway.http.errors import ExpectationFailed, MalformedRequest
from edge.gateway.http.parser import HEAD_BYTES_MAX, headers_too_large

REFUSAL: Final = web.RequestKey("refusal", ClientError)
"""Why the request is answered with nothing but this."""
EXPECTS_CONTINUE: Final = web.RequestKey("expects_continue", bool)
"""The client sends its body when it is told to; see `edge.gateway.http.body.read_body`."""

_LINE_BYTES: Final = 4
"""What a header has on the wire besides its name and value."""


def examine(message: Any) -> tuple[Any, ClientError | None, bool]:
    """Reads aiohttp's raw message: what the application is given instead of it, why it is refused
    if it is, and whether its client expects ``100 Continue``.

    ``Expect`` is taken out, because aiohttp would answer it at once, and a body of any size would
    be on its way before anybody has looked at the token (RFC 9110 section 10.1.1).
    """
    if message.version not in (HttpVersion10, HttpVersion11):
        refusal = MalformedRequest(
            f"this is HTTP/{message.version.major}.{message.version.minor}, but the node speaks"
            " HTTP/1.1"
        )
        return message._replace(version=HttpVersion11), refusal, False
    if message.method == hdrs.METH_CONNECT:
        return message, MalformedRequest("the node is no proxy: it does not CONNECT"), False
    coding = message.headers.get(hdrs.TRANSFER_ENCODING)
    if coding is not None and coding.strip().lower() != "chunked":
        return message, MalformedRequest("the node knows no Transfer-Encoding but chunked"), False
    head_bytes = sum(len(name) + len(value) + _LINE_BYTES for name, value in message.raw_headers)
    if head_bytes > HEAD_BYTES_MAX:
        return message, headers_too_large(), False
    # An HTTP/1.0 client cannot know what 100 means.
    expect = message.headers.get(hdrs.EXPECT)
    if expect is None or message.version == HttpVersion10:
        return message, None, False
    if expect.lower() != "100-continue":
        return message, ExpectationFailed("the node knows no expectation but 100-continue"), False
    headers = CIMultiDict(message.headers)
    del headers[hdrs.EXPECT]
    return message._replace(headers=CIMultiDictProxy(headers)), None, True
