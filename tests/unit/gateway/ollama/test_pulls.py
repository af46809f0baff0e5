"""Pulls, with a fetch that the test plays on another thread."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.errors import InternalError, InvalidRequest, ModelError, Overloaded
from edge.gateway.calls.following import Wake
from edge.gateway.ollama.pulls import BEGINS, REPORT_BYTES, SUCCESS, Pull, Pulls, named
from edge.inference import ModelFile
from edge.inference.pulling.pull import Begun

HERE = Path("nowhere")
MODEL = ModelFile("a", HERE, 0, 0)


class Played:
    """Does what it is told, in order: a step is called with the pull's two callbacks."""

    def __init__(self) -> None:
        self.steps: queue.Queue[Callable[[Any, Any], object] | None] = queue.Queue()
        self.asked: list[str] = []

    def __call__(
        self, text: str, _dir: Path, *, hub_url: str, begun: Any, progress: Any, pause: Any
    ) -> ModelFile:
        self.pause = pause
        self.asked.append(f"{hub_url} {text}")
        while (step := self.steps.get(timeout=30)) is not None:
            step(begun, progress)
        return MODEL

    def begin(self) -> None:
        self.steps.put(lambda begun, _progress: begun(Begun("a", "there")))

    def get(self, done: int, total: int | None) -> None:
        self.steps.put(lambda _begun, progress: progress(done, total))

    def fail(self, error: Exception) -> None:
        def step(_begun: object, _progress: object) -> None:
            raise error

        self.steps.put(step)

    def finish(self) -> None:
        self.steps.put(None)


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
def pulls(played: Played) -> Pulls:
    return Pulls(HERE, "hub", played)


async def until(wake: Wake, done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await wake.wait()


async def end(watched: Pull, wake: Wake) -> None:
    await until(wake, lambda: watched.over)


async def test_a_pull_from_its_first_word_to_its_last(pulls: Pulls, played: Played) -> None:
    wake = Wake()
    watched = pulls.watch("qwen3:0.6b", wake)
    assert watched.state == {"status": BEGINS}
    played.begin()
    played.get(REPORT_BYTES, 3 * REPORT_BYTES)
    await until(wake, lambda: "completed" in watched.state)
    assert watched.state == {
        "status": "pulling a", "completed": REPORT_BYTES, "total": 3 * REPORT_BYTES,
    }  # fmt: skip
    played.get(REPORT_BYTES + 1, 3 * REPORT_BYTES)
    played.get(3 * REPORT_BYTES, None)
    await until(wake, lambda: watched.state.get("completed") == 3 * REPORT_BYTES)
    assert "total" not in watched.state
    played.finish()
    await end(watched, wake)
    assert (watched.state, watched.error) == ({"status": SUCCESS}, None)
    assert played.asked == ["hub qwen3-0.6b"]


async def test_what_is_there_already_is_not_fetched(played: Played, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "qwen3-0.6b.gguf").write_bytes(b"")
    pulls, wake = Pulls(tmp_path, "hub", played), Wake()
    watched = pulls.watch("qwen3:0.6b", wake)
    await end(watched, wake)
    assert (watched.state, played.asked) == ({"status": SUCCESS}, [])


async def test_who_asks_for_the_same_watches_the_same(pulls: Pulls, played: Played) -> None:
    first, second = Wake(), Wake()
    watched = pulls.watch("a/b", first)
    assert pulls.watch("a/b", second) is watched
    with pytest.raises(Overloaded, match="a/b is being pulled"):
        pulls.watch("a/c", Wake())
    pulls.leave(watched, first)
    played.finish()
    await end(watched, second)
    assert len(played.asked) == 1
    again = pulls.watch("a/c", second)
    assert again is not watched
    played.finish()
    await end(again, second)


async def test_it_stops_when_nobody_watches(pulls: Pulls, played: Played) -> None:
    wake = Wake()
    watched = pulls.watch("a/b", wake)
    pulls.leave(watched, wake)
    watched.watchers.add(wake)  # to hear of its end
    played.get(1, None)
    await end(watched, wake)
    assert isinstance(watched.error, ModelError)


async def test_it_waits_for_no_server_that_nobody_watches(pulls: Pulls, played: Played) -> None:
    wake = Wake()
    watched = pulls.watch("a/b", wake)
    pulls.leave(watched, wake)
    watched.watchers.add(wake)
    played.steps.put(lambda _begun, _progress: asyncio.run(played.pause(60.0)))
    await end(watched, wake)
    assert isinstance(watched.error, ModelError)


async def test_it_goes_on_for_who_comes_back(pulls: Pulls, played: Played) -> None:
    wake = Wake()
    watched = pulls.watch("a/b", wake)
    pulls.leave(watched, wake)
    assert pulls.watch("a/b", wake) is watched
    played.get(1, None)
    played.finish()
    await end(watched, wake)
    assert watched.error is None


@pytest.mark.parametrize(
    ("raised", "kind"), [(ModelError("no such thing"), ModelError), (KeyError(), InternalError)]
)
async def test_a_failure_is_told(
    pulls: Pulls, played: Played, raised: Exception, kind: type[Exception]
) -> None:
    wake = Wake()
    watched = pulls.watch("a/b", wake)
    played.fail(raised)
    await end(watched, wake)
    assert isinstance(watched.error, kind)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("qwen3:0.6b", "qwen3-0.6b"), ("Qwen3-0.6B:latest", "qwen3-0.6b"), ("a/b:Q4_0", "a/b:Q4_0"),
        ("hf.co/a/b", "hf.co/a/b"),
    ],
)  # fmt: skip
def test_names(text: str, wanted: str) -> None:
    assert named(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "llama3", "https://example.com/a.gguf", "http://localhost/a.gguf", "../a", "a b"]
)
def test_what_is_not_pulled(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        named(text)
    assert caught.value.field == "model"
