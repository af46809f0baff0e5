"""The fallback: answers for tasks that the model cannot answer, and says whose they are.

A task whose turn is the fallback's sends `FindAnswer`. It is answered, in this order, with

1. the answer that the same client got to the same request before (``history``), if it goes on where
   the task's text ends;
2. the embedded model (``fallback_model``), which goes on behind the text, on an engine process of
   its own that is started when it is wanted and stopped when it is not;
3. a sentence from the settings (``notice``), but not where the answer has to have a form.

What cannot be had is passed over; without any of them the task hears `NoAnswer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.actors import Actor, ActorDown, ChildSpec, Down, Ref, Supervisor
from edge.inference import EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.task.answer_form import is_whole
from edge.services.task.messages import FallbackReady, FindAnswer, FoundAnswer, NoAnswer
from edge.tasks.task import Request

Find = Callable[[Request, Callable[[str | None], object]], object]
"""Looks for the text of an earlier answer and calls back once, later, with it or None."""


class _Looked:
    """What history had for this one."""

    __slots__ = ("seek", "text")

    def __init__(self, seek: FindAnswer, text: str | None) -> None:
        self.seek = seek
        self.text = text


class _Idle:
    """It is time to see whether the model is still wanted."""


_IDLE: Final = _Idle()


class FallbackActor(Actor):
    """See the module.

    `find` is None where earlier answers are not to be given. `model` is the spec of the engine's
    actor, None where there is no second model; it becomes a child of the supervisor registered as
    `supervisor_name`. An empty `notice` is none. Those who wait for the model are not more than the
    turns of the fallback that there can be.
    """

    def __init__(
        self,
        *,
        find: Find | None,
        model: ChildSpec | None,
        supervisor_name: str,
        notice: str,
        idle_ms: int,
        busy: Callable[[], int],
    ) -> None:
        self._find = find
        self._model = model
        self._supervisor_name = supervisor_name
        self._notice = notice
        self._idle_ms = idle_ms
        self._busy = busy
        self._waiting: list[FindAnswer] = []
        self._engine: Ref | None = None
        self._up = False
        self._given_up = False
        self._leaving = False
        self._used = False

    def started(self) -> None:
        # After a crash there may be an engine already.
        if self._model is not None:
            engine = self.system.registry.whereis(self._model.name)
            if engine is not None:
                self._follow(engine)

    def handle(self, message: object) -> None:
        match message:
            case FindAnswer():
                self._seek(message)
            case _Looked(seek=seek, text=text):
                self._looked(seek, text)
            case EngineUp():
                self._up, self._given_up = True, False
                self._serve(self._hand)
            case EngineDown():
                self._up = False
            case EngineGivenUp():
                self._up, self._given_up = False, True
                self._serve(self._give_notice)
            case Down(ref=ref):
                if ref is self._engine:
                    self._engine_ended()
            case _Idle():
                self._see_whether_idle()

    # ---- the ladder

    def _seek(self, seek: FindAnswer) -> None:
        if self._find is None or seek.handed_over:
            self._ask_model(seek)
        else:
            me = self.ref
            self._find(seek.request, lambda text: me.send(_Looked(seek, text)))

    def _looked(self, seek: FindAnswer, text: str | None) -> None:
        form = seek.request.options.response_format
        if text is not None and text.startswith(seek.text) and is_whole(form, text):
            seek.ref.send(FoundAnswer(seek.key, text[len(seek.text) :], "history"))
        else:
            self._ask_model(seek)

    def _ask_model(self, seek: FindAnswer) -> None:
        if not seek.model or self._model is None or self._given_up:
            self._give_notice(seek)
        elif self._up and not self._leaving:
            self._hand(seek)
        else:
            self._waiting.append(seek)
            self._want_engine()

    def _hand(self, seek: FindAnswer) -> None:
        assert self._engine is not None, "it is up"
        self._used = True
        seek.ref.send(FallbackReady(seek.key, self._engine))

    def _give_notice(self, seek: FindAnswer) -> None:
        if seek.request.options.response_format is not None:
            # Whoever reads the answer expects another form, and would take it for a defect.
            seek.ref.send(NoAnswer(seek.key, "a notice would not have the form that was asked for"))
        elif self._notice:
            gap = "\n\n" if seek.text else ""
            seek.ref.send(FoundAnswer(seek.key, gap + self._notice, "notice"))
        else:
            seek.ref.send(NoAnswer(seek.key, "there is no other answer to this request"))

    def _serve(self, way: Callable[[FindAnswer], None]) -> None:
        waiting, self._waiting = self._waiting, []
        for seek in waiting:
            way(seek)

    # ---- the model's engine

    def _want_engine(self) -> None:
        if self._engine is not None:
            return  # it loads, or it is about to end and its successor is started then
        assert self._model is not None
        supervisor = self.system.registry.whereis(self._supervisor_name)
        try:
            if supervisor is None:
                raise LookupError(f"there is no supervisor {self._supervisor_name!r}")
            engine = Supervisor.of(supervisor).start_child(self._model)
        except (ActorDown, LookupError):
            # It is being restarted, or was given up; nobody has to wait for that.
            self._serve(self._give_notice)
        else:
            self._follow(engine)

    def _follow(self, engine: Ref) -> None:
        self._engine = engine
        self._up = self._given_up = self._leaving = False
        self.monitor(engine)
        engine.send(Subscribe(self.ref))
        self._used = True
        self.send_after(self._idle_ms, _IDLE)

    def _engine_ended(self) -> None:
        """As it was told to, or by a crash, after which there is a successor, or none any more."""
        told, self._leaving = self._leaving, False
        # The next one that is wanted may do better.
        self._engine, self._up, self._given_up = None, False, False
        assert self._model is not None
        successor = self.system.registry.whereis(self._model.name)
        if successor is not None:
            self._follow(successor)
        elif not told:
            self._serve(self._give_notice)
        elif self._waiting:
            self._want_engine()

    def _see_whether_idle(self) -> None:
        if self._engine is None or self._leaving:
            return
        idle = not self._used and not self._waiting and not self._busy()
        self._used = False
        if not idle:
            self.send_after(self._idle_ms, _IDLE)
            return
        assert self._model is not None
        supervisor = self.system.registry.whereis(self._supervisor_name)
        if supervisor is not None:
            self._leaving = Supervisor.of(supervisor).terminate_child(self._model.name)
