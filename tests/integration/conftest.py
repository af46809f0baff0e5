"""What several files of tests share: nodes, workers and servers that are dear to start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import openai
import pytest
import pytest_asyncio

from edge.engine.messages import Ready
from tests.support.hub import hub
from tests.support.node_inside import ScriptedNode, scripted_node
from tests.support.openai_calls import library
from tests.support.random_gguf import write_random_gguf
from tests.support.worker import Worker

__all__ = ["hub"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ScriptedNode]:
    """One node on a scripted engine for a whole file, which may say in ``NODE_SETTINGS`` and
    ``NODE_FLAGS`` what `scripted_node` is given. Its tests run on the loop of their module:
    ``pytestmark = pytest.mark.asyncio(loop_scope="module")``."""
    settings = getattr(request.module, "NODE_SETTINGS", {})
    flags = getattr(request.module, "NODE_FLAGS", ())
    data_dir = tmp_path_factory.mktemp("node")
    async with scripted_node(data_dir, *flags, **settings) as running:
        yield running


@pytest.fixture
def node(shared_node: ScriptedNode) -> ScriptedNode:
    """The file's node, of which nothing was heard yet. Who changes what it is, or needs to know all
    that it has, makes one of his own with `scripted_node`."""
    shared_node.begin_anew()
    return shared_node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(shared_node: ScriptedNode) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's library, pointed at the file's node."""
    async with library(shared_node.url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One real worker with a model of random weights for a whole file."""
    worker = Worker(write_random_gguf(tmp_path_factory.mktemp("model") / "nano.gguf"))
    assert isinstance(worker.next(), Ready)
    yield worker
    worker.close()


@pytest.fixture
def worker(shared_worker: Worker) -> Worker:
    """The file's worker, which has said nothing yet."""
    shared_worker.steps.clear()
    return shared_worker
