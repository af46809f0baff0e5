"""What all slow clients together may hold."""

from __future__ import annotations

import pytest

from edge.gateway.budget import Budget


class Client:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0
        self.cut = False

    def hold(self, size_bytes: int) -> None:
        self.bytes = size_bytes
        self._budget.holds(self, size_bytes)

    def held_bytes(self) -> int:
        return self.bytes

    def cut_off(self) -> None:
        self.cut, self.bytes = True, 0
        self._budget.holds(self, 0)


@pytest.fixture
def budget() -> Budget:
    return Budget(100)


def test_all_of_it_may_be_held_and_no_byte_more(budget: Budget) -> None:
    clients = [Client(budget) for _ in range(4)]
    for each in clients:
        each.hold(25)
    assert (budget.held_bytes, [each.cut for each in clients]) == (100, [False] * 4)
    clients[3].hold(26)
    assert (budget.held_bytes, [each.cut for each in clients]) == (75, [False, False, False, True])


def test_who_holds_most_is_cut_off_and_not_who_came_last(budget: Budget) -> None:
    greedy, modest, small = Client(budget), Client(budget), Client(budget)
    greedy.hold(60)
    modest.hold(35)
    small.hold(6)
    assert (greedy.cut, modest.cut, small.cut) == (True, False, False)
    assert budget.held_bytes == 41


def test_who_has_read_meanwhile_is_not_cut_off(budget: Budget) -> None:
    reader, slow = Client(budget), Client(budget)
    reader.hold(90)
    reader.bytes = 0  # its connection has taken all of it, which nobody told
    slow.hold(50)
    assert (reader.cut, slow.cut, budget.held_bytes) == (False, False, 50)


def test_as_many_go_as_have_to(budget: Budget) -> None:
    clients = [Client(budget) for _ in range(3)]
    for each, size_bytes in zip(clients, (40, 30, 20), strict=True):
        each.hold(size_bytes)
    clients[2].hold(95)
    assert [each.cut for each in clients] == [False, False, True]
    clients[1].bytes = clients[0].bytes = 150  # they have grown without a word
    clients[2].hold(50)
    assert [each.cut for each in clients] == [True, True, True]
    assert budget.held_bytes == 50
