"""Prompts that wait for the engine to count their tokens, and those that it must not see again.

A prompt can end the engine before it is a task: its length is measured before it is accepted, and
nobody has written down that this was tried. So who is at work when the engine dies of its own doing
is remembered for a while here; a client that repeats its request is told so, and the engine lives.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from edge.actors import Reply
from edge.clock import NS_PER_MS
from edge.engine.messages import Count, Counted
from edge.errors import EngineDead, EngineError, Overloaded
from edge.inference.protocol import CountTokens

COUNTS_WAITING_MAX: Final = 1_000
"""Prompts that wait at most; a call beyond fails with `Overloaded`."""
CHARS_WAITING_MAX: Final = 8 * 1024 * 1024
"""Of all of them together, or a single one that is longer. A second or two of work on a machine
that is not busy, and what a cancel may have before it in the pipe."""
KEPT_OUT_MS: Final = 600_000
"""How long a prompt that ended the engine is not measured again."""
KEPT_OUT_MAX: Final = 1_000
"""Such prompts remembered; of more, those of longest ago are forgotten."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    reply: Reply
    chars: int
    fingerprint: int


class Counts:
    """Who waits for which count. Keys count down from -1: those of what runs are the caller's, and
    not negative."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._chars = 0
        self._last_key = 0
        self._turned_to: int | None = None
        self._kept_out: OrderedDict[int, int] = OrderedDict()  # fingerprint: when it ended one

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, wanted: CountTokens, reply: Reply, now_ns: int) -> Count:
        """What to ask the engine. `Overloaded` when too much waits already, `EngineError` when this
        prompt has ended an engine lately."""
        texts = (wanted.prompt, wanted.tools, wanted.variables)
        chars = sum(len(text or "") for text in texts)
        chars += sum(message.chars for message in wanted.messages or ())
        # Python's own, which no client can aim at.
        fingerprint = hash((wanted.prompt, wanted.messages, wanted.tools, wanted.variables))
        left_ms = self._kept_out_ms(fingerprint, now_ns)
        if left_ms:
            raise EngineError(
                "the engine died when it measured this very prompt a short while ago, so it is not"
                f" measured again for {-(-left_ms // 1_000)} s; change it",
                recoverable=False,
                retry_after_ms=left_ms,
            )
        too_long = self._waiting and self._chars + chars > CHARS_WAITING_MAX
        if too_long or len(self._waiting) >= COUNTS_WAITING_MAX:
            raise Overloaded("too many long prompts wait to be measured", retry_after_ms=1_000)
        self._last_key -= 1
        self._waiting[self._last_key] = _Waiting(reply, chars, fingerprint)
        self._chars += chars
        return Count(self._last_key, wanted.prompt, wanted.messages, wanted.tools, wanted.variables)

    def _kept_out_ms(self, fingerprint: int, now_ns: int) -> int:
        since_ns = self._kept_out.get(fingerprint)
        return 0 if since_ns is None else max(0, KEPT_OUT_MS - (now_ns - since_ns) // NS_PER_MS)

    def turned_to(self, key: int) -> None:
        """The engine is at work on this one, which may be no count."""
        self._turned_to = key

    @property
    def chars_at_work(self) -> int | None:
        """How long the prompt is that the engine measures at the moment; None when it measures
        none."""
        waiting = self._waiting.get(self._turned_to or 0)
        return None if waiting is None else waiting.chars

    def answer(self, key: int, answer: Counted | Exception) -> bool:
        """The engine's word on this one; False when it is no count."""
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return False
        self._chars -= waiting.chars
        if isinstance(answer, Counted):
            waiting.reply(answer)
        else:
            waiting.reply.fail(answer)
        return True

    def abandoned(self) -> list[int]:
        """Those for whose answer nobody waits any more, because it took too long. They are
        forgotten here; the engine has to be told."""
        keys = [key for key, waiting in self._waiting.items() if not waiting.reply.wanted]
        for key in keys:
            self._chars -= self._waiting.pop(key).chars
        return keys

    def lose_all(self, reason: str, now_ns: int, *, own_fault: bool) -> None:
        """The engine is gone. Of its own doing: what it was measuring is kept out from now on."""
        guilty = self._waiting.get(self._turned_to or 0) if own_fault else None
        if guilty is not None:
            self._kept_out[guilty.fingerprint] = now_ns
            self._kept_out.move_to_end(guilty.fingerprint)
            while len(self._kept_out) > KEPT_OUT_MAX:
                self._kept_out.popitem(last=False)
        self._turned_to = None
        for key in list(self._waiting):
            self.answer(key, EngineDead(f"{reason}; try again shortly"))
