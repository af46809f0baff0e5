from __future__ import annotations

import pytest

from edge.services.task.ends import Ends
from edge.tasks.task import TERMINAL


def test_an_end_is_untold_until_it_is_told() -> None:
    ends = Ends()
    heard: list[int] = []
    ends.on_told = lambda: heard.append(ends.untold)
    ends.began("a")
    ends.began("b")
    assert ends.untold == 2
    ends.told("a", "completed")
    assert (ends.untold, ends.counts["completed"]) == (1, 1)
    ends.forget("b")
    assert heard == [1, 0]


def test_what_begins_again_after_a_crash_counts_once() -> None:
    ends = Ends()
    ends.began("a")
    ends.began("a")
    ends.told("a", "discarded")
    assert (ends.untold, ends.counts["discarded"]) == (0, 1)


def test_every_end_is_counted_and_nothing_else() -> None:
    assert set(Ends().counts) == set(map(str, TERMINAL))
    with pytest.raises(KeyError):
        Ends().told("a", "executing")
