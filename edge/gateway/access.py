"""Who is calling: names by their secrets, or everybody on this machine when there are none.

An open node has one client, who may see all. Its limits, and whose turn it is, still need somebody
to be about: there it is the address. What a proxy writes into headers (``X-Forwarded-For``) is
not read, as nowhere here: anybody can write that. Behind a proxy, callers are told apart by tokens.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

from edge.errors import Forbidden
from edge.gateway.http.places import address_of
from edge.settings import is_loopback

LOCAL: Final = "local"
"""The name of every caller while no tokens are configured."""


class Caller(NamedTuple):
    """Who sent a request: the client whose tasks are in question, and the address that tells it
    from others where no token does. ``operates``: it may pause the line that all wait in."""

    client: str
    address: str | None = None
    operates: bool = False


class Access:
    """Turns a token into a client's name."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        # Digests are of one length, so that comparing them tells nothing, not even a secret's
        # length; and who sees this object does not see a secret.
        self._digests = {name: _digest(secret) for name, secret in tokens.items()}

    @property
    def open(self) -> bool:
        """No token is needed."""
        return not self._digests

    def client(self, token: str | None) -> str:
        """The client's name. Forbidden without a valid token, if tokens are configured; a token is
        any bytes (those that are no UTF-8 as lone surrogates), and a missing one is never valid.
        """
        if not self._digests:
            return LOCAL
        found = None
        if token:
            given = _digest(token)
            # Every secret is compared, in constant time: the answer's time tells nothing.
            for name, digest in self._digests.items():
                if hmac.compare_digest(digest, given):
                    found = name
        if found is None:
            raise Forbidden("a valid token is needed: send it as Authorization: Bearer …")
        return found

    def client_of(self, headers: Mapping[str, str], token: str | None = None) -> str:
        """The name of who sent these headers. ``token`` came by another way, and counts when the
        headers have none. Forbidden as in `client`."""
        return self.client(bearer(headers.get("Authorization")) or token)

    def caller_of(self, headers: Mapping[str, str], host: str | None) -> Caller:
        """Who sent these headers from this host (an IP address; None when it has gone away).
        Forbidden as in `client`.

        There are no scopes of tokens yet: each token's client may pause the line. On an open node
        that is for who calls from the machine itself, which is everybody unless a proxy of the
        admin's passes others on."""
        client = self.client_of(headers)
        if not self.open:
            return Caller(client, operates=True)
        address = None if host is None else address_of(host)
        return Caller(client, address, operates=address is not None and is_loopback(address))

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether who sent these headers is a client."""
        try:
            self.client_of(headers)
        except Forbidden:
            return False
        return True


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def bearer(authorization: str | None) -> str | None:
    """The token of an ``Authorization: Bearer`` header (RFC 6750), or None."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
