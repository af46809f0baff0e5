"""Accepting tasks, on real actors and a manual clock."""

from __future__ import annotations

import pytest

from edge.errors import StorageError
from edge.tasks.task import Options, Request
from tests.support.rows import uid
from tests.support.workshop import Workshop


@pytest.mark.parametrize("refusal", [None, StorageError("the disk is full")])
async def test_an_answer_says_what_became_of_its_own_commit(refusal: StorageError | None) -> None:
    """Whatever the disk does by the time of the answer."""
    shop = Workshop()
    shop.shelf.refusal = refusal
    request = Request(uid(1), "ada", "hi", None, None, Options())
    answer = await shop.tasks.submit(request, own_id=False)
    assert answer["durable"] is (refusal is None)
