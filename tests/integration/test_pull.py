"""``elwift models pull`` in a terminal: what a person sees, interrupts, and goes on with."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.integration.test_command_line import in_terminal
from tests.support.hub import Hub


async def test_who_interrupts_goes_on_with_the_same_command(hub: Hub, tmp_path: Path) -> None:
    async def interrupt(process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGINT)

    words = ("models", "pull", "owner/model-GGUF", "--data-dir", str(tmp_path / "data"))
    hub.troubles.append("hang 300000")
    # The bar has got so far.
    stopped = await in_terminal(*words, columns=100, steps=[("293.0/", interrupt)])
    assert stopped.code == 130
    assert "Traceback" not in stopped.text
    assert list((tmp_path / "data" / "models").glob("*.gguf")) == []
    done = await in_terminal(*words, columns=100)
    assert done.code == 0, done.text
    assert "licence: apache-2.0" in done.text
    assert "pulled it-Q4_0; run it with --model it-Q4_0" in done.text
    assert hub.ranges == ["", "bytes=300000-"]
