"""Where other programs keep their models: by their own environment variables, else by the custom of
the operating system. Pure."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders of each program, in the order in which they count; they need not exist."""

    ollama: tuple[Path, ...] = ()
    lm_studio: tuple[Path, ...] = ()
    hugging_face: tuple[Path, ...] = ()
    llama_cpp: tuple[Path, ...] = ()


def roots_of_this_user(
    environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Roots:
    """The folders for this environment. Without a ``HOME`` there are those that a variable names,
    and those of the whole machine."""
    home = _absolute(environment.get("HOME", ""))
    cache = _absolute(environment.get("XDG_CACHE_HOME", "")) or _below(home, ".cache")
    mac = platform == "darwin"
    return Roots(
        ollama=_some(
            _named(environment, home, "OLLAMA_MODELS"),
            _below(home, ".ollama", "models"),
            # Its installer for Linux makes a user for the service.
            None if mac else Path("/usr/share/ollama/.ollama/models"),
        ),
        lm_studio=_some(
            _below(home, ".lmstudio", "models"), _below(home, ".cache", "lm-studio", "models")
        ),
        hugging_face=_some(
            _named(environment, home, "HF_HUB_CACHE")
            or _named(environment, home, "HUGGINGFACE_HUB_CACHE")
            or _below(_named(environment, home, "HF_HOME"), "hub")
            or _below(cache, "huggingface", "hub")
        ),
        llama_cpp=_some(
            _named(environment, home, "LLAMA_CACHE")
            or _below(*((home, "Library", "Caches") if mac else (cache,)), "llama.cpp")
        ),
    )


def _named(environment: Mapping[str, str], home: Path | None, variable: str) -> Path | None:
    text = environment.get(variable, "")
    if text == "~" or text.startswith("~/"):
        return _below(home, *text.split("/")[1:])
    return _absolute(text)


def _absolute(text: str) -> Path | None:
    # What is relative would mean another folder in each directory that one starts from.
    return Path(text) if text.startswith("/") else None


def _below(folder: Path | None, *names: str) -> Path | None:
    return None if folder is None else folder.joinpath(*names)


def _some(*folders: Path | None) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folder for folder in folders if folder is not None))
