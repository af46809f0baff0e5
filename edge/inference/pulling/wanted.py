"""What was asked for: a short name, a repository of the hub, or an address. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from edge.errors import ModelError
from edge.inference.model_file import SUFFIX
from edge.inference.pulling.catalogue import CATALOGUE

# As the hub has them, and a quantisation or another end of a file's name behind.
_REPOSITORY: Final = re.compile(
    r"(?:hf\.co/|huggingface\.co/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::([\w.-]+))?",
    re.ASCII,
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Repository:
    """A file of a repository of the hub: that of this quantisation, or of the usual one."""

    repository: str
    quantisation: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Web:
    """A file at an address. ``name`` is what it is called there, without its ending."""

    url: str
    name: str = ""


def read(text: str) -> Repository | Web:
    """`ModelError` for what is nothing of the three."""
    if "://" in text:
        return _web(text)
    for entry in CATALOGUE:
        if entry.name == text.lower():
            return Repository(entry.repository, entry.quantisation, entry.name)
    match = _REPOSITORY.fullmatch(text)
    if match:
        return Repository(match[1], match[2] or "")
    close = difflib.get_close_matches(text.lower(), [entry.name for entry in CATALOGUE], n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    raise ModelError(
        f"{text!r} is no model that could be pulled{hint} Give a name of `elwift models list"
        " --available`, OWNER/REPOSITORY[:QUANTISATION], or the address of a GGUF file"
    )


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what comes from there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or host in _LOOPBACK)


def _web(url: str) -> Web:
    no_address = f"{url} is no address of a file; it has to begin with https://"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise ModelError(no_address) from error
    if not host or parts.scheme not in ("http", "https"):
        raise ModelError(no_address)
    if not is_safe(url):
        raise ModelError(
            f"what comes from {url} could be changed by anybody on the way; use https://"
        )
    file = unquote(parts.path.rpartition("/")[2])
    return Web(url, file.removesuffix(SUFFIX))
