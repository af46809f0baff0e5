"""How long answers are, as a distribution: learnt for each of those who ask.

A model ends where it ends, whatever it might have had; only an answer that was cut off at its bound
says that another bound would be reached too. So what is kept of an answer are its tokens and
whether that was all that it might have.

One mean would not do. Of sixteen answers that run, the first ends long before the mean; and one
that has made more tokens than most is likely to make many more.

Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from typing import Any, Final

SHARE_GUESS: Final = 0.5
"""Of what an answer may have, until one has shown what it takes."""
ANSWERS_MAX: Final = 32
"""The newest answers of each client that are kept: enough for a mean within a tenth of most
distributions, and few enough to follow a client that does something else today."""
ENOUGH: Final = 4
"""Own answers from which on those of others say nothing about a client any more."""
COMMON_MAX: Final = 64
"""The newest answers of all clients, for those who are new."""
CLIENTS_MAX: Final = 1_024
"""Clients whose answers are kept; each takes some 2 KB."""


class Distribution:
    """Lengths that are equally likely."""

    __slots__ = ("_above", "_values", "mean", "residual")

    def __init__(self, values: Iterable[float]) -> None:
        self._values = sorted(values)
        # Sums of each value and all above it.
        self._above = list(accumulate(reversed(self._values)))[::-1]
        self.mean = self._above[0] / len(self._values)
        squares = sum(each * each for each in self._values)
        self.residual = squares / (2 * self._above[0])
        """What is left, on average, of one that is looked at at any time: more than half of the
        mean, since the long ones are looked at more often."""

    @property
    def certain(self) -> bool:
        """There is but one length."""
        return self._values[0] == self._values[-1]

    def left(self, made: int, most: int) -> float:
        """What is still to come, on average, of an answer that has made so many tokens of the
        ``most`` that it may have."""
        at = bisect_right(self._values, made)
        if at == len(self._values):
            return _beyond_all(made, most)
        return min(self._above[at] / (len(self._values) - at), most) - made

    def left_at(self, share: float, made: int, most: int) -> float:
        """The same for one that is longer than this share of those that are as long."""
        at = bisect_right(self._values, made)
        longer = len(self._values) - at
        if not longer:
            return _beyond_all(made, most)
        return min(self._values[at + int(share * longer)], most) - made


@lru_cache(maxsize=CLIENTS_MAX)
def exactly(tokens: int) -> Distribution:
    """The length of an answer that cannot end sooner."""
    return Distribution((tokens,))


def _beyond_all(made: int, most: int) -> float:
    """Of one that is longer than all of its like: a quarter of the way to its bound."""
    return max(0.0, (most - made) / 4)


class Lengths:
    """The newest answers, and what follows from them for one that is to come."""

    def __init__(self) -> None:
        self._own: dict[str, deque[tuple[int, int]]] = {}
        self._common: deque[tuple[int, int]] = deque(maxlen=COMMON_MAX)
        self._known: dict[tuple[str, int], Distribution] = {}

    def saw(self, client: str, made: int, most: int) -> None:
        """An answer to this client has so many tokens, of those that it might have."""
        own = self._own.pop(client, None)
        if own is None:
            own = deque(maxlen=ANSWERS_MAX)
        self._own[client] = own
        own.append((made, max(1, most)))
        self._common.append((made, max(1, most)))
        if len(self._own) > CLIENTS_MAX:
            del self._own[next(iter(self._own))]  # not heard of for longest
        self._known.clear()

    def of(self, client: str, most: int) -> Distribution:
        """How long an answer to this client is likely to be, that may have ``most`` tokens."""
        known = self._known.get((client, most))
        if known is None:
            if len(self._known) > 4 * CLIENTS_MAX:
                self._known.clear()
            known = self._known[client, most] = Distribution(self._values(client, max(1, most)))
        return known

    def _values(self, client: str, most: int) -> list[float]:
        own = self._own.get(client, ())
        values = [float(most if made >= had else min(made, most)) for made, had in own]
        values = [max(1.0, each) for each in values]
        if len(values) < ENOUGH:
            # Others have other bounds; what they share is at best how much they use of them.
            values += [max(1.0, share * most) for share in self._shares(2 * (ENOUGH - len(values)))]
        return values

    def _shares(self, count: int) -> Sequence[float]:
        """So many shares of their bounds, spread as those of all clients are."""
        shares = sorted(made / had for made, had in self._common)
        if not shares:
            return [SHARE_GUESS]
        return [shares[int((each + 0.5) / count * len(shares))] for each in range(count)]

    # ---- over a restart

    def to_json(self) -> dict[str, Any]:
        """All that was learnt; of the clients, those that were heard of last."""
        return {
            "own": {client: list(map(list, own)) for client, own in self._own.items()},
            "common": list(map(list, self._common)),
        }

    @classmethod
    def from_json(cls, value: Any) -> Lengths:
        """What `to_json` gave; `UNREADABLE` when it did not."""
        lengths = cls()
        for client, own in islice(value["own"].items(), CLIENTS_MAX):
            lengths._own[str(client)] = deque(map(_answer, own), maxlen=ANSWERS_MAX)
        lengths._common.extend(map(_answer, value["common"]))
        return lengths


def _answer(pair: Any) -> tuple[int, int]:
    made, most = pair
    if type(made) is not int or type(most) is not int or made < 0 or most < 1:
        raise ValueError(f"{pair} is no answer's length")
    return made, most
