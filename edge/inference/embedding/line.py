"""Which texts go to the engine of embeddings next, and what has come of those that went. Pure.

A call may have thousands of texts. It goes to the engine in pieces, and clients take turns piece by
piece, so who has one text waits for a few pieces of others and not for their thousands. No more is
in the engine than keeps it busy: what is there cannot be overtaken.

When the engine dies, what it had goes there again, once, each piece alone: so if one of them is the
cause, it is that one which dies with the next engine, and no other call has to pay.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from edge.clock import NS_PER_MS
from edge.engine.messages import Embed, Embedded
from edge.errors import LimitReached, Overloaded
from edge.inference.embedding.protocol import EmbedTexts, Vectors

TEXTS_WAITING_MAX: Final = 32_768
"""Of all clients; a call that would make it more is refused."""
TEXTS_PER_CLIENT_MAX: Final = 8_192
"""Of one client."""
CHARS_WAITING_MAX: Final = 64 * 1024 * 1024
"""Of all clients, or of a single call that is longer."""
PIECE_TEXTS_MAX: Final = 32
PIECE_CHARS_MAX: Final = 2_048
"""Of a piece, or one text that is longer: about what a pass of the engine takes."""
IN_ENGINE_TEXTS_MAX: Final = 256
IN_ENGINE_CHARS_MAX: Final = 8_192
"""In the engine at a time: a few passes."""
RETRY_MS: Final = 1_000
"""Until there is room, where nobody knows how fast the engine is."""
RETRY_MS_MAX: Final = 60_000
WEIGHT: Final = 0.2
"""Share of the newest answer in a mean."""


@dataclass(slots=True, eq=False)
class Call:
    """A call, and what has come of it so far."""

    wanted: EmbedTexts
    chars: int
    sent: int = 0
    answered: int = 0
    vectors: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.vectors = [""] * len(self.wanted.texts)
        self.tokens = [0] * len(self.wanted.texts)

    @property
    def result(self) -> Vectors:
        return Vectors(tuple(self.vectors), tuple(self.tokens))


@dataclass(slots=True, eq=False)
class Piece:
    """So many texts of a call, from the first. ``lost``: an engine has died while it had them."""

    call: Call
    first: int
    count: int
    chars: int
    lost: bool = False


class Line:
    """The calls that are not over."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[Call]] = OrderedDict()
        self._again: deque[Piece] = deque()
        self._in_engine: dict[int, Piece] = {}
        self._calls: dict[Call, None] = {}
        self._texts: dict[str, int] = {}
        self._texts_in_all = 0
        self._chars = 0
        self._last_key = 0
        self._busy_since_ns = 0
        self._chars_per_ns: float | None = None

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def in_engine(self) -> int:
        """How many pieces the engine has."""
        return len(self._in_engine)

    def calls(self) -> list[Call]:
        """All of them, the oldest first."""
        return list(self._calls)

    # ---- a call comes and goes

    def add(self, wanted: EmbedTexts) -> Call:
        """The call waits from now on. `LimitReached` when its client has too much that waits,
        `Overloaded` when there is too much of all."""
        texts, client = len(wanted.texts), wanted.client
        chars = sum(map(len, wanted.texts)) + len(wanted.query or "") * texts
        own = self._texts.get(client, 0)
        if own and own + texts > TEXTS_PER_CLIENT_MAX:
            raise LimitReached(
                f"you have {own} texts that wait to be embedded, where {TEXTS_PER_CLIENT_MAX} are"
                " the most; wait for some of them, or send fewer in a call",
                retry_after_ms=self._wait_ms(),
            )
        too_many = self._texts_in_all + texts > TEXTS_WAITING_MAX
        if self._calls and (too_many or self._chars + chars > CHARS_WAITING_MAX):
            raise Overloaded(
                "too many texts wait to be embedded; try again later",
                retry_after_ms=self._wait_ms(),
            )
        call = Call(wanted, chars)
        self._calls[call] = None
        self._count(call, 1)
        self._clients.setdefault(client, deque()).append(call)
        return call

    def end(self, call: Call) -> list[int]:
        """The call is over, for whatever reason; the keys of its pieces in the engine, which are
        not wanted any more. No effect on one that is over."""
        if call.over:
            return []
        call.over = True
        del self._calls[call]
        self._count(call, -1)
        queue = self._clients.get(call.wanted.client)
        if queue is not None and call in queue:
            queue.remove(call)
            if not queue:
                del self._clients[call.wanted.client]
        self._again = deque(piece for piece in self._again if piece.call is not call)
        keys = [key for key, piece in self._in_engine.items() if piece.call is call]
        for key in keys:
            del self._in_engine[key]
        return keys

    def _count(self, call: Call, sign: int) -> None:
        client, texts = call.wanted.client, len(call.wanted.texts)
        self._texts_in_all += sign * texts
        self._chars += sign * call.chars
        own = self._texts.get(client, 0) + sign * texts
        if own:
            self._texts[client] = own
        else:
            del self._texts[client]

    # ---- to the engine and back

    def take(self, now_ns: int) -> Embed | None:
        """The next piece for the engine, which has it from now on; None while it has enough, or
        when nothing waits."""
        if any(piece.lost for piece in self._in_engine.values()):
            return None
        if self._again:
            if self._in_engine:
                return None
            piece = self._again.popleft()
        elif self._clients and self._has_room():
            piece = self._cut()
        else:
            return None
        if not self._in_engine:
            self._busy_since_ns = now_ns
        self._last_key += 1
        self._in_engine[self._last_key] = piece
        wanted = piece.call.wanted
        return Embed(
            self._last_key,
            wanted.texts[piece.first : piece.first + piece.count],
            wanted.query,
            wanted.truncate,
            wanted.dimensions,
            wanted.as_json,
        )

    def _has_room(self) -> bool:
        texts = sum(piece.count for piece in self._in_engine.values())
        chars = sum(piece.chars for piece in self._in_engine.values())
        return texts < IN_ENGINE_TEXTS_MAX and chars < IN_ENGINE_CHARS_MAX

    def _cut(self) -> Piece:
        """The next piece of the client whose turn it is; then it is the next one's."""
        client, queue = next(iter(self._clients.items()))
        call = queue[0]
        texts, beside = call.wanted.texts, len(call.wanted.query or "")
        first, chars = call.sent, 0
        while call.sent < len(texts) and call.sent - first < PIECE_TEXTS_MAX:
            size = len(texts[call.sent]) + beside
            if chars and chars + size > PIECE_CHARS_MAX:
                break
            chars += size
            call.sent += 1
        if call.sent == len(texts):
            queue.popleft()
        if queue:
            self._clients.move_to_end(client)
        else:
            del self._clients[client]
        return Piece(call, first, call.sent - first, chars)

    def answered(self, answer: Embedded, now_ns: int) -> Call | None:
        """The engine has done a piece; the call, if it is whole by that."""
        piece = self._in_engine.pop(answer.key, None)
        if piece is None:
            return None
        self._learn(piece.chars, now_ns)
        call, end = piece.call, piece.first + piece.count
        call.vectors[piece.first : end] = answer.vectors
        call.tokens[piece.first : end] = answer.tokens
        call.answered += piece.count
        return call if call.answered == len(call.wanted.texts) else None

    def piece_of(self, key: int) -> Piece | None:
        """What the engine has under this key; None for what is over."""
        return self._in_engine.get(key)

    def lost(self) -> list[Call]:
        """The engine is gone. Its pieces go to the next one; the calls of those that have been lost
        before, which had the engine for themselves. They are for the caller to end."""
        pieces = list(self._in_engine.values())
        self._in_engine.clear()
        guilty = [piece.call for piece in pieces if piece.lost]
        for piece in pieces:
            if not piece.lost:
                piece.lost = True
                self._again.append(piece)
        return guilty

    def _learn(self, chars: int, now_ns: int) -> None:
        pace = max(1, chars) / max(1, now_ns - self._busy_since_ns)
        self._busy_since_ns = now_ns
        known = self._chars_per_ns
        self._chars_per_ns = pace if known is None else known + WEIGHT * (pace - known)

    def _wait_ms(self) -> int:
        """Until half of what waits is done."""
        if self._chars_per_ns is None:
            return RETRY_MS
        half_ms = self._chars / 2 / self._chars_per_ns / NS_PER_MS
        return int(min(RETRY_MS_MAX, max(RETRY_MS, half_ms)))
