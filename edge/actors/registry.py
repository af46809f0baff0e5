"""Names of living actors. One dict look-up, nothing else, on the way to an actor."""

from __future__ import annotations

from edge.actors.errors import AlreadyRegistered
from edge.actors.ref import Ref


class Registry:
    """Unique names. A name is free again the moment its actor has ended.

    What `whereis` gives may die before it is used: monitor it, don't trust it.
    """

    __slots__ = ("_refs", "whereis")

    def __init__(self) -> None:
        self._refs: dict[str, Ref] = {}
        # The bound method itself: a look-up costs no frame of ours.
        self.whereis = self._refs.get

    def __len__(self) -> int:
        return len(self._refs)

    def names(self, prefix: str = "") -> list[str]:
        """All names that begin with `prefix`, in the order of registration. Walks all names."""
        return [name for name in self._refs if name.startswith(prefix)]

    def register(self, name: str, ref: Ref) -> None:
        """Gives the name to the actor. `AlreadyRegistered` when a living one has it, or when this
        one has a name already; ValueError when this one is dead."""
        if not ref.alive:
            raise ValueError(f"a dead actor cannot be registered as {name!r}")
        holder = self._refs.get(name)
        if holder is not None and holder.alive:
            raise AlreadyRegistered(f"the name {name!r} is taken by a living actor")
        if ref.name is not None and ref.name != name:
            raise AlreadyRegistered(f"this actor is called {ref.name!r} already")
        ref.name = name
        self._refs[name] = ref

    def forget(self, ref: Ref) -> None:
        """Frees the actor's name, unless its successor has it already."""
        if ref.name is not None and self._refs.get(ref.name) is ref:
            del self._refs[ref.name]
