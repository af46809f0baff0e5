"""By which names clients ask for a model, and what is told of it. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from edge.gateway.calls.errors import UnknownModel
from edge.gateway.reading import clipped
from edge.inference import ModelFile

LATEST: Final = ":latest"
"""The tag of a name that has none."""
_SUFFIX: Final = ".gguf"
OWNER: Final = "elwift"


class Known(NamedTuple):
    """A model that can be asked for. ``aliases`` are other names for it, whatever the case."""

    name: str
    aliases: tuple[str, ...]
    created_s: int
    context_tokens: int
    trained_tokens: int
    size_bytes: int
    file: ModelFile

    def goes_by(self, wanted: str) -> bool:
        """Whether this is what a client may call it."""
        return _plain(wanted) in {_plain(each) for each in (self.name, *self.aliases)}

    def document(self) -> dict[str, Any]:
        """The model as it is listed."""
        document: dict[str, Any] = {
            "id": self.name,
            "object": "model",
            "created": self.created_s,
            "owned_by": OWNER,
            "name": self.name,
        }
        figures = {
            "n_ctx": self.context_tokens,
            "n_ctx_train": self.trained_tokens,
            "size": self.size_bytes,
        }
        if self.context_tokens:
            document["context_length"] = self.context_tokens
            # Where there is a context length, some clients read prices as texts.
            document["pricing"] = {"prompt": "0", "completion": "0"}
        # Of a model that nobody has asked for, the file was not read.
        document["meta"] = {name: value for name, value in figures.items() if value}
        return document


def find(wanted: str | None, models: tuple[Known, ...]) -> Known:
    """The model of this name; the first where none is named. `UnknownModel` else: no client is
    answered by another model than it asked for."""
    if wanted is None or not wanted.strip():
        return models[0]
    for model in models:
        if model.goes_by(wanted):
            return model
    names = ", ".join(model.name for model in models)
    raise UnknownModel(
        f"model {clipped(wanted)!r} not found here; there are {names}", field="model"
    )


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(LATEST).removesuffix(_SUFFIX)
