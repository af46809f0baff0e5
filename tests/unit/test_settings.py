from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edge.errors import SettingsError
from edge.settings import keys, load


def test_a_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text("[server]\nport = 1\ndrain_ms = 1\n[model]\nslots = 1\n")
    environment = {"ELWIFT_SERVER__PORT": "2", "ELWIFT_MODEL__SLOTS": "2", "OTHER": "x"}
    found = load(file, environment, {"server.port": 3, "model.slots": None})
    assert (found.server.port, found.model.slots, found.server.drain_ms) == (3, 2, 1)
    assert found.data.snapshot_ms == 500


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("server.prot", 1),
        ("server.port", "x"),
        ("server.port", True),
        ("server.port", 65_536),
        ("model.slots", 0),
        ("server.host", 1),
        ("server.tokens", {"a": 1}),
        ("server.origins", "x"),
        ("model.kv_type", "q5_0"),
        ("model.flash_attn", "yes"),
        ("model.mmap", 1),
    ],
)
def test_a_bad_value_is_named(path: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, {}, {path: value})
    assert caught.value.key == path
    assert path in str(caught.value)


@pytest.mark.parametrize("text", ["port = 1", "[server", "[nowhere]\nx = 1"])
def test_a_bad_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(SettingsError):
        load(file, {})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load(tmp_path / "none.toml", {})


def test_the_network_needs_tokens() -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, {"ELWIFT_SERVER__HOST": "0.0.0.0"})
    assert caught.value.key == "server.tokens"
    environment = {"ELWIFT_SERVER__HOST": "0.0.0.0", "ELWIFT_SERVER__TOKENS": "a=0123456789abcdef"}
    assert load(None, environment).server.tokens == {"a": "0123456789abcdef"}
    with pytest.raises(SettingsError):
        load(None, {"ELWIFT_SERVER__HOST": "127.example.com"})


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("server.origins", "null"),
        ("server.origins", "http://localhost:5173/app"),
        ("server.origins", "http://localhost:*"),
        ("server.hosts", "node.example.com:443"),
        ("server.hosts", "https://node.example.com"),
        ("server.hosts", "*"),
    ],
)
def test_a_name_that_would_admit_nobody_is_refused(setting: str, text: str) -> None:
    environment = {f"ELWIFT_{setting.upper().replace('.', '__')}": f"good.example.com, {text}"}
    with pytest.raises(SettingsError, match=re.escape(repr(text))) as caught:
        load(None, environment)
    assert caught.value.key == setting


def test_every_default_is_in_its_range() -> None:
    for key in keys():
        assert key.doc
        assert key.at_least is None or key.at_least <= key.default
        assert key.at_most is None or key.default <= key.at_most


def test_yes_and_no_from_the_environment() -> None:
    assert load(None, {"ELWIFT_FALLBACK__EMBEDDED": "False"}).fallback.embedded is False
    assert load(None, {"ELWIFT_FALLBACK__EMBEDDED": "true"}).fallback.embedded is True
    with pytest.raises(SettingsError, match="true or false"):
        load(None, {"ELWIFT_FALLBACK__EMBEDDED": "1"})


def test_a_smaller_cache_needs_flash_attention() -> None:
    with pytest.raises(SettingsError, match="needs flash attention"):
        load(None, {}, {"model.kv_type": "q8_0", "model.flash_attn": "off"})
    assert load(None, {}, {"model.kv_type": "q8_0"}).model.flash_attn == "auto"
