"""Texts of each format are of it, by Python's own readers."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date, datetime
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from edge.structured import patterns
from edge.structured.grammar import gbnf
from edge.structured.string_formats import PATTERNS
from tests.support.drawn import Drawer


def _is_host(text: str) -> bool:
    labels = text.split(".")
    fine = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?").fullmatch
    return len(text) <= 253 and all(fine(each) and len(each) <= 63 for each in labels)


def _is_email(text: str) -> bool:
    local, at, host = text.partition("@")
    return bool(at) and len(local) <= 64 and ".." not in local and "." in host and _is_host(host)


def _is_uri(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.port != 0


def _is_duration(text: str) -> bool:
    numbers = r"(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?"
    return re.fullmatch(rf"P(?=.)({numbers}|\d+W)", text) is not None


JUDGES: dict[str, Callable[[str], object]] = {
    "date": lambda text: date.fromisoformat(text).isoformat() == text,
    "time": lambda text: datetime.fromisoformat(f"2000-01-01T{text}").tzinfo,
    "date-time": lambda text: datetime.fromisoformat(text).tzinfo and text[10] == "T",
    "duration": _is_duration,
    "uuid": lambda text: str(UUID(text)) == text,
    "email": _is_email,
    "hostname": _is_host,
    "ipv4": lambda text: ipaddress.IPv4Address(text).exploded == text,
    "ipv6": ipaddress.IPv6Address,
    "uri": _is_uri,
}


@pytest.mark.parametrize("name", JUDGES)
def test_texts_are_of_the_format(name: str) -> None:
    drawer = Drawer(gbnf({"root": patterns.in_json(patterns.read(PATTERNS[name]))}), Random(11))
    for _ in range(500):
        text = json.loads(f'"{drawer.text()}"')
        assert JUDGES[name](text), text


def test_all_others_are_the_same_as_one_of_these() -> None:
    assert set(PATTERNS.values()) == {PATTERNS[name] for name in JUDGES}


def test_every_day_there_is_can_be_said() -> None:
    pattern = re.compile(PATTERNS["date"])
    for year in (1900, 1999, 2000, 2023, 2024, 2100):
        days = {f"{year}-{month:02}-{day:02}" for month in range(14) for day in range(33)}
        fine = {text for text in days if pattern.search(text)}
        assert fine == {text for text in days if _is_day(text)}


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
