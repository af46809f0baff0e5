"""``elwift serve`` as a process: signals, descriptors, users and places of every sort."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.support.node import RunningNode, joined, start_node
from tests.support.scripted_node import start_scripted_node
from tests.support.storyteller import STORYTELLER

HERE = Path(__file__).parents[2]


async def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> tuple[int | None, str, str]:
    """Runs a program to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=HERE,
        **options,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def elwift(*words: str) -> list[str]:
    return [sys.executable, "-m", "edge.cli.main", *words]


def serve(data_dir: Path, *flags: str) -> list[str]:
    common = ("--port", "0", "--data-dir", str(data_dir), "--model", STORYTELLER)
    return elwift("serve", *common, *flags)


def bare(**environment: str) -> dict[str, str]:
    """Next to nothing in the environment, as under a service manager."""
    return {"PATH": os.environ["PATH"]} | environment


async def submit(url: str, **body: Any) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/tasks", json={"prompt": "hello", **body}) as response,
    ):
        assert response.status == 202
        return str((await response.json(content_type=None))["task_id"])


async def state(url: str, task_id: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/tasks/{task_id}") as response:
        return str((await response.json(content_type=None))["state"])


async def executing(http: aiohttp.ClientSession, url: str, task_id: str) -> None:
    """Until the task has made its first token."""
    async with joined(http, url, task_id) as channel:
        while not channel.text:
            await channel.until("progress")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def patient(tmp_path: Path) -> tuple[str, ...]:
    """Flags for a node that waits for its running tasks, however busy the machine is."""
    file = tmp_path / "patient.toml"
    file.write_text("[server]\ndrain_ms = 600000\n", encoding="utf-8")
    return ("--config", str(file), "--threads", "1")


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_running_tasks_end(
    tmp_path: Path, patient: tuple[str, ...], http: aiohttp.ClientSession, number: int
) -> None:
    node = await start_node(tmp_path, *patient)
    task_id = await submit(node.url, max_tokens=100, ignore_eos=True)
    await executing(http, node.url, task_id)
    assert await node.kill(number) == 0
    again = await start_node(tmp_path)
    assert await state(again.url, task_id) == "completed"
    await again.kill()


async def test_a_second_interrupt_means_at_once(
    tmp_path: Path, patient: tuple[str, ...], http: aiohttp.ClientSession
) -> None:
    process = await asyncio.create_subprocess_exec(
        *serve(tmp_path, *patient),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    node = RunningNode(process, (await process.stdout.readline()).decode().split()[1])
    engines = psutil.Process(process.pid).children()
    # Suspended, the engine never ends the task that the node waits for.
    task_id = await submit(node.url, max_tokens=400, ignore_eos=True)
    await executing(http, node.url, task_id)
    for engine in engines:
        engine.suspend()
    process.send_signal(signal.SIGINT)
    while b"stopping" not in await process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 128 + signal.SIGINT
    psutil.wait_procs(engines, timeout=30)
    again = await start_node(tmp_path)
    assert await state(again.url, task_id) in ("executing", "completed")
    await again.kill()


async def test_a_terminal_that_has_gone_away_does_not_keep_it_from_stopping(
    tmp_path: Path, patient: tuple[str, ...], http: aiohttp.ClientSession
) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *serve(tmp_path, *patient),
        stdout=asyncio.subprocess.PIPE,
        stderr=writing,
    )
    os.close(writing)
    assert process.stdout is not None
    node = RunningNode(process, (await process.stdout.readline()).decode().split()[1])
    os.close(reading)
    task_id = await submit(node.url, max_tokens=100, ignore_eos=True)
    await executing(http, node.url, task_id)
    assert await node.kill(signal.SIGINT) == 0
    again = await start_node(tmp_path)
    assert await state(again.url, task_id) == "completed"
    await again.kill()


async def test_who_starts_it_with_nohup_keeps_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("nohup", *serve(tmp_path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    node = RunningNode(process, (await process.stdout.readline()).decode().split()[1])
    process.send_signal(signal.SIGHUP)
    assert await state(node.url, await submit(node.url)) != ""
    assert await node.kill(signal.SIGTERM) == 0


# ---- descriptors


@pytest.mark.parametrize("closed", ["1>&- 2>&-", "0<&- 1>&- 2>&-", "2>&-"])
async def test_closed_standard_streams_are_no_matter(tmp_path: Path, closed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = " ".join(serve(tmp_path, "--port", str(port)))
    process = await asyncio.create_subprocess_shell(f"exec {command} {closed}")
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as http:
        while True:
            assert process.returncode is None
            try:
                async with http.get(f"{url}/healthz") as response:
                    assert response.status == 200
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0)
    # None of the files that it has open has taken the place of a standard stream.
    for fd in (0, 1, 2):
        opened = os.readlink(f"/proc/{process.pid}/fd/{fd}")
        assert "elwift" not in opened
        assert not opened.startswith("socket:")
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


# ---- wrong settings


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--port", "70000"), 78, "server.port"),
        (("--config", "/no/such/file.toml"), 78, "/no/such/file.toml"),
        (("--model", "nobody"), 78, "nobody"),
        (("--model", STORYTELLER, "--context", "100000"), 78, "trained with a context of"),
        (("--data-dir", "/proc/nowhere"), 1, "/proc/nowhere"),
        (("--prot", "1"), 2, "--prot"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
async def test_what_a_restart_cannot_cure_has_its_own_status(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    given = words if "--data-dir" in words else (*words, "--data-dir", str(tmp_path))
    ended, out, err = await run(elwift("serve", *given))
    assert (ended, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


async def test_a_port_that_is_taken_may_be_free_at_the_next_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended, out, err = await run(serve(tmp_path, "--port", port))
    assert (ended, out) == (1, "")
    assert "cannot listen" in err


def test_the_service_does_not_restart_for_those_and_survives_its_engine() -> None:
    unit = (HERE / "systemd" / "elwift.service").read_text(encoding="utf-8").splitlines()
    assert "RestartPreventExitStatus=2 78" in unit
    assert "OOMPolicy=continue" in unit


# ---- users and places


NOBODY = """
import pwd, sys
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
from edge.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line for a user of whom the machine knows nothing but the number."""


async def test_a_user_without_a_home_hears_what_to_do(tmp_path: Path) -> None:
    words = ("serve", "--port", "0", "--model", STORYTELLER)
    ended, out, err = await run((sys.executable, "-c", NOBODY, *words), bare(PYTHONPATH=str(HERE)))
    assert (ended, out) == (78, "")
    assert "no home directory" in err
    assert "--data-dir" in err
    assert "Traceback" not in err


async def test_a_user_without_a_home_runs_a_prompt(tmp_path: Path) -> None:
    words = ("run", "A story", "--max-tokens", "3", "--threads", "1", "--model", STORYTELLER)
    environment = bare(PYTHONPATH=str(HERE), ELWIFT_SERVER__PORT="9")
    ended, out, err = await run((sys.executable, "-c", NOBODY, *words), environment)
    assert ended == 0, err
    assert out.strip()


@pytest.mark.parametrize("name", ["a?b", "back\\slash", os.fsdecode(b"caf\xe9")])
async def test_a_place_that_the_database_cannot_use_is_refused_first(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    ended, out, err = await run(serve(folder))
    assert (ended, out) == (1, "")
    assert "data directory" in err
    assert "Traceback" not in err
    assert not folder.exists(), "nothing was done before"


@pytest.mark.parametrize("name", ["with space", "quo'te", "ümläut 狐", "100% # [a]*"])
async def test_a_place_with_an_odd_name_works(
    tmp_path: Path, http: aiohttp.ClientSession, name: str
) -> None:
    folder = tmp_path / name
    node = await start_scripted_node(folder)
    task_id = await submit(node.url, max_tokens=2)
    async with http.get(f"{node.url}/tasks/export?format=csv") as response:
        assert task_id in await response.text()
    assert await node.kill(signal.SIGTERM) == 0
    again = await start_scripted_node(folder)
    assert await state(again.url, task_id) == "completed"
    await again.kill()


async def test_localhost_is_found_in_both_families(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    node = await start_scripted_node(tmp_path, settings={"server.host": "localhost"})
    port = node.url.rpartition(":")[2]
    async with http.get(f"http://localhost:{port}/healthz") as response:
        assert response.status == 200
    listening = psutil.Process(node.process.pid).net_connections("tcp")
    addresses = {each.laddr.ip for each in listening if each.status == psutil.CONN_LISTEN}
    assert "127.0.0.1" in addresses
    await node.kill()


async def test_the_other_loopback_address_works(tmp_path: Path) -> None:
    node = await start_scripted_node(tmp_path, settings={"server.host": "::1"})
    assert node.url.startswith("http://[::1]:")
    assert await state(node.url, await submit(node.url, max_tokens=1)) != ""
    await node.kill()
