"""Where other programs keep their models."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference.places.roots import Roots, roots_of_this_user

OF_THE_MACHINE = Path("/usr/share/ollama/.ollama/models")


def test_on_linux() -> None:
    assert roots_of_this_user({"HOME": "/home/ada"}, "linux") == Roots(
        ollama=(Path("/home/ada/.ollama/models"), OF_THE_MACHINE),
        lm_studio=(
            Path("/home/ada/.lmstudio/models"),
            Path("/home/ada/.cache/lm-studio/models"),
        ),
        hugging_face=(Path("/home/ada/.cache/huggingface/hub"),),
        llama_cpp=(Path("/home/ada/.cache/llama.cpp"),),
    )


def test_on_a_mac() -> None:
    roots = roots_of_this_user({"HOME": "/Users/ada"}, "darwin")
    assert roots.ollama == (Path("/Users/ada/.ollama/models"),)
    assert roots.llama_cpp == (Path("/Users/ada/Library/Caches/llama.cpp"),)
    assert roots.hugging_face == (Path("/Users/ada/.cache/huggingface/hub"),)


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("HF_HUB_CACHE", "/big/hub"),
        ("HUGGINGFACE_HUB_CACHE", "/big/hub"),
        ("HF_HOME", "/big/hub/hub"),
        ("XDG_CACHE_HOME", "/big/hub/huggingface/hub"),
    ],
)
def test_the_hubs_own_variables(variable: str, folder: str) -> None:
    environment = {"HOME": "/home/ada", variable: "/big/hub"}
    assert roots_of_this_user(environment, "linux").hugging_face == (Path(folder),)


def test_the_other_programs_own_variables() -> None:
    environment = {"HOME": "/home/ada", "OLLAMA_MODELS": "/big/ollama", "LLAMA_CACHE": "~/llama"}
    roots = roots_of_this_user(environment, "linux")
    assert roots.ollama[0] == Path("/big/ollama")
    assert roots.llama_cpp == (Path("/home/ada/llama"),)


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_home_there_is_what_a_variable_names(home: str | None) -> None:
    environment = {"LLAMA_CACHE": "/big/llama", "HF_HOME": "~/hub", "XDG_CACHE_HOME": "cache"}
    if home is not None:
        environment["HOME"] = home
    assert roots_of_this_user(environment, "linux") == Roots(
        ollama=(OF_THE_MACHINE,), llama_cpp=(Path("/big/llama"),)
    )
