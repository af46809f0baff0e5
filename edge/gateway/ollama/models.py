"""What is told of models: in the list, one alone, and of those that are in memory.

Nothing is null: clients in languages with types read each member as what it is. A name that has no
tag is told with ``:latest``, as Ollama does: clients take names apart at the colon.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from edge.answers.dialects import recognised
from edge.gateway.calls.names import LATEST, Known
from edge.gateway.ollama.forms import stamp
from edge.inference.description import Description

FOREVER: Final = "2318-01-01T00:00:00.000000000Z"
"""When a model leaves memory that stays there: clients take what is centuries away for that."""
_STEPS: Final = ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0))


def name_of(known: Known) -> str:
    """As it is told, with its tag."""
    return known.name if ":" in known.name.rpartition("/")[2] else known.name + LATEST


def tag(known: Known, described: Description, modified_ns: int) -> dict[str, Any]:
    """An entry of ``/api/tags``; ``modified_ns`` is of the file, in Unix time."""
    name = name_of(known)
    return {
        "name": name,
        "model": name,
        "modified_at": stamp(modified_ns),
        "size": known.size_bytes,
        "digest": digest(known, described, modified_ns),
        "details": details(described),
    }


def running(
    known: Known, described: Description, modified_ns: int, memory_bytes: int
) -> dict[str, Any]:
    """An entry of ``/api/ps``: of a model in memory, which takes so much of it."""
    name = name_of(known)
    return {
        "name": name,
        "model": name,
        "size": memory_bytes,
        "digest": digest(known, described, modified_ns),
        "details": details(described),
        "expires_at": FOREVER,
        "size_vram": 0,
        "context_length": known.context_tokens,
    }


def show(
    known: Known, described: Description, modified_ns: int, *, embeds: bool = False
) -> dict[str, Any]:
    """The answer of ``/api/show``, of a model that generates, or else ``embeds``."""
    name, context_tokens = name_of(known), known.context_tokens or described.context_tokens
    return {
        "license": described.licence,
        "modelfile": f"FROM {name}\n",
        "parameters": f"{'num_ctx':<30} {context_tokens}",
        "template": described.template,
        "details": details(described),
        "model_info": _info(known, described),
        "capabilities": ["embedding"] if embeds else capabilities(described),
        "modified_at": stamp(modified_ns),
    }


def capabilities(described: Description) -> list[str]:
    """What can be asked of it. Any model is told of tools, in its template's way or in ours."""
    thinks = recognised(described.template).thinks
    return ["completion", "tools", *(("thinking",) if thinks else ())]


def details(described: Description) -> dict[str, Any]:
    """What kind of model it is."""
    family = described.architecture or "unknown"
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": short(described.parameters),
        "quantization_level": described.quantisation or "unknown",
    }


def _info(known: Known, described: Description) -> dict[str, Any]:
    """What the file says, but for the context: that is what a request may have here, since clients
    fill all that they are told of."""
    architecture = described.architecture or "unknown"
    own = {
        "general.architecture": architecture,
        "general.basename": known.name,
        "general.parameter_count": described.parameters,
    }
    context = {f"{architecture}.context_length": known.context_tokens or described.context_tokens}
    return own | dict(described.metadata) | context


def digest(known: Known, described: Description, modified_ns: int) -> str:
    """Sixty-four digits that are others once the model is another. Not the file's own hash: to read
    gigabytes for it would take minutes."""
    told = [
        known.name, known.size_bytes, modified_ns, known.file.sha256, described.parameters,
        sorted((key, str(value)) for key, value in described.metadata.items()),
    ]  # fmt: skip
    return hashlib.sha256(orjson.dumps(told)).hexdigest()


def short(number: int) -> str:
    """A number of parameters as it is spoken of: 134.52M, 1.7B."""
    for size, letter, decimals in _STEPS:
        if number >= size:
            return f"{number / size:.{decimals}f}{letter}"
    return str(number)
