"""Installs phoenix.js from npm once a session; says at the very end whether that could be done."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.js.client import PhoenixJs
from tests.support.npm import why_not_installed

HERE: Final = Path(__file__).parent
PACKAGES: Final = ("phoenix-new", "phoenix-1.7")
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


@pytest.fixture(scope="session")
def installed(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, PhoenixJs]:
    """Both versions of phoenix.js, by their alias. Skips where they cannot be had."""
    folder = tmp_path_factory.mktemp("phoenix-js")
    for name in ("package.json", "client.mjs", "browser.mjs"):
        shutil.copy(HERE / name, folder)
    reason = why_not_installed(folder)
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
