"""``elwift models pull`` and what it can pull, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.inference.pulling.catalogue import CATALOGUE
from tests.support.hub import Hub


def test_a_model_is_pulled_with_its_licence_and_can_be_named(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ("--data-dir", str(tmp_path / "data"))
    assert main(["models", "pull", "owner/model-GGUF", *folder]) == 0
    told = capsys.readouterr()
    assert told.out == "pulled it-Q4_0; run it with --model it-Q4_0\n"
    assert "pulling owner/model-GGUF:Q4_0, 0.5 MiB, licence: apache-2.0" in told.err
    assert main(["models", "pull", "owner/model-GGUF", "--name", "two", "--json", *folder]) == 0
    assert json.loads(capsys.readouterr().out)["pulled"] == "two"
    assert main(["models", "default", "two", *folder]) == 0
    capsys.readouterr()
    assert main(["models", "pull", "owner/model-GGUF:Q8_0", *folder]) == 1
    assert capsys.readouterr().err == (
        "elwift: owner/model-GGUF has no file of Q8_0; name one of these as"
        " owner/model-GGUF:QUANTISATION: Q4_0\n"
    )


def test_what_lm_studio_has_is_there_already(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / ".lmstudio" / "models" / "owner" / "model-GGUF"
    repository.mkdir(parents=True)
    (repository / "it-Q4_0.gguf").write_bytes(hub.files["it-Q4_0.gguf"])
    data_dir = str(tmp_path / "data")
    assert main(["models", "pull", "owner/model-GGUF", "--data-dir", data_dir]) == 0
    assert "owner/model-GGUF:Q4_0 is there already: LM Studio keeps it" in capsys.readouterr().out


def test_what_can_be_pulled_is_listed_with_what_it_needs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["models", "list", "--available", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [entry.name for entry in CATALOGUE]
    assert all(" GiB " in line for line in lines)
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(each["needs_bytes"] > each["size_bytes"] > 0 for each in told)
