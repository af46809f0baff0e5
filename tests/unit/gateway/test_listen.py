"""Where the node listens: every address that a name stands for, or a sentence why not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from edge.errors import StartupError
from edge.gateway import listen as module
from edge.gateway.listen import close_all, listen, url_of

V4, V6 = ("127.0.0.1", 0), ("::1", 0, 0, 0)


def has_v6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(V6)
    except OSError:
        return False
    return True


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has every name stand for these addresses."""

    def choose(*addresses: tuple[Any, ...]) -> None:
        found = [
            (socket.AF_INET6 if ":" in each[0] else socket.AF_INET, 1, 6, "", each)
            for each in addresses
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return choose


@pytest.fixture
def no_v6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6."""
    bound = module._bound

    def without(family: int, address: tuple[Any, ...]) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return bound(family, address)

    monkeypatch.setattr(module, "_bound", without)


def test_a_port_is_taken_once() -> None:
    (first,) = listen("127.0.0.1", 0)
    with first:
        port = first.getsockname()[1]
        assert url_of(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(StartupError, match=r"another node running\? Choose another"):
            listen("127.0.0.1", port)


@pytest.mark.skipif(not has_v6(), reason="needs a machine with IPv6")
def test_a_name_with_two_addresses_has_two_sockets_of_one_port(
    resolved: Callable[..., None],
) -> None:
    resolved(V6, V4, V4)
    first, second = listen("localhost", 0)
    try:
        port = first.getsockname()[1]
        assert url_of(first) == f"http://127.0.0.1:{port}"
        assert url_of(second) == f"http://[::1]:{port}"
        for listener in (first, second):
            with socket.socket(listener.family) as client:
                client.connect(listener.getsockname())
    finally:
        close_all([first, second])


@pytest.mark.usefixtures("no_v6")
def test_a_family_that_the_machine_lacks_is_left_out(resolved: Callable[..., None]) -> None:
    resolved(V6, V4)
    (only,) = listen("localhost", 0)
    only.close()
    resolved(V6)
    with pytest.raises(StartupError, match="cannot listen on ::1"):
        listen("::1", 0)


@pytest.mark.skipif(not has_v6(), reason="needs a machine with IPv6")
def test_a_port_that_is_taken_in_one_family_is_no_free_port(
    resolved: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = module._bound
    refused: list[int] = []

    def busy(family: int, address: tuple[Any, ...]) -> socket.socket:
        if family == socket.AF_INET6 and len(refused) < 2:
            refused.append(int(address[1]))
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return bound(family, address)

    monkeypatch.setattr(module, "_bound", busy)
    resolved(V4, V6)
    listeners = listen("localhost", 0)
    close_all(listeners)
    assert len(listeners) == 2
    assert len(refused) == 2


@pytest.mark.parametrize("host", ["no such host.invalid", "a" * 70, "host\udcff", "256.1.1.1"])
def test_what_is_no_address_is_said_in_a_sentence(host: str) -> None:
    with pytest.raises(StartupError, match="cannot listen on"):
        listen(host, 0)
