"""Installs phoenix.js from npm once a session; says at the very end whether that could be done."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.js.client import PhoenixJs

HERE: Final = Path(__file__).parent
PACKAGES: Final = ("phoenix-new", "phoenix-1.7")
NODE_MAJOR_MIN: Final = 20
NETWORK_CODES: Final = frozenset(
    {"EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"}
    | {"EHOSTUNREACH", "ERR_SOCKET_TIMEOUT", "ENOTCACHED", "E403", "E407", "E502", "E503", "E504"}
)
"""npm's words for a registry that cannot be had, whatever is asked of it."""

_OUTCOME: Final = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One loop is enough here: the node is a process of its own, always on uvloop."""
    return {"asyncio": asyncio.SelectorEventLoop}


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of a run with these tests."""
    outcome = config.stash.get(_OUTCOME, None)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if outcome is not None and terminal is not None:
        terminal.write_line(f"phoenix.js: {outcome}")


def _why_not(folder: Path) -> str | None:
    """Installs into the folder; the reason if what that takes cannot be had here."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip("v").partition(".")[0]) < NODE_MAJOR_MIN:
        return f"node is {version.stdout.strip()}, needed is {NODE_MAJOR_MIN} or later"
    quietly = ("--no-audit", "--no-fund", "--no-package-lock")
    # One more try after a second: a network that is not there is soon known.
    in_time = ("--fetch-timeout=20000", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    install = subprocess.run(
        ["npm", "install", *quietly, *in_time],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if install.returncode == 0:
        return None
    code = re.search(r"npm (?:error|ERR!) code (\w+)", install.stderr)
    if code is not None and code[1] in NETWORK_CODES:
        return f"the npm registry cannot be reached ({code[1]})"
    pytest.fail(f"npm install failed:\n{install.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def installed(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, PhoenixJs]:
    """Both versions of phoenix.js, by their alias. Skips where they cannot be had."""
    folder = tmp_path_factory.mktemp("phoenix-js")
    for name in ("package.json", "client.mjs", "browser.mjs"):
        shutil.copy(HERE / name, folder)
    reason = _why_not(folder)
    if reason is not None:
        request.config.stash[_OUTCOME] = f"not tested, {reason}"
        pytest.skip(f"no phoenix.js: {reason}")
    found = {}
    for package in PACKAGES:
        manifest = json.loads((folder / "node_modules" / package / "package.json").read_text())
        found[package] = PhoenixJs(folder, package, manifest["version"])
    versions = " and ".join(each.version for each in found.values())
    request.config.stash[_OUTCOME] = f"tested with {versions}"
    return found


@pytest.fixture(params=PACKAGES)
def phoenix_js(request: pytest.FixtureRequest, installed: dict[str, PhoenixJs]) -> PhoenixJs:
    """Each version in turn."""
    return installed[request.param]
