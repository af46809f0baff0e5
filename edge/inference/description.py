"""All that the header of a model's file says in single values, for who wants to show it. Reads
files and blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from edge.errors import ModelError
from edge.inference.model_file import first_of_split, header_of

TEXT_CHARS_MAX: Final = 1_000
_TEMPLATE: Final = "tokenizer.chat_template"
_KEPT: Final = 512
"""As many as may be listed, some ten KB each; to read one takes some ten milliseconds."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says. ``metadata`` has no lists and no long texts; ``template`` is the chat
    template, empty where there is none; ``parameters`` are those of the first file alone where
    there are several. What the file is silent about is empty, or 0."""

    parameters: int
    metadata: Mapping[str, object]
    template: str
    architecture: str = ""
    quantisation: str = ""
    licence: str = ""
    context_tokens: int = 0


UNKNOWN: Final = Description(0, {}, "")


def describe(path: Path) -> Description:
    """Of the model at this path, or its first file. `ModelError` when that is none."""
    first = first_of_split(path) or path
    try:
        status = first.stat()
    except OSError as error:
        raise ModelError(f"cannot read the model file {first}: {error.strerror}") from error
    return _described(first, status.st_mtime_ns, status.st_size)


# A file that is written anew has another time, or another size.
@lru_cache(maxsize=_KEPT)
def _described(path: Path, _mtime_ns: int, _size_bytes: int) -> Description:
    header, _ = header_of(path)
    template = header.metadata.get(_TEMPLATE)
    metadata = {
        key: value
        for key, value in header.metadata.items()
        if not isinstance(value, str) or len(value) <= TEXT_CHARS_MAX
    }
    metadata.pop(_TEMPLATE, None)
    return Description(
        header.parameters, metadata, template if isinstance(template, str) else "",
        header.architecture, header.quantisation, header.licence, header.context_tokens,
    )  # fmt: skip
