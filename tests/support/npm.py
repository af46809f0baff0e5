"""Packages of npm for tests, where Node and the registry can be had."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

NODE_MAJOR_MIN: Final = 20
NETWORK_CODES: Final = frozenset(
    {"EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"}
    | {"EHOSTUNREACH", "ERR_SOCKET_TIMEOUT", "ENOTCACHED", "E403", "E407", "E502", "E503", "E504"}
)
"""npm's words for a registry that cannot be had, whatever is asked of it."""


def why_no_node() -> str | None:
    """Why nothing can be run by Node here; None where it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip("v").partition(".")[0]) < NODE_MAJOR_MIN:
        return f"node is {version.stdout.strip()}, needed is {NODE_MAJOR_MIN} or later"
    return None


def why_not_installed(folder: Path) -> str | None:
    """Installs into the folder what its ``package.json`` names; the reason if what that takes
    cannot be had here."""
    reason = why_no_node()
    if reason is not None:
        return reason
    if shutil.which("npm") is None:
        return "npm is not installed"
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
