"""What is said to the engine actor, and what it says.

What runs is named by the ``key`` of its `Generate`. To its ``reply_to`` go, as they came from the
engine: `Admitted`, then `Output` after `Output`, then one `Finished`; or one `Rejected`; or, when
the engine is gone first, one `EngineLost`. Nothing follows a last one.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.actors import SHUTDOWN, Actor, Ref
from edge.conversation import Message
from edge.engine.messages import Generate, Ready

# ---- to the actor


@dataclass(frozen=True, slots=True)
class Run:
    """Generate for ``reply_to``. When there is no engine the answer is `EngineLost` at once. A
    reply_to that is dead is noticed at the next message to it, and its sequence is cancelled.
    ``ended_engine``: this request is known to have ended an engine before."""

    request: Generate
    reply_to: Ref
    ended_engine: bool = False


@dataclass(frozen=True, slots=True)
class Abort:
    """Cancel what runs under this key; it ends with a `Finished` (``cancelled``), unless another
    end was under way. Unknown keys are ignored."""

    key: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Tell this actor of the engine's ups and downs, beginning with how things are now. ``engine``
    comes back with each, for who follows several."""

    ref: Ref
    engine: str = ""


@dataclass(frozen=True, slots=True)
class StartEngine:
    """Have the engine run; of use after `StopEngine` or `EngineGivenUp` (which forgets the deaths
    so far). No effect when it runs."""


@dataclass(frozen=True, slots=True)
class StopEngine:
    """Stop the engine and stay. As a call it is answered, with None, when the process is gone."""


@dataclass(frozen=True, slots=True)
class CountTokens:
    """A call: how many tokens is this prompt, template included? The reply is a `Counted`, or the
    error that `Rejected` stood for; `EngineDead` when there is no engine."""

    prompt: str | None
    messages: tuple[Message, ...] | None
    tools: str | None = None
    variables: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A call, answered with an `EngineStatus` at once."""


# ---- from the actor


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How things are: ``state`` is a name of the lifecycle, ``ready`` what the engine said of its
    model while it is up, ``reason`` why it is not, ``deaths`` counts since the actor's start."""

    state: str
    pid: int | None
    ready: Ready | None
    safe_mode: bool
    running: int
    deaths: int
    reason: str


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine that ran this is gone. ``caused``: it crashed or hung, and this was the only one
    that can have been the cause, so that running it again may end the same way.
    ``may_have_caused``: it crashed or hung, and this is one of several that can have been the
    cause; most likely one of those that were ``silent``, which means without a token from that
    engine."""

    key: int
    reason: str
    caused: bool
    may_have_caused: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class EngineUp:
    """The model is loaded and requests are taken, by the process ``pid``."""

    ready: Ready
    pid: int | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class EngineDown:
    """There is no engine now. ``retry_in_ms`` is when the next one is started; 0 while it loads,
    None when it was stopped on purpose."""

    reason: str
    retry_in_ms: int | None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class EngineLoading:
    """The engine that loads has read so much of its model, of a hundred. For those alone who follow
    engines by their names; no news of its own, which is still `EngineDown`."""

    percent: int
    engine: str


@dataclass(frozen=True, slots=True)
class EngineGivenUp:
    """There is no engine, and little hope without an admin's doing; ``reason`` is a sentence.
    Another one is tried in a while all the same. ``model_at_fault``: the engine itself said that
    this model cannot be used as configured."""

    reason: str
    model_at_fault: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True)
class FollowEngine:
    """To who follows the engines: there is one more, whose actor has this name."""

    name: str


def follow_engine(actor: Actor, name: str, *, by_name: bool = False) -> bool:
    """Has this actor told of the ups and downs of the engine of that name, beginning with how
    things are now, and of its actor's end by `Down`: then is the time to call this again. Where
    there is no engine of that name nothing happens, and this is False. ``by_name``: it follows
    several, and is told of which it hears."""
    engine = actor.system.registry.whereis(name)
    if engine is None:
        return False
    actor.monitor(engine)
    engine.send(Subscribe(actor.ref, name if by_name else ""))
    return True


async def stop(ref: Ref, *, deadline_ms: float) -> None:
    """Stops the engine, waits until its process is gone, and ends the actor behind `ref`.

    Raises `CallTimeout` at the deadline, when the actor is ended all the same and the process
    killed with it.
    """
    try:
        await ref.call(StopEngine(), deadline_ms=deadline_ms)
    finally:
        ref.kill(SHUTDOWN)
