"""The command line in processes and terminals of its own, as a person has it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest
import pytest_asyncio

from tests.support.node_inside import ScriptedNode, scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE_FLAGS = ("--unicode",)
TOKEN = "a secret of more than sixteen"


class Ended(NamedTuple):
    code: int | None
    out: str
    err: str


async def start(*words: str, environment: Mapping[str, str] = {}) -> asyncio.subprocess.Process:
    """Starts ``elwift``; nothing of this machine's own settings reaches it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ELWIFT_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=own | dict(environment),
    )


async def elwift(*words: str, stdin: bytes = b"", environment: Mapping[str, str] = {}) -> Ended:
    process = await start(*words, environment=environment)
    out, err = await process.communicate(stdin)
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a node that wants a token."""
    data_dir = tmp_path_factory.mktemp("guarded")
    async with scripted_node(data_dir, server__tokens={"ada": TOKEN}) as running:
        yield running.url


@pytest.mark.parametrize("words", [("watch", "6f0c"), ("list",), ("cancel", "6f0c")])
async def test_without_a_token_it_is_said_at_once_how_to_give_one(
    guarded: str, words: tuple[str, ...]
) -> None:
    ended = await elwift("tasks", *words, "--url", guarded)
    assert ended.code == 1
    assert ended.out == ""
    assert "--token" in ended.err
    assert "ELWIFT_TOKEN" in ended.err


async def test_the_token_comes_by_flag_or_environment(guarded: str) -> None:
    by_flag = await elwift("run", "hello", "--url", guarded, "--token", TOKEN, "--max-tokens", "2")
    assert by_flag.code == 0, by_flag.err
    named = {"ELWIFT_URL": guarded, "ELWIFT_TOKEN": TOKEN}
    listed = await elwift("tasks", "list", "--json", environment=named)
    assert [task["prompt"] for task in json.loads(listed.out)] == ["hello"]


async def test_nobody_there_is_said_at_once() -> None:
    ended = await elwift("tasks", "watch", "6f0c", "--url", "http://127.0.0.1:9")
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err
        == "elwift: no node answers at http://127.0.0.1:9; start one with `elwift serve`\n"
    )


async def test_something_else_that_answers_is_no_node() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n[404]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await elwift("tasks", "list", "--url", f"http://127.0.0.1:{port}")
    assert ended.code == 1
    assert "is not an Elwift node" in ended.err


async def test_a_prompt_from_a_pipe_with_a_system_prompt(node: ScriptedNode) -> None:
    ended = await elwift(
        *("run", "Summarise:", "-", "--system", "Be brief.", "--max-tokens", "2", "--json"),
        *("--url", node.url),
        stdin="für alle\n".encode(),
    )
    assert ended.code == 0, ended.err
    task = json.loads(ended.out)
    assert [each["content"] for each in task["messages"]] == ["Be brief.", "Summarise:\nfür alle"]
    assert task["result"]["usage"]["completion_tokens"] == 2


async def test_a_model_that_the_running_node_does_not_run(node: ScriptedNode) -> None:
    port = node.url.rpartition(":")[2]
    ended = await elwift(
        "run", "hello", "--model", "other", environment={"ELWIFT_SERVER__PORT": port}
    )
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert first.endswith("runs elwift-tiny, not other; starting one for the occasion")
    assert "there is no model called 'other'" in second


async def test_a_running_node_is_used_for_its_own_model(node: ScriptedNode) -> None:
    port = node.url.rpartition(":")[2]
    ended = await elwift(
        *("run", "hello", "--model", "elwift-tiny", "--max-tokens", "1", "--slots", "3"),
        environment={"ELWIFT_SERVER__PORT": port},
    )
    assert ended.code == 0, ended.err
    assert "--slots: of no effect" in ended.err
    assert (await elwift("run", "x", "--model", "y", "--url", node.url)).code == 1


async def test_who_interrupts_is_told_that_the_task_goes_on(node: ScriptedNode) -> None:
    process = await start("run", "hello", "--max-tokens", "100000", "--url", node.url)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.close()
    said = ""
    while "executing" not in said:
        said += (await process.stderr.readline()).decode()
    task_id = said.split()[1]
    process.send_signal(signal.SIGINT)
    rest = (await process.stderr.read()).decode()
    assert await process.wait() == 130
    assert "the task goes on" in rest
    assert (await node.task(task_id))["state"] == "executing"
    words = rest.partition("cancel it with `elwift ")[2].partition("`")[0].split()
    assert words == ["tasks", "cancel", task_id, "--url", node.url]
    assert (await elwift(*words)).code == 0
    assert (await node.ended(task_id))["state"] == "cancelled"


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "ascii", "latin-1"],
)
async def test_an_answer_survives_any_locale(
    node: ScriptedNode, environment: dict[str, str]
) -> None:
    ended = await elwift(
        "run", "hello", "--max-tokens", "12", "--url", node.url, environment=environment
    )
    assert ended.code == 0, ended.err
    assert "\\u72d0" in ended.out
    assert ended.out.count("word") == 12
    assert (await elwift("tasks", "list", "--url", node.url, environment=environment)).code == 0


class Terminal:
    """A small terminal with a process in it."""

    def __init__(self, columns: int, lines: int) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.code: int | None = None

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    @property
    def text(self) -> str:
        """All that was ever shown and not taken back, scrollback included."""
        columns = range(self.screen.columns)
        above = ["".join(line[at].data for at in columns) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display])


Step = Callable[[asyncio.subprocess.Process], Awaitable[object]]


async def in_terminal(
    *words: str, columns: int = 40, lines: int = 10, steps: Sequence[tuple[str, Step]] = ()
) -> Terminal:
    """Runs ``elwift`` to its end in a terminal of this size. Each step is taken once the terminal
    shows its words, one after the other."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (lines, columns))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", *words),
        stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    terminal = Terminal(columns, lines)
    while data := await asyncio.to_thread(_read, ours):
        terminal.feed(data)
        if steps and steps[0][0] in terminal.text:
            (_, step), *steps = steps
            await step(process)
    os.close(ours)
    terminal.code = await process.wait()
    return terminal


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65_536)
    except OSError:  # the last one has closed the other side
        return b""


async def test_a_text_longer_than_the_terminal_stands_there_once(tmp_path: Path) -> None:
    async with scripted_node(tmp_path / "data", "--signed") as node:
        terminal = await in_terminal("run", "hello", "--max-tokens", "150", "--url", node.url)
    assert terminal.code == 0
    shown = "".join(terminal.text.split())
    for number in (0, 75, 149):
        assert shown.count(f"{number}:") >= 1
    words = re.findall(r"(\d+):\d+ ", terminal.text.replace("\n", "") + " ")
    assert len(words) == len(set(words)), "no word is shown twice"


async def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07 hello"
    async with scripted_node(tmp_path / "data", "--says", "\x1b[31m\x9b2J") as node:
        await node.ended(await node.submit(hostile, max_tokens=3))
        listed = await in_terminal("tasks", "list", "--url", node.url, columns=120)
        shown = await in_terminal("run", hostile, "--max-tokens", "3", "--url", node.url)
    assert r"\x1b[2J\x1b]0;owned\x07 hello" in listed.text
    assert listed.screen.title == ""
    assert r"\x1b[31m\x9b2J" in shown.text.replace("\n", "")


async def test_the_queue_is_printed_once_without_a_terminal(tmp_path: Path) -> None:
    async with scripted_node(tmp_path / "data", "--rate", "1", "--slots", "1") as node:
        ids = [await node.submit("hello", user="\x1b[2J", max_tokens=1_000) for _ in range(2)]
        ended = await elwift("queue", "--url", node.url)
        assert ended.code == 0, ended.err
        assert [task_id for task_id in ids if task_id in ended.out] == ids
        assert "\x1b" not in ended.out
        told = json.loads((await elwift("queue", "--json", "--url", node.url)).out)
        assert [row["task_id"] for row in told["queue"]["tasks"]] == ids
        paused = await elwift("queue", "pause", "--url", node.url)
        assert "the queue is paused: 1 tasks run, 1 wait" in paused.out
        told = json.loads((await elwift("queue", "resume", "--json", "--url", node.url)).out)
        assert told["paused"] is False


async def test_the_queue_is_shown_live_until_it_is_interrupted(tmp_path: Path) -> None:
    async with scripted_node(tmp_path / "data", "--rate", "1", "--slots", "1") as node:
        task_id = await node.submit("hello", max_tokens=1_000)

        async def pause(_process: asyncio.subprocess.Process) -> None:
            await node.call("POST", "/queue/pause")

        async def interrupt(process: asyncio.subprocess.Process) -> None:
            process.send_signal(signal.SIGINT)

        terminal = await in_terminal(
            *("queue", "--url", node.url), columns=100, lines=20,
            # It looks again by itself: nobody has told it of the pause.
            steps=[(task_id, pause), ("paused", interrupt)],
        )  # fmt: skip
        assert terminal.code == 130
        assert terminal.text.count(task_id) == 1, "drawn over, not below"
        once = await in_terminal("queue", "--once", "--url", node.url, columns=100, lines=20)
        assert (once.code, once.text.count(task_id)) == (0, 1)


async def test_who_has_to_come_back_is_told_when(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with scripted_node(data, "--rate", "1", tasks__queue_per_client_max=1) as node:
        await node.submit("hello", max_tokens=1_000)
        refused = await elwift("run", "hello", "--url", node.url)
        assert refused.code == 1
        assert re.search(r"of yours have not ended.* \(in \d+ s", refused.err)
