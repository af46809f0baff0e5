"""``elwift config``: the settings, without their secrets."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from edge.cli.main import main

SECRET = "a very long secret indeed"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "elwift.toml"
    path.write_text(f'[server]\nport = 4100\ntokens = {{ phone = "{SECRET}" }}\n')
    return str(path)


def test_show_is_toml_that_means_the_same(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", file, "--slots", "3"]) == 0
    shown = capsys.readouterr().out
    tree = tomllib.loads(shown)
    assert (tree["server"]["port"], tree["model"]["slots"]) == (4100, 3)
    assert list(tree["server"]["tokens"]) == ["phone"]
    assert SECRET not in shown


def test_show_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "--config", file, "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["server"]["port"] == 4100
    assert SECRET not in shown


def test_check(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", "--config", file]) == 0
    assert main(["config", "check", "--config", file, "--json"]) == 0
    assert main(["config", "check", "--port", "70000"]) != 0
    printed = capsys.readouterr()
    assert printed.out == 'the settings are valid\n{\n  "valid": true\n}\n'
    assert "server.port" in printed.err
