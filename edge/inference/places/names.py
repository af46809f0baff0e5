"""What models are called that lie in folders of repositories: ``owner/repository:QUANTISATION``, as
they are pulled. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Final

from edge.inference.model_file import SUFFIX, first_of_split

# As files are named in repositories: Q4_K_M, IQ3_XXS, UD-Q4_K_XL, F16, MXFP4.
_QUANTISATION: Final = re.compile(
    r"(?:^|[-._])((?:UD-)?I?Q[1-8](?:_[A-Z0-9]{1,3})*|BF16|F16|F32|MXFP4|TQ[12]_0)$",
    re.IGNORECASE,
)


def is_model(path: PurePath) -> bool:
    """Whether a file goes by the name of a model: not one of a projector, which is a part of
    another, and of those that a large one was split into only the first."""
    name = path.name.lower()
    return (
        name.endswith(SUFFIX)
        and not name.startswith(("mmproj", "."))
        and first_of_split(path) in (None, path)
    )


def quantisation_of(path: PurePath) -> str:
    """The quantisation by the file's name, in capitals; empty when it says none."""
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.name.removesuffix(SUFFIX))
    match = _QUANTISATION.search(stem)
    return match[1].upper() if match else ""


def named(repository: str, files: Iterable[Path]) -> dict[str, Path]:
    """Names for the files of one repository. Where a name would be taken, it has the file's."""
    found: dict[str, Path] = {}
    for path in files:
        quantisation = quantisation_of(path)
        name = f"{repository}:{quantisation}" if quantisation else repository
        if name in found:
            name = f"{repository}/{path.name.removesuffix(SUFFIX)}"
        found.setdefault(name, path)
    return found
