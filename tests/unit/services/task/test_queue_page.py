"""Pages of the line, while it moves."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import NS_PER_MS
from edge.services.task.forecast import Owner
from edge.services.task.queue_page import CURSOR_CHARS_MAX, QueuePages, read_cursor
from edge.services.task.turns import Turns
from edge.tasks.line import Entry
from edge.tasks.task import Options, Request, State, Task
from tests.support.ears import Quiet
from tests.support.rows import uid


class Board(Quiet):
    """A line with tasks that are named by their numbers, and its pages."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns(self.system, waiting_max=1 << 20, step_ms=20_000)
        self.pages = QueuePages(self.turns, self.clock)
        _, self.ref = self.ear()

    def wait(self, number: int, client: str = "ada", **more: Any) -> None:
        request = Request(uid(number), client, "hi", None, None, Options(max_tokens=10), user="u")
        ready_ns = self.clock.moment().run_ns
        task = Task(request, State.AVAILABLE, self.clock.wall_ns(), ready_run_ns=ready_ns)
        level = more.pop("level", number % 10)
        self.turns.enqueue(Entry(uid(number), client, level, 3, 10, Owner(task, self.ref), **more))

    def read(self, client: str = "ada", after: str | None = None, limit: int = 3) -> Any:
        return self.pages.page(client, None if after is None else read_cursor(after), limit)

    def all_pages(self, limit: int) -> list[Any]:
        page = self.read(limit=limit)
        pages = [page]
        while page.next is not None:
            assert len(page.rows) == limit
            page = self.read(after=page.next, limit=limit)
            pages.append(page)
        return pages


@pytest.fixture
def board() -> Board:
    return Board()


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["task_id"] for row in rows]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_all_are_on_some_page_in_their_order(board: Board, limit: int) -> None:
    board.turns.engine_up(3)
    for number in range(40):
        board.wait(number, alone=number in (11, 12), fallback_only=number in (13, 14))
    order = [each.entry.task_id for each in board.turns.line.turns()]
    order += [each.task_id for each in board.turns.line.in_order()]
    rows = [row for page in board.all_pages(limit) for row in page.rows]
    assert ids(rows) == order
    assert [row["state"] for row in rows] == ["executing"] * 3 + ["available"] * 37
    places = [row["position"] for row in rows]
    # Those for whom the model can do nothing stand in a line of their own.
    assert places == [None] * 3 + [*range(1, 36), 1, 2]


def test_who_comes_and_goes_moves_no_other_onto_another_page(board: Board) -> None:
    for number in range(30):
        board.wait(number)
    before = [each.task_id for each in board.turns.line.in_order()]
    first = board.read(limit=10)
    for task_id in (before[0], before[9], before[12]):
        board.turns.withdraw(task_id)
    board.wait(100, client="bob", level=0)  # goes before all
    second = board.read(after=first.next, limit=10)
    assert ids(second.rows) == [*before[10:12], *before[13:21]]
    assert second.rows[0]["position"] == 10, "two have gone and one has come"


def test_who_began_meanwhile_is_not_lost_of_a_page_of_those_that_run(board: Board) -> None:
    board.turns.engine_up(4)
    for number in range(4):
        board.wait(number)
    first = board.read(limit=2)
    board.turns.release(1, 1)
    board.wait(9)
    assert ids(first.rows + board.read(after=first.next).rows) == [uid(n) for n in (0, 1, 2, 3, 9)]


def test_foreign_tasks_are_only_there(board: Board) -> None:
    board.turns.engine_up(1)
    for number, client in enumerate(("bob", "ada", "bob")):
        board.wait(number, client, level=0)
    rows = board.read("ada").rows
    for row, client in zip(rows, ("bob", "ada", "bob"), strict=True):
        named = {name: row[name] for name in ("task_id", "client", "user")}
        assert all(named.values()) if client == "ada" else not any(named.values())
    assert [row["position"] for row in rows] == [None, 1, 2]
    assert uid(0) not in str(rows)
    assert "bob" not in str(rows)


def test_it_is_said_since_when_and_for_how_long(board: Board) -> None:
    board.turns.engine_up(1)
    board.wait(0)
    board.clock.advance(1_000 * NS_PER_MS)
    board.wait(1)
    board.clock.advance(2_000 * NS_PER_MS)
    running, waiting = board.read().rows
    since = [row["since"] for row in (running, waiting)]
    assert [text[-10:] for text in since] == sorted(text[-10:] for text in since)
    assert waiting["eta_ms"] > 0
    assert waiting["expected_tokens"] == {"prompt": 3, "output": 10}
    board.turns.pause()
    running, waiting = board.read().rows
    assert running["eta_ms"] is not None
    assert waiting["eta_ms"] is None


@given(st.text(max_size=80))
def test_any_text_is_a_place_or_none(text: str) -> None:
    board = Board()
    board.wait(1)
    try:
        place = read_cursor(text)
    except ValueError:
        return
    assert len(text) <= CURSOR_CHARS_MAX
    board.pages.page("ada", place, 1)


@pytest.mark.parametrize(
    "text",
    ["", "r", "r:", "r:x", "w:1:2", "w:1:inf:3", "w:1:nan:3", "w:99:1.0:3", "w:-1:1.0:3", "x:1:1:1",
     "r:1:2", "w:1:1.0:" + "1" * 80, "r:" + "1" * 80],
)  # fmt: skip
def test_what_no_page_gave_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a place|to float"):
        read_cursor(text)


def test_a_page_of_a_long_line_does_not_walk_it(board: Board) -> None:
    """By steps of Python, which no neighbour on this machine can make more."""
    for number in range(20_000):
        board.wait(number, client=f"{number % 7}")
    middle = board.turns.place_of(list(board.turns.line.in_order())[15_000], 0)
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        page = board.pages.page("1", middle, 50)
    finally:
        sys.setprofile(None)
    assert [row["position"] for row in page.rows] == list(range(15_002, 15_052))
    # A walk to there alone would be as many again.
    assert calls < 40_000, calls
