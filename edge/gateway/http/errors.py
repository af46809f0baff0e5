"""What is wrong with a request as HTTP, whatever it asks for (RFC 9110 section 15.5).

All are the client's fault, and none is a status of 500 or above: who watches this node for its own
faults must not be woken by somebody else's.
"""

from __future__ import annotations

from edge.errors import ClientError


class MalformedRequest(ClientError):
    """It is no HTTP/1.1, or not all of it came: 400."""

    code = "malformed_request"


class PageNotAllowed(ClientError):
    """It comes from a web page that may not use the node: 403."""

    code = "page_not_allowed"


class TooSlow(ClientError):
    """Its headers or its body did not arrive in time: 408."""

    code = "request_timeout"


class TargetTooLong(ClientError):
    """Its path and query are over the limit: 414."""

    code = "target_too_long"


class UnsupportedEncoding(ClientError):
    """Its body is compressed in a way that the node does not read: 415."""

    code = "unsupported_encoding"


class UnsupportedType(ClientError):
    """Its body does not say that it is JSON: 415."""

    code = "unsupported_type"


class ExpectationFailed(ClientError):
    """It expects something other than ``100-continue``: 417."""

    code = "expectation_failed"


class Misdirected(ClientError):
    """It is for a server of another name: 421."""

    code = "misdirected"


class HeadersTooLarge(ClientError):
    """Its headers are too many or too long: 431."""

    code = "headers_too_large"
