from __future__ import annotations

import socket
import threading

import pytest

from edge.gateway import own_names as module
from edge.gateway.own_names import OwnNames, machine_addresses, own_names

LOCAL = "127.0.0.1"


def test_loopback_is_always_ours() -> None:
    nobody = OwnNames((), ())
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"):
        assert nobody.include(host, LOCAL)
    assert not nobody.include("example.com", LOCAL)
    assert not nobody.include("10.0.0.7", LOCAL)


def test_names_are_compared_in_their_one_form() -> None:
    own = OwnNames(["Box.Example.COM.", "", "no name"], [])
    assert own.include("box.example.com", LOCAL)
    assert not own.include("", LOCAL)


def test_the_address_that_a_client_came_to_is_ours() -> None:
    own = OwnNames((), ["10.0.0.7"])
    assert own.include("10.0.0.7", "10.0.0.7")
    assert OwnNames((), ()).include("10.0.0.7", "::ffff:10.0.0.7")


def test_all_addresses_are_ours_where_all_are_listened_on() -> None:
    addresses = ["10.0.0.7", "fe80::1%eth0"]
    for bound in ("0.0.0.0", "::"):
        own = OwnNames((), [bound], lambda: addresses)
        assert own.include("10.0.0.7", LOCAL)
        assert own.include("fe80::1", LOCAL)
        assert own.include(bound, LOCAL)
        assert not own.include("10.0.0.8", LOCAL)
    assert not OwnNames((), [LOCAL], lambda: addresses).include("10.0.0.7", LOCAL)


def test_the_machine_knows_its_addresses() -> None:
    assert LOCAL in machine_addresses()


async def test_the_machine_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box")
    monkeypatch.setattr(socket, "getfqdn", lambda: "box.example.com")
    own = await own_names("node.lan", ["0.0.0.0"])
    for host in ("box", "box.local", "box.example.com", "node.lan"):
        assert own.include(host, LOCAL)
    assert not own.include("example.com", LOCAL)


async def test_where_nobody_else_can_come_no_name_server_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    monkeypatch.setattr(socket, "getfqdn", lambda: "box.evil.example")
    own = await own_names("localhost", [LOCAL])
    assert own.include("box", LOCAL)
    assert not own.include("box.evil.example", LOCAL)


async def test_a_silent_name_server_does_not_hold_up_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(module, "LOOKUP_S", 0.01)
    monkeypatch.setattr(socket, "getfqdn", lambda: str(answered.wait()))
    own = await own_names("0.0.0.0", ["0.0.0.0"])
    assert own.include("localhost", LOCAL)
    answered.set()


async def test_a_name_that_cannot_be_looked_up_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "gethostname", lambda: "x" * 64)
    monkeypatch.setattr(socket, "getfqdn", refuse)
    own = await own_names("0.0.0.0", ["0.0.0.0"])
    assert own.include("x" * 64, LOCAL)
