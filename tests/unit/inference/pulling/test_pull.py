"""From what a person types to a model: over the real huggingface_hub to a stand-in of the hub."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ModelError
from edge.inference.model_file import ModelFile
from edge.inference.models import Sources, available, models_dir
from edge.inference.places import Roots
from edge.inference.pulling.arrival import unfinished_dir
from edge.inference.pulling.pull import Begun, pull
from edge.inference.pulling.web import ATTEMPTS_MAX
from tests.support.hub import OWNER, REPOSITORY, Hub
from tests.support.random_gguf import write_random_gguf

FILE = "it-Q8_0.gguf"
NAME = f"{OWNER}/{REPOSITORY}"


class Pulling:
    """Pulls from the hub into a data directory."""

    def __init__(self, hub: Hub, data_dir: Path) -> None:
        self.hub = hub
        self.data_dir = data_dir
        self.begun: list[Begun] = []
        self.told: list[tuple[int, int | None]] = []
        self.sources = Sources(packages=(), roots=Roots())

    def __call__(self, text: str = f"{NAME}:Q8_0", **how: Any) -> ModelFile:
        async def no_pause(_wait_s: float) -> None:
            pass

        return pull(
            text, self.data_dir, hub_url=self.hub.url, begun=self.begun.append,
            progress=lambda *told: self.told.append(told), pause=no_pause, sources=self.sources,
            **how,
        )  # fmt: skip

    def own(self) -> list[str]:
        known = available(self.data_dir, sources=self.sources)
        return [model.name for model in known if not model.installed]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_random_gguf(tmp_path_factory.mktemp("model") / "it.gguf").read_bytes()


@pytest.fixture
def pulling(hub: Hub, model: bytes, tmp_path: Path) -> Pulling:
    hub.files = {"README.md": b"hello", FILE: model, "mmproj-it-f16.gguf": b"no"}
    return Pulling(hub, tmp_path / "data")


def test_a_repository_and_a_quantisation(pulling: Pulling, model: bytes) -> None:
    found = pulling()
    assert found.path == models_dir(pulling.data_dir) / FILE
    assert found.path.read_bytes() == model
    assert pulling.begun == [Begun("it-Q8_0", f"{NAME}:Q8_0", len(model), "apache-2.0")]
    assert pulling.told[-1] == (len(model), len(model))
    assert pulling.own() == ["it-Q8_0"]
    assert list(unfinished_dir(pulling.data_dir).iterdir()) == []
    with pytest.raises(ModelError, match="already; remove it first"):
        pulling()
    assert pulling(NAME, name="second").name == "second"


def test_a_short_name(pulling: Pulling) -> None:
    pulling.hub.files = {"Qwen3-0.6B-Q8_0.gguf": pulling.hub.files[FILE]}
    assert pulling("qwen3-0.6b").name == "qwen3-0.6b"
    requests = len(pulling.hub.requests)
    with pytest.raises(ModelError, match="already"):
        pulling("qwen3-0.6b")
    assert len(pulling.hub.requests) == requests, "nobody is asked for what cannot be put"


def test_an_address(pulling: Pulling, model: bytes) -> None:
    url = f"{pulling.hub.url}/cdn/{FILE}"
    sha256 = hashlib.sha256(model).hexdigest()
    assert pulling(url, name="mine", sha256=sha256).name == "mine"
    with pytest.raises(ModelError, match="SHA-256 differs"):
        pulling(url, name="other", sha256="00" * 32)
    with pytest.raises(ModelError, match="cannot be a model's name"):
        pulling(f"{pulling.hub.url}/cdn/")
    assert pulling.own() == ["mine"]
    assert list(unfinished_dir(pulling.data_dir).iterdir()) == []


def test_a_connection_that_is_cut_is_gone_on_with(pulling: Pulling, model: bytes) -> None:
    pulling.hub.troubles.extend(["cut 1000", "cut 2000"])
    assert pulling().path.read_bytes() == model
    assert pulling.hub.ranges[:3] == ["", "bytes=1000-", "bytes=3000-"]


def test_who_comes_back_later_goes_on(pulling: Pulling, model: bytes) -> None:
    pulling.hub.troubles.extend(["cut 1000", *["say 500"] * ATTEMPTS_MAX])
    with pytest.raises(ModelError, match="try again later, and it goes on"):
        pulling()
    assert pulling.own() == []
    # Files of one revision never change, whatever they are called by who has them.
    pulling.hub.tag = '"another"'
    assert pulling().path.read_bytes() == model
    assert pulling.hub.ranges[-1] == "bytes=1000-"


@pytest.mark.parametrize("lie", ["sums", "sizes", "size too large", "bytes"])
def test_what_is_not_as_promised_becomes_no_model(pulling: Pulling, model: bytes, lie: str) -> None:
    if lie == "sums":
        pulling.hub.sums = {FILE: "ab" * 32}
    elif lie == "sizes":
        pulling.hub.sizes = {FILE: len(model) - 5}
    elif lie == "size too large":
        pulling.hub.sizes = {FILE: len(model) + 5}
    else:
        pulling.hub.sums = {FILE: hashlib.sha256(model).hexdigest()}
        pulling.hub.files[FILE] = model[:-1] + b"\xff"
    with pytest.raises(ModelError):
        pulling()
    assert pulling.own() == []
    pulling.hub.files, pulling.hub.sums, pulling.hub.sizes = {FILE: model}, {}, {}
    assert pulling().path.read_bytes() == model


def test_a_file_that_only_some_may_have(pulling: Pulling) -> None:
    pulling.hub.troubles.append("say 403")
    with pytest.raises(ModelError, match=r"answers 403 .*; accept its terms at .*owner/model-GGUF"):
        pulling()


def test_the_token_goes_to_the_hub_alone(pulling: Pulling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pulling()
    assert pulling.hub.tokens == [
        ("api", "Bearer hf_secret"), (OWNER, "Bearer hf_secret"), ("cdn", ""),
    ]  # fmt: skip


def test_what_another_program_keeps_is_not_fetched(pulling: Pulling, tmp_path: Path) -> None:
    folder = tmp_path / "lm" / OWNER / REPOSITORY
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(pulling.hub.files[FILE])
    pulling.sources = Sources(packages=(), roots=Roots(lm_studio=(tmp_path / "lm",)))
    assert pulling().path == folder / FILE
    assert pulling.hub.ranges == []


def test_another_sum_than_the_hubs_own_is_said_before(pulling: Pulling) -> None:
    with pytest.raises(ModelError, match="has the SHA-256"):
        pulling(sha256="00" * 32)
    assert pulling.hub.ranges == []


def test_a_disk_without_room_is_said_before(
    pulling: Pulling, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(sys.executable)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(ModelError, match="make room"):
        pulling()
    assert pulling.hub.ranges == []
