"""The models that a client may name: those that there are on this machine, by the names that people
write.

The node's own model is known at once, the others are looked for when somebody wants to know of
them, and again when a name is not known, since a model may have been added meanwhile. Looking
blocks and is done elsewhere than on the loop. A client names models and no files: a path is no
name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from edge.clock import NS_PER_MS, Clock
from edge.errors import InvalidRequest, ModelError, NotFound
from edge.inference.model_file import SUFFIX, ModelFile, checked

AGAIN_MS: Final = 2_000
"""So long after models were looked for they are not looked for again: a client that asks for one
that is not there makes no more work than that."""
NAME_CHARS_SHOWN: Final = 60
NAMES_SHOWN: Final = 20
"""Of those that there are, in the sentence that says which."""
_LATEST: Final = ":latest"

OffLoop = Callable[[Callable[[], Any]], Awaitable[Any]]


class UnknownModel(NotFound):
    """There is no model of this name here."""

    code = "model_not_found"


def plain_name(name: str) -> str:
    """What two spellings of one name have in common: Ollama leaves ``:latest`` out, files have an
    ending, and nobody means the case."""
    return name.strip().lower().removesuffix(_LATEST).removesuffix(SUFFIX)


class KnownModels:
    """See the module. ``own`` is the node's own, and goes by ``aliases``, too. ``scan`` gives the
    others and blocks, as `check` does, which gives a model with what its file says; both are called
    by way of ``off_loop``."""

    def __init__(
        self,
        own: ModelFile,
        scan: Callable[[], Sequence[ModelFile]],
        clock: Clock,
        *,
        aliases: Iterable[str] = (),
        off_loop: OffLoop = asyncio.to_thread,
        check: Callable[[ModelFile], ModelFile] = checked,
    ) -> None:
        self.own = own
        self._aliases = tuple(aliases)
        self._scan = scan
        self._clock = clock
        self._off_loop = off_loop
        self._check = check
        self._models: tuple[ModelFile, ...] = (own,)
        self._by_name: dict[str, ModelFile] = {}
        self._sound: dict[str, ModelFile] = {own.name: own}
        self._scanned_ns: int | None = None
        self._scanning: asyncio.Future[None] | None = None
        self._index()

    @property
    def models(self) -> tuple[ModelFile, ...]:
        """Those that were there the last time, the node's own first. Of the others nothing is known
        but name, file and size."""
        return self._models

    async def all(self) -> tuple[ModelFile, ...]:
        """Those that are there now, or were a moment ago."""
        await self._look_again()
        return self._models

    async def find(self, wanted: str | None) -> ModelFile:
        """The model of this name, with what its file says; the node's own where none is named.
        `UnknownModel` when there is none, InvalidRequest when it is of no use."""
        if wanted is None or not wanted.strip():
            return self.own
        model = self._by_name.get(plain_name(wanted))
        if model is None:
            await self._look_again()
            model = self._by_name.get(plain_name(wanted))
        if model is None:
            raise self._unknown(wanted)
        return await self._checked(model)

    async def _checked(self, model: ModelFile) -> ModelFile:
        known = self._sound.get(model.name)
        if known is not None:
            return known
        try:
            sound: ModelFile = await self._off_loop(lambda: self._check(model))
        except ModelError as error:
            # The reason names files, which are no business of a client's.
            raise InvalidRequest(
                f"the model {model.name!r} cannot be used; `elwift models list` on the node's"
                " machine says why",
                field="model",
            ) from error
        self._sound[model.name] = sound
        return sound

    async def _look_again(self) -> None:
        if self._scanning is not None:
            await asyncio.shield(self._scanning)
            return
        now_ns = self._clock.now_ns()
        if self._scanned_ns is not None and now_ns - self._scanned_ns < AGAIN_MS * NS_PER_MS:
            return
        self._scanning = asyncio.ensure_future(self._look())
        await asyncio.shield(self._scanning)

    async def _look(self) -> None:
        found: Sequence[ModelFile] = ()
        try:
            found = await self._off_loop(self._scan)
        except ModelError:
            # An installation that is damaged is for the admin, whom `elwift models list` tells why;
            # here there is the node's own model, which was found before.
            pass
        finally:
            self._scanning = None
            self._scanned_ns = self._clock.now_ns()
        own = self.own
        others = (each for each in found if each.name != own.name and each.path != own.path)
        before = {each.name: each for each in self._models}
        self._models = (own, *others)
        for each in self._models[1:]:
            if before.get(each.name) != each:
                self._sound.pop(each.name, None)  # another file goes by this name now
        self._sound = {
            each.name: self._sound[each.name] for each in self._models if each.name in self._sound
        }
        self._index()

    def _index(self) -> None:
        """Of two that a name is said of, the first has it; a model's own name goes before what its
        file is called."""
        self._by_name = {plain_name(each): self.own for each in (self.own.name, *self._aliases)}
        self._by_name.setdefault(plain_name(self.own.path.stem), self.own)
        for model in self._models:
            self._by_name.setdefault(plain_name(model.name), model)
        for model in self._models:
            self._by_name.setdefault(plain_name(model.path.stem), model)

    def _unknown(self, wanted: str) -> UnknownModel:
        names = [each.name for each in self._models[:NAMES_SHOWN]]
        more = len(self._models) - len(names)
        listed = ", ".join(names) + (f" and {more} more" if more else "")
        shown = wanted[:NAME_CHARS_SHOWN] + ("…" if len(wanted) > NAME_CHARS_SHOWN else "")
        return UnknownModel(f"model {shown!r} not found here; there are {listed}", field="model")
