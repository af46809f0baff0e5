"""The pages' own JavaScript, where it needs no browser: run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.gateway.page_files import FOLDER
from tests.support.npm import why_no_node

HERE = Path(__file__).parent


def test_the_modules(tmp_path: Path) -> None:
    reason = why_no_node()
    if reason is not None:
        pytest.skip(f"no Node: {reason}")
    for file in (*FOLDER.glob("*.js"), HERE / "page.test.mjs", HERE.parent / "vectors.json"):
        shutil.copy(file, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(
        ["node", "--test", "page.test.mjs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout[-5_000:]
    assert "# pass 0" not in done.stdout
