"""``kill -9`` of node and engine at random moments under load: nothing lost, nothing said twice.

``FAULT_ROUNDS`` sets how many processes are killed; the seed decides which faults come, after how
many messages, and what the clients do.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.chaos import chaos

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "100"))


# On a busy machine a kill and what follows takes up to two seconds.
@pytest.mark.timeout(60 + 2 * ROUNDS)
@pytest.mark.parametrize(
    ("model", "kills", "clients"), [(False, ROUNDS, 12), (True, max(10, ROUNDS // 10), 4)]
)
async def test_whoever_was_accepted_is_served_once(
    tmp_path: Path, seed: int, model: bool, kills: int, clients: int
) -> None:
    verdict, killed = await chaos(tmp_path, kills=kills, clients=clients, seed=seed, model=model)
    assert killed.total() >= kills
    assert verdict.accepted >= clients
    assert verdict.good, verdict
