"""The scripts that have a shell complete commands."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from edge.cli.main import main


def test_bash_completes_commands_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash, which completes here")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = (
        script
        + '\nCOMP_WORDS=(elwift tasks li); COMP_CWORD=2; eval "$(complete -p elwift |'
        + ' sed "s/.*-F \\([^ ]*\\) .*/\\1/") elwift"; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["list"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_each_shell_has_one(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shell"] == shell
    assert "elwift" in told["script"]
