"""All that other programs keep, each once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edge.inference.places import MODELS_MAX, Roots, find
from tests.unit.inference.places import test_hugging_face, test_lm_studio, test_ollama


def roots(folder: Path) -> Roots:
    names = ("ollama", "models", "hub", "llama.cpp")
    for name in names:
        (folder / name).mkdir(exist_ok=True)
    return Roots(*((folder / name,) for name in names))


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert find(Roots()) == []
    assert find(Roots(*((tmp_path / "none",) for _ in range(4)))) == []


def test_models_of_all_programs(tmp_path: Path) -> None:
    where = roots(tmp_path)
    test_ollama.put(tmp_path / "ollama", "registry.ollama.ai/library/a/b")
    test_hugging_face.put(tmp_path / "hub", "models--o--r", "aa", "it-Q8_0.gguf")
    (tmp_path / "models").rmdir()
    test_lm_studio.put(tmp_path / "models")
    (tmp_path / "llama.cpp" / "it.gguf").write_bytes(b"GG")
    assert [(each.name, each.place, each.size_bytes, each.sha256) for each in find(where)] == [
        ("a:b", "Ollama", 4, test_ollama.DIGEST),
        ("owner/repository:Q4_K_M", "LM Studio", 0, None),
        ("o/r:Q8_0", "Hugging Face", 4, None),
        ("it", "llama.cpp", 2, None),
    ]


def test_a_file_that_several_programs_have_is_told_once(tmp_path: Path) -> None:
    where = roots(tmp_path)
    blob = test_ollama.put(tmp_path / "ollama", "registry.ollama.ai/library/a/b")
    os.link(blob, tmp_path / "llama.cpp" / "same.gguf")
    (tmp_path / "llama.cpp" / "link.gguf").symlink_to(blob)
    assert [each.name for each in find(where)] == ["a:b"]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    where = roots(tmp_path)
    test_ollama.put(tmp_path / "ollama", "registry.ollama.ai/library/gone/b").unlink()
    (tmp_path / "llama.cpp" / "gone.gguf").symlink_to("nowhere")
    (tmp_path / "llama.cpp" / "loop.gguf").symlink_to("loop.gguf")
    os.mkfifo(tmp_path / "llama.cpp" / "pipe.gguf")
    assert find(where) == []


def test_ten_thousand_files_are_no_more_than_a_list_holds(tmp_path: Path) -> None:
    where = roots(tmp_path)
    for number in range(10_000):
        (tmp_path / "llama.cpp" / f"{number:05}.gguf").touch()
    assert len(find(where)) == MODELS_MAX


def test_nothing_is_changed(tmp_path: Path) -> None:
    where = roots(tmp_path)
    test_ollama.put(tmp_path / "ollama", "registry.ollama.ai/library/a/b")

    def state() -> str:
        told = [f"{path} {path.stat().st_mtime_ns}" for path in sorted(tmp_path.rglob("*"))]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    before = state()
    find(where)
    assert state() == before
